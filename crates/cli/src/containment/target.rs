//! What is on record of a lineage, as the target of mustering it out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use muster_contain::{Artefact, Marker, Revocation, Target, mounts};
use muster_engine::{AgentId, AgentState, Certainty, Products, glob};
use muster_event::{Kind, Nanos, ProcessKey};
use muster_server::{EventFilter, StoreReader};

use super::Config;
use crate::artefacts::file_at;
use crate::exit::usage;

/// Start times are floored to a tick; clocks are read one after the other.
const SLACK_NS: Nanos = 2 * ProcessKey::TICK_NS;
/// Opened files that are looked through for credentials, the latest.
const OPENED_MAX: usize = 20_000;
/// Files that many programs share: only the lineage's lines go, whoever wrote the file last (most are replaced as a whole
/// when one line is added).
const SHARED: &[&str] = &[
    "crontab",
    "cron-user",
    "user-cron",
    "shell",
    "profile",
    "rc",
    "authorized",
    "preload",
    "pam",
    "environment",
];

/// `live`: what the engine knows beyond the index; `planted`: likewise.
pub fn build(
    reader: &StoreReader,
    products: &Products,
    config: &Config,
    agent: &str,
    live: &BTreeSet<ProcessKey>,
    planted: Vec<muster_engine::Artefact>,
    include_likely: bool,
) -> Result<Target> {
    let roll = reader.roll()?;
    let within = within(&roll, agent);
    let (inside, outside): (Vec<&AgentState>, Vec<&AgentState>) =
        roll.iter().partition(|state| within.contains(&state.agent));
    let main = inside.iter().find(|state| state.agent == agent).copied();
    let main = main.ok_or_else(|| usage(format!("no agent `{agent}` on the roll")))?;
    let muster_sensor::Clocks { time_ns, boot_ns, .. } = muster_sensor::clocks();
    let booted_ns = time_ns.saturating_sub(boot_ns);
    // Of an earlier boot, no number means the same process.
    let is_of_boot =
        |state: &AgentState| state.root.pid != 0 && state.started_ns >= booted_ns.saturating_sub(SLACK_NS);
    let mut target = Target {
        agent: agent.to_owned(),
        boot_id: muster_contain::boot_id(),
        include_likely,
        members: live.clone(),
        ..Target::default()
    };
    if is_of_boot(main) && !main.coverage.began_unseen {
        target.began_ns = main.started_ns.saturating_sub(booted_ns).saturating_sub(SLACK_NS);
    }
    for state in &inside {
        if is_of_boot(state) {
            target.roots.push(state.root);
            target.members.extend(reader.members(&state.agent)?);
            target.cgroups.push(format!("muster/{}-{}", state.root.pid, state.root.start_ns));
        }
        for descent in reader.descended(&state.agent)? {
            match descent.certainty {
                Certainty::Certain => target.members.insert(descent.process),
                Certainty::Likely => target.likely.insert(descent.process),
            };
        }
        target.markers.push(Marker { name: "MUSTER_AGENT".to_owned(), value: state.agent.clone() });
        // A session that another agent took up again is that one's too.
        let own =
            state.sessions.iter().filter(|session| !outside.iter().any(|it| it.sessions.contains(session)));
        for session in own.filter(|session| !session.is_empty()) {
            let named = |name: &String| Marker { name: name.clone(), value: session.clone() };
            target.markers.extend(products.session_variables().map(named));
        }
    }
    target.markers.sort();
    target.markers.dedup();
    let mut all = planted;
    for state in &inside {
        all.extend(reader.planted(&state.agent)?);
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|a, b| a.path == b.path);
    let began_ns = inside.iter().map(|state| state.started_ns).min().unwrap_or(0);
    let living: Vec<ProcessKey> = target.roots.iter().chain(&target.members).chain(live).copied().collect();
    // Most were found when they were written: the record need not be gone through.
    let is_open = all.iter().any(|it| it.file.is_none() && !it.gone && it.certainty == Certainty::Certain);
    if is_open && (mounts::is_elsewhere(&living) || has_roamed(reader, &inside)?) {
        find_files(&mut all, &living);
    }
    target.artefacts = all.into_iter().filter(|it| !it.gone).map(|it| artefact(it, began_ns)).collect();
    target.revocations = revocations(reader, config, &inside)?;
    Ok(target)
}

/// What was written by who had mounts of its own, and was not found to be the machine's file then: under the same path the
/// machine may have one of somebody else.
fn find_files(all: &mut [muster_engine::Artefact], living: &[ProcessKey]) {
    for it in all.iter_mut().filter(|it| it.file.is_none()) {
        match mounts::find(Path::new(&it.path), it.process, living, it.time_ns) {
            mounts::Found::There(found) => it.file = Some(file_at(&found)),
            mounts::Found::Here(_) | mounts::Found::Unknown => it.certainty = Certainty::Likely,
        }
    }
}

