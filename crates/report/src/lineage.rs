//! All that belongs to an agent, as a tree: what it started, what others started for it, and what may bring it back. Each
//! edge with how sure it is, and what shows it.

use muster_engine::{AgentState, Artefact, Certainty, Descent, Evidence, Member, Via};

use crate::cell::{Colour, Style, cut, safe, wrap};
use crate::time;

/// Processes that are named one by one: a person reads them.
const PROCESSES_SHOWN: usize = 20;
/// Descents and artefacts that are shown, each.
const EDGES_SHOWN: usize = 500;

/// An agent and what belongs to it.
pub struct Lineage {
    pub state: AgentState,
    /// Not seen to end.
    pub processes: Vec<Member>,
    pub ended: u64,
    pub descents: Vec<Descent>,
    pub artefacts: Vec<Artefact>,
    /// Agents that were started from within it.
    pub agents: Vec<Lineage>,
}

/// One edge of the tree: its first line, and what stands below.
struct Edge {
    colour: Colour,
    head: String,
    text: Vec<String>,
    /// Safe already, and as wide as may be.
    below: Option<String>,
}

pub fn lineage(lineage: &Lineage, style: &Style) -> String {
    let state = &lineage.state;
    let of =
        state.parent.as_ref().map(|parent| format!(", started from {}", safe(parent))).unwrap_or_default();
    let head = format!("{} ({}, {}{of})", safe(&state.agent), safe(&state.product), state.state.name());
    let mut out = style.paint(&cut(&head, style.width), Colour::Bold);
    out.push('\n');
    let edges = edges(lineage, style);
    for (at, edge) in edges.iter().enumerate() {
        let last = at + 1 == edges.len();
        let (first, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(first);
        out.push_str(&style.paint(&cut(&edge.head, style.width.saturating_sub(3)), edge.colour));
        out.push('\n');
        for text in &edge.text {
            for line in wrap(text, style.width.saturating_sub(7)) {
                out.push_str(&format!("{rest}    {line}\n"));
            }
        }
        for line in edge.below.iter().flat_map(|below| below.lines()) {
            out.push_str(&format!("{rest}{line}\n"));
        }
    }
    out
}

fn edges(lineage: &Lineage, style: &Style) -> Vec<Edge> {
    let plain = |head: String| Edge { colour: Colour::Plain, head, text: Vec::new(), below: None };
    let mut edges = Vec::new();
    let mut pids: Vec<String> =
        lineage.processes.iter().take(PROCESSES_SHOWN).map(|member| member.process.pid.to_string()).collect();
    if lineage.processes.len() > PROCESSES_SHOWN {
        pids.push(format!("{} more", lineage.processes.len() - PROCESSES_SHOWN));
    }
    let mut processes =
        plain(format!("processes  {} not seen to end, {} ended", lineage.processes.len(), lineage.ended));
    processes.text.extend((!pids.is_empty()).then(|| pids.join(", ")));
    edges.push(processes);
    for descent in lineage.descents.iter().take(EDGES_SHOWN) {
        edges.push(descended(descent));
    }
    for artefact in lineage.artefacts.iter().take(EDGES_SHOWN) {
        edges.push(planted(artefact));
    }
    let hidden = lineage.descents.len().saturating_sub(EDGES_SHOWN)
        + lineage.artefacts.len().saturating_sub(EDGES_SHOWN);
    if hidden > 0 {
        edges.push(plain(format!("{hidden} more: `--json` has them")));
    }
    let forgotten = lineage.state.coverage.lineage_forgotten;
    if forgotten > 0 {
        edges.push(Edge {
            colour: Colour::Yellow,
            head: format!("{forgotten} files, requests or descents are no longer remembered"),
            text: vec![
                "what runs these files later, or was asked for so, is not tied to the agent".to_owned(),
            ],
            below: None,
        });
    }
    let inner = Style { width: style.width.saturating_sub(3), ..*style };
    for agent in &lineage.agents {
        edges.push(Edge {
            below: Some(self::lineage(agent, &inner)),
            ..plain(format!("agent  {}", time::full(agent.state.started_ns)))
        });
    }
    edges
}

fn descended(descent: &Descent) -> Edge {
    let via = match &descent.via {
        Via::Artefact { mechanism, .. } => format!("by {}", safe(mechanism)),
        Via::Request { service } => format!("asked of {}", safe(service)),
        Via::Content { .. } => "by content".to_owned(),
    };
    Edge {
        colour: colour(descent.certainty),
        head: format!(
            "{}  process {}  {via}  {}",
            word(descent.certainty),
            descent.process.pid,
            time::full(descent.time_ns)
        ),
        text: vec![safe(&descent.summary), shown_by(&descent.evidence)],
        below: None,
    }
}

fn planted(artefact: &Artefact) -> Edge {
    let unit = artefact.unit.as_ref().map(|unit| format!("  {}", safe(unit))).unwrap_or_default();
    let gone = if artefact.gone { "  (removed again)" } else { "" };
    let mut text = vec![safe(&artefact.path)];
    text.extend(
        artefact.commands.iter().take(8).map(|command| format!("starts `{}`", safe(&command.join(" ")))),
    );
    text.push(shown_by(&[Evidence::Event { seq: artefact.seq }]));
    Edge {
        colour: colour(artefact.certainty),
        head: format!(
            "{}  {}{unit}  {}{gone}",
            word(artefact.certainty),
            safe(&artefact.mechanism),
            time::full(artefact.time_ns)
        ),
        text,
        below: None,
    }
}

fn shown_by(evidence: &[Evidence]) -> String {
    let named = evidence.iter().map(|evidence| match evidence {
        Evidence::Event { seq } => format!("#{seq}"),
        Evidence::Account { path, offset, .. } => format!("{} at byte {offset}", safe(path)),
        Evidence::Process { pid, .. } => format!("process {pid}"),
    });
    format!("shown by {}", named.collect::<Vec<_>>().join(", "))
}

fn word(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely ",
    }
}

fn colour(certainty: Certainty) -> Colour {
    match certainty {
        Certainty::Certain => Colour::Cyan,
        Certainty::Likely => Colour::Dim,
    }
}
