//! OpenCode 1.18.33: rows as the queries give them, from real runs under a scripted model.

use std::collections::BTreeSet;

use muster_account::{Actor, Body, Class, Format, Item, OPENCODE_QUERIES, Origin, Reader, Status};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The rows as they changed while OpenCode ran.
const LIVE: &str = include_str!("../data/opencode/live.jsonl");
/// The same rows when it had ended.
const FINISHED: &str = include_str!("../data/opencode/finished.jsonl");
/// `git push` refused by a rule, two acts refused because nobody could be asked.
const DENIED: &str = include_str!("../data/opencode/denied.jsonl");
/// A background process, then a second prompt, ended by an interrupt while a command ran.
const INTERRUPTED: &str = include_str!("../data/opencode/interrupted.jsonl");

fn read(rows: &str) -> Vec<Item> {
    let mut reader = Reader::new(Format::OpenCode);
    let items =
        rows.lines().flat_map(|row| reader.feed(row.as_bytes())).flat_map(|record| record.items).collect();
    assert!(reader.unknown().is_empty(), "{:?}", reader.unknown());
    items
}

fn feed(reader: &mut Reader, row: &Value) -> Vec<Body> {
    let records = reader.feed(row.to_string().as_bytes());
    records.into_iter().flat_map(|record| record.items).map(|item| item.body).collect()
}

/// One line for each item, without sessions.
fn told(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(line).collect()
}

fn line(item: &Item) -> Option<String> {
    let who = if item.actor == Actor::Main { "" } else { "sub " };
    let what = match &item.body {
        Body::Prompt { text, origin } => format!("{origin:?}: {text}"),
        Body::Text { text, last } => format!("{} {text}", if *last { "last" } else { "text" }),
        Body::Call { tool, class, command, paths, cwd, .. } => {
            format!("{tool} {class:?} {:?} {paths:?} {cwd:?}", command.as_deref().unwrap_or_default())
        }
        Body::Result { status, exit_code, output, .. } => {
            format!("-> {status:?} {exit_code:?} {}", output.lines().next().unwrap_or_default())
        }
        Body::Decision { decision, by, .. } => format!("{decision:?} by {by}"),
        Body::Session { .. } => return None,
        other => format!("{other:?}"),
    };
    Some(format!("{who}{what}"))
}

