//! Puts a hook into a JSON file of a user's, and takes it out again, without touching anything else: neither order nor space
//! nor comment. What is there already is found by a scanner that knows no more than where values begin and end.

use std::ops::Range;

use serde_json::Value;

/// Largest file that is edited.
pub const FILE_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("it is no JSON object that could be added to")]
    NoObject,
    #[error("`{0}` in it is not what the product takes there")]
    Shape(String),
    #[error("it is too long")]
    TooLong,
}

/// With `entry` as one more element of the list `hooks.EVENT`.
pub fn with_entry(text: &str, event: &str, entry: &Value) -> Result<String, EditError> {
    if text.len() > FILE_MAX {
        return Err(EditError::TooLong);
    }
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = root(text).ok_or(EditError::NoObject)?;
    let shown = |value: &Value, depth: usize| indented(&format!("{value:#}"), depth);
    let Some(hooks) = root.member("hooks") else {
        let value = serde_json::json!({ event: [entry] });
        return Ok(root.appended(text, &format!("\"hooks\": {}", shown(&value, 1)), 1));
    };
    let hooks = object(text, hooks.value.start).ok_or_else(|| EditError::Shape("hooks".to_owned()))?;
    let Some(list) = hooks.member(event) else {
        let value = serde_json::json!([entry]);
        return Ok(hooks.appended(text, &format!("\"{event}\": {}", shown(&value, 2)), 2));
    };
    let list = array(text, list.value.start).ok_or_else(|| EditError::Shape(format!("hooks.{event}")))?;
    Ok(list.appended(text, &shown(entry, 3), 3))
}

/// Without the elements of `hooks.EVENT` that are ours; and without the list and `hooks`, where nothing else was in them.
pub fn without_entries(
    text: &str,
    event: &str,
    is_ours: impl Fn(&Value) -> bool,
) -> Result<String, EditError> {
    if text.len() > FILE_MAX {
        return Err(EditError::TooLong);
    }
    let mut text = text.to_owned();
    if text.trim().is_empty() {
        return Ok(text);
    }
    loop {
        let root = root(&text).ok_or(EditError::NoObject)?;
        let Some(member) = root.member("hooks") else { return Ok(text) };
        let Some(hooks) = object(&text, member.value.start) else { return Ok(text) };
        let Some(of_event) = hooks.member(event) else { return Ok(text) };
        let Some(list) = array(&text, of_event.value.start) else { return Ok(text) };
        let ours = list.items.iter().position(|item| {
            let value =
                text.get(item.value.clone()).and_then(|json| serde_json::from_str::<Value>(json).ok());
            value.is_some_and(|value| is_ours(&value))
        });
        let Some(at) = ours else { return Ok(text) };
        let cut = if list.items.len() > 1 {
            list.span(&text, at)
        } else if hooks.items.len() > 1 {
            hooks.span(&text, hooks.position(event).unwrap_or_default())
        } else {
            root.span(&text, root.position("hooks").unwrap_or_default())
        };
        text.replace_range(cut, "");
    }
}

/// As JSON: comments and commas that are too many are passed over, as some products do.
pub fn parsed(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::Object(Default::default()));
    }
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&plain(text)).ok())
}

/// Without comments and trailing commas.
fn plain(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = match byte {
            b'"' => string_end(bytes, at),
            b'/' if space_end(bytes, at) > at => {
                at = space_end(bytes, at);
                out.push(' ');
                continue;
            }
            b',' if matches!(bytes.get(space_end(bytes, at + 1)), Some(b'}' | b']')) => {
                at += 1;
                continue;
            }
            _ => None,
        };
        let end = next.unwrap_or(at + 1);
        // Whole characters: a string's end is ASCII, and other bytes are copied until the next border.
        let mut end = end.min(bytes.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(text.get(at..end).unwrap_or_default());
        at = end;
    }
    out
}

/// One member of an object, or element of an array.
struct Entry {
    key: Option<String>,
    /// From the beginning of the key, where there is one.
    whole: Range<usize>,
    value: Range<usize>,
}

/// An object or an array.
struct Container {
    items: Vec<Entry>,
    open: usize,
    close: usize,
}

