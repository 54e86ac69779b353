//! The reader of `claude` accounts.

use muster_account::{Body, Format, Reader, Status};
use serde_json::{Value, json};

#[track_caller]
fn check(content: &str, is_error: bool, detail: Value, status: Status, exit_code: Option<i32>) {
    let block = json!({"type": "tool_result", "tool_use_id": "t1", "content": content, "is_error": is_error});
    let record =
        json!({"type": "user", "message": {"role": "user", "content": [block]}, "toolUseResult": detail});
    let ends: Vec<_> = Reader::new(Format::ClaudeCode)
        .feed(format!("{record}\n").as_bytes())
        .into_iter()
        .flat_map(|record| record.items)
        .filter_map(|item| match item.body {
            Body::Result { status, exit_code, .. } => Some((status, exit_code)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(status, exit_code)], "{content}");
}

#[test]
fn the_exit_code_of_a_shell() {
    let shell = json!({"stdout": "a", "stderr": "", "interrupted": false});
    check("a", false, shell.clone(), Status::Ok, Some(0));
    check("Exit code 2\nno", true, json!("Error: Exit code 2\nno"), Status::Failed, Some(2));
    check("wrote it", false, json!({"type": "create"}), Status::Ok, None);
    // `grep` that finds nothing: the account calls it no error, and has the number in words only.
    for (meaning, code) in [("No matches found", Some(1)), ("Files differ", Some(1)), ("As ever", None)] {
        let mut told = shell.clone();
        told["returnCodeInterpretation"] = json!(meaning);
        check("(Bash completed with no output)", false, told, Status::Ok, code);
    }
}

/// What a background command's own text says is not how it ended.
#[test]
fn the_exit_code_of_a_background_command_stands_at_the_end() {
    #[track_caller]
    fn check(summary: &str, expected: Option<i32>) {
        let content = format!(
            "<task-notification><task-id>b1</task-id><tool-use-id>t1</tool-use-id><status>completed</status>\
             <summary>{summary}</summary></task-notification>"
        );
        let record = json!({"type": "queue-operation", "operation": "enqueue", "content": content});
        let codes: Vec<_> = Reader::new(Format::ClaudeCode)
            .feed(format!("{record}\n").as_bytes())
            .into_iter()
            .flat_map(|record| record.items)
            .filter_map(|item| match item.body {
                Body::Result { exit_code, .. } => Some(exit_code),
                _ => None,
            })
            .collect();
        assert_eq!(codes, [expected], "{summary}");
    }
    check("Background command \"x\" completed (exit code 0)", Some(0));
    check("Background command \"x\" failed with exit code 3", Some(3));
    check("Background command \"echo exit code 7\" completed", None);
}

/// Versions before the mark say it in words only; those of an MCP server are its own.
#[test]
fn what_was_refused_did_not_run() {
    #[track_caller]
    fn check(content: &str, more: Value, expected: Status) {
        let block = json!({"type": "tool_result", "tool_use_id": "t1", "content": content, "is_error": true});
        let mut record = json!({"type": "user", "message": {"role": "user", "content": [block]}});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let got: Vec<_> = Reader::new(Format::ClaudeCode)
            .feed(format!("{record}\n").as_bytes())
            .into_iter()
            .flat_map(|record| record.items)
            .filter_map(|item| match item.body {
                Body::Result { status, .. } => Some(status),
                _ => None,
            })
            .collect();
        assert_eq!(got, [expected], "{content} {more}");
    }
    let rule = "Permission to use Bash with command git push has been denied.";
    check(rule, json!({}), Status::Denied);
    check(rule, json!({"toolDenialKind": "permission-rule"}), Status::Denied);
    check(rule, json!({"permissionDecision": {"decision": "accept"}}), Status::Failed);
    check(rule, json!({"mcpMeta": {}}), Status::Failed);
    check("no", json!({"permissionDecision": {"decision": "reject", "source": "hook"}}), Status::Denied);
    check("no", json!({"toolDenialKind": "automode-blocked"}), Status::Denied);
    check("no", json!({"toolDenialKind": "permission-rule", "toolDenialAfterRun": true}), Status::Failed);
    check("no", json!({"toolDenialKind": "interrupted"}), Status::Failed);
    check("The user doesn't want to proceed with this tool use. The", json!({}), Status::Denied);
    check("Exit code 1\nPermission to use x", json!({}), Status::Failed);
    let unfit = "<tool_use_error>InputValidationError: x</tool_use_error>";
    let decided = json!({"permissionDecision": {"decision": "reject", "source": "invalid_input"}});
    check(unfit, decided, Status::NotRun);
}
