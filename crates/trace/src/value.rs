//! Arguments of a call as strace prints them: strings with C's escapes, arrays, and the rest as it stands.

use muster_event::escape_bytes;

/// Arrays within arrays that are followed.
const DEPTH_MAX: usize = 8;
/// Values of one call or array.
const VALUES_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text {
        bytes: Vec<u8>,
        /// `"…"...`: strace printed only the beginning.
        cut: bool,
    },
    /// `["a", "b"]`; `cut`: `...` stands at its end.
    List { values: Vec<Value<'a>>, cut: bool },
    /// Numbers, flags, structs, `NULL`, descriptors with their path.
    Plain(&'a str),
}

impl<'a> Value<'a> {
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Text { bytes, .. } => Some(escape_bytes(bytes)),
            Value::List { .. } | Value::Plain(_) => None,
        }
    }

    pub fn plain(&self) -> &'a str {
        match self {
            Value::Plain(text) => text,
            Value::Text { .. } | Value::List { .. } => "",
        }
    }

    /// A decimal or hexadecimal number, or one with a note behind it (`5</a/path>`, `1 /* x */`).
    pub fn number(&self) -> Option<i64> {
        number(self.plain())
    }

    /// A descriptor: its number, and the path or socket that strace noted.
    pub fn descriptor(&self) -> Option<(Option<i32>, Option<String>)> {
        let text = self.plain();
        let (head, note) = match text.split_once('<') {
            Some((head, note)) => (head, note.strip_suffix('>').or(note.strip_suffix(">(deleted)"))),
            None => (text, None),
        };
        let number = match head.trim() {
            "AT_FDCWD" => None,
            head => Some(head.parse().ok()?),
        };
        Some((number, note.map(noted)))
    }
}

/// The path of a note, or what stands for a socket.
fn noted(note: &str) -> String {
    let (bytes, _) = unescape(note.as_bytes(), None);
    let path = escape_bytes(&bytes);
    path.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(path)
}

pub(crate) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|c: char| c == '<' || c.is_whitespace()).unwrap_or(text.len());
    let digits = text.get(..end)?;
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n.cast_signed()),
        None => digits.parse().ok(),
    }
}

/// The value of `name=` in a struct or among named arguments.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = rest.find(name)?;
        let before = rest.get(..at)?.chars().next_back();
        let after = rest.get(at + name.len()..)?;
        if let Some(value) = after.strip_prefix('=')
            && before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        {
            return Some(value.get(..plain_end(value.as_bytes()))?.trim());
        }
        from = from.checked_add(at)?.checked_add(name.len())?;
    }
}

/// The arguments that begin here, behind the opening bracket; and what follows the closing one.
pub(crate) fn arguments(text: &str) -> Option<(Vec<Value<'_>>, &str)> {
    let (values, _, rest) = values(text, b')', 0)?;
    Some((values, rest))
}

fn values(text: &str, close: u8, depth: usize) -> Option<(Vec<Value<'_>>, bool, &str)> {
    let mut out = Vec::new();
    let mut cut = false;
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix(char::from(close)) {
            return Some((out, cut, after));
        }
        if let Some(after) = rest.strip_prefix("...") {
            cut = true;
            rest = after.trim_start();
            continue;
        }
        let (value, after) = value(rest, depth)?;
        if out.len() < VALUES_MAX {
            out.push(value);
        } else {
            cut = true;
        }
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if let Some(after) = rest.strip_prefix("=>") {
            // What the kernel wrote back.
            rest = after.trim_start();
        } else if !rest.starts_with(char::from(close)) {
            return None;
        }
    }
}

fn value(text: &str, depth: usize) -> Option<(Value<'_>, &str)> {
    if let Some(inside) = text.strip_prefix('"') {
        let (bytes, used) = unescape(inside.as_bytes(), Some(b'"'));
        let rest = inside.get(used..)?.strip_prefix('"')?;
        return Some(match rest.strip_prefix("...") {
            Some(rest) => (Value::Text { bytes, cut: true }, rest),
            None => (Value::Text { bytes, cut: false }, rest),
        });
    }
    if let Some(inside) = text.strip_prefix('[')
        && depth < DEPTH_MAX
        && let Some((values, cut, rest)) = values(inside, b']', depth + 1)
        && (rest.is_empty() || rest.starts_with([',', ')', ']', ' ']))
    {
        return Some((Value::List { values, cut }, rest));
    }
    let end = plain_end(text.as_bytes());
    (end > 0).then(|| Some((Value::Plain(text.get(..end)?.trim_end()), text.get(end..)?)))?
}

/// Where a value that is no string ends: at a comma, a bracket that it did not open, or `=>`.
fn plain_end(bytes: &[u8]) -> usize {
    let mut open = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let inside = bytes.get(at + 1..).unwrap_or_default();
                at += 1 + string_end(inside);
            }
            b'<' if at > 0 && is_noted(bytes, at) => at += note_end(bytes.get(at..).unwrap_or_default()),
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let inside = bytes.get(at..).unwrap_or_default();
                at += memchr::memmem::find(inside, b"*/").map_or(inside.len(), |end| end + 1);
            }
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' if open > 0 => open -= 1,
            b')' | b']' | b'}' => return at,
            b',' if open == 0 => return at,
            b'=' if open == 0 && bytes.get(at + 1) == Some(&b'>') => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// A note of strace (`-y`) stands behind a number or `AT_FDCWD`.
