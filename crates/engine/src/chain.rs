//! The account's own order: records that are linked or numbered by their product must follow each other without a hole, each
//! once. What does not was taken out, put in, moved, or written by somebody else.

use std::collections::{HashMap, VecDeque};

use muster_event::Nanos;
use sha2::{Digest, Sha256};

use crate::agent::{Agent, NAMED_MAX};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::input::AccountRecord;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Ids of records remembered per agent: three days of the busiest session seen, in 6 MB.
const RECORDS_MAX: usize = 200_000;
/// Holes that wait at once: more of them are more of the same.
const HOLES_MAX: usize = 64;
/// The record that is missed may stand in a file that is read a moment later.
const SETTLE_NS: Nanos = 2_500_000_000;
/// The account's times and the kernel's are of one clock, but a call is written a little before or after its act.
const SLACK_NS: Nanos = 1_000_000_000;

#[derive(Default)]
pub(crate) struct Chain {
    records: HashMap<u64, Place>,
    order: VecDeque<u64>,
    /// Ids gave way: that one is not known says nothing any more.
    forgotten: bool,
    files: Vec<File>,
    holes: Vec<Hole>,
}

#[derive(Clone, Copy)]
struct Place {
    file: usize,
    offset: u64,
    sha256: [u8; 32],
}

struct File {
    path: String,
    /// It was read from its first byte.
    from_start: bool,
    ordinal: Option<u64>,
    /// It has had a record with a place in the order.
    linked: bool,
    last_ns: Nanos,
}

struct Hole {
    file: usize,
    /// The id that it follows; `None`: numbers were left out.
    after: Option<u64>,
    left_out: u64,
    from_ns: Nanos,
    to_ns: Nanos,
    read_ns: Nanos,
    offset: u64,
    evidence: Evidence,
}

enum Disorder {
    /// A record that was read before is here again, with other words.
    Again,
    /// A number comes after a higher one.
    Backwards { before: u64, now: u64 },
    /// A record stands before the one that it follows.
    Moved,
}

impl Chain {
    /// Was this file read from its first byte?
    pub fn read_from_start(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path && file.from_start)
    }

    /// A record of this file was read.
    pub fn opened(&mut self, path: &str, offset: u64) {
        self.file(path, offset);
    }

    fn file(&mut self, path: &str, offset: u64) -> Option<usize> {
        if let Some(at) = self.files.iter().position(|file| file.path == path) {
            return Some(at);
        }
        if self.files.len() >= NAMED_MAX {
            return None;
        }
        self.files.push(File {
            path: path.to_owned(),
            from_start: offset == 0,
            ordinal: None,
            linked: false,
            last_ns: 0,
        });
        Some(self.files.len() - 1)
    }

    fn take(&mut self, record: &AccountRecord, link: &Link<'_>) -> Option<Disorder> {
        let at = self.file(&record.path, record.offset)?;
        let file = self.files.get_mut(at)?;
        let from_ns = std::mem::replace(&mut file.last_ns, link.time_ns);
        let first = !std::mem::replace(&mut file.linked, true);
        let hole = |after, left_out| Hole {
            file: at,
            after,
            left_out,
            from_ns,
            to_ns: link.time_ns,
            read_ns: record.time_ns,
            offset: record.offset,
            evidence: evidence(record),
        };
        let mut disorder = None;
        if let Some(now) = link.ordinal {
            let before = file.ordinal.replace(now);
            match before {
                // A session that is taken up again may count anew.
                Some(before) if now <= before && now != 0 => {
                    file.ordinal = Some(before);
                    disorder = Some(Disorder::Backwards { before, now });
                }
                Some(before) if now > before.saturating_add(1) && self.holes.len() < HOLES_MAX => {
                    self.holes.push(hole(None, now - before - 1));
                }
                Some(_) | None => {}
            }
        }
        // The first record may go on from another session's file.
        if let Some(after) = link.after.map(short).filter(|_| !first && file.from_start)
            && !self.records.contains_key(&after)
            && !self.forgotten
            && self.holes.len() < HOLES_MAX
        {
            self.holes.push(hole(Some(after), 1));
        }
        if let Some(id) = link.record.map(short) {
            let place = Place { file: at, offset: record.offset, sha256: record.sha256 };
            match self.records.insert(id, place) {
                Some(before) if before.file == at && before.sha256 != record.sha256 => {
                    disorder = Some(Disorder::Again);
                }
                Some(_) => {}
                None => self.order.push_back(id),
            }
            if self.order.len() > RECORDS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
                self.forgotten = true;
            }
        }
        disorder
    }

    /// Holes that are decided now: those that are none are gone.
    fn due(&mut self, now: Nanos, ended: bool) -> (Vec<Hole>, Vec<Hole>) {
        let (due, waiting): (Vec<Hole>, Vec<Hole>) = std::mem::take(&mut self.holes)
            .into_iter()
            .partition(|hole| ended || now.saturating_sub(hole.read_ns) > SETTLE_NS);
        self.holes = waiting;
        let (mut holes, mut moved) = (Vec::new(), Vec::new());
        for hole in due {
            match hole.after.and_then(|id| self.records.get(&id)) {
                Some(place) if place.file == hole.file && place.offset > hole.offset => moved.push(hole),
                Some(_) => {}
                None => holes.push(hole),
            }
        }
        (holes, moved)
    }
}

