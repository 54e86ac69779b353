//! What an agent sends: the text of a tool call or the body of a request, and which checks apply to it. Only what is high by
//! two channels is told: agents rightly read, write and test with all sorts of hosts.

use muster_web3::{Checked, Verdict};
use serde_json::Value;

use crate::host::{Lists, name::cut};
use crate::{message, sign};

/// Of a call, so much is looked at.
pub const TEXT_MAX: usize = 256 << 10;
/// Answers for one call.
pub const ANSWERS_MAX: usize = 8;
/// Texts within a call.
const TEXTS_MAX: usize = 64;
/// Boxes in boxes of its arguments.
const DEPTH_MAX: usize = 8;

/// What an act is, as against a text that is only read or written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It leaves the machine for a person: a mail, a chat message, a post.
    Message,
    /// It asks a wallet or a node.
    WalletRequest,
}

/// One answer, with what kind of thing it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub sent: Sent,
    pub checked: Checked,
}

/// Names of fields in which whatever sends a message has its text.
const TEXT_FIELDS: &[&str] =
    &["text", "body", "message", "content", "html", "markdown", "html_body", "text_body"];
const FROM_FIELDS: &[&str] = &["from", "sender", "from_name", "username", "author"];
const TO_FIELDS: &[&str] = &["to", "recipient", "recipients", "channel", "chat_id", "thread", "bcc"];
const METHODS: &[&str] = &[
    "eth_sendTransaction",
    "eth_signTransaction",
    "eth_sendRawTransaction",
    "eth_signTypedData",
    "eth_signTypedData_v3",
    "eth_signTypedData_v4",
    "eth_sign",
    "personal_sign",
    "wallet_sendCalls",
];

/// What of a text that an agent sends is to be told, at most `ANSWERS_MAX`. `now` is in seconds since 1970.
#[must_use]
pub fn check(name: &str, text: &str, now: u64) -> Vec<Found> {
    let text = cut(text, TEXT_MAX);
    let context = sign::Context { now, lists: Lists::default(), origin: None };
    let mut found = Vec::new();
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) {
        if let Ok(value) = serde_json::from_str::<Value>(trimmed) {
            walk(name, &value, 0, &mut 0, &context, &mut found);
        }
    } else if trimmed.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("from:")) || text.contains("\nSubject:")
    {
        letter(name, text.as_bytes(), &context, &mut found);
    }
    found.retain(|f| f.checked.verdict == Verdict::High);
    found.truncate(ANSWERS_MAX);
    found
}

fn walk(
    name: &str,
    value: &Value,
    depth: usize,
    seen: &mut usize,
    context: &sign::Context,
    found: &mut Vec<Found>,
) {
    *seen += 1;
    if depth > DEPTH_MAX || *seen > TEXTS_MAX || found.len() >= ANSWERS_MAX {
        return;
    }
    let Some(object) = value.as_object() else {
        for inner in value.as_array().into_iter().flatten() {
            walk(name, inner, depth + 1, seen, context, found);
        }
        return;
    };
    let has = |names: &[&str]| names.iter().any(|n| object.contains_key(*n));
    let wallet = object.get("method").and_then(Value::as_str).is_some_and(|m| METHODS.contains(&m))
        || (has(&["primaryType"]) && has(&["domain"]) && has(&["message"]));
    if wallet {
        for checked in sign::check_text(name, &value.to_string(), context).unwrap_or_default() {
            found.push(Found { sent: Sent::WalletRequest, checked });
        }
        return;
    }
    if has(TEXT_FIELDS)
        && has(TO_FIELDS)
        && (has(FROM_FIELDS) || has(&["subject"]) || has(&["channel", "chat_id"]))
    {
        letter(name, value.to_string().as_bytes(), context, found);
    }
    for inner in object.values().filter(|v| v.is_object() || v.is_array()) {
        walk(name, inner, depth + 1, seen, context, found);
    }
}

fn letter(name: &str, bytes: &[u8], context: &sign::Context, found: &mut Vec<Found>) {
    let message = message::read(bytes);
    let checked = message::check(name, &message, &context.lists, None);
    found.push(Found { sent: Sent::Message, checked });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Sent]) {
        let said = super::check("call", text, 1_795_000_000);
        assert_eq!(said.iter().map(|f| f.sent).collect::<Vec<_>>(), expected, "{text}: {said:#?}");
    }

    #[test]
    fn only_what_is_sent_and_high_is_told() {
        check(
            r#"{"to":"a@b.example","from":"MetaMask Support <help@metamask-support.pages.dev>","subject":"Your wallet",
            "body":"Your wallet will be suspended within 24 hours. Enter your recovery phrase at https://metamask-verify.pages.dev/login"}"#,
            &[Sent::Message],
        );
        check(r#"{"command":"curl https://metamask-verify.pages.dev"}"#, &[]);
        check(
            r#"{"to":"team@ours.example","subject":"Release","body":"The new version is out: https://github.com/us/it/releases"}"#,
            &[],
        );
        check(r#"{"method":"eth_blockNumber","params":[]}"#, &[]);
        check(
            r#"{"method":"eth_signTypedData_v4","params":["0x1",{"primaryType":"Permit","domain":{},"message":{"spender":
            "0x1234567890123456789012345678901234567890","value":"115792089237316195423570985008687907853269984665640564039457584007913129639935","deadline":99999999999}}]}"#,
            &[Sent::WalletRequest],
        );
    }
}
