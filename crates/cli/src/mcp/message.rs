//! What a client sends to an MCP server: which of it calls tools. Whoever reads it after us must read it the same way, so what
//! could be read in two ways is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

/// Messages of one batch: more than any client sends.
const BATCH_MAX: usize = 256;

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Of the JSON-RPC request, as text; empty: a notification, which nobody answers.
    pub id: String,
    pub name: String,
    /// JSON text.
    pub arguments: String,
    /// The product's own id of the call, where the client gives it.
    pub call_id: Option<String>,
    /// Which message of the batch.
    pub at: usize,
    /// The client speaks the protocol without sessions.
    pub stateless: bool,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// No tool is called.
    Pass,
    /// A request is given up by the client: its id as text.
    Cancelled(String),
    /// These are called; the messages of the batch, or the one.
    Calls { calls: Vec<ToolCall>, messages: Vec<Value>, batch: bool },
}

/// The error is for the client.
pub fn look(bytes: &[u8]) -> Result<Looked, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
    let (messages, batch) = match value {
        Value::Array(all) if all.len() > BATCH_MAX => return Err("too many messages in a batch".to_owned()),
        Value::Array(all) => (all, true),
        value => (vec![value], false),
    };
    let mut calls = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let Some(map) = message.as_object() else { return Err("a message is an object".to_owned()) };
        match map.get("method").and_then(Value::as_str) {
            Some("tools/call") => calls.push(call(message, at)?),
            Some("notifications/cancelled") if !batch => {
                let id = message.get("params").and_then(|params| params.get("requestId"));
                return Ok(id.map_or(Looked::Pass, |id| Looked::Cancelled(id.to_string())));
            }
            Some(_) | None => {}
        }
    }
    // Only the last of two members counts here; another reader may take the first, or one that is written otherwise.
    let plain = if batch { unambiguous_all(bytes) } else { unambiguous(bytes) };
    if !plain {
        return Err("a member of the message stands there twice, or in other letters".to_owned());
    }
    Ok(if calls.is_empty() { Looked::Pass } else { Looked::Calls { calls, messages, batch } })
}

fn call(message: &Value, at: usize) -> Result<ToolCall, String> {
    let params = message.get("params").unwrap_or(&Value::Null);
    let name = params.get("name").and_then(Value::as_str).ok_or("the call names no tool")?;
    let meta = params.get("_meta");
    let call_id = meta.and_then(|meta| meta.get("claudecode/toolUseId")).and_then(Value::as_str);
    Ok(ToolCall {
        id: message.get("id").filter(|id| !id.is_null()).map(Value::to_string).unwrap_or_default(),
        name: name.to_owned(),
        arguments: params.get("arguments").map(Value::to_string).unwrap_or_default(),
        call_id: call_id.map(str::to_owned),
        at,
        stateless: meta.is_some_and(|meta| meta.get("io.modelcontextprotocol/protocolVersion").is_some()),
    })
}

/// What the client is answered in the server's place; nothing to a notification.
pub fn denial(call: &ToolCall) -> Option<Value> {
    let id: Value = serde_json::from_str(&call.id).ok()?;
    let mut result = json!({"content": [{"type": "text", "text": "denied by policy"}], "isError": true});
    if call.stateless {
        result.as_object_mut()?.insert("resultType".to_owned(), json!("complete"));
    }
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// An answer to what is no message.
pub fn refusal(why: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": why}})
}

/// The messages without those at these places; `None`: none is left.
pub fn without(messages: &[Value], gone: &[usize], batch: bool) -> Option<Value> {
    let left: Vec<Value> =
        messages.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, m)| m.clone()).collect();
    match left.as_slice() {
        [] => None,
        [one] if !batch => Some(one.clone()),
        _ => Some(Value::Array(left)),
    }
}

/// Members that decide what is called.
const MEMBERS: [&str; 5] = ["method", "params", "id", "name", "arguments"];

fn unambiguous(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Plain>(bytes).is_ok_and(|plain| plain.0)
}

