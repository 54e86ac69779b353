//! The reader of `codex` accounts.

use muster_account::{Body, Format, Reader, Status};
use serde_json::json;

/// What the output of a command says of it, and the reason if it was refused.
#[track_caller]
fn check(output: &str, status: Status, reason: Option<&str>) {
    let call = json!({"type": "response_item", "payload": {"type": "function_call", "name": "exec_command",
        "call_id": "c1", "arguments": "{\"cmd\":\"git push\"}"}});
    let end = json!({"type": "response_item", "payload": {"type": "function_call_output", "call_id": "c1",
        "output": output}});
    let bodies: Vec<Body> = Reader::new(Format::Codex)
        .feed(format!("{call}\n{end}\n").as_bytes())
        .into_iter()
        .flat_map(|record| record.items)
        .map(|item| item.body)
        .collect();
    let got = bodies.iter().find_map(|body| match body {
        Body::Result { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(got, Some(status), "{output}");
    let given = bodies.iter().find_map(|body| match body {
        Body::Decision { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(given, reason, "{output}");
}

#[test]
fn what_a_rule_refused_did_not_run() {
    let why = "`git push` rejected: policy forbids commands starting with `git push`";
    check(why, Status::Denied, Some(why));
    for start in ["exec_command failed: ", "exec_command failed for `git push`: "] {
        let said = format!("{start}CreateProcess {{ message: \"Rejected(\\\"{why}\\\")\" }}");
        check(&said, Status::Denied, Some(why));
    }
    check(
        "patch rejected: writing outside of the project",
        Status::Denied,
        Some("patch rejected: writing outside of the project"),
    );
    // It was tried, and failed; or a command printed it.
    check("exec_command failed: CreateProcess { message: \"No such file\" }", Status::Unknown, None);
    check(&format!("Chunk ID: a\nProcess exited with code 0\nOutput:\n{why}"), Status::Ok, None);
}
