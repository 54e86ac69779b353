//! Gaps: intervals in which something could not be seen, and why. "Nothing happened" and "nothing could be seen" are never
//! the same, so each gap is an output of its own, stands in the coverage of the agents that it touches, and no absence is
//! held against an agent across it. All of it comes from inputs: what the clocks said, what the ledger had, what was told.

use std::collections::BTreeMap;

use muster_event::{Lost, Nanos, ProbeState, ProcessKey, Queue};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::engine::short_hash;
use crate::timeline::Timeline;
use crate::{AccountFile, AgentId, Coverage, Engine, Input, Output, Start, State};

/// Longer without a tick (they come each fifth of a second) and Muster was held up: stopped, or the machine at its limit.
const STALL_NS: Nanos = 5_000_000_000;
/// The clocks that count sleep and those that do not are read one after the other.
const ASLEEP_MIN_NS: Nanos = 1_000_000_000;
/// Losses of one queue that are no further apart are one gap: counters are read twenty times a second.
const LOST_MERGE_NS: Nanos = 5_000_000_000;
/// Accounts that cannot be read, of all agents: what is more is told when it begins, not when it ends.
const UNREADABLE_MAX: usize = 1024;
/// Gaps that an agent's row names; more are counted. The list of all gaps has them.
const NAMED_MAX: usize = 24;
/// The times that an account gives and those of the kernel may differ so much besides.
const SLACK_NS: Nanos = 30_000_000_000;

/// An interval in which something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Stable: the same gap keeps its id while it goes on, and on replays.
    pub id: String,
    pub cause: GapCause,
    /// The probe, queue or account's file that it is about; empty: Muster itself.
    pub subject: String,
    /// `None`: everybody who was there in that time.
    pub agent: Option<AgentId>,
    /// Wall-clock time of the last moment at which it was known to be seen.
    pub from_ns: Nanos,
    /// … and of the first moment after it. `None`: it goes on.
    pub to_ns: Option<Nanos>,
    /// The boot at its end.
    pub boot_id: String,
    /// The boot at its beginning, where that was another: the machine was started anew between.
    pub boot_id_before: Option<String>,
    /// The same two moments on `CLOCK_BOOTTIME`, which nobody can set, each of its own boot; `None`: not known.
    pub boot_from_ns: Option<Nanos>,
    pub boot_to_ns: Option<Nanos>,
    /// Events or inputs that are known to be missing.
    pub count: Option<u64>,
    /// More, in words.
    pub detail: String,
}

/// Why something could not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// No daemon ran.
    DaemonDown,
    /// Events were lost, or inputs could not be written.
    Lost,
    /// A probe saw nothing.
    ProbeBlind,
    /// The wall clock was set: its times in between mean nothing, or two moments.
    ClockStep,
    /// The machine slept: nothing ran.
    Asleep,
    /// The daemon ran, and was held up: what the kernel kept for it was read late, what it looks at itself was not looked at.
    Stalled,
    AccountUnreadable,
}

impl GapCause {
    pub const ALL: [GapCause; 7] = [
        GapCause::DaemonDown,
        GapCause::Lost,
        GapCause::ProbeBlind,
        GapCause::ClockStep,
        GapCause::Asleep,
        GapCause::Stalled,
        GapCause::AccountUnreadable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            GapCause::DaemonDown => "daemon_down",
            GapCause::Lost => "lost",
            GapCause::ProbeBlind => "probe_blind",
            GapCause::ClockStep => "clock_step",
            GapCause::Asleep => "asleep",
            GapCause::Stalled => "stalled",
            GapCause::AccountUnreadable => "account_unreadable",
        }
    }
}

impl GapCause {
    /// Does it change what is held against an agent? (What was lost and which probe was blind, coverage has on its own.)
    fn decides(self) -> bool {
        match self {
            GapCause::DaemonDown | GapCause::ClockStep | GapCause::AccountUnreadable => true,
            GapCause::Lost | GapCause::ProbeBlind | GapCause::Asleep | GapCause::Stalled => false,
        }
    }
}

/// A gap in the coverage of one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    pub cause: GapCause,
    pub from_ns: Nanos,
    /// `None`: it goes on.
    pub to_ns: Option<Nanos>,
}

