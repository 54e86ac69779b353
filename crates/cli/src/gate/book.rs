//! Decisions on their way to the ledger. Identical ones are told once, with their count; there is a bound, and what is beyond
//! it is not let through: an act whose decision cannot be recorded does not happen.

use std::collections::HashMap;

use muster_event::Nanos;
use muster_mandate::GateNote;

/// Different decisions that wait for the loop at once: it takes them some ten times a second. An agent that floods the gate
/// has its own share.
const WAITING_MAX: usize = 8192;
const OF_AGENT_MAX: usize = 2048;
/// How long a decision waits for others like it.
const GATHER_NS: Nanos = 150_000_000;
/// Taken by the loop at once.
const TAKEN_MAX: usize = 512;

#[derive(Default)]
pub struct Book {
    waiting: Vec<GateNote>,
    at: HashMap<String, usize>,
    of_agent: HashMap<String, usize>,
    /// Agents whose decisions found no room, and how many of them.
    refused: HashMap<String, u64>,
}

impl Book {
    /// `false`: there is no room.
    pub fn put(&mut self, note: GateNote) -> bool {
        // All but time and count.
        let key = format!(
            "{:?}",
            (
                &note.agent,
                &note.process,
                note.by,
                &note.action,
                &note.decision,
                note.enforced,
                note.blocked,
                &note.approval,
                &note.call
            )
        );
        if let Some(known) = self.at.get(&key).and_then(|at| self.waiting.get_mut(*at)) {
            known.count = known.count.saturating_add(note.count);
            return true;
        }
        let own = self.of_agent.entry(note.agent.clone()).or_default();
        if self.waiting.len() >= WAITING_MAX || *own >= OF_AGENT_MAX {
            *self.refused.entry(note.agent).or_default() += 1;
            return false;
        }
        *own += 1;
        self.at.insert(key, self.waiting.len());
        self.waiting.push(note);
        true
    }

    /// What has waited long enough, oldest first; `all`: whatever there is.
    pub fn take(&mut self, now_ns: Nanos, all: bool) -> Vec<GateNote> {
        let ready = |note: &GateNote| all || now_ns.saturating_sub(note.time_ns) >= GATHER_NS;
        let count = self
            .waiting
            .iter()
            .take(if all { usize::MAX } else { TAKEN_MAX })
            .take_while(|note| ready(note))
            .count();
        if count == 0 {
            return Vec::new();
        }
        let taken: Vec<GateNote> = self.waiting.drain(..count).collect();
        for note in &taken {
            if let Some(own) = self.of_agent.get_mut(&note.agent) {
                *own = own.saturating_sub(1);
            }
        }
        self.of_agent.retain(|_, own| *own > 0);
        self.at.retain(|_, at| match at.checked_sub(count) {
            Some(left) => {
                *at = left;
                true
            }
            None => false,
        });
        taken
    }

    /// How many decisions of which agents found no room since this was asked last, sorted.
    pub fn take_refused(&mut self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = std::mem::take(&mut self.refused).into_iter().collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use muster_mandate::{Action, Decision, GateWay, Verdict};

    use super::*;

    fn note(agent: &str, path: &str, time_ns: u64) -> GateNote {
        GateNote {
            time_ns,
            agent: agent.to_owned(),
            process: None,
            by: GateWay::Hook,
            action: Action::Read { path: path.to_owned() },
            decision: Decision {
                verdict: Verdict::Allow,
                rule: "r".into(),
                reason: String::new(),
                mandate: None,
            },
            enforced: true,
            blocked: false,
            approval: None,
            call: None,
            count: 1,
        }
    }

    #[test]
    fn identical_ones_are_told_once() {
        let mut book = Book::default();
        for n in 0..5 {
            assert!(book.put(note("a", "/x", n)));
        }
        book.put(note("a", "/y", 5));
        assert!(book.take(10, false).is_empty(), "others like it may come");
        let taken = book.take(GATHER_NS + 4, false);
        assert_eq!(taken.iter().map(|n| n.count).collect::<Vec<_>>(), [5]);
        book.put(note("a", "/y", 6));
        let taken = book.take(0, true);
        assert_eq!(taken.iter().map(|n| n.count).collect::<Vec<_>>(), [2], "what stayed is still known");
    }

    #[test]
    fn one_agent_has_its_share_only() {
        let mut book = Book::default();
        let put = (0..OF_AGENT_MAX + 7).filter(|n| book.put(note("a", &format!("/{n}"), 1))).count();
        assert_eq!(put, OF_AGENT_MAX);
        assert!(book.put(note("b", "/x", 1)));
        assert_eq!(book.take_refused(), [("a".to_owned(), 7)]);
        assert!(book.take_refused().is_empty());
        while !book.take(0, true).is_empty() {}
        assert!(book.put(note("a", "/new", 2)));
    }
}
