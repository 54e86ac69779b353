//! Tells others of findings. Each place has its own position in the log, kept on disk and moved on only when a message was
//! taken: what could not be delivered is delivered later, nothing is told twice, and a flood becomes one message.

pub mod config;
mod send;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_engine::{AgentState, Code, Finding, Severity};
use muster_report::notify::{self as words, Around};
use muster_sensor::now_ns;
use muster_server::StoreReader;
use muster_server::views::{self, FindingView, RollView};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use config::{Kind, Target};
use send::Sent;

/// How often the record is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Findings that are read at once.
const BATCH: usize = 500;
/// Waits after failures: each twice as long as the one before.
const WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Findings that are remembered as told, so that one which was written again is not told again.
const TOLD_MAX: usize = 4_096;

/// Where a place stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Findings up to this leaf were told, or did not matter.
    pub leaf: u64,
    pub told: u64,
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(default)]
    pub failures: u32,
    /// With the severity that they had.
    #[serde(default)]
    recent: BTreeMap<String, Severity>,
}

pub fn position_file(data: &Path, name: &str) -> PathBuf {
    data.join("notify").join(format!("{name}.json"))
}

impl Position {
    pub fn read(data: &Path, name: &str) -> Option<Position> {
        serde_json::from_slice(&fs::read(position_file(data, name)).ok()?).ok()
    }

    /// Whole, or as before.
    fn write(&self, data: &Path, name: &str) -> Result<()> {
        let path = position_file(data, name);
        let folder = path.parent().unwrap_or(data);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        Ok(fs::rename(new, path)?)
    }
}

/// Tells, about a place, what does not work; `None`: it works again.
pub type Notice = dyn Fn(&str, Option<String>) + Send + Sync;

/// Starts a thread for each place. `notice` is told what does not work, and when it does again.
pub fn start(targets: Vec<Target>, data: &Path, stop: &Arc<AtomicBool>, notice: &Arc<Notice>) -> Result<()> {
    for target in targets {
        let (data, stop, notice) = (data.to_owned(), Arc::clone(stop), Arc::clone(notice));
        thread::Builder::new().name(format!("notify-{}", target.name)).spawn(move || {
            Teller { target, data, sent: Vec::new() }.run(&stop, &*notice);
        })?;
    }
    Ok(())
}

struct Teller {
    target: Target,
    data: PathBuf,
    /// When messages went out, of the last minute.
    sent: Vec<Instant>,
}

/// A finding with its place in the log.
type Found = (u64, Finding);

impl Teller {
    fn run(mut self, stop: &AtomicBool, notice: &Notice) {
        let about = format!("notify {}", self.target.name);
        let mut wait = LOOK;
        let mut fails = false;
        while !stop.load(Ordering::Relaxed) {
            match self.round() {
                Ok(()) => {
                    if std::mem::take(&mut fails) {
                        eprintln!("watch: {about}: it works again");
                        notice(&about, None);
                    }
                    wait = LOOK;
                }
                Err(error) => {
                    let text = format!("{about}: {}", muster_event::sanitize(&format!("{error:#}")));
                    if !std::mem::replace(&mut fails, true) {
                        eprintln!("watch: {text}; it is tried again, and nothing is lost");
                        notice(&about, Some(text));
                        wait = WAIT;
                    } else {
                        wait = (wait * 2).min(WAIT_MAX);
                    }
                }
            }
            let begun = Instant::now();
            while begun.elapsed() < wait && !stop.load(Ordering::Relaxed) {
                thread::sleep(LOOK.min(wait));
            }
        }
    }

    /// Tells what is new.
    fn round(&mut self) -> Result<()> {
        let reader = StoreReader::open(&self.data)?;
        let name = self.target.name.clone();
        let Some(mut position) = Position::read(&self.data, &name) else {
            // From now on: who is told for the first time wants no history.
            let leaf = reader.last_finding_leaf()?;
            return Position { leaf, ..Position::default() }.write(&self.data, &name);
        };
        loop {
            let found = reader.findings_after(position.leaf, BATCH)?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            let last = *last;
            let wanted: Vec<Found> = found
                .into_iter()
                .filter(|(_, finding)| self.is_wanted(&reader, &position, finding))
                .collect();
            self.tell(&reader, &mut position, &wanted)?;
            position.leaf = last;
            position.write(&self.data, &name)?;
        }
    }

    fn is_wanted(&self, reader: &StoreReader, position: &Position, finding: &Finding) -> bool {
        let known = position.recent.get(&finding.id).is_some_and(|told| *told >= finding.severity);
        if finding.severity < self.target.severity || known {
            return false;
        }
        if self.target.agents.is_empty() {
            return true;
        }
        let state = reader.agent(&finding.agent).ok().flatten();
        let names = |state: &AgentState| {
            [state.product.clone(), state.label.clone(), state.principal.clone().unwrap_or_default()]
        };
        let mut all = vec![finding.agent.clone()];
        all.extend(state.iter().flat_map(names));
        self.target.agents.iter().any(|wanted| all.iter().any(|name| name.starts_with(wanted.as_str())))
    }

