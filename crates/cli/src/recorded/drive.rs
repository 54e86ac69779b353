//! Events and account records in the order of time, into the engine, with the passing of time between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;
use muster_engine::{Identified, Input, Output, Products, Start};
use muster_event::{Event, Kind, Nanos, ProbeState, ProcessKey};

use super::accounts::{Account, Said};
use super::source::{Events, Source, Survey, Wanted, identify};
use crate::commands::import::Work;

/// The engine is told the time this often, and more seldom while nothing happens.
const TICK_NS: Nanos = 500_000_000;
/// A longer step would look like a machine that slept.
const TICK_MAX_NS: Nanos = 15_000_000_000;
/// What is longer than this without any event is a clock that was set.
const STEP_NS: Nanos = 24 * 3_600_000_000_000;
/// Time after the last act, so that what waits for some is decided.
const AFTER_NS: Nanos = 60_000_000_000;
/// Nobody's process: the daemon was not there.
const NOBODY: u32 = u32::MAX;

/// An account on its way to its agent.
struct Waiting {
    account: Account,
    root: ProcessKey,
}

pub struct Drive<'a> {
    work: &'a mut Work,
    products: &'a Products,
    survey: &'a Survey,
    source: &'a Source,
    wanted: &'a Wanted,
    events_left: Events,
    next: Option<Event>,
    accounts: Vec<Waiting>,
    /// Processes that alone write an account of the product: its program, however its command line was cut.
    writers: BTreeMap<ProcessKey, Identified>,
    /// Roots that are not named yet.
    roots: BTreeMap<ProcessKey, Identified>,
    live: BTreeMap<ProcessKey, Event>,
    /// Those that go out of sight, by when.
    unended: BTreeSet<(Nanos, ProcessKey)>,
    ticked_ns: Nanos,
    seq: u64,
    pub events: u64,
    pub findings: BTreeSet<String>,
}

