//! One agent as the engine knows it: its row on the roll, its tool calls, its actions.

use std::collections::{BTreeMap, BTreeSet};

use muster_account::{Class, Status};
use muster_event::{Nanos, ProcessKey};

use crate::chain::Chain;
use crate::denial::Denials;
use crate::effects::Effects;
use crate::imitation::Heard;
use crate::omission::Impacts;
use crate::orphan::Orphan;
use crate::output::{AgentState, Strength};
use crate::{Code, Evidence, Finding};

/// Tool calls remembered per agent. A day of the busiest session seen has 50,000; older ones are dropped once decided.
pub(crate) const CALLS_MAX: usize = 100_000;
/// Tool calls remembered per agent that was imported: nothing is compared with them, they only keep a call that stands
/// twice in its account from being counted twice.
pub(crate) const IMPORTED_CALLS_MAX: usize = 10_000;
/// Actions remembered per agent, likewise.
pub(crate) const ACTIONS_MAX: usize = 200_000;
/// Undecided file writes remembered per agent: beyond it the oldest are given up and counted.
pub(crate) const WRITES_MAX: usize = 20_000;
/// The same for an agent of which no account was read yet: if one comes, its first calls are about the latest writes.
/// A hundred agents without an account then hold 12 MB.
pub(crate) const WRITES_UNREAD_MAX: usize = 1_000;

/// Actions remembered per call: a sandbox that refuses a command has it run again, once or twice.
pub(crate) const ACTIONS_OF_CALL_MAX: usize = 8;

/// Results that wait to be held against the record, with up to 16 KiB of output each: they come as fast as an agent works,
/// but for a long account that is read at once.
pub(crate) const RESULTS_MAX: usize = 512;

/// Processes remembered per agent that outlived their action and ended: more of them are more of the same.
pub(crate) const OUTLIVED_MAX: usize = 1_000;

/// Sessions, accounts and unreadable files named in an agent's row: a person reads them.
pub(crate) const NAMED_MAX: usize = 256;
/// Commands that configurations may name.
pub(crate) const CONFIGURED_MAX: usize = 4_096;

pub(crate) struct Agent {
    pub state: AgentState,
    /// cgroup v2 id that `muster run` made for it; 0 where there is none.
    pub cgroup: u64,
    /// Home folder of its root process, where its account and configuration are.
    pub home: Option<String>,
    pub calls: BTreeMap<usize, Call>,
    pub call_by_id: BTreeMap<String, usize>,
    pub actions: BTreeMap<usize, Action>,
    pub next_index: usize,
    /// Actions and calls below these indices are decided.
    pub actions_open: BTreeSet<usize>,
    pub calls_open: BTreeSet<usize>,
    /// Calls whose results are not held against the record yet.
    pub results_open: BTreeSet<usize>,
    /// Files that the harness itself wrote, not yet matched with a call.
    pub writes: Vec<Write>,
    /// The latest writes that a call explained: another call may have made some of them.
    pub explained: std::collections::VecDeque<Write>,
    /// Writes that were forgotten unmatched and are not in the coverage yet.
    pub writes_given_up: u64,
    /// Commands that its configuration makes the harness run.
    pub configured: BTreeSet<Vec<String>>,
    /// Prose and prompts since the start, for "was it told?": lowercase, bounded.
    pub told: Told,
    /// What people asked it for.
    pub wishes: crate::asked::Wishes,
    /// What its account says may be somebody else's word: a finding says so.
    pub distrusted: bool,
    pub live: BTreeSet<ProcessKey>,
    /// Time of the account's first tool call, as read.
    pub first_call_ns: Option<Nanos>,
    /// … and of the first words of a person in this run: from then on the model may ask for acts, told or not.
    pub first_prompt_ns: Option<Nanos>,
    /// When a record of an account was last read.
    pub account_read_ns: Option<Nanos>,
    /// A turn ended at this time and no call came since.
    pub turn_end_ns: Option<Nanos>,
    /// The root process ended.
    pub root_ended_ns: Option<Nanos>,
    pub raised: BTreeSet<String>,
    /// Known by its account only, read after the run.
    pub imported: bool,
    /// What it claims, and what its claims are held against.
    pub claims: crate::claims::Claims,
    pub dirty: bool,
    pub published_ns: Nanos,
    /// Processes that outlived their action and have ended since.
    pub outlived: BTreeSet<ProcessKey>,
    /// Survivors that are already decided.
    pub survivors_decided: BTreeSet<ProcessKey>,
    /// Commands that no act was found for yet.
    pub unjoined: BTreeSet<usize>,
    /// Calls gave way: one that is not known may have been one of them.
    pub calls_forgotten: bool,
    /// The record of its accounts that was read last.
    pub last_record: Option<Evidence>,
    /// … and when the latest of what it says was said, by its own clock.
    pub said_ns: Nanos,
    pub chain: Chain,
    pub orphans: Vec<Orphan>,
    pub heard: Heard,
    pub denials: Denials,
    pub impacts: Impacts,
    /// Findings that models raised.
    pub opinions_raised: usize,
    /// Descents that were told.
    pub descents: crate::lineage::Descents,
    /// It was forgotten, and a file of its brought it back: nothing else is known of it.
    pub woken: bool,
    pub matches: crate::rules::Matches,
    pub sustain: crate::sustain::Sustain,
    /// The mandate that it acts under, and what went beyond it.
    pub authority: crate::authority::Held,
}

