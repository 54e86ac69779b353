//! Rows of calls that are over: OpenCode changes them no more, so another text in one of them, or its absence, is news.

use std::collections::{BTreeMap, BTreeSet};

use muster_engine::{AccountFile, AgentId};
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Calls that are remembered, the newest (ids rise with time): more than sessions of a week have.
const SETTLED_MAX: usize = 16_384;

/// What happened to rows, and whose account it is.
pub(super) type Change = (AgentId, AccountFile);

#[derive(Default)]
pub(super) struct Settled {
    parts: BTreeMap<String, Part>,
}

struct Part {
    agent: AgentId,
    session: String,
    message: String,
    hash: [u8; 32],
}

impl Settled {
    /// Remembers what a row said when its call was over; what it says later is held against it.
    pub fn note(&mut self, agent: &AgentId, id: &str, data: &Value) {
        let Some(hash) = settled(data) else { return };
        let named = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.parts.entry(id.to_owned()).or_insert_with(|| Part {
            agent: agent.clone(),
            session: named("sessionID"),
            message: named("messageID"),
            hash,
        });
        if self.parts.len() > SETTLED_MAX {
            self.parts.pop_first();
        }
    }

    pub fn forget(&mut self, agent: &AgentId) {
        self.parts.retain(|_, part| part.agent != *agent);
    }

    /// Which of them are others now, or gone without OpenCode having removed them. Each is told once.
    pub fn changes(&mut self, connection: &Connection) -> rusqlite::Result<Vec<Change>> {
        let sessions: BTreeSet<&str> = self.parts.values().map(|part| part.session.as_str()).collect();
        let mut now: BTreeMap<String, Option<[u8; 32]>> = BTreeMap::new();
        let mut there = BTreeSet::new();
        for session in sessions {
            let mut known = connection.prepare_cached("SELECT 1 FROM session WHERE id = ?1")?;
            if !known.exists([session])? {
                continue;
            }
            there.insert(session.to_owned());
            let mut statement =
                connection.prepare_cached("SELECT id, CAST(data AS TEXT) FROM part WHERE session_id = ?1")?;
            let mut rows = statement.query([session])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                if self.parts.contains_key(&id) {
                    let text: Option<String> = row.get(1)?;
                    let data = text.and_then(|text| serde_json::from_str(&text).ok());
                    now.insert(id, data.as_ref().and_then(settled));
                }
            }
        }
        let mut rewritten: BTreeMap<AgentId, Vec<String>> = BTreeMap::new();
        let mut deleted: BTreeMap<AgentId, Vec<String>> = BTreeMap::new();
        let mut over = Vec::new();
        for (id, part) in &mut self.parts {
            // Who deletes a whole session tidies up.
            if !there.contains(&part.session) {
                over.push(id.clone());
                continue;
            }
            match now.get(id) {
                Some(Some(hash)) if *hash == part.hash => {}
                Some(found) => {
                    rewritten.entry(part.agent.clone()).or_default().push(id.clone());
                    match found {
                        Some(hash) => part.hash = *hash,
                        None => over.push(id.clone()),
                    }
                }
                None => {
                    if !was_removed_by_product(connection, id, &part.message) {
                        deleted.entry(part.agent.clone()).or_default().push(id.clone());
                    }
                    over.push(id.clone());
                }
            }
        }
        for id in over {
            self.parts.remove(&id);
        }
        let count = |ids: &[String]| ids.len() as u64;
        let first = |ids: &[String]| ids.first().cloned().unwrap_or_default();
        let rewritten = rewritten.into_iter().map(|(agent, ids)| {
            (agent, AccountFile::RowsRewritten { first: first(&ids), count: count(&ids) })
        });
        let deleted = deleted
            .into_iter()
            .map(|(agent, ids)| (agent, AccountFile::RowsDeleted { first: first(&ids), count: count(&ids) }));
        Ok(rewritten.chain(deleted).collect())
    }
}

