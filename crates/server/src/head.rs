//! What a scan needs of an event to pass it by, read from its entry without the rest: the beginning of the JSON, by hand,
//! in the order in which we write it. Where it is in another order, serde reads it.

use std::borrow::Cow;
use std::fmt;

use muster_event::{Nanos, ProcessKey};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

#[derive(Debug, PartialEq, Eq)]
pub struct EventHead<'a> {
    pub seq: u64,
    pub time_ns: Nanos,
    pub process: ProcessKey,
    /// As `Kind::name` tells it; of a later version it may be one that is not known.
    pub kind: Cow<'a, str>,
}

/// `None`: no event.
pub fn event_head(bytes: &[u8]) -> Option<EventHead<'_>> {
    match quick(bytes) {
        Quick::Event(head) => Some(head),
        Quick::Other => None,
        Quick::Unclear => slow(bytes),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Quick<'a> {
    Event(EventHead<'a>),
    /// An entry that is no event.
    Other,
    /// Not as we write it.
    Unclear,
}

fn quick(bytes: &[u8]) -> Quick<'_> {
    let mut at = Text(bytes);
    if at.pass(b"{\"v\":").and_then(|()| at.number()).and_then(|_| at.pass(b",\"")).is_none() {
        return Quick::Unclear;
    }
    if at.pass(b"input\":{\"").is_none() {
        let other = at.0.starts_with(b"output\":{\"") || at.0.starts_with(b"kept\":{\"");
        return if other { Quick::Other } else { Quick::Unclear };
    }
    if at.pass(b"event\":{").is_none() {
        return Quick::Other;
    }
    at.event().map_or(Quick::Unclear, Quick::Event)
}

/// What is left of the JSON.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn pass(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        let mut rest = self.0;
        while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            rest = after;
        }
        let read = self.0.len() - rest.len();
        self.0 = rest;
        (read > 0).then_some(value)
    }

    fn pass_string(&mut self) -> Option<()> {
        self.pass(b"\"")?;
        loop {
            let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            let (_, rest) = self.0.split_at_checked(end)?;
            match rest.split_first()? {
                (b'"', rest) => {
                    self.0 = rest;
                    return Some(());
                }
                (_, escaped) => self.0 = escaped.split_first()?.1,
            }
        }
    }

    fn event(&mut self) -> Option<EventHead<'a>> {
        self.pass(b"\"seq\":")?;
        let seq = self.number()?;
        self.pass(b",\"time_ns\":")?;
        let time_ns = self.number()?;
        self.pass(b",\"boot_ns\":")?;
        self.number()?;
        self.pass(b",\"process\":{\"pid\":")?;
        let pid = u32::try_from(self.number()?).ok()?;
        self.pass(b",\"start_ns\":")?;
        let start_ns = self.number()?;
        self.pass(b"},\"thread\":")?;
        self.number()?;
        self.pass(b",\"uid\":")?;
        self.number()?;
        self.pass(b",\"comm\":")?;
        self.pass_string()?;
        self.pass(b",\"cgroup\":")?;
        self.number()?;
        self.pass(b",\"kind\":")?;
        // A variant without fields would be a string alone.
        let _ = self.pass(b"{");
        self.pass(b"\"")?;
        let end = self.0.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))?;
        let (name, rest) = self.0.split_at_checked(end)?;
        let kind = rest.starts_with(b"\"").then(|| std::str::from_utf8(name).ok())??;
        Some(EventHead { seq, time_ns, process: ProcessKey { pid, start_ns }, kind: Cow::Borrowed(kind) })
    }
}

#[derive(Deserialize)]
struct SlowEntry {
    input: Option<SlowInput>,
}

#[derive(Deserialize)]
struct SlowInput {
    event: Option<SlowEvent>,
}

#[derive(Deserialize)]
struct SlowEvent {
    seq: u64,
    time_ns: Nanos,
    process: ProcessKey,
    #[serde(deserialize_with = "variant_name")]
    kind: String,
}