fn is_noted(bytes: &[u8], at: usize) -> bool {
    bytes.get(at.wrapping_sub(1)).is_some_and(u8::is_ascii_digit)
        || bytes.get(..at).is_some_and(|before| before.ends_with(b"AT_FDCWD"))
}

/// Bytes up to the note's last: `<TCP:[a->b]>` has an arrow in it, a path has its own `>` escaped.
fn note_end(bytes: &[u8]) -> usize {
    let inside = bytes.get(1..).unwrap_or_default();
    let kind = inside.iter().position(|b| !b.is_ascii_uppercase() && !b.is_ascii_digit() && *b != b'-');
    let socket =
        kind.is_some_and(|at| at > 0 && inside.get(at..).is_some_and(|rest| rest.starts_with(b":[")));
    let end = if socket {
        memchr::memmem::find(bytes, b"]>").map(|at| at + 1)
    } else {
        memchr::memchr(b'>', bytes)
    };
    end.unwrap_or(bytes.len())
}

/// Bytes of a string up to its closing quote.
fn string_end(inside: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = inside.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    inside.len()
}

/// Bytes without their C escapes, up to `end`; and how many were used.
pub(crate) fn unescape(text: &[u8], end: Option<u8>) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if Some(byte) == end {
            break;
        }
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(&escape) = text.get(at) else { break };
        at += 1;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'v' => out.push(0x0b),
            b'f' => out.push(0x0c),
            b'0'..=b'7' => {
                let mut code = u32::from(escape - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = text.get(at) else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    at += 1;
                }
                out.push((code & 0xff) as u8);
            }
            b'x' => {
                let digits = text.get(at..).unwrap_or_default();
                let count = digits.iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
                let hex = digits.get(..count).and_then(|hex| std::str::from_utf8(hex).ok()).unwrap_or("");
                out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
                at += count;
            }
            other => out.push(other),
        }
    }
    (out, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str], rest: &str) {
        let (values, left) = arguments(text).unwrap();
        let shown: Vec<String> = values.iter().map(show).collect();
        assert_eq!(shown, expected, "{text}");
        assert_eq!(left, rest);
    }

    fn show(value: &Value<'_>) -> String {
        match value {
            Value::Text { bytes, cut } => {
                format!("'{}'{}", escape_bytes(bytes), if *cut { "…" } else { "" })
            }
            Value::List { values, cut } => {
                let inside: Vec<String> = values.iter().map(show).collect();
                format!("[{}]{}", inside.join(" "), if *cut { "…" } else { "" })
            }
            Value::Plain(text) => (*text).to_owned(),
        }
    }

    #[test]
    fn arguments_as_strace_prints_them() {
        check(
            r#""/bin/sh", ["sh", "-c", "a \"b\", c"...], 0x55 /* 3 vars */) = 0"#,
            &["'/bin/sh'", "['sh' '-c' 'a \"b\", c'…]", "0x55 /* 3 vars */"],
            " = 0",
        );
        check(
            r#"AT_FDCWD</a,b>, "x\303\274\x41\0", O_RDONLY|O_CLOEXEC) = 3</a>"#,
            &["AT_FDCWD</a,b>", "'xüA\0'", "O_RDONLY|O_CLOEXEC"],
            " = 3</a>",
        );
        check(
            r#"3<TCP:[1.2.3.4:5->6.7.8.9:443]>, {sa_family=AF_UNIX, sun_path="/a)b"}, 110) = 0"#,
            &["3<TCP:[1.2.3.4:5->6.7.8.9:443]>", r#"{sa_family=AF_UNIX, sun_path="/a)b"}"#, "110"],
            " = 0",
        );
        check(
            "{flags=CLONE_VM|CLONE_THREAD, stack=0x7} => {parent_tid=[98]}, 88) = 98",
            &["{flags=CLONE_VM|CLONE_THREAD, stack=0x7}", "{parent_tid=[98]}", "88"],
            " = 98",
        );
        check(
            "child_stack=NULL, flags=A|B, parent_tid=[1]) = 7",
            &["child_stack=NULL", "flags=A|B", "parent_tid=[1]"],
            " = 7",
        );
        check(r#"["a", ...], NULL)"#, &["['a']…", "NULL"], "");
        check(") = 4", &[], " = 4");
    }

    #[test]
    fn what_is_torn_is_none() {
        for text in ["", "\"abc", "1, [2", "{a", "\"a\"b)", "[[[[[[[[[["] {
            assert_eq!(arguments(text), None, "{text}");
        }
    }

    #[test]
    fn descriptors_have_notes() {
        assert_eq!(Value::Plain("5</a b>").descriptor(), Some((Some(5), Some("/a b".to_owned()))));
        assert_eq!(Value::Plain("AT_FDCWD</w>").descriptor(), Some((None, Some("/w".to_owned()))));
        assert_eq!(Value::Plain("7</x (deleted)>").descriptor(), Some((Some(7), Some("/x".to_owned()))));
        assert_eq!(Value::Plain("7").descriptor(), Some((Some(7), None)));
        assert_eq!(Value::Plain("NULL").descriptor(), None);
    }

    #[test]
    fn fields_of_structs() {
        let text = r#"{flags=CLONE_VM|X, exit_signal=SIGCHLD, sun_path=@"a, b"}"#;
        assert_eq!(field(text, "flags"), Some("CLONE_VM|X"));
        assert_eq!(field(text, "signal"), None);
        assert_eq!(field(text, "sun_path"), Some("@\"a, b\""));
    }
}
