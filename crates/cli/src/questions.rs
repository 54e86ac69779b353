//! What an agent's own Stop hook asks: does the record contradict the message that it is about to end with? The answer
//! waits for the claims of that message to be decided, and never for long.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use muster_engine::claims::{Class, claimed};
use muster_engine::{AgentId, Claim, Verdict};
use muster_server::{Told, ToldClaim};

/// How long an answer may take: the hook gives up a little later.
const WAIT: Duration = Duration::from_millis(4_000);
/// Questions that wait at once; those beyond it get no answer, and their agents go on.
const QUESTIONS_MAX: usize = 64;
/// Of one agent: its sub-agents end at the same time.
const OF_AGENT_MAX: usize = 8;
/// Claims that were decided lately: the question may come after its answer.
const RECENT_MAX: usize = 256;
const RECENT: Duration = Duration::from_secs(1);
/// Bytes of a sentence that are handed back.
const SENTENCE_MAX: usize = 300;
/// Sentences that are handed back: one is enough to look again at all of it.
const SENTENCES_MAX: usize = 3;

struct Question {
    agent: AgentId,
    wanted: BTreeSet<(Class, String)>,
    found: Vec<ToldClaim>,
    until: Instant,
    answer: Sender<Result<Told, String>>,
}

#[derive(Default)]
pub struct Questions {
    waiting: Vec<Question>,
    recent: VecDeque<(Instant, Claim)>,
}

impl Questions {
    /// `agent`: the one whose lineage asks. Nobody is told of another.
    pub fn ask(&mut self, agent: &str, text: &str, answer: Sender<Result<Told, String>>) {
        let wanted: BTreeSet<(Class, String)> = claimed(text).into_iter().collect();
        let own = self.waiting.iter().filter(|question| question.agent == agent).count();
        if wanted.is_empty() || self.waiting.len() >= QUESTIONS_MAX || own >= OF_AGENT_MAX {
            // The asker may have given up.
            return drop(answer.send(Ok(Told::default())));
        }
        let mut question = Question {
            agent: agent.to_owned(),
            wanted,
            found: Vec::new(),
            until: Instant::now() + WAIT,
            answer,
        };
        for (at, claim) in &self.recent {
            if at.elapsed() < RECENT {
                question.take(claim);
            }
        }
        self.waiting.push(question);
        self.settle();
    }

    /// A claim was decided.
    pub fn decided(&mut self, claim: &Claim) {
        for question in &mut self.waiting {
            question.take(claim);
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((Instant::now(), claim.clone()));
    }

    /// Answers what can be answered, and what has waited long enough.
    pub fn settle(&mut self) {
        let now = Instant::now();
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|question| question.wanted.is_empty() || question.until <= now);
        self.waiting = waiting;
        for question in ready {
            drop(question.answer.send(Ok(Told { claims: question.found })));
        }
    }
}

impl Question {
    fn take(&mut self, claim: &Claim) {
        if claim.agent != self.agent || !self.wanted.remove(&(claim.class, claim.sentence.clone())) {
            return;
        }
        let false_ = matches!(claim.verdict, Verdict::Contradicted | Verdict::Hollow);
        let told = self.found.iter().any(|known| known.sentence == claim.sentence);
        if false_ && !told && self.found.len() < SENTENCES_MAX {
            let mut sentence = muster_event::sanitize(&claim.sentence);
            if let Some((at, _)) = sentence.char_indices().find(|(at, _)| *at >= SENTENCE_MAX) {
                sentence.truncate(at);
            }
            self.found.push(ToldClaim { sentence, verdict: claim.verdict.name().to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use muster_engine::Evidence;
    use muster_engine::claims::Source;

    use super::*;

    fn claim(agent: &str, text: &str, verdict: Verdict) -> Claim {
        let (class, sentence) = claimed(text).into_iter().next().unwrap();
        Claim {
            id: "c-1".to_owned(),
            agent: agent.to_owned(),
            time_ns: 0,
            actor: None,
            source: Source::Prose,
            class,
            sentence,
            verdict,
            reason: "no `git push` ran".to_owned(),
            said: Evidence::Event { seq: 1 },
            evidence: Vec::new(),
        }
    }

    #[test]
    fn a_question_waits_for_its_own_claims_only() {
        const SAID: &str = "I pushed the changes.";
        let mut questions = Questions::default();
        let (sender, answer) = channel();
        questions.ask("a", SAID, sender);
        questions.decided(&claim("b", SAID, Verdict::Contradicted));
        questions.settle();
        assert!(answer.try_recv().is_err(), "another agent's claim is no answer");
        questions.decided(&claim("a", SAID, Verdict::Contradicted));
        questions.settle();
        let told = answer.try_recv().unwrap().unwrap();
        assert_eq!(told.claims.len(), 1);
        // The sentence and the verdict: nothing of why.
        assert_eq!(serde_json::to_value(&told).unwrap()["claims"][0].as_object().unwrap().len(), 2);
    }

    #[test]
    fn what_holds_and_what_claims_nothing_is_no_matter() {
        let mut questions = Questions::default();
        let (sender, answer) = channel();
        questions.ask("a", "Hello there.", sender);
        assert_eq!(answer.try_recv().unwrap().unwrap(), Told::default());
        let (sender, answer) = channel();
        questions.ask("a", "I pushed the changes.", sender);
        questions.decided(&claim("a", "I pushed the changes.", Verdict::Supported));
        questions.settle();
        assert_eq!(answer.try_recv().unwrap().unwrap(), Told::default());
    }

    #[test]
    fn too_many_questions_are_not_kept() {
        let mut questions = Questions::default();
        let mut answers = Vec::new();
        for _ in 0..20 {
            let (sender, answer) = channel();
            questions.ask("a", "I pushed the changes.", sender);
            answers.push(answer);
        }
        assert_eq!(answers.iter().filter(|answer| answer.try_recv().is_ok()).count(), 20 - OF_AGENT_MAX);
    }
}
