//! The lineage of an agent as a picture: forks as lines, descent through a file or a service drawn apart, and how sure each
//! edge is.

use std::collections::{BTreeMap, HashMap, HashSet};

use maud::{Markup, html};
use muster_event::{Event, Kind, ProcessKey};
use muster_report::words;

use super::lanes::short;
use crate::Lineage;
use crate::views::{DescentView, LineageView};

/// Rows of the picture: a person reads them.
const ROWS_MAX: usize = 300;
const ROW: usize = 22;
const STEP: usize = 22;
/// Deeper ones stand at this depth: a fork bomb is deep, a page is not.
const DEPTH_MAX: usize = 24;

/// A process, as far as the record tells.
#[derive(Default)]
struct Node {
    program: String,
    argv: String,
    children: Vec<ProcessKey>,
    ended: bool,
}

/// One line of the picture.
struct Drawn {
    depth: usize,
    class: &'static str,
    /// Of the edge that leads to it.
    edge: &'static str,
    text: String,
    small: String,
    title: String,
    parent: Option<usize>,
}

/// `tree` are the forks, executions and ends of its processes.
pub(super) fn draw(lineage: &Lineage, tree: &[Event]) -> Markup {
    let view = LineageView::from(lineage);
    let rows = rows(lineage, &view, tree);
    let left_out = rows.1;
    let rows = rows.0;
    let height = rows.len() * ROW + 8;
    html! {
        svg class="graph" viewBox={ "0 0 900 " (height) } width="900" height=(height) role="img"
            aria-label="What descends from the agent" {
            @for (at, row) in rows.iter().enumerate() {
                @let (x, y) = (12 + row.depth.min(DEPTH_MAX) * STEP, at * ROW + 14);
                @if let Some(parent) = row.parent {
                    @let from = rows.get(parent).map_or(0, |it| 12 + it.depth.min(DEPTH_MAX) * STEP);
                    path class={ "edge " (row.edge) } d={ "M" (from) " " (parent * ROW + 19) "V" (y) "H" (x - 5) } {}
                }
                @if row.class == "file" { rect class=(row.class) x=(x - 4) y=(y - 5) width="9" height="10" {} }
                @else { circle class=(row.class) cx=(x) cy=(y) r="4.5" {} }
                text x=(x + 10) y=(y + 4) { (row.text) tspan class="small" { " " (row.small) } title { (row.title) } }
            }
        }
        @if left_out > 0 { p.empty { (left_out) " more are not drawn: " code { "muster lineage" } " and the API have them." } }
    }
}

fn rows(lineage: &Lineage, view: &LineageView, tree: &[Event]) -> (Vec<Drawn>, usize) {
    let mut nodes: BTreeMap<ProcessKey, Node> = BTreeMap::new();
    let mut has_parent: HashSet<ProcessKey> = HashSet::new();
    for event in tree {
        match &event.kind {
            Kind::Fork { child } => {
                nodes.entry(*child).or_default();
                if has_parent.insert(*child) {
                    nodes.entry(event.process).or_default().children.push(*child);
                }
            }
            Kind::Exec { path, argv, .. } => {
                let node = nodes.entry(event.process).or_default();
                words::name_of(path).clone_into(&mut node.program);
                node.argv = words::shell_line(argv);
            }
            Kind::Exit { .. } => nodes.entry(event.process).or_default().ended = true,
            _ => {}
        }
    }
    let mut out = Rows { drawn: Vec::new(), left_out: 0, seen: HashSet::new() };
    let root = lineage.state.root;
    let top = out.push(Drawn {
        depth: 0,
        class: if lineage.state.ended_ns.is_some() { "ended" } else { "live" },
        edge: "fork",
        text: short(&lineage.state.agent),
        small: format!("{} pid {}", short(&lineage.state.product), root.pid),
        title: short(&words::shell_line(&lineage.state.command)),
        parent: None,
    });
    out.seen.insert(root);
    let children: Vec<ProcessKey> = nodes.get(&root).map(|node| node.children.clone()).unwrap_or_default();
    out.children(&nodes, &children, 1, top);
    // What is a member by other means than a fork, and has no parent here: adopted ones, those that were there before.
    let descended: HashSet<(u32, u64)> = view.descents.iter().map(|it| (it.pid, it.start_ns)).collect();
    let orphans: Vec<ProcessKey> = nodes
        .keys()
        .copied()
        .filter(|key| {
            !has_parent.contains(key) && *key != root && !descended.contains(&(key.pid, key.start_ns))
        })
        .collect();
    out.children(&nodes, &orphans, 1, top);
    out.files(view, &nodes, top);
    for agent in &view.agents {
        out.push(Drawn {
            depth: 1,
            class: "agent",
            edge: "fork",
            text: short(agent),
            small: "an agent within it".to_owned(),
            title: String::new(),
            parent: top,
        });
    }
    (out.drawn, out.left_out)
}

struct Rows {
    drawn: Vec<Drawn>,
    left_out: usize,
    seen: HashSet<ProcessKey>,
}

