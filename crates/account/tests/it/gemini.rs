//! The reader of `gemini` accounts.

use muster_account::{Body, Format, Reader, Status};
use serde_json::json;

/// What the account says of one shell call: the commands under which it may have run, status and exit code.
#[track_caller]
fn check(command: &str, output: &str, commands: &[&str], end: (Status, Option<i32>)) {
    said("success", command, output, commands, end);
}

#[track_caller]
fn said(status: &str, command: &str, output: &str, commands: &[&str], end: (Status, Option<i32>)) {
    let key = if status == "success" { "output" } else { "error" };
    let result = json!([{"functionResponse": {"response": {key: output}}}]);
    let call = json!({"id": "c1", "name": "run_shell_command", "args": {"command": command}, "status": status, "result": result});
    let record = json!({"id": "m1", "type": "gemini", "content": "", "toolCalls": [call]});
    let items: Vec<Body> = Reader::new(Format::GeminiCli)
        .feed(format!("{record}\n").as_bytes())
        .into_iter()
        .flat_map(|record| record.items)
        .map(|item| item.body)
        .collect();
    let named: Vec<&str> = items
        .iter()
        .filter_map(|body| match body {
            Body::Call { command, .. } | Body::Effective { command, .. } => command.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(named, commands);
    let ends: Vec<_> = items
        .iter()
        .filter_map(|body| match body {
            Body::Result { status, exit_code, .. } => Some((*status, *exit_code)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [end], "{output}");
}

#[test]
fn how_a_command_ended_stands_in_the_block_at_the_end() {
    let end = |output: &str, end| check("ls", output, &["ls"], end);
    end("Output: a\nProcess Group PGID: 7", (Status::Ok, Some(0)));
    end("Output: (empty)\nExit Code: 3\nProcess Group PGID: 7", (Status::Ok, Some(3)));
    end("Output: (empty)\nSignal: 9\nProcess Group PGID: 7", (Status::Failed, None));
    end("Output: (empty)\nError: spawn bash ENOENT\nProcess Group PGID: 7", (Status::Ok, None));
    end("Output: x\nError: (none)\nExit Code: 0\nSignal: 0\nProcess Group PGID: 7", (Status::Ok, Some(0)));
    end(
        "<untrusted_context>\nOutput: Exit Code: 5\nProcess Group PGID: 7\n</untrusted_context>",
        (Status::Ok, Some(0)),
    );
    // The command's own words are none of the harness's.
    end("Output: Exit Code: 5\nbye\nProcess Group PGID: 7", (Status::Ok, Some(0)));
    end("Three tests passed.", (Status::Ok, None));
    end("Command was automatically cancelled because it exceeded the timeout", (Status::TimedOut, None));
    end("Command was cancelled by user before it could complete.", (Status::Killed, None));
    end("Command moved to background (PID: 7). Output hidden.", (Status::Running, None));
}

/// "success" is also what Gemini CLI calls its own refusal of a command.
#[test]
fn what_it_refuses_by_itself_did_not_run() {
    let end = |status: &str, output: &str, end| said(status, "ls", output, &["ls"], (end, None));
    end("success", "Command injection detected: command substitution syntax ($(), …) found", Status::NotRun);
    end("success", "Command was cancelled by user before it could start.", Status::NotRun);
    end("error", "Tool execution denied by policy.", Status::Denied);
    end("error", "Tool execution denied by policy. Not on this machine.", Status::Denied);
    end("error", "Tool execution for \"Shell\" denied by policy.", Status::Denied);
    end("error", "Tool execution blocked: no", Status::Denied);
    end("error", "Tool \"run_shell_command\" not found. Did you mean", Status::NotRun);
    end("error", "params must have required property 'command'", Status::NotRun);
    end("error", "Path not in workspace: Attempted path \"/x\" resolves outside", Status::NotRun);
    end("error", "Agent execution stopped by hook: enough", Status::Unknown);
    end("error", "EACCES: it says denied by policy", Status::Failed);
    end("cancelled", "[Operation Cancelled] Reason: User denied execution.", Status::Denied);
    end("cancelled", "[Operation Cancelled] User cancelled tool execution.", Status::Unknown);
    // A command that prints such words has its block at the end.
    check(
        "ls",
        "Output: Command injection detected: x\nProcess Group PGID: 7",
        &["ls"],
        (Status::Ok, Some(0)),
    );
}

/// It takes a shell off that the model puts before its command.
#[test]
fn a_shell_before_the_command_is_not_what_runs() {
    let run = |command: &str, more: &[&str]| {
        let named: Vec<&str> = [command].into_iter().chain(more.iter().copied()).collect();
        check(command, "Output: a\nProcess Group PGID: 7", &named, (Status::Ok, Some(0)));
    };
    run("bash -c 'kill -9 $$'", &["kill -9 $$"]);
    run("/bin/sh -c ls", &["ls"]);
    run(r#"sh -c "echo \"a\" $HOME \$b""#, &[r#"echo "a" $HOME $b"#]);
    run("bash -cx ls", &[]);
    run("bash script.sh", &[]);
    run("echo bash -c ls", &[]);
}
