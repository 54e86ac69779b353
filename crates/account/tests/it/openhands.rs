//! OpenHands: events of a real run of SDK 1.58.0, and small cases from what its sources can write.

use muster_account::{Body, Class, Decision, Format, Item, Origin, Reader, Status};
use proptest::prelude::*;
use serde_json::{Value, json};

macro_rules! events {
    ($($name:literal)*) => {
        [$(include_str!(concat!("../data/openhands/event-", $name, ".json"))),*]
    };
}

const EVENTS: [&str; 17] = events!(
    "00001" "00002" "00003" "00004" "00005" "00006" "00007" "00008" "00009" "00010" "00011" "00012" "00013" "00016"
    "00017" "00018" "00019"
);

fn items(document: &str) -> Vec<Item> {
    let mut reader = Reader::new(Format::OpenHands);
    reader.feed(document.as_bytes()).into_iter().flat_map(|record| record.items).collect()
}

fn bodies(document: Value) -> Vec<Body> {
    items(&document.to_string()).into_iter().map(|item| item.body).collect()
}

fn line(body: &Body) -> String {
    match body {
        Body::Prompt { text, origin } => format!("{origin:?}: {text}"),
        Body::Text { text, last } => format!("{} {text}", if *last { "last" } else { "text" }),
        Body::Call { tool, class, command, paths, .. } => {
            format!("{tool} {class:?} {:?} {paths:?}", command.as_deref().unwrap_or_default())
        }
        Body::Result { status, exit_code, output, .. } => {
            format!("-> {status:?} {exit_code:?} {}", output.lines().next().unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn a_run() {
    let done = "Done. I created `calc.py` and `test_calc.py`. All tests pass. I committed and pushed the changes. \
                I did not modify the tests to make them pass, and I made no network requests.";
    let told: Vec<String> =
        EVENTS.iter().flat_map(|event| items(event)).map(|item| line(&item.body)).collect();
    let expected = [
        "User: FIXTURE-TASK: add an add(a,b) function to calc.py with tests, run them and commit",
        "text I'll look at the project first.",
        r#"terminal Execute "ls -la && git status --short" []"#,
        "-> Ok Some(0) total 12",
        r#"file_editor Edit "" ["/home/dev/oh/proj/calc.py"]"#,
        "-> Ok None File created successfully at: /home/dev/oh/proj/calc.py",
        r#"file_editor Edit "" ["/home/dev/oh/proj/test_calc.py"]"#,
        "-> Ok None File created successfully at: /home/dev/oh/proj/test_calc.py",
        r#"terminal Execute "python3 test_calc.py" []"#,
        // `is_error` is false here.
        "-> Failed Some(1) FAILED test_add",
        r#"file_editor Edit "" ["/home/dev/oh/proj/test_calc.py"]"#,
        "-> Ok None The file /home/dev/oh/proj/test_calc.py has been edited. Here's the result of running `cat -n` \
         on a snippet of /home/dev/oh/proj/test_calc.py:",
        r#"terminal Execute "python3 test_calc.py && git add -A && git -c user.email=a@b.c -c user.name=x commit -qm 'Add calc' && git log --oneline | head -1" []"#,
        "-> Ok Some(0) 1 passed",
        r#"nosuchtool Other "" []"#,
        "-> NotRun None Tool 'nosuchtool' not found. Available: ['terminal', 'file_editor', 'finish', 'think']",
        &format!("last {done}"),
        "TurnEnd",
    ];
    assert_eq!(told, expected);
}

#[test]
fn calls_and_results_meet_and_keep_what_was_asked() {
    let [call] = &items(EVENTS[7])[..] else { unreachable!() };
    let [result] = &items(EVENTS[8])[..] else { unreachable!() };
    let Body::Call { call_id: asked, arguments, .. } = &call.body else { panic!("{call:?}") };
    let Body::Result { call_id: answered, .. } = &result.body else { panic!("{result:?}") };
    assert_eq!(asked, answered);
    // The model's own estimate of risk is in there only.
    assert!(arguments.contains("\"security_risk\": \"LOW\""));
}

#[test]
fn only_a_time_with_an_offset_is_a_time() {
    assert!(EVENTS.iter().flat_map(|event| items(event)).all(|item| item.time_ns.is_none()));
    let event = json!({"kind": "PauseEvent", "timestamp": "2026-11-23T16:15:36.5+00:00"});
    assert_eq!(items(&event.to_string())[0].time_ns, Some(1_795_450_536_500_000_000));
}

#[track_caller]
fn outcome(observation: Value, status: Status, exit_code: Option<i32>) {
    let got = bodies(json!({"kind": "ObservationEvent", "tool_call_id": "c", "observation": observation}));
    let is = match &got[..] {
        [Body::Result { status, exit_code, .. }] => Some((*status, *exit_code)),
        _ => None,
    };
    assert_eq!(is, Some((status, exit_code)), "{got:?}");
}

#[test]
fn outcomes_of_a_terminal() {
    let terminal = |error: bool, code: Value, suffix: &str| {
        json!({"kind": "TerminalObservation", "is_error": error, "exit_code": code,
            "metadata": {"exit_code": -1, "suffix": suffix}})
    };
    outcome(terminal(false, json!(0), ""), Status::Ok, Some(0));
    outcome(terminal(false, json!(2), ""), Status::Failed, Some(2));
    outcome(
        terminal(false, json!(-1), "[The command has no new output after 30 seconds.]"),
        Status::Running,
        None,
    );
    outcome(terminal(false, json!(-1), "but the exit code could not be determined."), Status::Unknown, None);
    // Refused: another command still runs; several commands at once.
    outcome(terminal(true, json!(-1), "[Your command \"x\" is NOT executed."), Status::NotRun, None);
    outcome(terminal(true, Value::Null, ""), Status::NotRun, None);
    outcome(json!({"kind": "TerminalObservation", "is_error": false}), Status::Unknown, None);
    outcome(json!({"kind": "FileEditorObservation", "is_error": true}), Status::Failed, None);
    outcome(json!({"kind": "MCPToolObservation", "is_error": false}), Status::Ok, None);
}

#[test]
fn errors_of_the_scaffold() {
    for (error, expected) in [
        ("Tool 'x' not found. Available: []", Status::NotRun),
        ("Error validating tool 'x'", Status::NotRun),
        ("Tool call cancelled by interrupt.", Status::NotRun),
        ("Error executing tool 'x': boom", Status::Failed),
        ("Tool call interrupted before completion. The conversation was paused.", Status::Killed),
    ] {
        let got = bodies(json!({"kind": "AgentErrorEvent", "tool_call_id": "c", "error": error}));
        assert!(matches!(&got[..], [Body::Result { status, .. }] if *status == expected), "{got:?}");
    }
}

#[test]
fn a_rejection_says_who() {
    let event = json!({"kind": "UserRejectObservation", "tool_call_id": "c", "action_id": "a",
        "rejection_reason": "no network", "rejection_source": "hook"});
    let got = bodies(event);
    let decision = Body::Decision {
        call_id: Some("c".to_owned()),
        decision: Decision::Reject,
        by: "hook".to_owned(),
        reason: "no network".to_owned(),
    };
    assert_eq!(got[0], decision);
    assert!(matches!(&got[1], Body::Result { status: Status::Denied, .. }));
}

#[test]
fn keys_typed_into_a_program_are_no_command() {
    let action = json!({"kind": "TerminalAction", "command": "C-c", "is_input": true});
    let got = bodies(
        json!({"kind": "ActionEvent", "tool_name": "terminal", "tool_call_id": "c", "action": action}),
    );
    assert!(matches!(&got[..], [Body::Call { command: None, class: Class::Execute, .. }]), "{got:?}");
}

#[test]
fn an_agent_that_answers_without_a_call_has_ended() {
    let message = json!({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}],
        "reasoning_content": "hm", "thinking_blocks": []});
    let got = bodies(json!({"kind": "MessageEvent", "source": "agent", "llm_message": message}));
    let expected = [
        Body::Thinking { text: "hm".to_owned() },
        Body::Text { text: "a".to_owned(), last: true },
        Body::TurnEnd,
    ];
    assert_eq!(got, expected);
}

#[test]
fn the_state_of_the_conversation_is_its_session() {
    let state = json!({"id": "s", "agent": {"llm": {"model": "openai/gpt-4o"}},
        "workspace": {"working_dir": "/p"}, "confirmation_policy": {"kind": "NeverConfirm"}});
    let mut reader = Reader::new(Format::OpenHands);
    let mut feed = || reader.feed(state.to_string().as_bytes()).remove(0).items;
    let first = feed();
    let Body::Session { id, model, cwd, authority, .. } = &first[0].body else { panic!("{first:?}") };
    assert_eq!(id, "s");
    assert_eq!((model.as_deref(), cwd.as_deref()), (Some("openai/gpt-4o"), Some("/p")));
    assert_eq!(authority.as_deref(), Some("NeverConfirm"));
    assert_eq!(feed(), [], "the file is rewritten at every step");
}

#[test]
fn a_log_of_the_old_kind() {
    let log = json!([
        {"id": 0, "source": "user", "action": "message", "args": {"content": "fix it"}},
        {"id": 1, "source": "agent", "action": "run", "args": {"command": "make", "thought": "I build."},
         "tool_call_metadata": {"function_name": "execute_bash", "tool_call_id": "toolu_1"}},
        {"id": 2, "source": "agent", "observation": "run", "content": "boom", "cause": 1,
         "extras": {"command": "make", "metadata": {"exit_code": 2}}, "success": false},
        {"id": 3, "source": "agent", "action": "edit", "args": {"path": "/a", "command": "view"}},
        {"id": 4, "source": "agent", "observation": "error", "content": "no such file", "cause": 3},
        {"id": 5, "source": "environment", "observation": "agent_state_changed", "content": ""},
        {"id": 6, "source": "agent", "action": "run", "args": {"command": "C-c", "is_input": true}},
        {"id": 7, "source": "agent", "observation": "user_rejected", "content": "no", "cause": 6},
        {"id": 8, "source": "agent", "action": "finish", "args": {"final_thought": "Fixed.", "thought": ""}},
        {"id": 9, "source": "agent", "action": "teleport", "args": {}}
    ]);
    let told: Vec<String> = bodies(log.clone()).iter().map(line).collect();
    let reject = Body::Decision {
        call_id: Some("6".to_owned()),
        decision: Decision::Reject,
        by: "user".to_owned(),
        reason: "no".to_owned(),
    };
    let expected = [
        "User: fix it",
        "text I build.",
        r#"execute_bash Execute "make" []"#,
        "-> Failed Some(2) boom",
        r#"edit Read "" ["/a"]"#,
        "-> Failed None no such file",
        r#"run Execute "" []"#,
        &line(&reject),
        "-> Denied None no",
        "last Fixed.",
        "TurnEnd",
        r#"Other { record_type: "action teleport" }"#,
    ];
    assert_eq!(told, expected);

    // The file grows: what was given is not given again.
    let mut reader = Reader::new(Format::OpenHands);
    let mut lengths = Vec::new();
    for end in [2, 3, 3] {
        let part = Value::from(log.as_array().unwrap()[..end].to_vec());
        lengths.push(reader.feed(part.to_string().as_bytes())[0].items.len());
    }
    assert_eq!(lengths, [3, 1, 0]);
}

#[test]
fn calls_of_an_old_log_meet_by_number() {
    let got = bodies(json!({"id": 4, "action": "run", "args": {"command": "x"}}));
    let answer = bodies(json!({"id": 5, "observation": "run", "cause": 4, "extras": {"exit_code": -1}}));
    assert!(matches!(&got[0], Body::Call { call_id, .. } if call_id == "4"));
    assert!(
        matches!(&answer[0], Body::Result { call_id, status: Status::Running, exit_code: None, .. } if call_id == "4")
    );
}

#[test]
fn what_is_not_known_is_carried() {
    for document in
        [json!({"kind": "NewEvent"}), json!({}), json!(3), json!([1]), json!({"observation": "dream"})]
    {
        let got = bodies(document);
        assert!(matches!(&got[..], [Body::Other { .. }]), "{got:?}");
    }
    assert_eq!(bodies(json!({"kind": "TokenEvent"})), []);
    assert_eq!(
        bodies(json!({"kind": "MessageEvent"})),
        [Body::Prompt { text: String::new(), origin: Origin::Unknown }]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "ActionEvent",
        "ObservationEvent",
        "MessageEvent",
        "TerminalAction",
        "TerminalObservation",
        "FinishAction",
        "AgentErrorEvent",
        "UserRejectObservation",
        "run",
        "finish",
        "message",
        "agent",
        "user",
        "",
        "é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "kind",
        "action",
        "observation",
        "args",
        "extras",
        "metadata",
        "exit_code",
        "content",
        "text",
        "source",
        "id",
        "cause",
        "timestamp",
        "thought",
        "thinking_blocks",
        "llm_message",
        "command",
        "patch",
        "agent",
        "history",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_panics(documents in prop::collection::vec(any_json(), 1..4)) {
        let mut reader = Reader::new(Format::OpenHands);
        for document in documents {
            reader.feed(document.to_string().as_bytes());
        }
    }
}