impl Rows {
    fn push(&mut self, row: Drawn) -> Option<usize> {
        if self.drawn.len() >= ROWS_MAX {
            self.left_out += 1;
            return None;
        }
        self.drawn.push(row);
        Some(self.drawn.len() - 1)
    }

    /// Processes below one, like ones without children of their own as one line.
    fn children(
        &mut self,
        nodes: &BTreeMap<ProcessKey, Node>,
        below: &[ProcessKey],
        depth: usize,
        parent: Option<usize>,
    ) {
        // Without recursion: how deep it goes is the agent's choice.
        let mut waiting: Vec<(ProcessKey, usize, usize, Option<usize>)> = Vec::new();
        push_like(nodes, below, depth, parent, &mut waiting);
        while let Some((key, count, depth, parent)) = waiting.pop() {
            if !self.seen.insert(key) {
                continue;
            }
            let Some(node) = nodes.get(&key) else { continue };
            let name = if node.program.is_empty() { "(fork)" } else { node.program.as_str() };
            let row = Drawn {
                depth,
                class: if node.ended { "ended" } else { "live" },
                edge: "fork",
                text: short(name),
                small: match count {
                    1 => format!("pid {}", key.pid),
                    many => format!("{many} times"),
                },
                title: short(&node.argv),
                parent,
            };
            let at = self.push(row);
            push_like(nodes, &node.children, depth + 1, at.or(parent), &mut waiting);
        }
    }

    /// Artefacts with what was started through them, then what was asked of services.
    fn files(&mut self, view: &LineageView, nodes: &BTreeMap<ProcessKey, Node>, top: Option<usize>) {
        let mut by_path: HashMap<&str, Vec<&DescentView>> = HashMap::new();
        for descent in &view.descents {
            by_path.entry(descent.path.as_deref().unwrap_or_default()).or_default().push(descent);
        }
        let mut drawn: HashSet<&str> = HashSet::new();
        for artefact in &view.artefacts {
            let edge = if artefact.certainty == "certain" { "wrote" } else { "wrote likely" };
            let at = self.push(Drawn {
                depth: 1,
                class: "file",
                edge,
                text: short(&artefact.path),
                small: format!(
                    "{}, {}{}",
                    artefact.mechanism,
                    artefact.certainty,
                    if artefact.gone { ", removed again" } else { "" }
                ),
                title: short(
                    &artefact.commands.iter().map(|it| words::shell_line(it)).collect::<Vec<_>>().join("; "),
                ),
                parent: top,
            });
            drawn.insert(&artefact.path);
            for descent in by_path.get(artefact.path.as_str()).into_iter().flatten() {
                self.descent(descent, nodes, 2, at.or(top));
            }
        }
        for descent in &view.descents {
            if descent.path.as_deref().is_none_or(|path| !drawn.contains(path)) {
                self.descent(descent, nodes, 1, top);
            }
        }
    }

    fn descent(
        &mut self,
        descent: &DescentView,
        nodes: &BTreeMap<ProcessKey, Node>,
        depth: usize,
        parent: Option<usize>,
    ) {
        let key = ProcessKey { pid: descent.pid, start_ns: descent.start_ns };
        let node = nodes.get(&key);
        let at = self.push(Drawn {
            depth,
            class: if node.is_some_and(|node| node.ended) { "ended" } else { "live" },
            edge: if descent.certainty == "certain" { "descent" } else { "descent likely" },
            text: node.map_or_else(|| format!("pid {}", descent.pid), |node| short(&node.program)),
            small: format!(
                "{} {}, {}",
                descent.via,
                short(descent.service.as_deref().or(descent.mechanism.as_deref()).unwrap_or_default()),
                descent.certainty
            ),
            title: short(&descent.summary),
            parent,
        });
        self.seen.insert(key);
        let children: Vec<ProcessKey> = node.map(|node| node.children.clone()).unwrap_or_default();
        self.children(nodes, &children, depth + 1, at.or(parent));
    }
}

/// In reverse, since the last one is taken first.
fn push_like(
    nodes: &BTreeMap<ProcessKey, Node>,
    below: &[ProcessKey],
    depth: usize,
    parent: Option<usize>,
    waiting: &mut Vec<(ProcessKey, usize, usize, Option<usize>)>,
) {
    let mut order: Vec<(ProcessKey, usize)> = Vec::new();
    let mut like: HashMap<(&str, bool), usize> = HashMap::new();
    for key in below {
        let Some(node) = nodes.get(key) else { continue };
        if node.children.is_empty() {
            if let Some(at) = like.get(&(node.program.as_str(), node.ended)) {
                if let Some((_, count)) = order.get_mut(*at) {
                    *count += 1;
                }
                continue;
            }
            like.insert((&node.program, node.ended), order.len());
        }
        order.push((*key, 1));
    }
    waiting.extend(order.into_iter().rev().map(|(key, count)| (key, count, depth, parent)));
}