fn slow(bytes: &[u8]) -> Option<EventHead<'_>> {
    let entry: SlowEntry = serde_json::from_slice(bytes).ok()?;
    let SlowEvent { seq, time_ns, process, kind } = entry.input?.event?;
    Some(EventHead { seq, time_ns, process, kind: Cow::Owned(kind) })
}

/// The name of a variant, whatever it holds.
fn variant_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    struct Name;

    impl<'de> Visitor<'de> for Name {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a kind of event")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
            Ok(name.to_owned())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
            let mut first = None;
            while let Some(name) = map.next_key::<String>()? {
                map.next_value::<IgnoredAny>()?;
                first.get_or_insert(name);
            }
            first.ok_or_else(|| serde::de::Error::custom("a kind of event without a name"))
        }
    }

    from.deserialize_any(Name)
}

#[cfg(test)]
mod tests {
    use muster_engine::Input;
    use muster_event::{Event, Kind};

    use super::*;
    use crate::entry::{EntryRef, encode};

    fn event(comm: &str, kind: Kind) -> Event {
        Event {
            seq: 1 << 40,
            time_ns: u64::MAX,
            boot_ns: 7,
            process: ProcessKey { pid: 4_000_000_000, start_ns: 1 << 60 },
            thread: 9,
            uid: 1000,
            comm: comm.to_owned(),
            cgroup: 3,
            kind,
        }
    }

    #[track_caller]
    fn check(comm: &str, kind: Kind) {
        let name = kind.name();
        let event = event(comm, kind);
        let mut bytes = Vec::new();
        encode(&EntryRef::Input(&Input::Event(event.clone())), &mut bytes).unwrap();
        let head = EventHead {
            seq: event.seq,
            time_ns: event.time_ns,
            process: event.process,
            kind: Cow::Borrowed(name),
        };
        assert_eq!(quick(&bytes), Quick::Event(EventHead { kind: head.kind.clone(), ..head }));
        let head = slow(&bytes).unwrap();
        assert_eq!(
            (head.seq, head.time_ns, head.process, &*head.kind),
            (event.seq, event.time_ns, event.process, name)
        );
    }

    #[test]
    fn the_head_of_an_event_is_read_from_its_entry() {
        let exit = || Kind::Exit { code: Some(-1), signal: None };
        check("näme\0\u{202e}", exit());
        check("\\\"", exit());
        check("", Kind::SetSid { session: 4 });
        check("x", Kind::IoUring { operation: "\"".into(), path: None, flags: 3 });
    }

    #[track_caller]
    fn check_text(text: &str, kind: Option<&str>, read: Quick<'_>) {
        assert_eq!(event_head(text.as_bytes()).map(|head| head.kind.into_owned()).as_deref(), kind, "{text}");
        assert_eq!(std::mem::discriminant(&quick(text.as_bytes())), std::mem::discriminant(&read), "{text}");
    }

    #[test]
    fn what_is_no_event_or_not_as_we_write_it() {
        check_text(r#"{"v":1,"input":{"tick":{"time_ns":1}}}"#, None, Quick::Other);
        check_text(r#"{"v":1,"output":{"agent":{}}}"#, None, Quick::Other);
        check_text(r#"{"v":1,"sealed":{"agent":{}}}"#, None, Quick::Unclear);
        check_text("", None, Quick::Unclear);
        let fields = r#""seq":1,"time_ns":2,"process":{"pid":3,"start_ns":4},"kind":{"teleport":{"to":[1]}}"#;
        check_text(
            &format!(r#"{{"input":{{"event":{{{fields}}}}},"v":3}}"#),
            Some("teleport"),
            Quick::Unclear,
        );
        check_text(
            &format!(r#"{{"v":3,"input":{{"event":{{"new":{{}},{fields}}}}}}}"#),
            Some("teleport"),
            Quick::Unclear,
        );
        check_text(
            &format!(r#"{{ "v": 1, "input": {{"event":{{{fields}}}}}}}"#),
            Some("teleport"),
            Quick::Unclear,
        );
        check_text(r#"{"v":1,"input":{"event":{"seq":99999999999999999999,"#, None, Quick::Unclear);
    }
}