pub(crate) struct Call {
    pub call_id: String,
    pub tool: String,
    pub class: Class,
    pub command: Option<String>,
    /// As rewritten by a hook.
    pub effective: Option<String>,
    pub paths: Vec<String>,
    pub cwd: Option<String>,
    /// As JSON text, bounded.
    pub arguments: String,
    pub background: bool,
    /// When the account says that it was made; the time of reading where it does not say.
    pub time_ns: Nanos,
    pub read_ns: Nanos,
    pub result: Option<CallResult>,
    pub evidence: Evidence,
    pub joined: Option<(ProcessKey, Strength)>,
    /// Its account says that it was refused.
    pub denied: bool,
    /// … or that a person let it pass.
    pub allowed_by_person: bool,
    /// Actions that it explains.
    pub actions: Vec<usize>,
    pub decided: bool,
}

pub(crate) struct CallResult {
    pub time_ns: Nanos,
    pub read_ns: Nanos,
    pub status: Status,
    pub evidence: Evidence,
    /// What the account says last of how the command ended: where it had gone on, another record than the first.
    pub end: End,
}

/// How a command ended, as the account says.
pub(crate) struct End {
    pub time_ns: Nanos,
    pub read_ns: Nanos,
    pub status: Status,
    pub exit_code: Option<i32>,
    /// The lines of the command that it shows, where it shows them all; until they are compared.
    pub shown: Option<Vec<String>>,
    pub evidence: Evidence,
}

impl Call {
    /// The texts under which the shell may have got the command.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.effective.iter().chain(self.command.iter()).map(|s| s.trim())
    }
}

/// Something the harness executed: a direct child of the agent's own program, and all that it spawns.
pub(crate) struct Action {
    pub process: ProcessKey,
    pub seq: u64,
    pub time_ns: Nanos,
    pub ended_ns: Option<Nanos>,
    /// How its own process ended.
    pub exit: Option<Exit>,
    /// What it had written when it ended.
    pub written: Vec<Written>,
    /// Some of it went by ways that the record does not show, or may still come.
    pub more_written: bool,
    /// The harness started it itself, so what it exits with is what the harness gets.
    pub direct: bool,
    /// Somebody else sent it a signal: how it ended is not its own doing.
    pub disturbed: bool,
    /// The command texts it was seen to run, unwrapped from the product's shell wrapper.
    pub texts: Vec<String>,
    /// What to show a person.
    pub display: String,
    /// Call id in its environment.
    pub call_id: Option<String>,
    pub call: Option<usize>,
    /// Why it is the harness's own and no act of the model: the rule's reason.
    pub helper: Option<String>,
    /// … and may run whatever it likes: a hook of the user's, a shell that reads start-up files.
    pub free: bool,
    /// An exec of it that no helper rule covers.
    pub uncovered: bool,
    /// Its command line is not whole in a record that others kept: what it was cannot be told.
    pub cut: bool,
    /// It has the shape in which harnesses run what a model asks for: a shell with a command, or a call's id.
    pub asked: bool,
    /// What it changed or reached, until a call explains it.
    pub effects: Effects,
    pub decided: bool,
}

/// What was written to one stream.
pub(crate) struct Written {
    /// 1 or 2, as the command had it.
    pub stream: u32,
    pub bytes: u64,
    pub whole: bool,
    pub hashes: Vec<u32>,
    pub seq: u64,
}

/// The end of a process: exactly one of code and signal is set where the kernel was asked.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub seq: u64,
    pub time_ns: Nanos,
}

/// A file that the agent's own program wrote.
#[derive(Clone)]
pub(crate) struct Write {
    pub path: String,
    pub seq: u64,
    pub process: ProcessKey,
    pub time_ns: Nanos,
}

/// What the agent's readers were told, to be searched for mentions. Bounded: old text gives way.
#[derive(Default)]
pub(crate) struct Told {
    parts: std::collections::VecDeque<(Nanos, bool, String)>,
    bytes: usize,
}

