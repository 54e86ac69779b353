//! Questions to people: which are open, what was answered, and what was answered for more than one action. Pure: the time is
//! given. Approval fatigue is an attack of its own, so a question that stands already is not asked again, and what a person
//! refused is refused again without a word.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{SyncSender, TrySendError};

use muster_event::Nanos;
use muster_mandate::{Action, ApprovalNote, ApprovalState, Decision, Verdict};

use crate::gate::words::Pattern;

/// Questions that are open at once, of all agents and of one: a person reads them. Beyond it: no.
pub const OPEN_MAX: usize = 256;
pub const OF_AGENT_MAX: usize = 16;
/// Who waits for the same answer.
const WAITERS_MAX: usize = 64;
/// Patterns and refusals that are remembered; the oldest give way.
const PATTERNS_MAX: usize = 512;
const REFUSED_MAX: usize = 1024;
/// So long the same question is refused without asking again: by a person's no, and where nobody was there.
const REFUSED_NS: Nanos = 15 * 60 * 1_000_000_000;
const UNANSWERED_NS: Nanos = 60 * 1_000_000_000;
/// Where a mandate has no end, a pattern has one.
const PATTERN_NS: Nanos = 24 * 60 * 60 * 1_000_000_000;

/// What comes of asking.
pub enum Asked {
    /// It was answered before: by a pattern, or by a refusal that still holds.
    Known { verdict: Verdict, approval: String, by: String },
    /// The answer comes on the channel.
    Waits { approval: String },
    /// Too many questions: no.
    TooMany,
}

/// One that is open.
#[derive(Clone, Debug)]
pub struct Open {
    pub id: String,
    pub agent: String,
    pub action: Action,
    pub decision: Decision,
    pub said: Option<String>,
    pub asked_ns: Nanos,
    pub until_ns: Nanos,
    /// When the mandate that asks ends.
    pub mandate_until_ns: Option<Nanos>,
    pub count: u64,
}

struct Question {
    open: Open,
    waiting: Vec<SyncSender<Answered>>,
}

/// What the one who waits is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub verdict: Verdict,
    pub by: String,
}

struct Held {
    id: String,
    agent: String,
    pattern: Pattern,
    verdict: Verdict,
    by: String,
    until_ns: Nanos,
}

struct Refused {
    id: String,
    agent: String,
    action: Action,
    by: String,
    until_ns: Nanos,
}

/// What is asked.
pub struct Question_<'a> {
    pub agent: &'a str,
    pub action: &'a Action,
    pub decision: &'a Decision,
    pub said: Option<&'a str>,
    pub mandate_until_ns: Option<Nanos>,
    pub until_ns: Nanos,
}

#[derive(Default)]
pub struct Approvals {
    open: BTreeMap<String, Question>,
    held: VecDeque<Held>,
    refused: VecDeque<Refused>,
    /// For the ledger, in order.
    notes: Vec<ApprovalNote>,
    next: u64,
}

impl Approvals {
    pub fn ask(&mut self, question: &Question_<'_>, now_ns: Nanos, answer: SyncSender<Answered>) -> Asked {
        let Question_ { agent, action, decision, said, mandate_until_ns, until_ns } = *question;
        if let Some(known) = self.known(agent, action, now_ns) {
            return known;
        }
        if let Some(found) =
            self.open.values_mut().find(|q| q.open.agent == agent && q.open.action == *action)
        {
            if found.waiting.len() >= WAITERS_MAX {
                return Asked::TooMany;
            }
            found.waiting.push(answer);
            found.open.count += 1;
            // Who asked first set the time: asking again does not hold a question open for ever.
            return Asked::Waits { approval: found.open.id.clone() };
        }
        let own = self.open.values().filter(|q| q.open.agent == agent).count();
        if self.open.len() >= OPEN_MAX || own >= OF_AGENT_MAX {
            return Asked::TooMany;
        }
        self.next += 1;
        let id = format!("q-{}", short_id(agent, now_ns, self.next));
        let open = Open {
            id: id.clone(),
            agent: agent.to_owned(),
            action: action.clone(),
            decision: decision.clone(),
            said: said.map(str::to_owned),
            asked_ns: now_ns,
            until_ns,
            mandate_until_ns,
            count: 1,
        };
        self.notes.push(note(&open, ApprovalState::Asked, now_ns));
        self.open.insert(id.clone(), Question { open, waiting: vec![answer] });
        Asked::Waits { approval: id }
    }