/// What a record says of its place.
pub(crate) struct Link<'a> {
    pub record: Option<&'a str>,
    pub after: Option<&'a str>,
    pub ordinal: Option<u64>,
    pub time_ns: Nanos,
}

fn short(id: &str) -> u64 {
    let hash = Sha256::digest(id);
    hash.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn evidence(record: &AccountRecord) -> Evidence {
    Evidence::Account { path: record.path.clone(), offset: record.offset, sha256: record.sha256 }
}

impl Engine {
    pub(crate) fn note_link(&mut self, record: &AccountRecord, link: &Link<'_>) {
        let Some(agent) = self.agents.get_mut(&record.agent) else { return };
        if let Some(disorder) = agent.chain.take(record, link) {
            self.disordered(&record.agent, &record.path, &disorder, link.time_ns, vec![evidence(record)]);
        }
    }

    fn disordered(
        &mut self,
        id: &str,
        path: &str,
        disorder: &Disorder,
        time_ns: Nanos,
        evidence: Vec<Evidence>,
    ) {
        let did = match disorder {
            Disorder::Again => "tells a record a second time, with other words".to_owned(),
            Disorder::Backwards { before, now } => format!("has record {now} after record {before}"),
            Disorder::Moved => "has a record before the one that it follows".to_owned(),
        };
        let kind = match disorder {
            Disorder::Again => "again",
            Disorder::Backwards { .. } | Disorder::Moved => "order",
        };
        self.raise(Finding {
            // Once for each file: what moved one record moved others.
            id: finding_id(Code::AccountTampered, id, &format!("{path} {kind}")),
            code: Code::AccountTampered,
            severity: Severity::High,
            stage: Stage::Conceal,
            overreach: 2,
            deception: 3,
            agent: id.to_owned(),
            time_ns,
            summary: format!("its account `{}` {did}", shorten(path)),
            explanation: "The product writes each record once, after the one that it follows. One that is out of order or \
                told twice was not written by it, or was moved or changed. It would be refuted by a version of the \
                product that writes its account in another way."
                .to_owned(),
            evidence,
        });
    }

    /// Decides what is missing from the account.
    pub(crate) fn check_chain(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.chain.holes.is_empty() {
            return;
        }
        let (holes, moved) = agent.chain.due(now, agent.imported);
        let mut findings = Vec::new();
        for hole in &holes {
            findings.extend(gap(agent, id, hole));
        }
        let paths: Vec<(String, Nanos, Evidence)> = moved
            .into_iter()
            .filter_map(|hole| {
                let path = agent.chain.files.get(hole.file)?.path.clone();
                Some((path, hole.to_ns, hole.evidence))
            })
            .collect();
        for (path, time_ns, evidence) in paths {
            self.disordered(id, &path, &Disorder::Moved, time_ns, vec![evidence]);
        }
        for finding in findings {
            self.raise(finding);
        }
    }
}

/// What the lineage did in the time that the hole is about makes it one that matters.
fn gap(agent: &Agent, id: &str, hole: &Hole) -> Option<Finding> {
    let path = agent.chain.files.get(hole.file)?.path.as_str();
    let from = hole.from_ns.saturating_sub(SLACK_NS);
    let acts = || {
        agent
            .actions
            .values()
            .rev()
            .skip_while(|action| action.time_ns > hole.to_ns.saturating_add(SLACK_NS))
            .take_while(|action| action.time_ns >= from)
            .filter(|action| action.helper.is_none() || action.uncovered)
    };
    let untold = acts().find(|action| action.call.is_none());
    let act = untold.or_else(|| acts().next());
    let severity = match (untold, act) {
        (Some(_), _) => Severity::High,
        // What is missing may be words only.
        (None, Some(_)) => Severity::Low,
        (None, None) => Severity::Info,
    };
    let mut evidence = vec![hole.evidence.clone()];
    evidence.extend(act.map(|action| event_evidence(action.seq, action.process)));
    let missing = match hole.after {
        Some(_) => "the record before this one".to_owned(),
        None => format!("{} records before this one", hole.left_out),
    };
    let meanwhile = match (untold, act) {
        (Some(action), _) => {
            format!("; meanwhile it ran `{}`, which no call explains", shorten(&action.display))
        }
        (None, Some(action)) => format!("; meanwhile it ran `{}`", shorten(&action.display)),
        (None, None) => String::new(),
    };
    Some(Finding {
        id: finding_id(Code::AccountGap, id, &format!("{path} {}", hole.offset)),
        code: Code::AccountGap,
        severity,
        stage: Stage::Conceal,
        overreach: 0,
        deception: if severity == Severity::Info { 0 } else { 3 },
        agent: id.to_owned(),
        time_ns: hole.to_ns,
        summary: format!("its account `{}` lacks {missing}{meanwhile}", shorten(path)),
        explanation: "The product links or numbers its records, and this one follows one that is not there: it was never \
            written, or was taken out before Muster read it. It would be refuted by a version of the product that leaves \
            records out of its file by itself, or by the missing record in a file that Muster was not given."
            .to_owned(),
        evidence,
    })
}
