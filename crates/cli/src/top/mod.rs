//! `muster top`: the page's twin for those who live in a terminal.

mod terminal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_engine::{Judgement, Severity};
use muster_event::sanitize;
use muster_report::Style;
use muster_sensor::now_ns;
use muster_server::{ContainRequest, Inbox, ReviewRequest, Reviewed, StoreReader};

use crate::{client, commands, style};
use terminal::{Key, Terminal};

/// How often the record is looked at again.
const REDRAW: Duration = Duration::from_millis(500);
/// Findings that are listed: a person reads them.
const FINDINGS_MAX: usize = 500;

enum View {
    Roll,
    Findings,
    /// Text that was made for one agent or finding, from this line on.
    Text {
        title: String,
        lines: Vec<String>,
        from: usize,
        back: bool,
    },
    /// A question: what is done if it is answered with `y`.
    Ask {
        lines: Vec<String>,
        request: ContainRequest,
    },
}

struct Top<'a> {
    data: &'a Path,
    reader: StoreReader,
    view: View,
    /// The chosen line of roll and findings.
    agent: usize,
    finding: usize,
    agents: Vec<String>,
    findings: Vec<Reviewed>,
    /// What came of the last act.
    said: String,
}

pub fn run(data: &Path) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let reader = StoreReader::open(data)?;
    let mut top = Top {
        data,
        reader,
        view: View::Roll,
        agent: 0,
        finding: 0,
        agents: Vec::new(),
        findings: Vec::new(),
        said: String::new(),
    };
    let terminal = Terminal::enter()?;
    let mut drawn = Instant::now();
    terminal.draw(&top.lines()?)?;
    while !stop.load(Ordering::Relaxed) {
        let keys = terminal.keys(REDRAW.saturating_sub(drawn.elapsed()))?;
        for key in &keys {
            if !top.press(*key)? {
                return Ok(());
            }
        }
        if !keys.is_empty() || drawn.elapsed() >= REDRAW {
            terminal.draw(&top.lines()?)?;
            drawn = Instant::now();
        }
    }
    Ok(())
}