/// The last moment of which the daemon before this one gave a sign, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub time_ns: Nanos,
    /// On `CLOCK_BOOTTIME` of its boot; 0: not known.
    pub boot_ns: Nanos,
    pub boot_id: String,
    /// It ended in good order.
    pub stopped: bool,
}

impl Coverage {
    /// Notes a gap, or that one which is known goes on or has ended.
    pub fn note(&mut self, gap: Interval) {
        let known = self.gaps.iter_mut().find(|it| it.cause == gap.cause && it.from_ns == gap.from_ns);
        if let Some(known) = known {
            known.to_ns = gap.to_ns;
            return;
        }
        if self.gaps.len() < NAMED_MAX {
            self.gaps.push(gap);
            return;
        }
        self.gaps_more = self.gaps_more.saturating_add(1);
        if !gap.cause.decides() {
            return;
        }
        // What is decided by is kept: it takes the place of another, or one of its kind grows over it.
        if let Some(other) = self.gaps.iter_mut().find(|it| !it.cause.decides()) {
            *other = gap;
        } else if let Some(last) = self.gaps.iter_mut().rev().find(|it| it.cause == gap.cause) {
            last.to_ns = gap.to_ns;
        }
    }

    /// Nobody watched at some time of its life.
    pub(crate) fn unwatched(&self) -> bool {
        self.gaps.iter().any(|gap| gap.cause == GapCause::DaemonDown)
    }
}

/// What is known of the clocks and of gaps that go on.
#[derive(Default)]
pub(crate) struct Gaps {
    /// The last tick that gave all clocks.
    last: Option<Clocks>,
    down: Option<Gap>,
    lost: BTreeMap<Queue, Gap>,
    /// Losses that grew since the last tick.
    lost_grew: bool,
    blind: BTreeMap<String, Gap>,
    unreadable: BTreeMap<(AgentId, String), Gap>,
}

#[derive(Clone, Copy)]
struct Clocks {
    time_ns: Nanos,
    boot_ns: Nanos,
    asleep_ns: Nanos,
}

impl Gaps {
    /// A moment of the wall clock on the clock since boot, as the two were last seen together.
    fn boot_of(&self, time_ns: Nanos) -> Option<Nanos> {
        let last = self.last?;
        Some(if time_ns >= last.time_ns {
            last.boot_ns.saturating_add(time_ns - last.time_ns)
        } else {
            last.boot_ns.saturating_sub(last.time_ns - time_ns)
        })
    }
}

fn interval(gap: &Gap) -> Interval {
    Interval { cause: gap.cause, from_ns: gap.from_ns, to_ns: gap.to_ns }
}

impl Timeline {
    /// May record and account be held against each other for what is of this (own) time? Not about a moment at which the
    /// clock that both give was set, nor where the account could not be read.
    pub(crate) fn comparable(&self, coverage: &Coverage, from_ns: Nanos, to_ns: Nanos) -> bool {
        let (from, to) = (from_ns.saturating_sub(SLACK_NS), to_ns.saturating_add(SLACK_NS));
        !self.was_set(from, to) && !self.account_unreadable(coverage, from_ns, to_ns)
    }

    pub(crate) fn account_unreadable(&self, coverage: &Coverage, from_ns: Nanos, to_ns: Nanos) -> bool {
        let from = self.wall(from_ns).saturating_sub(SLACK_NS);
        let to = self.wall(to_ns).saturating_add(SLACK_NS);
        coverage.gaps.iter().any(|gap| {
            gap.cause == GapCause::AccountUnreadable
                && gap.from_ns <= to
                && gap.to_ns.is_none_or(|end| end >= from)
        })
    }
}

impl Engine {
    /// In which nobody watched before this engine's start.
    pub fn down(&self) -> Option<Interval> {
        self.gaps.down.as_ref().map(interval)
    }

