//! Which message of a script comes next. Nothing is remembered: the request holds the conversation so far.

use crate::api::{Message, Question};
use crate::offer::{Offer, Wanted};
use crate::script::Step;

/// What the model does now: let others act, stay silent for so long, then say this.
#[derive(Debug, PartialEq)]
pub(crate) struct Play {
    pub(crate) acts: Vec<String>,
    pub(crate) wait_ms: u64,
    pub(crate) message: Message,
}

/// One message of the model's.
#[derive(Debug, Default, PartialEq)]
struct Turn {
    acts: Vec<String>,
    wait_ms: u64,
    text: String,
    calls: Vec<Wanted>,
}

/// The next message of these steps. `problems` gets what the product offers no tool for.
pub(crate) fn next(steps: &[Step], question: &Question, problems: &mut Vec<String>) -> Play {
    let offer = Offer::new(&question.tools);
    let mut results = question.results;
    let mut said: Vec<&str> = question.said.iter().map(String::as_str).collect();
    for turn in turns(steps, &offer, problems) {
        if turn.calls.is_empty() {
            // A message without a call was given when it stands in the conversation.
            match said.iter().position(|text| text.trim() == turn.text.trim()) {
                Some(at) => drop(said.remove(at)),
                None => return play(turn),
            }
        } else if results >= turn.calls.len() {
            results -= turn.calls.len();
        } else {
            return play(turn);
        }
    }
    Play { acts: Vec::new(), wait_ms: 0, message: Message { text: "Done.".to_owned(), calls: Vec::new() } }
}

fn play(turn: Turn) -> Play {
    Play { acts: turn.acts, wait_ms: turn.wait_ms, message: Message { text: turn.text, calls: turn.calls } }
}

fn turns(steps: &[Step], offer: &Offer, problems: &mut Vec<String>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut open = Turn::default();
    for step in steps {
        match step {
            Step::Say(text) => {
                if !open.text.is_empty() {
                    open.text.push('\n');
                }
                open.text.push_str(text);
            }
            Step::Wait(ms) => open.wait_ms += ms,
            Step::Act(name) => open.acts.push(name.clone()),
            Step::Final(text) => {
                open.text.clone_from(text);
                turns.push(std::mem::take(&mut open));
            }
            Step::Parallel(steps) => {
                open.calls = steps.iter().filter_map(|step| call(step, offer, problems)).collect();
                if !open.calls.is_empty() {
                    turns.push(std::mem::take(&mut open));
                }
            }
            step => {
                if let Some(wanted) = call(step, offer, problems) {
                    open.calls.push(wanted);
                    turns.push(std::mem::take(&mut open));
                }
            }
        }
    }
    if !open.text.is_empty() {
        turns.push(open);
    }
    turns
}

fn call(step: &Step, offer: &Offer, problems: &mut Vec<String>) -> Option<Wanted> {
    let wanted = offer.call(step);
    if wanted.is_none() {
        problems.push(format!("no tool for {step:?} among: {}", offer.names().join(", ")));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Tool;
    use serde_json::json;

    fn question(results: usize, said: &[&str]) -> Question {
        Question {
            tools: vec![Tool { name: "bash".to_owned(), freeform: false }],
            results,
            said: said.iter().map(|s| (*s).to_owned()).collect(),
            ..Question::default()
        }
    }

    #[track_caller]
    fn check(results: usize, said: &[&str], text: &str, commands: &[&str]) {
        let steps = [
            Step::say("first"),
            Step::shell("a"),
            Step::Parallel(vec![Step::shell("b"), Step::shell("c")]),
            Step::last("half"),
            Step::Wait(5),
            Step::shell("d"),
            Step::last("end"),
        ];
        let mut problems = Vec::new();
        let play = next(&steps, &question(results, said), &mut problems);
        let have: Vec<_> = play.message.calls.iter().map(|c| c.arguments["command"].clone()).collect();
        assert_eq!((play.message.text.as_str(), have), (text, commands.iter().map(|c| json!(c)).collect()));
        assert_eq!(play.wait_ms, if commands == ["d"] { 5 } else { 0 });
        assert!(problems.is_empty());
    }

    #[test]
    fn the_conversation_says_what_comes_next() {
        check(0, &[], "first", &["a"]);
        check(1, &["first"], "", &["b", "c"]);
        check(3, &["first"], "half", &[]);
        check(3, &["first", "half"], "", &["d"]);
        check(4, &["first", "half"], "end", &[]);
        check(4, &["first", "half", "end"], "Done.", &[]);
    }

    #[test]
    fn a_step_without_a_tool_is_left_out_and_told() {
        let mut problems = Vec::new();
        let steps = [Step::Tool { name: "fly".to_owned(), arguments: json!({}) }, Step::last("end")];
        let play = next(&steps, &Question::default(), &mut problems);
        // A raw call is always given: it may be meant to fail.
        assert_eq!(play.message.calls.len(), 1);
        let play = next(&[Step::delegate("x", []), Step::last("end")], &question(0, &[]), &mut problems);
        assert_eq!(play.message.text, "end");
        assert_eq!(problems.len(), 1);
    }
}