fn unambiguous_all(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Vec<Plain>>(bytes).is_ok_and(|all| all.iter().all(|plain| plain.0))
}

/// Is each member of an object, and of its `params`, there once and in its own letters?
struct Plain(bool);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor { deep: true })
    }
}

/// The same one level below.
struct Inner(bool);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor { deep: false }).map(|plain| Inner(plain.0))
    }
}

struct PlainVisitor {
    deep: bool,
}

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut seen: Vec<String> = Vec::new();
        let mut plain = true;
        while let Some(key) = map.next_key::<String>()? {
            let lower = key.to_lowercase();
            if MEMBERS.contains(&lower.as_str()) {
                plain &= lower == key && !seen.contains(&key);
                seen.push(key.clone());
            }
            if self.deep && key == "params" {
                plain &= map.next_value::<Inner>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Plain(plain))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Plain(true))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Plain, E> {
        Ok(Plain(true))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Plain, E> {
        Ok(Plain(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Plain, E> {
        Ok(Plain(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Plain, E> {
        Ok(Plain(true))
    }

    fn visit_str<E>(self, _: &str) -> Result<Plain, E> {
        Ok(Plain(true))
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = match look(text.as_bytes()) {
            Ok(Looked::Pass) => Ok("pass".to_owned()),
            Ok(Looked::Cancelled(id)) => Ok(format!("cancelled {id}")),
            Ok(Looked::Calls { calls, .. }) => {
                Ok(calls.iter().map(|c| format!("{}@{}", c.name, c.id)).collect::<Vec<_>>().join(" "))
            }
            Err(why) => Err(why),
        };
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
            _ => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn calls_are_seen_and_nothing_else() {
        check(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{}}}"#,
            Ok("a@1"),
        );
        check(r#"{"jsonrpc":"2.0","id":"x","method":"tools\/call","params":{"name":"a"}}"#, Ok("a@\"x\""));
        check(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, Ok("pass"));
        check(r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}"#, Ok("pass"));
        check(
            r#"[{"id":1,"method":"ping"},{"id":2,"method":"tools/call","params":{"name":"b"}}]"#,
            Ok("b@2"),
        );
        check(r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#, Ok("cancelled 7"));
        check(r#"{"method":"tools/call","params":{"name":"a"}}"#, Ok("a@"));
        check(r#"{"id":1,"method":"tools/call","params":{}}"#, Err("no tool"));
        check("x", Err("no JSON"));
        check("[1]", Err("object"));
    }

    #[test]
    fn what_two_readers_read_differently_is_refused() {
        check(r#"{"id":1,"method":"tools/call","method":"ping"}"#, Err("twice"));
        check(r#"{"id":1,"Method":"tools/call","params":{"name":"a"}}"#, Err("letters"));
        check(r#"{"id":1,"method":"tools/call","params":{"name":"bad","name":"good"}}"#, Err("twice"));
        check(r#"{"id":1,"method":"tools/call","params":{"name":"good","NAME":"bad"}}"#, Err("letters"));
        check(r#"[{"id":1,"method":"ping","METHOD":"tools/call"}]"#, Err("letters"));
        // What the tool itself is given may be as it likes.
        check(
            r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":{"Name":1,"name":2}}}"#,
            Ok("a@1"),
        );
    }

    #[test]
    fn denials_are_results() {
        let Ok(Looked::Calls { calls, messages, batch }) =
            look(br#"[{"id":1,"method":"ping"},{"id":"b","method":"tools/call","params":{"name":"b"}}]"#)
        else {
            panic!("no calls");
        };
        let answer = denial(&calls[0]).unwrap();
        assert_eq!(answer["id"], "b");
        assert_eq!(answer["result"]["isError"], true);
        let left = without(&messages, &[1], batch).unwrap();
        assert_eq!(left.to_string(), r#"[{"id":1,"method":"ping"}]"#);
        assert_eq!(without(&messages, &[0, 1], batch), None);
    }
}