    fn gap(
        &self,
        cause: GapCause,
        subject: &str,
        agent: Option<&str>,
        from_ns: Nanos,
        to_ns: Option<Nanos>,
    ) -> Gap {
        let from = from_ns.to_string();
        Gap {
            id: format!("g-{}", short_hash(&[cause.name(), subject, agent.unwrap_or_default(), &from])),
            cause,
            subject: subject.to_owned(),
            agent: agent.map(str::to_owned),
            from_ns,
            to_ns,
            boot_id: self.start.as_ref().map(|start| start.boot_id.clone()).unwrap_or_default(),
            boot_id_before: None,
            boot_from_ns: self.gaps.boot_of(from_ns),
            boot_to_ns: to_ns.and_then(|to| self.gaps.boot_of(to)),
            count: None,
            detail: String::new(),
        }
    }

    /// Tells of a gap, and notes it with the agents of its time.
    fn tell_gap(&mut self, gap: &Gap) {
        self.note_gap(gap);
        self.out.push(Output::Gap(Box::new(gap.clone())));
    }

    fn note_gap(&mut self, gap: &Gap) {
        let timeline = &self.timeline;
        let touches = |agent: &&mut Agent| match &gap.agent {
            Some(id) => agent.state.agent == *id,
            None => {
                let there =
                    agent.state.state == State::Running || timeline.wall(agent.state.last_ns) >= gap.from_ns;
                let began = timeline.wall(agent.state.started_ns);
                // Of a clock that was set, the two times are no interval.
                let before = gap.cause == GapCause::ClockStep || gap.to_ns.is_none_or(|to| began <= to);
                !agent.imported && there && before
            }
        };
        for agent in self.agents.values_mut().filter(touches) {
            agent.state.coverage.note(interval(gap));
            agent.dirty = true;
        }
    }

    /// What an input says of gaps, with its times as they came. A start is told when it has been taken.
    pub(crate) fn gaps_of(&mut self, input: &Input) {
        match input {
            Input::Tick { time_ns, boot_ns, asleep_ns } => {
                self.gap_between_ticks(*time_ns, *boot_ns, *asleep_ns);
            }
            Input::ClockStep { time_ns, by_ns } => self.gap_of_clock_step(*time_ns, *by_ns),
            Input::Lost(lost) => self.gap_of_loss(lost),
            Input::Probe { time_ns, state, seen_ns } => {
                let kernel = self.start.as_ref().is_none_or(|start| start.kernel_record);
                if kernel && self.recorded.is_none() {
                    self.gap_of_probe(*time_ns, state, *seen_ns);
                }
            }
            Input::Account(record) => {
                self.gap_of_account(&record.agent, &record.path, record.time_ns, None);
            }
            Input::AccountState { agent, path, time_ns, state } => match state {
                AccountFile::Opened { .. } => self.gap_of_account(agent, path, *time_ns, None),
                AccountFile::Unreadable { error } => {
                    self.gap_of_account(agent, path, *time_ns, Some(error));
                }
                AccountFile::Truncated { .. }
                | AccountFile::Rewritten { .. }
                | AccountFile::Replaced
                | AccountFile::Deleted
                | AccountFile::RowsRewritten { .. }
                | AccountFile::RowsDeleted { .. } => {}
            },
            Input::Stop { .. } => self.tell_losses(),
            Input::Start(_)
            | Input::Snapshot(_)
            | Input::Event(_)
            | Input::Identified { .. }
            | Input::Enrol(_)
            | Input::Configured { .. }
            | Input::Imported(_)
            | Input::Recorded { .. }
            | Input::Opinion(_)
            | Input::ArtefactRead(_)
            | Input::Containment(_)
            | Input::Mandate(_)
            | Input::Gate(_)
            | Input::Approval(_)
            | Input::Hooks(_)
            | Input::Canaries(_)
            | Input::Remembered(_)
            | Input::Review(_) => {}
        }
    }

