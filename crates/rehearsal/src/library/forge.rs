//! What others do to an account: what somebody would do who wants a run to look better than it was.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde_json::Value;

use super::line::{Chain, Part, call_id, part};
use super::scenario::Act;
use crate::agent::Agent;

type Done = Result<(), String>;

/// Everything but what concerns Muster itself.
pub(super) fn act(agent: Agent, home: &Path, project: &Path, act: &Act) -> Done {
    match act {
        Act::Sh(script) => return shell(home, project, script),
        Act::Sleep(ms) => {
            std::thread::sleep(Duration::from_millis(*ms));
            return Ok(());
        }
        Act::Stop | Act::Go => return Err("not done here".to_owned()),
        _ => {}
    }
    if agent == Agent::OpenCode { database(home, act) } else { lines(agent, home, act) }
}

fn shell(home: &Path, project: &Path, script: &str) -> Done {
    let out = Command::new("bash").args(["-ec", script]).current_dir(project).env("HOME", home).output();
    let out = out.map_err(|e| e.to_string())?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("`{script}`: {}", String::from_utf8_lossy(&out.stderr)))
    }
}

/// The transcript of the main session: the oldest below this home.
pub(super) fn account(agent: Agent, home: &Path) -> Result<PathBuf, String> {
    let (folder, begin) = match agent {
        Agent::ClaudeCode => (".claude/projects", ""),
        Agent::Codex => (".codex/sessions", "rollout-"),
        Agent::GeminiCli => (".gemini/tmp", "session-"),
        Agent::OpenCode => return Ok(home.join(".local/share/opencode/opencode.db")),
    };
    let mut folders = vec![home.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "subagents" {
                    folders.push(path);
                }
            } else if name.starts_with(begin) && name.ends_with(".jsonl") {
                let born = entry.metadata().and_then(|m| m.created()).map_err(|e| e.to_string())?;
                found.push((born, path));
            }
        }
    }
    found.sort();
    found.into_iter().next().map(|(_, path)| path).ok_or_else(|| "there is no account".to_owned())
}

fn lines(agent: Agent, home: &Path, act: &Act) -> Done {
    let path = account(agent, home)?;
    let io = |e: std::io::Error| format!("{}: {e}", path.display());
    let old = fs::read_to_string(&path).map_err(io)?;
    let mut kept: Vec<&str> = old.lines().collect();
    let values: Vec<Value> = kept.iter().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    let id_of = |like: &str| {
        call_id(agent, &values, like).ok_or(format!("no call with `{like}` in {}", path.display()))
    };
    let index = |words: &str| {
        kept.iter().position(|line| line.contains(words)).ok_or(format!("no line with `{words}`"))
    };
    match act {
        Act::Call { like, swap } => {
            append(agent, &path, &values, &copies(agent, &values, &id_of(like)?, swap, Copies::All))
        }
        Act::Orphan { like, swap } => {
            append(agent, &path, &values, &copies(agent, &values, &id_of(like)?, swap, Copies::Result))
        }
        Act::Again { like, swap } => {
            append(agent, &path, &values, &copies(agent, &values, &id_of(like)?, swap, Copies::SameId))
        }
        Act::Replace { old: from, new } => {
            if !old.contains(from) {
                return Err(format!("`{from}` is not in {}", path.display()));
            }
            fs::write(&path, old.replace(from, new)).map_err(io)
        }
        Act::Patch { old: from, new } => patch(&path, &old, from, new),
        Act::Drop { holding } => {
            index(holding)?;
            kept.retain(|line| !line.contains(holding));
            fs::write(&path, joined(&kept)).map_err(io)
        }
        Act::DropCall { like } => {
            let id = id_of(like)?;
            let rest: Vec<&str> = kept
                .iter()
                .zip(&values)
                .filter(|(_, value)| !matches!(part(agent, value, &id), Some(Part::Call | Part::Item)))
                .map(|(line, _)| *line)
                .collect();
            fs::write(&path, joined(&rest)).map_err(io)
        }
        Act::Swap { first, second } => {
            let (a, b) = (index(first)?, index(second)?);
            kept.swap(a, b);
            fs::write(&path, joined(&kept)).map_err(io)
        }
        Act::Cut { lines } => {
            let stay = kept.len().saturating_sub(*lines);
            let length = joined(&kept[..stay]).len() as u64;
            OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(length)).map_err(io)
        }
        Act::Renew { old: from, new } => {
            let other = path.with_extension("new");
            fs::write(&other, old.replace(from, new)).and_then(|()| fs::rename(&other, &path)).map_err(io)
        }
        Act::Delete => fs::remove_file(&path).map_err(io),
        Act::Move { to } => fs::rename(&path, home.join(to)).map_err(io),
        Act::Freeze => attribute("+i", &path),
        Act::Thaw => attribute("-i", &path),
        Act::Sql(_) => Err("this account is no database".to_owned()),
        Act::Sh(_) | Act::Stop | Act::Go | Act::Sleep(_) => Ok(()),
    }
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub(super) fn attribute(what: &str, path: &Path) -> Done {
    let done = Command::new("chattr").arg(what).arg(path).status().is_ok_and(|status| status.success());
    if done { Ok(()) } else { Err(format!("chattr {what} {} failed", path.display())) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    All,
    Result,
    SameId,
}

fn copies(agent: Agent, values: &[Value], id: &str, swap: &[[String; 2]], which: Copies) -> Vec<Value> {
    let mut found: Vec<&Value> = values
        .iter()
        .filter(|value| match part(agent, value, id) {
            None => false,
            Some(Part::Call) => which == Copies::All,
            Some(Part::Item) => which != Copies::Result,
            Some(Part::Result | Part::Whole) => true,
        })
        .collect();
    // The last state of a record is the one that counts.
    if agent == Agent::GeminiCli {
        found = found.pop().into_iter().collect();
    }
    let forged = format!("{}zz", &id[..id.len() - 2]);
    let copy = |value: &Value| {
        let mut text = value.to_string();
        if which != Copies::SameId {
            text = text.replace(id, &forged);
        }
        for [from, to] in swap {
            text = text.replace(from, to).replace(&escaped(from), &escaped(to));
        }
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    found.into_iter().map(copy).collect()
}

/// As it stands within a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted[1..quoted.len() - 1].to_owned()
}

fn append(agent: Agent, path: &Path, values: &[Value], copies: &[Value]) -> Done {
    let mut chain = Chain::after(agent, values);
    let again = agent == Agent::GeminiCli;
    let mut text = String::new();
    for copy in copies {
        let mut copy = copy.clone();
        let id = copy["id"].clone();
        chain.next(&mut copy);
        // A record that is written again keeps its id.
        if again
            && copies
                .iter()
                .any(|c| values.iter().any(|v| v["toolCalls"][0]["id"] == c["toolCalls"][0]["id"]))
        {
            copy["id"] = id;
        }
        text.push_str(&format!("{copy}\n"));
    }
    if text.is_empty() {
        return Err("nothing to copy".to_owned());
    }
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| e.to_string())
}