    /// One by one as far as the minute allows; the rest as one where people read it, else later.
    fn tell(&mut self, reader: &StoreReader, position: &mut Position, wanted: &[Found]) -> Result<()> {
        let mut rest = wanted;
        while let Some(((leaf, finding), after)) = rest.split_first() {
            let room = self.room();
            if room == 0 || room == 1 && self.target.kind.is_for_people() && rest.len() > 1 {
                if self.target.kind.is_for_people() && room > 0 {
                    self.send(position, &self.many(reader, rest)?)?;
                    rest.iter().for_each(|(_, finding)| remember(position, finding));
                    return Ok(());
                }
                // The minute is over sooner or later.
                thread::sleep(LOOK);
                continue;
            }
            let message = message(&self.target, reader, *leaf, finding)?;
            self.send(position, &message)?;
            remember(position, finding);
            // So much is told, whatever comes next.
            position.leaf = *leaf;
            position.write(&self.data, &self.target.name)?;
            rest = after;
        }
        Ok(())
    }

    fn room(&mut self) -> usize {
        self.sent.retain(|at| at.elapsed() < Duration::from_secs(60));
        (self.target.per_minute() as usize).saturating_sub(self.sent.len())
    }

    fn send(&mut self, position: &mut Position, message: &Sent) -> Result<()> {
        let sent = send::send(&self.target, message);
        if let Err(error) = &sent {
            position.last_error = Some(format!("{error:#}"));
            position.failures = position.failures.saturating_add(1);
            position.write(&self.data, &self.target.name)?;
        } else {
            position.last_error = None;
            position.failures = 0;
            position.told += 1;
            self.sent.push(Instant::now());
        }
        sent
    }

    fn many(&self, reader: &StoreReader, rest: &[Found]) -> Result<Sent> {
        let mut codes: BTreeMap<Code, u64> = BTreeMap::new();
        for (_, finding) in rest {
            *codes.entry(finding.code).or_default() += 1;
        }
        let mut codes: Vec<(Code, u64)> = codes.into_iter().collect();
        codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let gravest = rest.iter().map(|(_, finding)| finding.severity).max().unwrap_or(Severity::Info);
        let host = reader.health()?.host.unwrap_or_default();
        let line = words::many(rest.len() as u64, gravest, &codes, &host);
        Ok(match self.target.kind {
            Kind::Smtp => Sent::Mail { subject: line.chars().take(180).collect(), text: format!("{line}\n") },
            _ => Sent::Json(
                json!({"text": line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")}),
            ),
        })
    }
}

fn remember(position: &mut Position, finding: &Finding) {
    if position.recent.len() >= TOLD_MAX {
        position.recent.pop_first();
    }
    position.recent.insert(finding.id.clone(), finding.severity);
}

/// A finding as this kind of place takes it.
fn message(target: &Target, reader: &StoreReader, leaf: u64, finding: &Finding) -> Result<Sent> {
    let state = reader.agent(&finding.agent)?;
    let health = reader.health()?;
    let host = health.host.unwrap_or_default();
    let hash = reader.leaf_hash(leaf)?;
    let origin = reader.origin()?;
    let around = Around {
        host: &host,
        product: state.as_ref().map_or("unknown", |state| &state.product),
        version: state.as_ref().and_then(|state| state.version.as_deref()),
        model: state.as_ref().and_then(|state| state.model.as_deref()),
        principal: state.as_ref().and_then(|state| state.principal.as_deref()),
        label: state.as_ref().map_or("", |state| &state.label),
        leaf,
        leaf_hash: hash.as_deref(),
        origin: origin.as_deref(),
    };
    Ok(shaped(target.kind, finding, &around, state.as_ref()))
}

fn shaped(kind: Kind, finding: &Finding, around: &Around<'_>, state: Option<&AgentState>) -> Sent {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    match kind {
        Kind::Webhook => Sent::Json(json!({
            "finding": FindingView::from(finding),
            "agent": state.map(|state| RollView::new(state, Default::default())),
            "host": around.host, "leaf": around.leaf, "leaf_hash": around.leaf_hash, "log": around.origin,
        })),
        Kind::Slack => Sent::Json(words::slack(finding, around)),
        Kind::Smtp => {
            let (subject, text) = words::mail(finding, around);
            Sent::Mail { subject, text }
        }
        Kind::Syslog => Sent::Line(words::syslog(finding, around, &views::time(finding.time_ns))),
        Kind::Ocsf => Sent::Json(words::ocsf(finding, around, VERSION)),
        Kind::Otlp => Sent::Json(words::otlp(finding, around, VERSION, now_ns())),
    }
}

/// A message that says of itself that it is a test.
pub fn test(target: &Target, host: &str) -> Result<()> {
    let finding = Finding {
        id: "f-test".to_owned(),
        code: Code::UnmandatedAgent,
        severity: Severity::Info,
        stage: muster_engine::Stage::Initiate,
        overreach: 0,
        deception: 0,
        agent: "nobody".to_owned(),
        time_ns: now_ns(),
        summary: "this is a test of `muster notify`: nothing has happened".to_owned(),
        explanation: "Somebody ran `muster notify test` to see whether notices come here.".to_owned(),
        evidence: Vec::new(),
    };
    let around = Around {
        host,
        product: "muster",
        version: Some(env!("CARGO_PKG_VERSION")),
        model: None,
        principal: None,
        label: "a test",
        leaf: 0,
        leaf_hash: None,
        origin: None,
    };
    send::send(target, &shaped(target.kind, &finding, &around, None))
}
