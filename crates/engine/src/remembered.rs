//! What outlives a daemon: files of lineages that others run, and processes that no fork connects. The daemon gives it back at
//! its start, out of what it stored, as an input: a replay is told the same.

use muster_event::{Attribution, Event, Nanos, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::content::Files;
use crate::engine::Engine;
use crate::{AgentState, Artefact};

/// Files given back of one agent, the latest: each is written into the ledger anew at each start.
const FILES_MAX: usize = 1_024;
/// Artefacts of one agent, likewise; the engine itself remembers no more of each kind.
const ARTEFACTS_MAX: usize = 2_048;
/// Processes of one agent.
const LIVE_MAX: usize = 4_096;

/// What is on record of one lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub time_ns: Nanos,
    /// Its row on the roll, as it was last.
    pub state: Box<AgentState>,
    pub artefacts: Vec<Artefact>,
    /// Files that it made, wherever nobody else works.
    pub files: Vec<Written>,
    /// Processes that belonged to it, and live.
    pub live: Vec<Living>,
}

/// A file that a lineage made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub path: String,
    pub seq: u64,
    pub process: ProcessKey,
    pub time_ns: Nanos,
    /// The name under which it was written first, where it is another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Living {
    pub process: ProcessKey,
    pub from_seq: u64,
    pub by: Attribution,
}

/// Goes through stored events in their order, and keeps which files lineages made.
#[derive(Default)]
pub struct Recollection {
    files: Files,
}

impl Recollection {
    /// An event of this agent.
    pub fn take(&mut self, agent: &str, event: &Event) {
        match crate::content::written(&event.kind) {
            Some((path, changed)) => {
                self.files.written(agent, path, (event.seq, event.process, event.time_ns), changed);
            }
            None => self.files.renamed(&event.kind),
        }
        drop(self.files.take_forgotten());
    }

    /// Those of the files that say for certain, when a scheduler runs one, that their lineage runs.
    pub fn files(&self, state: &AgentState) -> Vec<Written> {
        let mut files: Vec<Written> = self
            .files
            .all_of(&state.agent)
            .filter(|(path, mark)| {
                mark.last && !mark.older && !crate::content::is_in_project(path, &state.cwd, None)
            })
            .map(|(path, mark)| Written {
                path: path.to_owned(),
                seq: mark.seq,
                process: mark.process,
                time_ns: mark.time_ns,
                origin: mark.origin.clone(),
            })
            .take(FILES_MAX)
            .collect();
        // The order in which they give way.
        files.reverse();
        files
    }
}

impl Engine {
    pub(crate) fn on_remembered(&mut self, it: Remembered) {
        self.time_ns = self.time_ns.max(it.time_ns);
        let id = it.state.agent.clone();
        for artefact in it.artefacts.into_iter().filter(|it| it.agent == id).take(ARTEFACTS_MAX) {
            self.artefacts.remember(artefact);
        }
        for file in it.files.into_iter().take(FILES_MAX) {
            self.files.remember(&id, file);
        }
        let forgotten = self.files.take_forgotten();
        self.forgot_of(forgotten);
        // Of an agent that is there no more only its row is known.
        if !self.agents.contains_key(&id) {
            self.sleep(*it.state, Default::default());
        }
        for Living { process, from_seq, by } in it.live.into_iter().take(LIVE_MAX) {
            self.rejoin(&id, process, from_seq, by);
        }
    }

    fn rejoin(&mut self, id: &str, key: ProcessKey, from_seq: u64, by: Attribution) {
        let lives = |engine: &Engine, key| engine.processes.get(key).is_some_and(|process| !process.ended);
        if !lives(self, key) || self.belongs(key, id) {
            return;
        }
        self.wake(id);
        self.join_also(key, id, by, from_seq);
        for child in self.processes.descendants(key) {
            if lives(self, child) {
                self.join_also(child, id, Attribution::Ancestry, from_seq);
            }
        }
    }
}