    pub(crate) fn gap_before_start(&mut self, start: &Start) {
        if start.boot_ns > 0 {
            self.gaps.last =
                Some(Clocks { time_ns: start.time_ns, boot_ns: start.boot_ns, asleep_ns: Nanos::MAX });
        }
        if !start.kernel_record {
            let mut gap = self.gap(GapCause::ProbeBlind, "", None, start.time_ns, None);
            gap.detail = "no kernel record: only `/proc` is looked at".to_owned();
            self.tell_gap(&gap);
            self.gaps.blind.insert(String::new(), gap);
        }
        let Some(before) = &start.before else { return };
        let same_boot = before.boot_id == start.boot_id;
        let mut gap = self.gap(GapCause::DaemonDown, "", None, before.time_ns, Some(start.time_ns));
        gap.boot_from_ns = (before.boot_ns > 0).then_some(before.boot_ns);
        gap.boot_to_ns = (start.boot_ns > 0).then_some(start.boot_ns);
        gap.boot_id_before = (!same_boot).then(|| before.boot_id.clone());
        gap.detail = if before.stopped {
            "the daemon was stopped in good order".to_owned()
        } else {
            "the daemon ended without a word: it was killed, or the machine was".to_owned()
        };
        if !same_boot {
            gap.detail.push_str("; the machine was started anew");
        }
        if let (true, Some(from), Some(to)) = (same_boot, gap.boot_from_ns, gap.boot_to_ns) {
            let wall = i128::from(start.time_ns) - i128::from(before.time_ns);
            let set_by = wall - (i128::from(to) - i128::from(from));
            if set_by.unsigned_abs() > u128::from(STALL_NS) {
                gap.detail
                    .push_str(&format!("; the wall clock was set by {} s meanwhile", set_by / 1_000_000_000));
                // Set back, it gives an end before the beginning: the clock since boot tells the truth.
                gap.from_ns = gap.from_ns.min(start.time_ns);
            }
        }
        self.gaps.down = Some(gap.clone());
        self.tell_gap(&gap);
    }

    /// The time at which a process began, if that was before this daemon did.
    pub(crate) fn began_before_start(&self, process: ProcessKey) -> Option<Nanos> {
        let start = self.start.as_ref()?;
        let before = start.boot_ns.checked_sub(process.start_ns).filter(|ns| *ns > ProcessKey::TICK_NS)?;
        Some(start.time_ns.saturating_sub(before))
    }

    /// Gaps that a new agent of the roll begins with.
    pub(crate) fn gaps_of_new(&self, began_before_start: bool, coverage: &mut Coverage) {
        if let Some(down) = self.gaps.down.as_ref().filter(|_| began_before_start) {
            coverage.note(interval(down));
        }
        self.gaps.blind.values().for_each(|gap| coverage.note(interval(gap)));
    }

    /// The clocks as the daemon read them together; 0: it did not.
    pub(crate) fn gap_between_ticks(&mut self, time_ns: Nanos, boot_ns: Nanos, asleep_ns: Nanos) {
        self.tell_losses();
        if boot_ns == 0 {
            return;
        }
        let now = Clocks { time_ns, boot_ns, asleep_ns };
        let Some(last) = self.gaps.last.replace(now) else { return };
        let passed = boot_ns.saturating_sub(last.boot_ns);
        let asleep = asleep_ns.saturating_sub(last.asleep_ns);
        let both = |mut gap: Gap| {
            gap.boot_from_ns = Some(last.boot_ns);
            gap.boot_to_ns = Some(boot_ns);
            gap
        };
        let (from, to) = (last.time_ns.min(time_ns), time_ns);
        if asleep > ASLEEP_MIN_NS {
            let mut gap = both(self.gap(GapCause::Asleep, "", None, from, Some(to)));
            gap.detail = format!("the machine slept for {} s", asleep / 1_000_000_000);
            self.tell_gap(&gap);
        }
        let awake = passed.saturating_sub(asleep);
        if awake > STALL_NS {
            let mut gap = both(self.gap(GapCause::Stalled, "", None, from, Some(to)));
            gap.detail = format!("the daemon was held up for {} s", awake / 1_000_000_000);
            self.tell_gap(&gap);
        }
    }

    pub(crate) fn gap_of_clock_step(&mut self, time_ns: Nanos, by_ns: i64) {
        let would_be = time_ns.saturating_add_signed(by_ns.saturating_neg());
        let mut gap =
            self.gap(GapCause::ClockStep, "", None, would_be.min(time_ns), Some(would_be.max(time_ns)));
        let boot_ns = self.gaps.boot_of(would_be);
        gap.boot_from_ns = self.gaps.last.map(|last| last.boot_ns);
        gap.boot_to_ns = boot_ns;
        let which =
            if by_ns < 0 { "back: these times were twice" } else { "forward: these times never were" };
        gap.detail = format!("the wall clock was set {:.1} s {which}", by_ns.unsigned_abs() as f64 / 1e9);
        if let (Some(last), Some(boot_ns)) = (&mut self.gaps.last, boot_ns) {
            (last.time_ns, last.boot_ns) = (time_ns, boot_ns);
        }
        self.tell_gap(&gap);
    }