/// Did the lineage make mounts of its own, or enter others'?
fn has_roamed(reader: &StoreReader, inside: &[&AgentState]) -> Result<bool> {
    const CLONE_NEWNS: u64 = 0x2_0000;
    let mut roamed = false;
    for state in inside {
        let filter = EventFilter {
            agent: Some(state.agent.clone()),
            kinds: vec!["namespace".to_owned()],
            limit: Some(OPENED_MAX),
            last: true,
            ..EventFilter::default()
        };
        reader.records(&filter, &mut |record| {
            // `setns` may be given no kind at all.
            roamed |= matches!(&record.event.kind, Kind::Namespace { call, flags, .. }
                if flags & CLONE_NEWNS != 0 || call == "setns");
            !roamed
        })?;
    }
    Ok(roamed)
}

/// The agent and those that were started from within it.
fn within(roll: &[AgentState], agent: &str) -> BTreeSet<AgentId> {
    let mut within = BTreeSet::from([agent.to_owned()]);
    loop {
        let before = within.len();
        for state in roll {
            if state.parent.as_ref().is_some_and(|parent| within.contains(parent)) {
                within.insert(state.agent.clone());
            }
        }
        if within.len() == before {
            return within;
        }
    }
}

fn artefact(mut it: muster_engine::Artefact, began_ns: Nanos) -> Artefact {
    // The machine's own: whatever stands there now, the lineage's lines are in it.
    it.file.take_if(|file| file.path == it.path);
    // Where the lineage has mounts of its own, the file as the machine has it.
    let path = PathBuf::from(it.file.as_ref().map_or(&it.path, |file| &file.path));
    let shared = SHARED
        .iter()
        .any(|name| it.mechanism.split(['-', '_', '.']).any(|part| part == *name) || it.mechanism == *name)
        || it.path.starts_with("/var/spool/cron/");
    // When the file was made, where the disk tells.
    let made_ns = fs::symlink_metadata(&path)
        .and_then(|meta| meta.created())
        .ok()
        .and_then(|at| u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok());
    // What nobody changed since the agent began is somebody else's, whatever was written where the agent lives.
    let changed_ns = fs::symlink_metadata(&path).ok().and_then(|meta| {
        let seconds = u64::try_from(meta.ctime()).ok()?;
        Some(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(meta.ctime_nsec()).ok()?))
    });
    let is_older = changed_ns.is_some_and(|changed_ns| changed_ns.saturating_add(SLACK_NS) < began_ns);
    let whole = !shared && made_ns.is_some_and(|made_ns| made_ns.saturating_add(SLACK_NS) >= began_ns);
    Artefact {
        path,
        mechanism: it.mechanism,
        unit: it.unit,
        file: it.file.as_ref().map(|file| (file.device, file.inode)),
        inside: it.file.is_some().then(|| PathBuf::from(&it.path)),
        certain: it.certainty == Certainty::Certain && !is_older,
        whole,
        lines: it.added.iter().map(|command| line_of(command)).filter(|line| line.len() > 3).collect(),
    }
}

/// How a command stands in the file that names it: what a shell is given is there without the shell.
fn line_of(command: &[String]) -> String {
    match command {
        [shell, flag, text] if flag == "-c" && (shell == "sh" || shell.ends_with("/sh")) => text.clone(),
        _ => command.join(" "),
    }
}

fn revocations(reader: &StoreReader, config: &Config, inside: &[&AgentState]) -> Result<Vec<Revocation>> {
    let mut opened: BTreeSet<String> = BTreeSet::new();
    if config.revoke.iter().any(|it| !it.paths.is_empty()) {
        for state in inside {
            let filter = EventFilter {
                agent: Some(state.agent.clone()),
                kinds: vec!["open".to_owned()],
                limit: Some(OPENED_MAX),
                last: true,
                ..EventFilter::default()
            };
            reader.records(&filter, &mut |record| {
                if let Kind::Open { path, result, .. } = record.event.kind
                    && result >= 0
                {
                    opened.insert(path);
                }
                true
            })?;
        }
    }
    let touched = |patterns: &[String]| {
        patterns.is_empty() || patterns.iter().any(|pattern| opened.iter().any(|path| glob(pattern, path)))
    };
    let wanted = config.revoke.iter().filter(|it| touched(&it.paths));
    Ok(wanted
        .map(|it| Revocation {
            name: it.name.clone(),
            command: it.command.clone(),
            url: it.url.clone(),
            seconds: it.seconds,
        })
        .collect())
}

/// Folder of a mustering out, by its name.
pub fn folder(data: &Path, id: &str) -> Result<PathBuf> {
    let path = data.join(muster_contain::FOLDER).join(id);
    if muster_contain::is_id(id) && path.is_dir() {
        Ok(path)
    } else {
        Err(usage(format!(
            "no mustering out `{}`\nhint: `muster out --list` names them",
            muster_event::sanitize(id)
        )))
    }
}

/// All that there are, the oldest first.
pub fn all(data: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.join(muster_contain::FOLDER)) else { return Vec::new() };
    let mut ids: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|id| muster_contain::is_id(id))
        .collect();
    // Hexadecimal milliseconds: longer is later.
    ids.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    ids
}
