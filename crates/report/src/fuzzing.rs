//! What must hold whatever a model answers and whatever it was shown: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use muster_account::{Actor, Body, Item};
use muster_engine::{Claim, Code, Evidence, Finding, Severity, Stage, Verdict, claims};

use crate::judge::{Facts, Said, Skeleton, answer, prompt, skeleton};

const NONCE: &str = "5eed5eed5eed5eed";

/// The first line is what an agent wrote, the rest what the model says. What is kept cites what is there, quotes it
/// literally, and is safe to show; what the model was shown has no line that the agent made.
pub fn model_answer(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (hostile, said) = text.split_once('\n').unwrap_or((&text, ""));
    let shown = shown(hostile);
    let asked = prompt(&shown, NONCE);
    assert_eq!(
        asked.user.lines().count(),
        shown.lines.len() + 2,
        "a line of the agent's own: {}",
        asked.user
    );
    for (line, written) in shown.lines.iter().zip(asked.user.lines().skip(1)) {
        assert!(written.starts_with(&format!("[{}] ", line.id)));
        assert!(!line.text.contains('[') && muster_event::sanitize(&line.text) == line.text);
    }
    // Raw, as a message, and as an opinion with the right word: each goes further in.
    let message =
        |content: &str| serde_json::json!({"choices": [{"message": {"content": content}}]}).to_string();
    let bodies = [
        said.to_owned(),
        message(said),
        message(&format!("{{\"request\": \"{NONCE}\", \"opinions\": [{said}]}}")),
    ];
    for body in bodies {
        match answer(body.as_bytes(), &shown, NONCE) {
            Ok(answer) => answer.opinions.iter().for_each(|opinion| {
                assert!(opinion.about.as_deref().is_none_or(|about| about == "f-1"));
                assert!(opinion.confidence <= 100 && !opinion.cited.is_empty());
                assert!(opinion.cited.iter().all(|c| shown.line(&c.item).is_some_and(|l| l.text == c.text)));
                assert!(opinion.cited.iter().any(|cited| cited.text.contains(&opinion.quote)));
                assert_eq!(muster_event::sanitize(&opinion.rationale), opinion.rationale);
                assert!(opinion.rationale.chars().count() <= 401);
            }),
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
}

/// A run in which everything that an agent can write is this text.
fn shown(hostile: &str) -> Skeleton {
    let at = Evidence::Account { path: hostile.to_owned(), offset: 0, sha256: [0; 32] };
    let bodies = [
        Body::Prompt { text: hostile.to_owned(), origin: muster_account::Origin::User },
        Body::Text { text: hostile.to_owned(), last: true },
        Body::Call {
            call_id: "1".to_owned(),
            tool: hostile.to_owned(),
            class: muster_account::Class::Execute,
            command: Some(hostile.to_owned()),
            paths: Vec::new(),
            cwd: None,
            arguments: String::new(),
            background: false,
        },
        Body::Result {
            call_id: "1".to_owned(),
            status: muster_account::Status::Ok,
            exit_code: None,
            output: hostile.to_owned(),
            output_len: 0,
            process_group: None,
        },
    ];
    let said: Vec<Said> = bodies
        .into_iter()
        .map(|body| Said {
            read_ns: 1,
            item: Item { time_ns: None, actor: Actor::Main, body },
            evidence: at.clone(),
        })
        .collect();
    let finding = Finding {
        id: "f-1".to_owned(),
        code: Code::FalseClaim,
        severity: Severity::High,
        stage: Stage::Initiate,
        overreach: 0,
        deception: 2,
        agent: "a".to_owned(),
        time_ns: 1,
        summary: hostile.to_owned(),
        explanation: String::new(),
        evidence: vec![at.clone()],
    };
    let claim = Claim {
        id: "c-1".to_owned(),
        agent: "a".to_owned(),
        time_ns: 1,
        actor: None,
        source: claims::Source::Prose,
        class: claims::Class::TestsPass,
        sentence: hostile.to_owned(),
        verdict: Verdict::Contradicted,
        reason: String::new(),
        said: at,
        evidence: Vec::new(),
    };
    skeleton(&Facts { events: &[], said: &said, joins: &[], findings: &[finding], claims: &[claim] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_answer(
            hostile in "(\\PC|\"|\\[F1\\]|\\[|\\]|\u{202e}|\u{200b}|\u{1b}\\[2J|\r|5eed| ){0,40}",
            about in prop::sample::select(vec!["\"F1\"", "null", "\"F2\"", "\"S1\"", "{}"]),
            label in prop::sample::select(vec!["misleading-claim", "unclear", "safe", "benign"]),
            confidence in prop_oneof![(-2.0..2.0f64).prop_map(|n| n.to_string()), Just("1e999".to_owned())],
            ids in prop::collection::vec(prop::sample::select(vec!["F1", "S1", "D1", "P1", "C1", "E1", "S9"]), 0..4),
            quote in "(false-claim high|was asked|called|claim tests|\\PC{0,8})",
            rationale in "(\\PC|\u{202e}|\u{1b}\\[2J|\n){0,600}",
            bytes: Vec<u8>,
        ) {
            let (quote, rationale) = (serde_json::json!(quote), serde_json::json!(rationale));
            let ids = serde_json::json!(ids);
            let opinion = format!(
                "{{\"about\": {about}, \"label\": \"{label}\", \"confidence\": {confidence}, \"evidence\": {ids}, \
                 \"quote\": {quote}, \"rationale\": {rationale}}}"
            );
            model_answer(format!("{hostile}\n{opinion}").as_bytes());
            model_answer(format!("{hostile}\n{{\"request\": \"{NONCE}\", \"opinions\": [{opinion}]}}").as_bytes());
            model_answer(&bytes);
        }
    }
}