    pub(crate) fn gap_of_loss(&mut self, lost: &Lost) {
        let goes_on = self.gaps.lost.get_mut(&lost.queue).filter(|gap| {
            gap.to_ns.is_some_and(|to| to.saturating_add(LOST_MERGE_NS) >= lost.from_ns && to <= lost.to_ns)
        });
        let gap = match goes_on {
            Some(gap) => {
                gap.to_ns = Some(lost.to_ns);
                gap.count = gap.count.map(|count| count.saturating_add(lost.count));
                gap.clone()
            }
            None => {
                // The one before it may have grown untold.
                self.tell_losses();
                let mut gap =
                    self.gap(GapCause::Lost, lost.queue.name(), None, lost.from_ns, Some(lost.to_ns));
                gap.count = Some(lost.count);
                gap
            }
        };
        self.note_gap(&gap);
        self.gaps.lost.insert(lost.queue, gap);
        self.gaps.lost_grew = true;
    }

    /// Losses are told with the next tick: there may be many in a moment.
    pub(crate) fn tell_losses(&mut self) {
        if !std::mem::take(&mut self.gaps.lost_grew) {
            return;
        }
        let mut told = Vec::new();
        for gap in self.gaps.lost.values() {
            let mut gap = gap.clone();
            gap.boot_to_ns = gap.to_ns.and_then(|to| self.gaps.boot_of(to));
            told.push(Output::Gap(Box::new(gap)));
        }
        self.out.extend(told);
    }

    pub(crate) fn gap_of_probe(&mut self, time_ns: Nanos, state: &ProbeState, seen_ns: Option<Nanos>) {
        match (&state.error, self.gaps.blind.remove(&state.probe)) {
            (Some(_), Some(known)) => drop(self.gaps.blind.insert(state.probe.clone(), known)),
            (Some(error), None) => {
                // If it was never known to see, it may never have.
                let started = self.start.as_ref().map(|start| start.time_ns);
                let from = seen_ns.or(started).unwrap_or(time_ns).min(time_ns);
                let mut gap = self.gap(GapCause::ProbeBlind, &state.probe, None, from, None);
                gap.detail.clone_from(error);
                self.tell_gap(&gap);
                self.gaps.blind.insert(state.probe.clone(), gap);
            }
            (None, Some(mut gap)) => {
                gap.to_ns = Some(time_ns);
                gap.boot_to_ns = self.gaps.boot_of(time_ns);
                self.tell_gap(&gap);
            }
            (None, None) => {}
        }
    }

    pub(crate) fn gap_of_account(&mut self, id: &str, path: &str, time_ns: Nanos, error: Option<&str>) {
        if error.is_none() && self.gaps.unreadable.is_empty() {
            return;
        }
        let key = (id.to_owned(), path.to_owned());
        match (error, self.gaps.unreadable.remove(&key)) {
            (Some(_), Some(known)) => drop(self.gaps.unreadable.insert(key, known)),
            (Some(error), None) => {
                let read_ns = self.agents.get(id).and_then(|agent| agent.account_read_ns);
                let read_ns = read_ns.map(|ns| self.timeline.wall(ns));
                let from = read_ns.unwrap_or(time_ns).min(time_ns);
                let mut gap = self.gap(GapCause::AccountUnreadable, path, Some(id), from, None);
                error.clone_into(&mut gap.detail);
                self.tell_gap(&gap);
                if self.gaps.unreadable.len() < UNREADABLE_MAX {
                    self.gaps.unreadable.insert(key, gap);
                }
            }
            (None, Some(mut gap)) => {
                gap.to_ns = Some(time_ns);
                gap.boot_to_ns = self.gaps.boot_of(time_ns);
                self.tell_gap(&gap);
            }
            (None, None) => {}
        }
    }

    /// Its accounts are of no more interest: what could not be read stays so.
    pub(crate) fn forget_gaps_of(&mut self, id: &str) {
        self.gaps.unreadable.retain(|(agent, _), _| agent != id);
    }
}