/// What matters of a call that is over: what it was, and what it came to. Compaction only marks it with a time; what was
/// interrupted may still be told of otherwise.
fn settled(data: &Value) -> Option<[u8; 32]> {
    let state = data.get("state")?;
    let over = matches!(state.get("status")?.as_str()?, "completed" | "error");
    let interrupted = state.pointer("/metadata/interrupted").and_then(Value::as_bool).unwrap_or_default();
    if data.get("type")?.as_str()? != "tool" || !over || interrupted {
        return None;
    }
    let mut hasher = Sha256::new();
    for value in [data.get("tool"), data.get("callID")]
        .into_iter()
        .chain(["status", "input", "output", "error"].map(|key| state.get(key)))
    {
        hasher.update(value.map(Value::to_string).unwrap_or_default());
        hasher.update([0]);
    }
    Some(hasher.finalize().into())
}

/// `/undo` and clients of its server have OpenCode remove parts and messages: it keeps a log of that. Versions without that
/// log cannot be told apart from anybody else, and are believed.
fn was_removed_by_product(connection: &Connection, id: &str, message: &str) -> bool {
    const REMOVED: &str = "SELECT 1 FROM event WHERE json_valid(data) AND \
        (type LIKE 'message.part.removed%' AND json_extract(data, '$.partID') = ?1 \
        OR type LIKE 'message.removed%' AND json_extract(data, '$.messageID') = ?2)";
    connection.prepare_cached(REMOVED).and_then(|mut logged| logged.exists([id, message])).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE session (id TEXT); CREATE TABLE part (id TEXT, session_id TEXT, data TEXT);
                 CREATE TABLE event (type TEXT, data TEXT); INSERT INTO session VALUES ('s1');",
            )
            .unwrap();
        connection
    }

    fn part(output: &str) -> Value {
        json!({"type": "tool", "tool": "bash", "callID": "c1", "sessionID": "s1", "messageID": "m1",
            "state": {"status": "completed", "input": {"command": "ls"}, "output": output, "time": {"start": 1}}})
    }

    /// What is told after `sql`, of two calls that were over.
    #[track_caller]
    fn check(sql: &str, expected: &[AccountFile]) {
        let connection = database();
        let mut settled = Settled::default();
        for id in ["p1", "p2"] {
            let data = part(id);
            settled.note(&"a".to_owned(), id, &data);
            connection
                .execute("INSERT INTO part VALUES (?1, 's1', ?2)", [id, data.to_string().as_str()])
                .unwrap();
        }
        assert_eq!(settled.changes(&connection).unwrap(), []);
        connection.execute_batch(sql).unwrap();
        let got: Vec<AccountFile> =
            settled.changes(&connection).unwrap().into_iter().map(|(_, change)| change).collect();
        assert_eq!(got, expected, "{sql}");
        assert_eq!(settled.changes(&connection).unwrap(), [], "told twice: {sql}");
    }

    #[test]
    fn rows_of_calls_that_are_over_stay_as_they_are() {
        let rewritten = |first: &str, count| AccountFile::RowsRewritten { first: first.to_owned(), count };
        let deleted = |first: &str, count| AccountFile::RowsDeleted { first: first.to_owned(), count };
        check("UPDATE part SET data = replace(data, 'ls', 'id') WHERE id = 'p2'", &[rewritten("p2", 1)]);
        check("UPDATE part SET data = json_set(data, '$.state.output', '')", &[rewritten("p1", 2)]);
        check("UPDATE part SET data = 'x' WHERE id = 'p1'", &[rewritten("p1", 1)]);
        check("UPDATE part SET data = json_set(data, '$.state.status', 'running')", &[rewritten("p1", 2)]);
        check("DELETE FROM part", &[deleted("p1", 2)]);
        check("UPDATE part SET data = json_set(data, '$.state.time.compacted', 5)", &[]);
        check("DELETE FROM part; DELETE FROM session", &[]);
    }

    #[test]
    fn what_opencode_removes_it_logs() {
        let deleted = |first: &str| AccountFile::RowsDeleted { first: first.to_owned(), count: 1 };
        let log = |kind: &str, data: &str| format!("INSERT INTO event VALUES ('{kind}', '{data}');");
        let one = log("message.part.removed.1", r#"{"partID": "p1"}"#);
        check(&format!("{one} DELETE FROM part"), &[deleted("p2")]);
        let whole = log("message.removed.1", r#"{"messageID": "m1"}"#);
        check(&format!("{whole} DELETE FROM part"), &[]);
        check("DELETE FROM part; DROP TABLE event", &[]);
    }
}