/// Prose kept per agent for the search for mentions, in bytes.
const TOLD_MAX: usize = 1024 * 1024;

impl Told {
    /// `prose`: said to a reader, or by the user; else a command.
    pub fn push(&mut self, time_ns: Nanos, prose: bool, text: &str) {
        let text = text.to_lowercase();
        self.bytes += text.len();
        self.parts.push_back((time_ns, prose, text));
        while self.bytes > TOLD_MAX {
            let Some((.., old)) = self.parts.pop_front() else { break };
            self.bytes -= old.len();
        }
    }

    /// Texts, newest first, said at or after this time.
    pub fn since(&self, time_ns: Nanos) -> impl Iterator<Item = &str> {
        self.parts.iter().rev().filter(move |(at, ..)| *at >= time_ns).map(|(.., text)| text.as_str())
    }

    /// The same, without commands.
    pub fn prose_since(&self, time_ns: Nanos) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .rev()
            .filter(move |(at, prose, _)| *prose && *at >= time_ns)
            .map(|(.., text)| text.as_str())
    }
}

impl Agent {
    pub fn new(state: AgentState) -> Self {
        Self {
            state,
            cgroup: 0,
            home: None,
            calls: BTreeMap::new(),
            call_by_id: BTreeMap::new(),
            actions: BTreeMap::new(),
            next_index: 0,
            actions_open: BTreeSet::new(),
            calls_open: BTreeSet::new(),
            results_open: BTreeSet::new(),
            writes: Vec::new(),
            explained: std::collections::VecDeque::new(),
            writes_given_up: 0,
            configured: BTreeSet::new(),
            told: Told::default(),
            wishes: Default::default(),
            distrusted: false,
            live: BTreeSet::new(),
            first_call_ns: None,
            first_prompt_ns: None,
            account_read_ns: None,
            turn_end_ns: None,
            root_ended_ns: None,
            raised: BTreeSet::new(),
            imported: false,
            claims: Default::default(),
            dirty: true,
            published_ns: 0,
            outlived: BTreeSet::new(),
            survivors_decided: BTreeSet::new(),
            unjoined: BTreeSet::new(),
            calls_forgotten: false,
            last_record: None,
            said_ns: 0,
            chain: Chain::default(),
            orphans: Vec::new(),
            heard: Heard::default(),
            denials: Denials::default(),
            impacts: Impacts::default(),
            opinions_raised: 0,
            descents: Default::default(),
            woken: false,
            matches: Default::default(),
            sustain: Default::default(),
            authority: Default::default(),
        }
    }