    /// What was answered before and still holds.
    pub fn known(&self, agent: &str, action: &Action, now_ns: Nanos) -> Option<Asked> {
        // A no is not undone by a yes to something wider.
        if let Some(refused) =
            self.refused.iter().find(|r| r.until_ns > now_ns && r.agent == agent && r.action == *action)
        {
            return Some(Asked::Known {
                verdict: Verdict::Deny,
                approval: refused.id.clone(),
                by: refused.by.clone(),
            });
        }
        let fits = |held: &&Held| held.until_ns > now_ns && held.agent == agent && held.pattern.fits(action);
        let held = self.held.iter().filter(fits).max_by_key(|held| held.verdict)?;
        Some(Asked::Known { verdict: held.verdict, approval: held.id.clone(), by: held.by.clone() })
    }

    pub fn open(&self) -> Vec<Open> {
        let mut all: Vec<Open> = self.open.values().map(|q| q.open.clone()).collect();
        all.sort_by(|a, b| (a.asked_ns, &a.id).cmp(&(b.asked_ns, &b.id)));
        all
    }

    /// A person's answer. `pattern`: for whatever fits it, until the mandate ends.
    pub fn answer(
        &mut self,
        id: &str,
        allow: bool,
        pattern: Option<&str>,
        by: &str,
        now_ns: Nanos,
    ) -> Result<Open, String> {
        let found = self.open.get(id).ok_or_else(|| format!("no open question `{id}`"))?;
        let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
        let mut until_ns = None;
        let pattern = pattern.map(Pattern::parse).transpose()?;
        if let Some(pattern) = &pattern {
            if !pattern.fits(&found.open.action) {
                return Err("the pattern does not fit what was asked".to_owned());
            }
            let end = found.open.mandate_until_ns.unwrap_or_else(|| now_ns.saturating_add(PATTERN_NS));
            until_ns = Some(end);
            let (id, agent, by) = (id.to_owned(), found.open.agent.clone(), by.to_owned());
            if self.held.len() >= PATTERNS_MAX {
                self.held.pop_front();
            }
            self.held.push_back(Held { id, agent, pattern: pattern.clone(), verdict, by, until_ns: end });
        }
        let shown = pattern.map(|pattern| pattern.to_string());
        let told = Answered { verdict, by: by.to_owned() };
        let open = self.close(id, ApprovalState::Answered(verdict), &told, (until_ns, shown), now_ns);
        let open = open.ok_or_else(|| format!("no open question `{id}`"))?;
        // Others that the pattern answers too need not be asked.
        let also: Vec<String> = self
            .open
            .values()
            .filter(|q| {
                let held = self.held.back();
                until_ns.is_some()
                    && held.is_some_and(|h| h.agent == q.open.agent && h.pattern.fits(&q.open.action))
            })
            .map(|q| q.open.id.clone())
            .collect();
        for id in also {
            self.close(&id, ApprovalState::Answered(verdict), &told, (None, None), now_ns);
        }
        Ok(open)
    }

