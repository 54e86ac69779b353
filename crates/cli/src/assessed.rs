//! What an assessment is made from, gathered: one pass over the ledger, and the files of drills.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_assess::{Assessment, Drill, Facts, drills};
use muster_engine::Input;
use muster_event::Nanos;
use muster_server::entry::{self, Decoded, Entry};
use muster_server::{Kept, Log, StoreReader, StoredOutput, leaf};

use crate::exit::usage;

/// Bytes of a file of drills.
const DRILLS_MAX: u64 = 256 << 20;
/// Where a daemon keeps those that it plays unannounced.
const SCHEDULED: &str = "drills.jsonl";
/// Leaves between two steps of the bar.
const STEP: u64 = 8_192;

/// Everything that the ledger says, in its order.
pub fn facts(data: &Path, since_ns: Option<Nanos>, until_ns: Option<Nanos>) -> Result<Facts> {
    let reader = StoreReader::open(data)?;
    let mut facts = Facts::default();
    (facts.since_ns, facts.until_ns) = (since_ns, until_ns);
    if let Some((size, origin)) = reader.signed()? {
        facts.signed = Some(size);
        facts.origin = origin;
    }
    let end = reader.log().next_index()?;
    let bar = bar(end);
    leaf::visit(reader.log(), 0, end, &mut |next| {
        let Ok((at, bytes)) = next else {
            facts.damaged += 1;
            return Ok(true);
        };
        if at % STEP == 0 {
            bar.set_position(at);
        }
        // Most entries are events, of which little matters here.
        if let Some(head) = entry::event_head(bytes) {
            facts.time(head.time_ns);
            if facts.wants(&head.kind, head.process)
                && let Ok(Decoded::Known(event)) = entry::decode_event(bytes)
            {
                facts.event(at, &event);
            }
            return Ok(true);
        }
        match entry::decode(bytes) {
            Ok(Decoded::Known(entry)) => take(&mut facts, at, entry),
            Ok(Decoded::Unknown { .. }) => facts.unknown += 1,
            Err(_) => facts.damaged += 1,
        }
        Ok(true)
    })?;
    bar.finish_and_clear();
    facts.leaves = end;
    facts.witnessed = witnessed(data);
    facts.done();
    Ok(facts)
}

fn take(facts: &mut Facts, at: u64, entry: Entry) {
    match entry {
        Entry::Input(input) => facts.input(at, &input),
        Entry::Output(StoredOutput::Agent(state)) => facts.agent(at, &state),
        Entry::Output(StoredOutput::Finding { finding, .. }) => facts.finding(at, &finding),
        Entry::Output(StoredOutput::Gap(gap)) => facts.gap(at, &gap),
        Entry::Output(StoredOutput::Member(member)) => facts.member(&member),
        Entry::Kept(kept) => match *kept {
            Kept::Dropped(pruned) => {
                facts.dropped = Some((pruned.dropped.from_ns, pruned.dropped.to_ns, pruned.dropped.events));
            }
            // What went before is gone: the daemon's start is not.
            Kept::Start(start) if facts.host.is_empty() => facts.input(at, &Input::Start(start)),
            Kept::Member(member) => facts.member(&member.member),
            Kept::Start(_) | Kept::Probe { .. } | Kept::Snapshot(_) | muster_server::Kept::Review(_) => {}
        },
        Entry::Log(log) => {
            if let Log::Begun { origin, .. } = *log
                && facts.origin.is_empty()
            {
                facts.origin = origin;
            }
        }
        Entry::Output(
            StoredOutput::Join(_)
            | StoredOutput::Claim(_)
            | StoredOutput::Opinion(_)
            | StoredOutput::Descent(_)
            | StoredOutput::Artefact(_),
        ) => {}
    }
}

/// Whether a witness has cosigned it; that its signature holds, `muster verify` says.
fn witnessed(data: &Path) -> bool {
    data.join("ledger").join("checkpoint.witnessed").exists()
}

/// Runs of drills from these files, and from the daemon's own. `None`: there are none.
pub fn drills(data: &Path, files: &[PathBuf]) -> Result<Option<Vec<Drill>>> {
    let scheduled = data.join(SCHEDULED);
    let mut all: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    if scheduled.exists() {
        all.push(&scheduled);
    }
    let mut runs = Vec::new();
    for file in &all {
        let text = bounded(file, DRILLS_MAX)?;
        let text = String::from_utf8_lossy(&text);
        runs.extend(drills::parse(&text).map_err(|error| {
            usage(format!("`{}`: {error}\nhint: `muster drill --json` writes such files", file.display()))
        })?);
    }
    Ok((!all.is_empty()).then_some(runs))
}

/// Another assessment.
pub fn report(path: &Path) -> Result<Assessment> {
    let bytes = bounded(path, muster_assess::report::REPORT_MAX as u64)?;
    Assessment::parse(&bytes).map_err(|error| {
        usage(format!("`{}`: {error}\nhint: `muster assess -o FILE.json` writes such files", path.display()))
    })
}

fn bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let wrong = |error: std::io::Error| usage(format!("cannot read `{}`: {error}", path.display()));
    let meta = std::fs::metadata(path).map_err(wrong)?;
    if meta.len() > most {
        return Err(usage(format!("`{}` has more than {most} bytes", path.display())));
    }
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn bar(total: u64) -> ProgressBar {
    let shown = std::io::stderr().is_terminal() && total > 100_000;
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template("assess {bar:40} {pos}/{len} leaves {eta}") {
        bar.set_style(style);
    }
    bar
}
