//! What earlier daemons stored of lineages that outlive them: files that others run, and processes that no fork connects with
//! their agent. Given to the engine at the start.

use std::path::Path;

use anyhow::Result;
use muster_engine::{AgentState, Living, Recollection, Remembered};
use muster_sensor::{now_ns, process_key};
use muster_server::{EventFilter, StoreReader};

/// Agents that are remembered, the latest: so many the engine keeps without a process.
const AGENTS_MAX: usize = 1_024;
/// Files of all of them: some 300 bytes each in the ledger, at each start.
const FILES_MAX: usize = 16_384;
/// Acts on files that are gone through, the latest: a second's work.
const ACTS_MAX: usize = 100_000;
/// Names of the kinds of these acts.
const ACTS: [&str; 6] = ["open", "rename", "link", "symlink", "unlink", "io_uring"];

/// One for each agent of which there is something.
pub fn gather(data: &Path) -> Result<Vec<Remembered>> {
    let reader = StoreReader::open(data)?;
    let mut roll = reader.roll()?;
    roll.sort_by(|a, b| b.last_ns.cmp(&a.last_ns).then_with(|| a.agent.cmp(&b.agent)));
    roll.truncate(AGENTS_MAX);
    // What was imported ran elsewhere.
    roll.retain(|state| state.root.pid != 0);
    if roll.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Recollection::default();
    let filter = EventFilter {
        kinds: ACTS.map(str::to_owned).to_vec(),
        limit: Some(ACTS_MAX),
        last: true,
        ..EventFilter::default()
    };
    reader.records(&filter, &mut |record| {
        if let Some((agent, _)) = &record.agent {
            files.take(agent, &record.event);
        }
        true
    })?;
    let mut all = Vec::new();
    let mut room = FILES_MAX;
    for state in roll {
        if let Some(it) = one(&reader, &files, state, &mut room)? {
            all.push(it);
        }
    }
    // The oldest first: what has no room in the engine gives way in that order.
    all.reverse();
    Ok(all)
}

fn one(
    reader: &StoreReader,
    files: &Recollection,
    state: AgentState,
    room: &mut usize,
) -> Result<Option<Remembered>> {
    let mut artefacts = reader.planted(&state.agent)?;
    artefacts.retain(|artefact| !artefact.gone);
    let mut live: Vec<Living> = reader.living(&state.agent)?;
    live.retain(|it| process_key(it.process.pid) == Some(it.process));
    let mut files = files.files(&state);
    files.truncate(*room);
    artefacts.truncate(room.saturating_sub(files.len()));
    *room = room.saturating_sub(files.len() + artefacts.len());
    if artefacts.is_empty() && files.is_empty() && live.is_empty() {
        return Ok(None);
    }
    Ok(Some(Remembered { time_ns: now_ns(), state: Box::new(state), artefacts, files, live }))
}