    fn close(
        &mut self,
        id: &str,
        state: ApprovalState,
        told: &Answered,
        (until_ns, pattern): (Option<Nanos>, Option<String>),
        now_ns: Nanos,
    ) -> Option<Open> {
        let Question { open, waiting } = self.open.remove(id)?;
        for waiter in waiting {
            // It holds one place, which nobody else fills; who gave up has no ear.
            match waiter.try_send(told.clone()) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
        let mut note = note(&open, state, now_ns);
        note.by = (!told.by.is_empty()).then(|| told.by.clone());
        note.until_ns = until_ns;
        note.pattern = pattern;
        self.notes.push(note);
        if told.verdict == Verdict::Deny && state != ApprovalState::Withdrawn {
            let held_ns = if state == ApprovalState::TimedOut { UNANSWERED_NS } else { REFUSED_NS };
            if self.refused.len() >= REFUSED_MAX {
                self.refused.pop_front();
            }
            self.refused.push_back(Refused {
                id: open.id.clone(),
                agent: open.agent.clone(),
                action: open.action.clone(),
                by: told.by.clone(),
                until_ns: now_ns.saturating_add(held_ns),
            });
        }
        Some(open)
    }

    /// Nobody answered in time: no.
    pub fn expire(&mut self, now_ns: Nanos) {
        let due: Vec<String> =
            self.open.values().filter(|q| q.open.until_ns <= now_ns).map(|q| q.open.id.clone()).collect();
        let told = Answered { verdict: Verdict::Deny, by: String::new() };
        for id in due {
            self.close(&id, ApprovalState::TimedOut, &told, (None, None), now_ns);
        }
        self.held.retain(|held| held.until_ns > now_ns);
        self.refused.retain(|refused| refused.until_ns > now_ns);
    }

    /// One who waited is gone; the last one takes the question along.
    pub fn withdraw(&mut self, id: &str, now_ns: Nanos) {
        let Some(question) = self.open.get_mut(id) else { return };
        question.open.count = question.open.count.saturating_sub(1);
        if question.open.count == 0 {
            let told = Answered { verdict: Verdict::Deny, by: String::new() };
            self.close(id, ApprovalState::Withdrawn, &told, (None, None), now_ns);
        }
    }

    /// The agent ended: what was answered for it holds for nobody else.
    pub fn forget(&mut self, agent: &str) {
        self.held.retain(|held| held.agent != agent);
        self.refused.retain(|refused| refused.agent != agent);
    }

    pub fn take_notes(&mut self) -> Vec<ApprovalNote> {
        std::mem::take(&mut self.notes)
    }
}

fn note(open: &Open, state: ApprovalState, now_ns: Nanos) -> ApprovalNote {
    ApprovalNote {
        time_ns: now_ns,
        id: open.id.clone(),
        agent: open.agent.clone(),
        state,
        action: open.action.clone(),
        decision: open.decision.clone(),
        said: open.said.clone(),
        by: None,
        until_ns: (state == ApprovalState::Asked).then_some(open.until_ns),
        pattern: None,
        count: open.count.max(1),
    }
}

/// Short enough to type; no secret.
fn short_id(agent: &str, now_ns: Nanos, count: u64) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(format!("{agent} {now_ns} {count}"));
    hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn write(path: &str) -> Action {
        Action::Write { path: path.to_owned() }
    }

    fn ask(all: &mut Approvals, agent: &str, action: &Action, now_ns: u64) -> (Asked, Receiver<Answered>) {
        let (sender, answer) = sync_channel(1);
        let decision = Decision {
            verdict: Verdict::Ask,
            rule: "oversight.ask[0]".into(),
            reason: "x".into(),
            mandate: None,
        };
        let question = Question_ {
            agent,
            action,
            decision: &decision,
            said: None,
            mandate_until_ns: Some(60 * MINUTE),
            until_ns: now_ns + 5 * MINUTE,
        };
        (all.ask(&question, now_ns, sender), answer)
    }

    fn id(asked: &Asked) -> String {
        match asked {
            Asked::Waits { approval } | Asked::Known { approval, .. } => approval.clone(),
            Asked::TooMany => "too many".to_owned(),
        }
    }

    #[test]
    fn the_same_question_is_asked_once() {
        let mut all = Approvals::default();
        let (first, one) = ask(&mut all, "a", &write("/x"), 1);
        let (again, two) = ask(&mut all, "a", &write("/x"), 2);
        let (others, _three) = ask(&mut all, "b", &write("/x"), 3);
        assert_eq!(id(&first), id(&again));
        assert_ne!(id(&first), id(&others), "another agent's question is its own");
        assert_eq!(all.open().first().unwrap().count, 2);
        all.answer(&id(&first), true, None, "ann", 4).unwrap();
        for answer in [one, two] {
            assert_eq!(answer.try_recv().unwrap(), Answered { verdict: Verdict::Allow, by: "ann".into() });
        }
        let states: Vec<_> = all.take_notes().into_iter().map(|n| (n.state, n.by, n.count)).collect();
        assert_eq!(states.len(), 3);
        assert_eq!(states[2], (ApprovalState::Answered(Verdict::Allow), Some("ann".into()), 2));
        // A yes to one action is for that one.
        assert!(matches!(ask(&mut all, "a", &write("/x"), 5).0, Asked::Waits { .. }));
    }