impl Container {
    fn position(&self, key: &str) -> Option<usize> {
        // The last counts, as for whoever reads it.
        self.items.iter().rposition(|item| item.key.as_deref() == Some(key))
    }

    fn member(&self, key: &str) -> Option<&Entry> {
        self.position(key).and_then(|at| self.items.get(at))
    }

    fn appended(&self, text: &str, item: &str, depth: usize) -> String {
        let indent = "  ".repeat(depth);
        let mut out = text.to_owned();
        match self.items.last() {
            Some(last) => {
                let end = last.whole.end;
                // A comma that is too many stands there already.
                let comma = if text.as_bytes().get(space_end(text.as_bytes(), end)) == Some(&b',') {
                    end
                } else {
                    usize::MAX
                };
                let multi = text.get(self.open..self.close).is_some_and(|inside| inside.contains('\n'));
                let space = if multi || depth == 1 { format!("\n{indent}") } else { " ".to_owned() };
                if comma == usize::MAX {
                    out.insert_str(end, &format!(",{space}{item}"));
                } else {
                    let behind = space_end(text.as_bytes(), end) + 1;
                    out.insert_str(behind, &format!("{space}{item}"));
                }
            }
            None => {
                let outer = "  ".repeat(depth.saturating_sub(1));
                out.insert_str(self.open + 1, &format!("\n{indent}{item}\n{outer}"));
            }
        }
        out
    }

    /// What goes when this item goes: with the comma and space before it, or, of the first, those behind it.
    fn span(&self, text: &str, at: usize) -> Range<usize> {
        let Some(item) = self.items.get(at) else { return 0..0 };
        if let Some(before) = at.checked_sub(1).and_then(|before| self.items.get(before)) {
            return before.whole.end..item.whole.end;
        }
        match self.items.get(at + 1) {
            Some(next) => item.whole.start..next.whole.start,
            // The only one: the space around it was made with it.
            None if text.get(self.open + 1..item.whole.start).is_some_and(|s| s.trim().is_empty())
                && text.get(item.whole.end..self.close).is_some_and(|s| s.trim().is_empty()) =>
            {
                self.open + 1..self.close
            }
            None => item.whole.clone(),
        }
    }
}

fn root(text: &str) -> Option<Container> {
    let bytes = text.as_bytes();
    let container = object(text, space_end(bytes, 0))?;
    (space_end(bytes, container.close + 1) == bytes.len()).then_some(container)
}

fn object(text: &str, at: usize) -> Option<Container> {
    container(text, at, b'{', b'}')
}

fn array(text: &str, at: usize) -> Option<Container> {
    container(text, at, b'[', b']')
}

fn container(text: &str, open: usize, opening: u8, closing: u8) -> Option<Container> {
    let bytes = text.as_bytes();
    if bytes.get(open) != Some(&opening) {
        return None;
    }
    let mut items = Vec::new();
    let mut at = space_end(bytes, open + 1);
    loop {
        match bytes.get(at)? {
            byte if *byte == closing => return Some(Container { items, open, close: at }),
            b',' if !items.is_empty() => {
                at = space_end(bytes, at + 1);
                continue;
            }
            _ => {}
        }
        let start = at;
        let mut key = None;
        if opening == b'{' {
            let end = string_end(bytes, at)?;
            key = serde_json::from_str::<String>(text.get(at..end)?).ok();
            at = space_end(bytes, end);
            if bytes.get(at) != Some(&b':') {
                return None;
            }
            at = space_end(bytes, at + 1);
        }
        let end = value_end(bytes, at)?;
        items.push(Entry { key, whole: start..end, value: at..end });
        at = space_end(bytes, end);
        if !matches!(bytes.get(at), Some(b',')) && bytes.get(at) != Some(&closing) {
            return None;
        }
    }
}

/// Behind space and comments.
fn space_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b' ' | b'\t' | b'\n' | b'\r'), _) => at += 1,
            (Some(b'/'), Some(b'/')) => {
                at = bytes.iter().skip(at).position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n);
            }
            (Some(b'/'), Some(b'*')) => {
                let rest = bytes.get(at + 2..).unwrap_or_default();
                at = rest.windows(2).position(|w| w == b"*/").map_or(bytes.len(), |n| at + 2 + n + 2);
            }
            _ => return at,
        }
    }
}

fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = at;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => at += 1,
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                while bytes
                    .get(at)
                    .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
                {
                    at += 1;
                }
            }
            _ => {
                let behind = space_end(bytes, at);
                if behind == at || depth == 0 {
                    return None;
                }
                at = behind;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

fn indented(text: &str, depth: usize) -> String {
    text.replace('\n', &format!("\n{}", "  ".repeat(depth)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ours() -> Value {
        json!({"hooks": [{"type": "command", "command": "muster hook tool --agent x || exit 2"}]})
    }

    fn is_ours(value: &Value) -> bool {
        value.to_string().contains("muster hook tool")
    }

    #[track_caller]
    fn check(text: &str) {
        let before = parsed(text).unwrap();
        let with = with_entry(text, "PreToolUse", &ours()).unwrap();
        let after = parsed(&with).unwrap();
        let mut expected = before.clone();
        if expected.get("hooks").is_none() {
            expected["hooks"] = json!({});
        }
        if expected["hooks"].get("PreToolUse").is_none() {
            expected["hooks"]["PreToolUse"] = json!([]);
        }
        expected["hooks"]["PreToolUse"].as_array_mut().unwrap().push(ours());
        assert_eq!(after, expected, "{with}");
        let without = without_entries(&with, "PreToolUse", is_ours).unwrap();
        let cleaned = |mut value: Value| {
            if value["hooks"]["PreToolUse"] == json!([]) {
                value["hooks"].as_object_mut().unwrap().remove("PreToolUse");
            }
            if value["hooks"] == json!({}) {
                value.as_object_mut().unwrap().remove("hooks");
            }
            if value["hooks"].is_null() {
                value.as_object_mut().unwrap().remove("hooks");
            }
            value
        };
        assert_eq!(cleaned(parsed(&without).unwrap()), cleaned(before), "{without}");
    }

    #[test]
    fn what_a_user_has_stays() {
        check("");
        check("{}");
        check("{\"model\": \"opus\"}\n");
        check("{\n  \"z\": 1,\n  \"a\": [1, {\"b\": \"}\"}]\n}\n");
        check(r#"{"hooks": {"Stop": [{"hooks": []}]}, "x": null}"#);
        check(r#"{"hooks": {"PreToolUse": []}}"#);
        check(
            r#"{"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}]}}"#,
        );
        check("{\n  // a comment with \"quotes\" and }\n  \"a\": 1, /* , */\n}\n");
        check("{\"hooks\": {\n \"PreToolUse\": [ {\"a\": 1}, ],\n },\n}");
    }

    #[test]
    fn order_and_comments_stay() {
        let text = "{\n  // mine\n  \"z\": 1,\n  \"a\": 2\n}\n";
        let with = with_entry(text, "PreToolUse", &ours()).unwrap();
        assert!(with.starts_with("{\n  // mine\n  \"z\": 1,\n  \"a\": 2,\n  \"hooks\""), "{with}");
        assert_eq!(without_entries(&with, "PreToolUse", is_ours).unwrap(), text);
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for text in ["[]", "{", "{\"a\" 1}", "x", "{} {}", "{\"hooks\": [}"] {
            assert!(with_entry(text, "PreToolUse", &ours()).is_err(), "{text}");
        }
        assert_eq!(with_entry("{\"hooks\": 1}", "E", &ours()), Err(EditError::Shape("hooks".into())));
        assert_eq!(
            with_entry("{\"hooks\": {\"E\": {}}}", "E", &ours()),
            Err(EditError::Shape("hooks.E".into()))
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\{]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object(map in prop::collection::btree_map("[a-z]{1,4}", json(), 0..5), list in prop::collection::vec(json(), 0..3), pretty: bool) {
            let mut value = Value::Object(map.into_iter().filter(|(k, _)| k != "hooks").collect());
            value["hooks"] = json!({"PreToolUse": list, "Stop": [1]});
            check(&if pretty { format!("{value:#}") } else { value.to_string() });
        }

        #[test]
        fn any_text(text in "(\\{|\\}|\\[|\\]|\"hooks\"|\"PreToolUse\"|:|,|//|/\\*|\n|\"\\\\|1|é| ){0,24}") {
            crate::fuzzing::hook_file(text.as_bytes());
        }
    }
}