#[test]
fn a_run_as_it_went() {
    let file = r#"["calc.py"]"#;
    let expected = [
        r#"User: "write calc.py""#.to_owned(),
        format!(r#"write Edit "" {file} None"#),
        "text I write it first.".to_owned(),
        "-> Ok None Wrote file successfully.".to_owned(),
        format!(r#"edit Edit "" {file} None"#),
        "-> Ok None Edit applied successfully.".to_owned(),
        r#"bash Execute "echo oops >&2; exit 1" [] None"#.to_owned(),
        "-> Failed Some(1) oops".to_owned(),
        r#"bash Execute "sleep 1; echo one > one" [] None"#.to_owned(),
        r#"bash Execute "echo two > two" [] None"#.to_owned(),
        "-> Ok Some(0) (no output)".to_owned(),
        "-> Ok Some(0) (no output)".to_owned(),
        format!(r#"read Read "" {file} None"#),
        "-> Ok None <path>/home/dev/proj/calc.py</path>".to_owned(),
        r#"read Read "" ["nosuch.txt"] None"#.to_owned(),
        "-> Failed None File not found: /home/dev/proj/nosuch.txt".to_owned(),
        r#"nosuchtool Other "" [] None"#.to_owned(),
        "-> NotRun None The arguments provided to the tool are invalid: Model tried to call unavailable tool \
         'nosuchtool'. Available tools: bash, edit, glob, grep, invalid, read, skill, task, todowrite, webfetch, write."
            .to_owned(),
        r#"bash Execute "" [] None"#.to_owned(),
        "-> NotRun None The bash tool was called with invalid arguments: SchemaError(Missing key".to_owned(),
        r#"bash Execute "sleep 30" [] None"#.to_owned(),
        "-> TimedOut None (no output)".to_owned(),
        r#"bash Execute "ls" [] Some("/home/dev/proj/.git")"#.to_owned(),
        "-> Ok Some(0) COMMIT_EDITMSG".to_owned(),
        r#"grep Search "" [] None"#.to_owned(),
        "-> Failed None ripgrep execution failed".to_owned(),
        r#"todowrite Plan "" [] None"#.to_owned(),
        "-> Ok None [".to_owned(),
        r#"task Delegate "" [] None"#.to_owned(),
        "sub Agent: look into it".to_owned(),
        r#"sub bash Execute "echo inner" [] None"#.to_owned(),
        "sub -> Ok Some(0) inner".to_owned(),
        "sub last inner done".to_owned(),
        "sub TurnEnd".to_owned(),
        r#"-> Ok None <task id="ses_df4b07c19ffeMfcBk2ST86ziky" state="completed">"#.to_owned(),
        r#"bash Execute "rm calc.py" [] None"#.to_owned(),
        "-> Ok Some(0) (no output)".to_owned(),
        "last All done; nothing failed.".to_owned(),
        "TurnEnd".to_owned(),
    ];
    let got = told(&read(LIVE));
    // The order within one poll is that of the rows.
    assert_eq!(BTreeSet::from_iter(&got), BTreeSet::from_iter(&expected), "{got:#?}");
    assert_eq!(got.len(), expected.len());
    assert_eq!(got.last(), expected.last());
    assert_eq!(got[got.len() - 2], expected[expected.len() - 2]);
}

#[test]
fn who_comes_late_hears_the_same() {
    let sorted = |rows| {
        let mut told = told(&read(rows));
        told.sort();
        told
    };
    assert_eq!(sorted(LIVE), sorted(FINISHED));
}

#[test]
fn rows_that_come_again_say_nothing_new() {
    let once = told(&read(FINISHED));
    assert_eq!(told(&read(&format!("{FINISHED}{FINISHED}"))), once);
}

#[test]
fn sessions_and_their_sub_agents() {
    let items = read(FINISHED);
    let sessions: Vec<_> = items.iter().filter(|item| matches!(item.body, Body::Session { .. })).collect();
    let main = "ses_df4b0a0d7ffeKrSsu6hjpJ7yb3";
    let deny = "deny question *; deny plan_enter *; deny plan_exit *";
    let session = |id: &str, parent: Option<&str>, agent| Body::Session {
        id: id.to_owned(),
        version: Some("1.18.33".to_owned()),
        model: Some("mock/m1".to_owned()),
        cwd: Some("/home/dev/proj".to_owned()),
        parent: parent.map(str::to_owned),
        authority: Some(agent),
    };
    let last_of = |id: &str| {
        let of = |item: &&&Item| matches!(&item.body, Body::Session { id: is, .. } if is == id);
        &sessions.iter().rfind(of).unwrap().body
    };
    assert_eq!(last_of(main), &session(main, None, format!("build; {deny}")));
    let sub = "ses_df4b07c19ffeMfcBk2ST86ziky";
    let Body::Session { parent, authority, .. } = last_of(sub) else { unreachable!() };
    assert_eq!(parent.as_deref(), Some(main));
    assert!(authority.as_deref().unwrap().starts_with("general; "), "{authority:?}");
    // Once each when first met, once when model and agent are known.
    assert_eq!(sessions.len(), 4);
}

#[test]
fn times_are_those_of_the_account() {
    let items = read(LIVE);
    let failed = items.iter().find(|i| matches!(i.body, Body::Result { exit_code: Some(1), .. })).unwrap();
    assert_eq!(failed.time_ns, Some(1_795_486_086_090_000_000));
    assert!(items.iter().all(|item| item.time_ns.is_some()));
}

#[test]
fn refusals() {
    let told = told(&read(DENIED));
    let at = |command: &str| told.iter().position(|line| line.contains(command)).unwrap();
    let push = at("\"git push\"");
    assert_eq!(told[push + 1], "Reject by rule");
    assert!(told[push + 2].starts_with("-> Denied None The user has specified a rule"));
    let cat = at("cat /etc/hostname");
    assert_eq!(
        told[cat + 1..cat + 3],
        ["Reject by user", "-> Denied None The user rejected permission to use this specific tool call.",]
    );
    // Killed in a moment by a signal; the account holds that it timed out.
    assert_eq!(told[at("kill -9 $$") + 1], "-> TimedOut None (no output)");
    let fetch = at("webfetch");
    assert_eq!(told[fetch], r#"webfetch Fetch "" [] None"#);
    assert!(told[fetch + 1].starts_with("-> Failed None Transport error"));
}

#[test]
fn an_interrupted_command_stays_without_a_result() {
    let told = told(&read(INTERRUPTED));
    let end = [
        "last First part over.",
        "TurnEnd",
        "User: \"go on\"",
        r#"bash Execute "sleep 100" [] None"#,
        "text now the long one",
    ];
    let mut got = told[told.len() - 5..].to_vec();
    got[3..].sort();
    assert_eq!(got, end);
    assert!(told.contains(&"-> Ok Some(0) started".to_owned()));
}

fn tool(state: Value) -> Value {
    let data = json!({"id": "prt_1", "messageID": "msg_1", "sessionID": "ses_1", "type": "tool", "tool": "bash",
        "callID": "c1", "state": state});
    json!({"table": "part", "id": "prt_1", "time_updated": 1, "data": data})
}

#[track_caller]
fn outcome(state: Value, status: Status, exit_code: Option<i32>) {
    let bodies = feed(&mut Reader::new(Format::OpenCode), &tool(state));
    let got = bodies.iter().find_map(|body| match body {
        Body::Result { status, exit_code, .. } => Some((*status, *exit_code)),
        _ => None,
    });
    assert_eq!(got, Some((status, exit_code)));
}

#[test]
fn outcomes() {
    let done = |output: &str, exit: Value| json!({"status": "completed", "input": {"command": "x"}, "output": output, "metadata": {"exit": exit}});
    let error = |error: &str| json!({"status": "error", "input": {"command": "x"}, "error": error});
    outcome(done("", json!(0)), Status::Ok, Some(0));
    outcome(done("", json!(143)), Status::Failed, Some(143));
    // Success is never assumed.
    outcome(done("fine", Value::Null), Status::Unknown, None);
    outcome(done("fine", json!("0")), Status::Unknown, None);
    outcome(json!({"status": "completed", "output": "old"}), Status::Unknown, None);
    let note = "out\n\n<shell_metadata>\nUser aborted the command\n</shell_metadata>";
    outcome(done(note, Value::Null), Status::Killed, None);
    // A command that prints such words by itself has its exit code.
    outcome(
        done("<shell_metadata>terminated command after exceeding timeout", json!(0)),
        Status::Ok,
        Some(0),
    );
    outcome(error("Tool execution aborted"), Status::Killed, None);
    outcome(error("cannot stat: The user rejected permission"), Status::Failed, None);
    outcome(error("The user dismissed this question"), Status::Denied, None);
}

#[test]
fn a_call_is_told_when_its_input_is_whole() {
    let mut reader = Reader::new(Format::OpenCode);
    assert_eq!(feed(&mut reader, &tool(json!({"status": "pending", "input": {}, "raw": ""}))), []);
    let running = tool(json!({"status": "running", "input": {"command": "a"}, "time": {"start": 5}}));
    assert!(matches!(&feed(&mut reader, &running)[..], [Body::Call { command: Some(c), .. }] if c == "a"));
    assert_eq!(feed(&mut reader, &running), []);
    let done = tool(json!({"status": "completed", "input": {"command": "a"}, "metadata": {"exit": 0}}));
    assert!(matches!(&feed(&mut reader, &done)[..], [Body::Result { status: Status::Ok, .. }]));
}

#[test]
fn a_message_with_a_call_does_not_end_the_turn() {
    let mut reader = Reader::new(Format::OpenCode);
    let said = json!({"id": "prt_0", "messageID": "msg_1", "sessionID": "ses_1", "role": "assistant", "type": "text",
        "text": "I look.", "time": {"start": 1, "end": 2}});
    assert_eq!(feed(&mut reader, &json!({"table": "part", "data": said})), []);
    let bodies = feed(&mut reader, &tool(json!({"status": "running", "input": {"command": "a"}})));
    assert_eq!(bodies[0], Body::Text { text: "I look.".to_owned(), last: false });
    // Some providers say `stop` even so.
    let message = json!({"id": "msg_1", "sessionID": "ses_1", "role": "assistant", "finish": "stop",
        "time": {"created": 1, "completed": 3}});
    let bodies = feed(&mut reader, &json!({"table": "message", "data": message}));
    assert!(matches!(&bodies[..], [Body::Session { .. }]), "{bodies:?}");
}

#[test]
fn files_of_a_patch() {
    let patch = "*** Begin Patch\n*** Add File: a b.txt\n+x\n*** Update File: c\n*** Move to: d\n*** Delete File: e\n";
    let mut row = tool(json!({"status": "running", "input": {"patchText": patch}}));
    row["data"]["tool"] = json!("apply_patch");
    let bodies = feed(&mut Reader::new(Format::OpenCode), &row);
    let Body::Call { class, paths, command, .. } = &bodies[0] else { panic!("{bodies:?}") };
    assert_eq!((*class, command), (Class::Edit, &None));
    assert_eq!(paths, &["a b.txt", "c", "d", "e"]);
}

#[test]
fn files_of_older_versions() {
    let mut reader = Reader::new(Format::OpenCode);
    let session =
        json!({"id": "ses_1", "version": "0.9", "projectID": "p", "directory": "/p", "time": {"created": 1}});
    let message = json!({"id": "msg_1", "sessionID": "ses_1", "role": "user", "time": {"created": 2}});
    let part =
        json!({"id": "prt_1", "messageID": "msg_1", "sessionID": "ses_1", "type": "text", "text": "hi"});
    assert!(
        matches!(&feed(&mut reader, &session)[..], [Body::Session { cwd: Some(cwd), .. }] if cwd == "/p")
    );
    assert_eq!(feed(&mut reader, &message), []);
    let prompt = Body::Prompt { text: "hi".to_owned(), origin: Origin::User };
    assert_eq!(feed(&mut reader, &part), [prompt]);
    assert!(reader.unknown().is_empty());
}

#[test]
fn what_is_not_known_is_carried() {
    let mut reader = Reader::new(Format::OpenCode);
    for row in [
        json!({"table": "part", "data": {"id": "p", "type": "hologram"}}),
        json!({"table": "todo", "data": {}}),
        json!({"table": "message", "data": "not json"}),
        json!(7),
    ] {
        assert!(matches!(&feed(&mut reader, &row)[..], [Body::Other { .. }]), "{row}");
    }
    assert_eq!(reader.unknown().len(), 4);
}

#[test]
fn the_queries_name_their_table_and_take_one_parameter() {
    let tables: Vec<&str> = OPENCODE_QUERIES.iter().map(|query| query.table).collect();
    assert_eq!(tables, ["session", "part", "message"]);
    for query in OPENCODE_QUERIES {
        assert!(query.sql.starts_with(&format!("SELECT '{}', ", query.table)));
        assert_eq!(query.sql.matches('?').count(), 1);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "session",
        "message",
        "part",
        "tool",
        "text",
        "completed",
        "error",
        "running",
        "bash",
        "assistant",
        "user",
        "stop",
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
        "table",
        "data",
        "id",
        "type",
        "state",
        "status",
        "input",
        "metadata",
        "exit",
        "time",
        "start",
        "end",
        "text",
        "role",
        "finish",
        "error",
        "messageID",
        "sessionID",
        "tool",
        "output",
        "permission",
        "edits",
        "parentID",
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
    fn no_row_panics(rows in prop::collection::vec(any_json(), 1..6)) {
        let mut reader = Reader::new(Format::OpenCode);
        for row in rows {
            feed(&mut reader, &row);
        }
    }
}