    #[test]
    fn a_no_holds_for_a_while() {
        let mut all = Approvals::default();
        let (first, answer) = ask(&mut all, "a", &write("/x"), 1);
        all.answer(&id(&first), false, None, "ann", 2).unwrap();
        assert_eq!(answer.try_recv().unwrap().verdict, Verdict::Deny);
        let (again, _) = ask(&mut all, "a", &write("/x"), 3);
        assert!(matches!(again, Asked::Known { verdict: Verdict::Deny, .. }));
        all.expire(20 * MINUTE);
        assert!(matches!(ask(&mut all, "a", &write("/x"), 20 * MINUTE).0, Asked::Waits { .. }));
    }

    #[test]
    fn a_pattern_holds_until_the_mandate_ends() {
        let mut all = Approvals::default();
        let (first, _one) = ask(&mut all, "a", &write("/x/1"), 1);
        let (_, two) = ask(&mut all, "a", &write("/x/2"), 1);
        assert!(all.answer(&id(&first), true, Some("write /y/*"), "ann", 2).is_err(), "it does not fit");
        assert!(all.answer(&id(&first), true, Some("write **"), "ann", 2).is_err(), "it fits everything");
        all.answer(&id(&first), true, Some("write /x/*"), "ann", 2).unwrap();
        assert_eq!(two.try_recv().unwrap().verdict, Verdict::Allow, "it answers what stands beside");
        assert!(matches!(
            ask(&mut all, "a", &write("/x/3"), 3).0,
            Asked::Known { verdict: Verdict::Allow, .. }
        ));
        assert!(
            matches!(ask(&mut all, "b", &write("/x/3"), 3).0, Asked::Waits { .. }),
            "another agent has none"
        );
        assert!(matches!(ask(&mut all, "a", &write("/z"), 3).0, Asked::Waits { .. }));
        all.expire(61 * MINUTE);
        assert!(matches!(ask(&mut all, "a", &write("/x/4"), 61 * MINUTE).0, Asked::Waits { .. }));
    }

    #[test]
    fn nobody_there_is_a_no() {
        let mut all = Approvals::default();
        let (_, answer) = ask(&mut all, "a", &write("/x"), 1);
        all.expire(MINUTE);
        assert!(answer.try_recv().is_err());
        all.expire(6 * MINUTE);
        assert_eq!(answer.try_recv().unwrap().verdict, Verdict::Deny);
        assert_eq!(all.take_notes().last().unwrap().state, ApprovalState::TimedOut);
    }

    #[test]
    fn who_gives_up_takes_the_question_along() {
        let mut all = Approvals::default();
        let (first, _one) = ask(&mut all, "a", &write("/x"), 1);
        let (_, _two) = ask(&mut all, "a", &write("/x"), 1);
        all.withdraw(&id(&first), 2);
        assert_eq!(all.open().len(), 1);
        all.withdraw(&id(&first), 3);
        assert!(all.open().is_empty());
        assert!(matches!(ask(&mut all, "a", &write("/x"), 4).0, Asked::Waits { .. }), "that was no answer");
    }

    #[test]
    fn one_agent_cannot_fill_the_queue() {
        let mut all = Approvals::default();
        let mut kept = Vec::new();
        for n in 0..40 {
            kept.push(ask(&mut all, "a", &write(&format!("/{n}")), 1));
        }
        assert_eq!(all.open().len(), OF_AGENT_MAX);
        assert!(matches!(kept.last().unwrap().0, Asked::TooMany));
        assert!(matches!(ask(&mut all, "b", &write("/x"), 1).0, Asked::Waits { .. }));
    }
}