impl Top<'_> {
    fn lines(&mut self) -> Result<Vec<String>> {
        let (rows, columns) = Terminal::size();
        let look = Style { width: columns, ..style() };
        let room = rows.saturating_sub(2);
        let (title, keys, mut body) = match &self.view {
            View::Roll => (
                "roll".to_owned(),
                "↑↓ choose  Enter show  l lineage  f findings  z freeze  t thaw  o muster out  q quit",
                self.roll(&look, room)?,
            ),
            View::Findings => (
                "findings that wait".to_owned(),
                "↑↓ choose  Enter explain  a acknowledge  c confirm  x false alarm  e escalate  o muster out  r roll  q quit",
                self.inbox(&look, room)?,
            ),
            View::Text { title, lines, from, .. } => (
                title.clone(),
                "↑↓ PgUp PgDn scroll  Esc back  q quit",
                lines.iter().skip(*from).take(room).cloned().collect(),
            ),
            View::Ask { lines, .. } => (
                "nothing has been touched yet".to_owned(),
                "y do it  any other key: leave it",
                lines.iter().take(room).cloned().collect(),
            ),
        };
        body.truncate(room);
        body.resize(room, String::new());
        let live = if client::answers(self.data) { "" } else { "  (no daemon answers: nothing new comes)" };
        let head =
            format!("\x1b[7m {:<width$}\x1b[0m", format!("muster: {title}{live}"), width = columns - 1);
        let foot = if self.said.is_empty() { keys.to_owned() } else { self.said.clone() };
        let mut lines = vec![head];
        lines.append(&mut body);
        lines.push(format!("\x1b[2m {foot}\x1b[0m"));
        Ok(lines)
    }

    fn roll(&mut self, look: &Style, room: usize) -> Result<Vec<String>> {
        let agents = self.reader.roll()?;
        if agents.is_empty() {
            let text = muster_report::roll_empty(client::answers(self.data));
            return Ok(text.lines().map(str::to_owned).collect());
        }
        let counts: BTreeMap<String, [u64; 5]> = self
            .reader
            .finding_counts()?
            .into_iter()
            .map(|(agent, c)| (agent, [c.info, c.low, c.medium, c.high, c.critical]))
            .collect();
        // The choice stays with the agent, wherever its line goes.
        let chosen = self.agents.get(self.agent).cloned();
        self.agents = muster_report::roll_order(&agents, &counts).iter().map(|a| a.agent.clone()).collect();
        self.agent = chosen
            .and_then(|chosen| self.agents.iter().position(|agent| *agent == chosen))
            .unwrap_or_else(|| self.agent.min(self.agents.len().saturating_sub(1)));
        let text = muster_report::roll(&agents, &counts, now_ns(), look);
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default().to_owned();
        let mut rows: Vec<String> = lines.map(str::to_owned).collect();
        let summary = rows.pop().unwrap_or_default();
        Ok(chosen_lines(head, &rows, self.agent, room.saturating_sub(2), summary))
    }

    fn inbox(&mut self, look: &Style, room: usize) -> Result<Vec<String>> {
        let inbox = Inbox { open_only: true, limit: FINDINGS_MAX, ..Inbox::default() };
        let chosen = self.findings.get(self.finding).map(|it| it.finding.id.clone());
        self.findings = self.reader.inbox(&inbox)?;
        self.finding = chosen
            .and_then(|chosen| self.findings.iter().position(|it| it.finding.id == chosen))
            .unwrap_or_else(|| self.finding.min(self.findings.len().saturating_sub(1)));
        let rows: Vec<String> = self
            .findings
            .iter()
            .map(|Reviewed { finding, review }| {
                let judged = review.as_ref().map_or("", |review| review.judgement.name());
                let line = format!(
                    "{:<8}  {:<18}  {:<24}  {judged:<9}  {}",
                    finding.severity.name(),
                    finding.code.name(),
                    sanitize(&finding.agent),
                    sanitize(&finding.summary)
                );
                let line = line.chars().take(look.width.saturating_sub(1)).collect::<String>();
                match (finding.severity, look.colour) {
                    (Severity::Critical | Severity::High, true) => format!("\x1b[31m{line}\x1b[0m"),
                    (Severity::Medium, true) => format!("\x1b[33m{line}\x1b[0m"),
                    _ => line,
                }
            })
            .collect();
        let waiting = self.reader.waiting(None, None)?;
        let head = format!("{:<8}  {:<18}  {:<24}  {:<9}  SUMMARY", "SEVERITY", "CODE", "AGENT", "JUDGED");
        Ok(chosen_lines(head, &rows, self.finding, room.saturating_sub(2), format!("{waiting} wait")))
    }

    /// `false`: the end.
    fn press(&mut self, key: Key) -> Result<bool> {
        self.said.clear();
        match &mut self.view {
            View::Ask { request, .. } => {
                let request = request.clone();
                self.view = View::Roll;
                if key == Key::Char('y') {
                    self.carry_out(&request);
                }
            }
            View::Text { lines, from, back, .. } => {
                let page = Terminal::size().0.saturating_sub(4);
                let last = lines.len().saturating_sub(page);
                match key {
                    Key::Up | Key::Char('k') => *from = from.saturating_sub(1),
                    Key::Down | Key::Char('j') => *from = (*from + 1).min(last),
                    Key::PageUp => *from = from.saturating_sub(page),
                    Key::PageDown | Key::Char(' ') => *from = (*from + page).min(last),
                    Key::Home => *from = 0,
                    Key::End => *from = last,
                    Key::Escape | Key::Char('b') => {
                        self.view = if *back { View::Findings } else { View::Roll }
                    }
                    Key::Char('q') => return Ok(false),
                    _ => {}
                }
            }
            View::Roll => return self.press_roll(key),
            View::Findings => return self.press_findings(key),
        }
        Ok(true)
    }

    fn press_roll(&mut self, key: Key) -> Result<bool> {
        let last = self.agents.len().saturating_sub(1);
        match (key, self.agents.get(self.agent).cloned()) {
            (Key::Char('q'), _) => return Ok(false),
            (Key::Char('f'), _) => self.view = View::Findings,
            (key, Some(agent)) => match key {
                Key::Enter => self.text(&agent, commands::show::drawn(&self.reader, &agent), false),
                Key::Char('l') => self.text(&agent, commands::lineage::drawn(&self.reader, &agent), false),
                Key::Char('z') => self.ask(&agent, "freeze"),
                Key::Char('o') => self.ask(&agent, "verify"),
                Key::Char('t') => self.carry_out(&ContainRequest::Thaw { agent }),
                key => self.agent = moved(key, self.agent, last),
            },
            _ => {}
        }
        Ok(true)
    }

    fn press_findings(&mut self, key: Key) -> Result<bool> {
        let last = self.findings.len().saturating_sub(1);
        let chosen =
            self.findings.get(self.finding).map(|it| (it.finding.id.clone(), it.finding.agent.clone()));
        match (key, chosen) {
            (Key::Char('q'), _) => return Ok(false),
            (Key::Char('r') | Key::Escape, _) => self.view = View::Roll,
            (key, Some((id, agent))) => match key {
                Key::Enter => self.text(&id, commands::explain::drawn(&self.reader, &id), true),
                Key::Char('a') => self.judge(id, Judgement::Acknowledged),
                Key::Char('c') => self.judge(id, Judgement::Confirmed),
                Key::Char('x') => self.judge(id, Judgement::FalseAlarm),
                Key::Char('e') => self.judge(id, Judgement::Escalated),
                Key::Char('o') => self.ask(&agent, "verify"),
                key => self.finding = moved(key, self.finding, last),
            },
            _ => {}
        }
        Ok(true)
    }

    fn text(&mut self, title: &str, drawn: Result<String>, back: bool) {
        match drawn {
            Ok(text) => {
                let lines = text.lines().map(str::to_owned).collect();
                self.view = View::Text { title: sanitize(title), lines, from: 0, back };
            }
            Err(error) => self.said = first_line(&error),
        }
    }

    /// Looks what it would touch, and asks.
    fn ask(&mut self, agent: &str, until: &str) {
        let request = |dry_run| ContainRequest::Out {
            agent: agent.to_owned(),
            until: Some(until.to_owned()),
            include_likely: false,
            dry_run,
        };
        match client::contain(self.data, &request(true)) {
            Ok(plan) => {
                let word = if until == "freeze" { "Freeze" } else { "Muster out" };
                let mut lines = vec![format!("{word} {}? It would touch:", sanitize(agent)), String::new()];
                let text = serde_json::to_string_pretty(&plan).unwrap_or_default();
                lines.extend(text.lines().map(sanitize));
                self.view = View::Ask { lines, request: request(false) };
            }
            Err(error) => self.said = first_line(&error),
        }
    }

    fn carry_out(&mut self, request: &ContainRequest) {
        self.said = match client::contain(self.data, request) {
            Ok(report) => match report.get("left").and_then(|left| left.as_array()) {
                Some(left) if !left.is_empty() => {
                    format!("done, but {} things are left: `muster out --list`", left.len())
                }
                _ => "done".to_owned(),
            },
            Err(error) => first_line(&error),
        };
    }

    fn judge(&mut self, finding: String, judgement: Judgement) {
        let request = ReviewRequest { finding, judgement, note: String::new() };
        self.said = match client::review(self.data, &request) {
            Ok(review) => review.judgement.replace('_', " "),
            Err(error) => first_line(&error),
        };
    }
}

fn first_line(error: &anyhow::Error) -> String {
    sanitize(error.to_string().lines().next().unwrap_or_default())
}

fn moved(key: Key, at: usize, last: usize) -> usize {
    const PAGE: usize = 10;
    match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => (at + 1).min(last),
        Key::PageUp => at.saturating_sub(PAGE),
        Key::PageDown => (at + PAGE).min(last),
        Key::Home => 0,
        Key::End => last,
        _ => at,
    }
}

/// Head, as many rows as there is room for around the chosen one, and a last line.
fn chosen_lines(head: String, rows: &[String], chosen: usize, room: usize, last: String) -> Vec<String> {
    let from = chosen.saturating_sub(room.saturating_sub(1));
    let mut lines = vec![format!("  {head}")];
    for (at, row) in rows.iter().enumerate().skip(from).take(room) {
        lines.push(if at == chosen { format!("\x1b[1m▶\x1b[0m {row}") } else { format!("  {row}") });
    }
    lines.push(format!("  {last}"));
    lines
}
