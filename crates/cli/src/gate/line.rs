//! What is said over the gate's socket: one line of JSON each way. The words are those of `notes`: whoever enforces asks, or
//! tells what it decided by itself. Nobody says who it is: the kernel does.

use muster_event::ProcessKey;
use muster_mandate::{Action, Decision, GateWay, Verdict};
use serde::{Deserialize, Serialize};

/// Longest line: a call of a hundred actions with long command lines. Who sends more gets no answer, and so no leave.
pub const LINE_MAX: usize = 512 * 1024;
/// Bytes of what an agent says about its act.
const SAID_MAX: usize = 2 * 1024;
/// Bytes of a call's id: products use some 40.
const CALL_MAX: usize = 256;
/// Bytes of one string of an action, and words of a command line.
const STRING_MAX: usize = 16 * 1024;
const WORDS_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Ask(Ask),
    /// Several actions of one call: the strictest of their decisions counts.
    AskAll(AskAll),
    Note(Box<Note>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub action: Action,
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default)]
    pub said: Option<String>,
    pub by: GateWay,
    /// How long a person may take; 0: nobody is asked.
    #[serde(default)]
    pub wait_ms: u64,
    /// Who is about to act, where the asker speaks for another: heeded only from one that is on no roll.
    #[serde(default)]
    pub process: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskAll {
    pub actions: Vec<Action>,
    /// The call's tool, by the agent's own name for it: stands for a call that does nothing a mandate is about.
    #[serde(default)]
    pub tool: Option<String>,
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default)]
    pub said: Option<String>,
    pub by: GateWay,
    #[serde(default)]
    pub wait_ms: u64,
    #[serde(default)]
    pub process: Option<u32>,
}

/// What an enforcer decided by itself. Agent and time are the daemon's to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Of the lineage; `None`: not known.
    #[serde(default)]
    pub process: Option<ProcessKey>,
    pub by: GateWay,
    pub action: Action,
    pub decision: Decision,
    pub enforced: bool,
    pub blocked: bool,
    #[serde(default)]
    pub approval: Option<String>,
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default = "one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    Decided {
        decision: Decision,
        approval: Option<String>,
    },
    Noted {
        ok: bool,
    },
    /// What was asked makes no sense, or may not be asked: no leave is given.
    Refused {
        error: String,
    },
}

/// Why a line is no request; within the bounds that it is held to.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    if line.len() > LINE_MAX {
        return Err("the line is too long".to_owned());
    }
    let mut request: Request =
        serde_json::from_slice(line).map_err(|error| format!("no request: {error}"))?;
    match &mut request {
        Request::Ask(ask) => {
            bound(&mut ask.action)?;
            cut(&mut ask.said, SAID_MAX);
            cut(&mut ask.call, CALL_MAX);
        }
        Request::AskAll(ask) => {
            // One more: what is beyond is asked about as a whole.
            if ask.actions.len() > muster_engine::ACTIONS_MAX {
                return Err("too many actions".to_owned());
            }
            for action in &mut ask.actions {
                bound(action)?;
            }
            cut(&mut ask.tool, CALL_MAX);
            cut(&mut ask.said, SAID_MAX);
            cut(&mut ask.call, CALL_MAX);
        }
        Request::Note(note) => {
            bound(&mut note.action)?;
            cut(&mut note.call, CALL_MAX);
            cut(&mut note.approval, CALL_MAX);
            note.decision.rule.truncate(floor(&note.decision.rule, CALL_MAX));
            note.decision.reason.truncate(floor(&note.decision.reason, SAID_MAX));
            cut(&mut note.decision.mandate, CALL_MAX);
            note.count = note.count.max(1);
        }
    }
    Ok(request)
}

/// An action is decided upon as it is or not at all: a path that was cut would be another's.
fn bound(action: &mut Action) -> Result<(), String> {
    let fits = |text: &str| text.len() <= STRING_MAX;
    let fits_all = match action {
        Action::Read { path } | Action::Write { path } => fits(path),
        Action::Execute { path, argv } => {
            fits(path) && argv.len() <= WORDS_MAX && argv.iter().all(|word| fits(word))
        }
        Action::Connect { host, .. } => host.as_deref().is_none_or(fits),
        Action::Credential { what, path } => fits(what) && path.as_deref().is_none_or(fits),
        Action::Tool { name, arguments } => fits(name) && fits(arguments),
        Action::Agent { product } => fits(product),
        Action::Privileged { detail, .. } => fits(detail),
    };
    if fits_all { Ok(()) } else { Err("an action is too long".to_owned()) }
}

fn cut(text: &mut Option<String>, max: usize) {
    if let Some(text) = text {
        text.truncate(floor(text, max));
    }
}

fn floor(text: &str, max: usize) -> usize {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// The stricter of two.
pub fn stricter(a: Verdict, b: Verdict) -> Verdict {
    a.max(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<&str, &str>) {
        let found = parse(line.as_bytes());
        match (&found, expected) {
            (Ok(request), Ok(kind)) => {
                assert!(format!("{request:?}").starts_with(kind), "{line}: {request:?}")
            }
            (Err(why), Err(part)) => assert!(why.contains(part), "{line}: {why}"),
            _ => panic!("{line}: {found:?}"),
        }
    }

    #[test]
    fn lines() {
        check(
            r#"{"ask":{"action":{"kind":"read","path":"/a"},"by":"hook","call":null,"said":null,"wait_ms":0}}"#,
            Ok("Ask("),
        );
        check(r#"{"ask":{"action":{"kind":"read","path":"/a"},"by":"kernel"}}"#, Ok("Ask("));
        check(r#"{"ask_all":{"actions":[],"by":"mcp"}}"#, Ok("AskAll("));
        check(
            r#"{"ask":{"action":{"kind":"read","path":"/a"},"by":"hook","agent":"me"}}"#,
            Err("unknown field"),
        );
        check(r#"{"ask":{"action":{"kind":"read","path":"/a"},"by":"hook"}} {}"#, Err("trailing"));
        check("", Err("no request"));
        check("[[[[", Err("no request"));
        let long = "x".repeat(STRING_MAX + 1);
        check(
            &format!(r#"{{"ask":{{"action":{{"kind":"read","path":"{long}"}},"by":"hook"}}}}"#),
            Err("too long"),
        );
    }

    #[test]
    fn the_shared_words() {
        let decision =
            Decision { verdict: Verdict::Ask, rule: "r".into(), reason: "w".into(), mandate: None };
        let answer = serde_json::to_string(&Answer::Decided { decision, approval: None }).unwrap();
        assert_eq!(
            answer,
            r#"{"decision":{"verdict":"ask","rule":"r","reason":"w","mandate":null},"approval":null}"#
        );
        assert_eq!(serde_json::to_string(&Answer::Noted { ok: true }).unwrap(), r#"{"ok":true}"#);
    }
}