fn patch(path: &Path, old: &str, from: &str, new: &str) -> Done {
    assert_eq!(from.len(), new.len(), "a patch keeps the length");
    let at = old.find(from).ok_or(format!("`{from}` is not in {}", path.display()))?;
    let write = || -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let before = file.metadata()?.modified()?;
        file.write_all_at(new.as_bytes(), at as u64)?;
        File::options().write(true).open(path)?.set_modified(before)
    };
    write().map_err(|e| e.to_string())
}

fn database(home: &Path, act: &Act) -> Done {
    let path = home.join(".local/share/opencode/opencode.db");
    let sql = |e: rusqlite::Error| e.to_string();
    let db = Connection::open(&path).map_err(sql)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(sql)?;
    let some = |count: usize| if count == 0 { Err("no row was changed".to_owned()) } else { Ok(()) };
    match act {
        Act::Call { like, swap } => row_again(&db, like, swap),
        Act::Replace { old, new } | Act::Patch { old, new } | Act::Renew { old, new } => some(
            db.execute("UPDATE part SET data = replace(data, ?1, ?2) WHERE instr(data, ?1)", params![old, new]).map_err(sql)?,
        ),
        Act::Drop { holding } => some(db.execute("DELETE FROM part WHERE instr(data, ?1)", [holding]).map_err(sql)?),
        Act::Cut { lines } => some(
            db.execute(
                "DELETE FROM part WHERE id IN (SELECT id FROM part ORDER BY time_created DESC, id DESC LIMIT ?1)",
                [*lines as i64],
            )
            .map_err(sql)?,
        ),
        Act::Delete => fs::remove_file(&path).map_err(|e| e.to_string()),
        Act::Move { to } => fs::rename(&path, home.join(to)).map_err(|e| e.to_string()),
        Act::Sql(text) => db.execute_batch(text).map_err(sql),
        Act::Freeze => db
            .execute_batch(
                "CREATE TRIGGER frozen_new BEFORE INSERT ON part BEGIN SELECT RAISE(IGNORE); END;
                 CREATE TRIGGER frozen_old BEFORE UPDATE ON part BEGIN SELECT RAISE(IGNORE); END;",
            )
            .map_err(sql),
        Act::Thaw => db.execute_batch("DROP TRIGGER frozen_new; DROP TRIGGER frozen_old;").map_err(sql),
        other => Err(format!("not done to a database: {other:?}")),
    }
}

/// The row of a call, under another id.
fn row_again(db: &Connection, like: &str, swap: &[[String; 2]]) -> Done {
    let sql = |e: rusqlite::Error| e.to_string();
    let (id, data): (String, String) = db
        .query_row(
            "SELECT id, data FROM part WHERE json_extract(data, '$.type') = 'tool' AND instr(data, ?1) ORDER BY id LIMIT 1",
            [escaped(like)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(sql)?;
    let value: Value = serde_json::from_str(&data).map_err(|e| e.to_string())?;
    let call = value["callID"].as_str().unwrap_or_default();
    let mut forged = data.replace(call, &format!("{}zz", &call[..call.len() - 2]));
    for [from, to] in swap {
        forged = forged.replace(from, to).replace(&escaped(from), &escaped(to));
    }
    let mut columns = db.prepare("SELECT name FROM pragma_table_info('part')").map_err(sql)?;
    let names: Vec<String> =
        columns.query_map([], |row| row.get(0)).map_err(sql)?.collect::<Result<_, _>>().map_err(sql)?;
    let values: Vec<String> = names
        .iter()
        .map(|name| match name.as_str() {
            "id" => "id || 'zz'".to_owned(),
            "data" => "?2".to_owned(),
            "time_created" | "time_updated" => format!("{name} + 1"),
            other => other.to_owned(),
        })
        .collect();
    let insert = format!(
        "INSERT INTO part ({}) SELECT {} FROM part WHERE id = ?1",
        names.join(", "),
        values.join(", ")
    );
    db.execute(&insert, params![id, forged]).map(drop).map_err(sql)
}
