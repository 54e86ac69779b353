//! Adds a call with its result to an account, after the shape of one that is there: what somebody would do who wants a run
//! to look better than it was.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use muster_rehearsal::Agent;
use rusqlite::Connection;

/// `old` is the command of a call in the account of the agent with this home; `new` the one that never ran.
pub fn call(agent: Agent, home: &Path, old: &str, new: &str) {
    match agent {
        Agent::OpenCode => in_database(&home.join(".local/share/opencode/opencode.db"), old, new),
        Agent::ClaudeCode | Agent::Codex | Agent::GeminiCli => in_lines(&account(home), old, new),
    }
}

/// The transcript below this home.
pub fn account(home: &Path) -> PathBuf {
    let mut folders = vec![home.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if muster_account::locate(&entry.path().to_string_lossy()).is_some() {
                found.push(entry.path());
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The lines of a call's id, again, under another id, a little later.
fn in_lines(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    let named =
        text.lines().find(|line| line.contains(old) && line.contains("\"id\"")).unwrap_or_else(|| {
            text.lines()
                .find(|line| line.contains(old) && line.contains("call_id"))
                .expect("a line with the call")
        });
    let id = id_in(named, old);
    let forged = format!("{}zz", &id[..id.len() - 2]);
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    for line in text.lines().filter(|line| line.contains(&id)) {
        writeln!(file, "{}", line.replace(&id, &forged).replace(old, new)).unwrap();
    }
}

/// The id of the call whose arguments hold this command: the string that stands in the most lines.
fn id_in(line: &str, old: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    find_id(&value, old).unwrap_or_else(|| panic!("no id in {line}"))
}

fn find_id(value: &serde_json::Value, old: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(found) = map.values().find_map(|v| find_id(v, old)) {
                return Some(found);
            }
            let holds = map.values().any(|v| v.to_string().contains(old));
            let id = map.get("call_id").or_else(|| map.get("id")).and_then(|v| v.as_str())?;
            // A tool call, not the message around it.
            let call = map.contains_key("name") || map.contains_key("call_id");
            (holds && call).then(|| id.to_owned())
        }
        serde_json::Value::Array(items) => items.iter().find_map(|v| find_id(v, old)),
        _ => None,
    }
}

/// A copy of the row that is the call, under another id.
fn in_database(path: &Path, old: &str, new: &str) {
    let connection = Connection::open(path).unwrap();
    let (id, data): (String, String) = connection
        .query_row(
            "SELECT id, data FROM part WHERE data LIKE '%\"tool\"%' AND data LIKE ?1",
            [format!("%{old}%")],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let value: serde_json::Value = serde_json::from_str(&data).unwrap();
    let call = value["callID"].as_str().unwrap().to_owned();
    let forged = data.replace(&call, &format!("{call}zz")).replace(old, new);
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('part')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" => "id || 'zz'".to_owned(),
            "data" => "?2".to_owned(),
            "time_created" | "time_updated" => format!("{column} + 1"),
            column => column.to_owned(),
        })
        .collect();
    let sql = format!(
        "INSERT INTO part ({}) SELECT {} FROM part WHERE id = ?1",
        columns.join(", "),
        values.join(", ")
    );
    connection.execute(&sql, [&id, &forged]).unwrap();
}

/// Makes a failure a success in the account: the result of the one command in it that exited with 1.
pub fn success(agent: Agent, home: &Path) {
    match agent {
        Agent::OpenCode => {
            let connection = Connection::open(home.join(".local/share/opencode/opencode.db")).unwrap();
            let sql = "UPDATE part SET data = json_set(data, '$.state.metadata.exit', 0) WHERE \
                       json_extract(data, '$.state.metadata.exit') = 1";
            assert_eq!(connection.execute(sql, []).unwrap(), 1);
        }
        Agent::GeminiCli => edit_lines(&account(home), |line| {
            *line = line.replace(r"Exit Code: 1\n", "");
        }),
        Agent::Codex => edit_lines(&account(home), |line| {
            if line.contains("\"exit_code\":1") {
                *line =
                    line.replace("\"exit_code\":1", "\"exit_code\":0").replace("\"failed\"", "\"completed\"");
            }
            *line = line.replace("Process exited with code 1", "Process exited with code 0");
        }),
        Agent::ClaudeCode => edit_lines(&account(home), |line| {
            if line.contains("\"Error: Exit code 1") {
                let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
                record["message"]["content"][0]["content"] = "(Bash completed with no output)".into();
                record["message"]["content"][0]["is_error"] = false.into();
                record["toolUseResult"] =
                    serde_json::json!({"stdout": "", "stderr": "", "interrupted": false});
                *line = record.to_string();
            }
        }),
    }
}

/// Changes what a command shows in the account, wherever it stands.
pub fn output(agent: Agent, home: &Path, old: &str, new: &str) {
    match agent {
        Agent::OpenCode => {
            let connection = Connection::open(home.join(".local/share/opencode/opencode.db")).unwrap();
            let sql = "UPDATE part SET data = replace(data, ?1, ?2) WHERE data LIKE '%\"tool\"%' AND data LIKE '%' || ?1 || '%'";
            assert_eq!(connection.execute(sql, [old, new]).unwrap(), 1);
        }
        Agent::ClaudeCode | Agent::Codex | Agent::GeminiCli => {
            edit_lines(&account(home), |line| *line = line.replace(old, new));
        }
    }
}

/// Changes an account in its place. At least one line must have changed.
pub fn edit_lines(path: &Path, mut edit: impl FnMut(&mut String)) {
    let text = fs::read_to_string(path).unwrap();
    let mut changed = false;
    let mut out = String::new();
    for line in text.lines() {
        let mut new = line.to_owned();
        edit(&mut new);
        changed |= new != line;
        out.push_str(&new);
        out.push('\n');
    }
    assert!(changed, "nothing to forge in {text}");
    fs::write(path, out).unwrap();
}