impl<'a> Drive<'a> {
    pub fn new(
        work: &'a mut Work,
        products: &'a Products,
        source: &'a Source,
        survey: &'a Survey,
        wanted: &'a Wanted,
        cwd: Option<&str>,
    ) -> Result<Drive<'a>> {
        let mut events_left = source.events(cwd)?;
        let next = events_left.next()?;
        let roots = survey.roots.iter().map(|root| (root.process, root.identified.clone())).collect();
        let seq = work.store.last_seq();
        Ok(Drive {
            work,
            products,
            survey,
            source,
            wanted,
            events_left,
            next,
            accounts: Vec::new(),
            writers: BTreeMap::new(),
            roots,
            live: BTreeMap::new(),
            unended: survey.unended.clone(),
            ticked_ns: 0,
            seq,
            events: 0,
            findings: BTreeSet::new(),
        })
    }

    /// Who alone writes an account that is given is the product's program.
    pub fn know_writers(&mut self, is_given: &dyn Fn(&str) -> bool) {
        for root in &self.survey.roots {
            for (_, writer) in root.accounts.iter().filter(|(path, _)| is_given(path)) {
                let by = "it alone writes the account".to_owned();
                let identified = Identified { by, launcher: false, ..root.identified.clone() };
                self.writers.extend(writer.map(|process| (process, identified)));
            }
        }
    }

    pub fn add(&mut self, mut account: Account, said: &Said, root: ProcessKey) {
        account.begin(said.first_ns.unwrap_or(self.survey.last_ns));
        self.accounts.push(Waiting { account, root });
    }

    pub fn agents(&self) -> usize {
        let roots = self.survey.roots.iter();
        roots.filter(|root| self.work.engine.agent_of_root(root.process).is_some()).count()
    }

    pub fn run(&mut self, last_said: Option<Nanos>) -> Result<()> {
        let first = self.survey.first_ns;
        let words = self.source.words();
        self.ticked_ns = first;
        self.take(Input::Start(Start {
            time_ns: first,
            host: "record".to_owned(),
            boot_id: words.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_record: true,
            daemon: ProcessKey { pid: NOBODY, start_ns: 0 },
            data_dir: String::new(),
            boot_ns: 0,
            before: None,
        }))?;
        self.take(Input::Recorded { time_ns: first, source: words })?;
        for (probe, error) in self.survey.blind(last_said) {
            self.take(Input::Probe {
                time_ns: first,
                state: ProbeState { probe, error: Some(error) },
                seen_ns: None,
            })?;
        }
        while self.step()? {}
        let end = self.survey.last_ns.max(last_said.unwrap_or_default());
        // Nobody saw them end; none of them runs any more.
        for (_, last) in std::mem::take(&mut self.live) {
            self.event(Event { time_ns: end, kind: Kind::Exit { code: None, signal: None }, ..last })?;
        }
        self.advance(end.saturating_add(AFTER_NS))?;
        self.take(Input::Stop { time_ns: self.ticked_ns })
    }

    /// The next thing that happened or was said. `false`: there is none.
    fn step(&mut self) -> Result<bool> {
        let act = self.next.as_ref().map(|event| event.time_ns);
        let mut word: Option<(Nanos, usize)> = None;
        for at in 0..self.accounts.len() {
            let Some(waiting) = self.accounts.get_mut(at) else { continue };
            let Some(time_ns) = waiting.account.next_ns()? else { continue };
            let known = self.work.engine.agent_of_root(waiting.root).is_some();
            // Its agent comes with an event; without any left, it cannot come.
            if known && word.is_none_or(|(first, _)| time_ns < first) {
                word = Some((time_ns, at));
            }
        }
        match (act, word) {
            (None, None) => Ok(false),
            (Some(act_ns), None) => self.act(act_ns),
            (Some(act_ns), Some((said_ns, _))) if act_ns < said_ns => self.act(act_ns),
            (_, Some((said_ns, account))) => self.word(said_ns, account),
        }
    }

    fn act(&mut self, time_ns: Nanos) -> Result<bool> {
        let Some(event) = self.next.take() else { return Ok(false) };
        self.next = self.events_left.next()?;
        let read = self.events_left.take_read();
        self.work.progress(read);
        self.lose_sight(time_ns)?;
        self.advance(time_ns)?;
        match &event.kind {
            Kind::Exit { .. } => drop(self.live.remove(&event.process)),
            Kind::Fork { child } => {
                self.live.insert(*child, Event { process: *child, thread: child.pid, ..event.clone() });
            }
            _ if !self.live.contains_key(&event.process) => {
                self.live.insert(event.process, event.clone());
            }
            _ => {}
        }
        let process = event.process;
        self.event(event)?;
        // An agent that no execution shows: it ran before the record.
        if let Some(identified) = self.roots.remove(&process) {
            self.take(Input::Identified { process, product: Some(identified) })?;
        }
        Ok(true)
    }

    /// Of processes whose end the record cannot show, nothing is known from their last act on: they are no survivors.
    fn lose_sight(&mut self, now: Nanos) -> Result<()> {
        while let Some(&(time_ns, process)) = self.unended.first()
            && time_ns < now
        {
            self.unended.pop_first();
            if let Some(last) = self.live.remove(&process) {
                self.event(Event { time_ns, kind: Kind::Exit { code: None, signal: None }, ..last })?;
            }
        }
        Ok(())
    }

    fn event(&mut self, mut event: Event) -> Result<()> {
        self.seq += 1;
        self.events += 1;
        event.seq = self.seq;
        self.take(Input::Event(event))
    }

    fn word(&mut self, time_ns: Nanos, account: usize) -> Result<bool> {
        let Some(waiting) = self.accounts.get_mut(account) else { return Ok(false) };
        let Some(mut record) = waiting.account.next()? else { return Ok(false) };
        let root = waiting.root;
        let read = waiting.account.take_read();
        self.work.progress(read);
        self.advance(time_ns)?;
        record.agent = self.work.engine.agent_of_root(root).unwrap_or_default().to_owned();
        record.time_ns = record.time_ns.max(self.ticked_ns.saturating_sub(TICK_NS));
        self.work.count(&record);
        self.work.agents.insert(record.agent.clone());
        self.take(Input::Account(record))?;
        Ok(true)
    }

    /// Lets time pass up to this moment.
    fn advance(&mut self, to_ns: Nanos) -> Result<()> {
        loop {
            let gap = to_ns.saturating_sub(self.ticked_ns);
            if gap < TICK_NS {
                return Ok(());
            }
            if gap > STEP_NS {
                let time_ns = to_ns.saturating_sub(AFTER_NS);
                let by_ns = i64::try_from(time_ns.saturating_sub(self.ticked_ns)).unwrap_or(i64::MAX);
                self.ticked_ns = time_ns;
                self.take(Input::ClockStep { time_ns, by_ns })?;
                continue;
            }
            self.ticked_ns = self.ticked_ns.saturating_add((gap / 8).clamp(TICK_NS, TICK_MAX_NS));
            self.take(Input::Tick { time_ns: self.ticked_ns, boot_ns: 0, asleep_ns: 0 })?;
        }
    }

    /// Ledger first, then the engine, then what it asks for: as the daemon does.
    fn take(&mut self, input: Input) -> Result<()> {
        let mut waiting = VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            self.work.store.append(&input)?;
            let mut answers = Vec::new();
            for output in self.work.engine.step(input) {
                match output {
                    Output::Identify { process, path, script, argv, .. } => {
                        let known = self.roots.remove(&process);
                        let product = identify(self.products, self.wanted, &path, script.as_deref(), &argv)
                            .or(known)
                            .or_else(|| self.writers.get(&process).cloned());
                        answers.push(Input::Identified { process, product });
                    }
                    // There are no files beside a record: none to read, none to follow.
                    Output::ReadConfiguration { .. }
                    | Output::Follow { .. }
                    | Output::Harness { .. }
                    | Output::FollowAccount { .. }
                    | Output::ReadArtefact { .. }
                    | Output::ReadHooks { .. }
                    | Output::Opinion(_)
                    | Output::Forget { .. } => {}
                    Output::Finding(finding) => {
                        self.findings.insert(finding.id.clone());
                        self.work.store.apply(&Output::Finding(finding))?;
                    }
                    output @ (Output::Agent(_)
                    | Output::Member(_)
                    | Output::Join(_)
                    | Output::Claim(_)
                    | Output::Descent(_)
                    | Output::Artefact(_)
                    | Output::Gap(_)) => {
                        self.work.store.apply(&output)?;
                    }
                }
            }
            for answer in answers.into_iter().rev() {
                waiting.push_front(answer);
            }
        }
        self.work.commit_some()
    }
}