    /// Keeps a call; returns its index. The oldest gives way when there are too many.
    pub fn add_call(&mut self, call: Call) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.call_by_id.insert(call.call_id.clone(), index);
        // Of an imported run there is no record that a call could be compared with.
        if !self.imported {
            self.calls_open.insert(index);
            if call.class == Class::Execute {
                self.unjoined.insert(index);
            }
        }
        self.calls.insert(index, call);
        let calls_max = if self.imported { IMPORTED_CALLS_MAX } else { CALLS_MAX };
        while self.calls.len() > calls_max {
            let Some((old, call)) = self.calls.pop_first() else { break };
            self.calls_open.remove(&old);
            self.unjoined.remove(&old);
            self.calls_forgotten = true;
            self.results_open.remove(&old);
            if self.call_by_id.get(&call.call_id) == Some(&old) {
                self.call_by_id.remove(&call.call_id);
            }
        }
        index
    }

    /// Keeps a result until it can be held against the record. The oldest gives way when there are too many.
    pub fn open_result(&mut self, index: usize) {
        self.results_open.insert(index);
        while self.results_open.len() > RESULTS_MAX {
            let Some(oldest) = self.results_open.pop_first() else { break };
            self.close_result(oldest);
        }
    }

    pub fn close_result(&mut self, index: usize) {
        self.results_open.remove(&index);
        if let Some(result) = self.calls.get_mut(&index).and_then(|call| call.result.as_mut()) {
            result.end.shown = None;
        }
    }

    /// Nothing of this run belongs to this call.
    pub fn close_call(&mut self, index: usize) {
        self.calls_open.remove(&index);
        self.unjoined.remove(&index);
        if let Some(call) = self.calls.get_mut(&index) {
            call.decided = true;
        }
    }

    /// Keeps a write. The older half gives way when there are too many: what cannot be matched any more cannot be
    /// judged, and coverage says so as soon as there is an account to judge it by.
    pub fn add_write(&mut self, write: Write) {
        let read = self.account_read_ns.is_some();
        let max = if read { WRITES_MAX } else { WRITES_UNREAD_MAX };
        if self.writes.len() >= max {
            self.writes_given_up =
                self.writes_given_up.saturating_add(self.writes.drain(..max / 2).count() as u64);
        }
        if read {
            let given_up = std::mem::take(&mut self.writes_given_up);
            self.state.coverage.lost = self.state.coverage.lost.saturating_add(given_up);
        }
        self.writes.push(write);
    }

    /// Keeps an action; returns its index.
    pub fn add_action(&mut self, action: Action) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.actions_open.insert(index);
        self.actions.insert(index, action);
        while self.actions.len() > ACTIONS_MAX {
            let Some((old, _)) = self.actions.pop_first() else { break };
            self.actions_open.remove(&old);
        }
        index
    }

    /// Names an account in its row. One that is a file for each event stands there as its folder.
    pub fn name_account(&mut self, path: &str) {
        let shown = match muster_account::locate(path) {
            Some(location) if location.format == muster_account::Format::OpenHands => {
                path.rsplit_once('/').map_or(path, |(folder, _)| folder)
            }
            Some(_) | None => path,
        };
        let accounts = &mut self.state.accounts;
        if accounts.len() < NAMED_MAX && !accounts.iter().any(|known| known == shown) {
            accounts.push(shown.to_owned());
        }
    }

    /// In the folder that it was started in?
    pub fn works_in(&self, path: &str) -> bool {
        works_in(&self.state.cwd, path)
    }

    /// Does the configuration make the harness run this? A server is an argv, a hook a text for a shell.
    pub fn is_configured(&self, argv: &[String], texts: &[String]) -> bool {
        self.configured.iter().any(|configured| match configured.as_slice() {
            [text] if texts.iter().any(|t| t == text) => true,
            configured => is_run_of(configured, argv),
        })
    }

    /// A finding is raised once: the engine may come to the same conclusion again, over other evidence.
    pub fn raise(&mut self, finding: Finding) -> Option<Finding> {
        if !self.raised.insert(finding.id.clone()) {
            return None;
        }
        // A model's opinion is no evidence of how far an agent went, nor is what is only noted.
        let noted = finding.code.is_sustain() && finding.severity == crate::Severity::Info;
        if finding.code != Code::ModelOpinion && !noted {
            self.state.stage = self.state.stage.max(Some(finding.stage));
        }
        self.distrusted |= matches!(
            finding.code,
            Code::AccountTampered | Code::AccountGap | Code::OrphanResult | Code::ImitatedResult
        );
        self.dirty = true;
        Some(finding)
    }
}

/// Is `argv` an execution of the `configured` command? Where that is a script, its interpreter stands before it
/// (`/usr/bin/env node /usr/bin/npx …` for `npx …`); `${NAME}` in it was filled in by the product.
fn is_run_of(configured: &[String], argv: &[String]) -> bool {
    const INTERPRETER_WORDS: usize = 3;
    let Some((program, arguments)) = configured.split_first() else { return false };
    (0..=INTERPRETER_WORDS).any(|before| {
        let Some((own, rest)) = argv.get(before..).and_then(<[String]>::split_first) else { return false };
        (before == 0 || own.starts_with('/'))
            && (is_filled_in(program, own) || crate::roll::name_of(program) == crate::roll::name_of(own))
            && rest.len() == arguments.len()
            && arguments.iter().zip(rest).all(|(wanted, found)| is_filled_in(wanted, found))
    })
}

fn is_filled_in(configured: &str, found: &str) -> bool {
    if !configured.contains("${") {
        return configured == found;
    }
    let mut pattern = String::new();
    let mut rest = configured;
    while let Some((text, after)) = rest.split_once("${") {
        pattern.push_str(text);
        pattern.push('*');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    pattern.push_str(rest);
    crate::products::glob(&pattern, found)
}

/// Does a path lie in the folder that an agent works in?
pub(crate) fn works_in(cwd: &str, path: &str) -> bool {
    cwd.len() > 1 && path.strip_prefix(cwd).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(configured: &str, argv: &str, expected: bool) {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(is_run_of(&words(configured), &words(argv)), expected, "{argv}");
    }

    #[test]
    fn a_configured_server_is_known_behind_its_interpreter() {
        check("npx -y srv", "npx -y srv", true);
        check("npx -y srv", "/usr/bin/env node /usr/local/bin/npx -y srv", true);
        check("npx -y srv", "node /usr/local/bin/npx -y srv", true);
        check("npx -y srv", "/usr/bin/env node /usr/local/bin/npx -y evil", false);
        check("npx -y srv", "bash -c npx -y srv", false);
        check("srv --root ${HOME}/x", "/opt/srv --root /root/x", true);
        check("srv --root ${HOME}/x", "/opt/srv --root /root/y", false);
    }
}
