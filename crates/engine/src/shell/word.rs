//! Words without their quotes.

use tree_sitter::Node;

use crate::shell::walk::DEPTH_MAX;

/// The text of a node as it stands.
pub(crate) fn verbatim<'a>(node: Node<'_>, text: &'a str) -> &'a str {
    text.get(node.byte_range()).unwrap_or_default()
}

/// What the shell makes of it, as far as that can be told; expansions stand as they were written.
pub(crate) fn unquoted(node: Node<'_>, text: &str) -> String {
    let mut out = String::new();
    put(node, text, 0, &mut out);
    out
}

fn put(node: Node<'_>, text: &str, depth: usize, out: &mut String) {
    let raw = verbatim(node, text);
    if depth > DEPTH_MAX {
        out.push_str(raw);
        return;
    }
    match node.kind() {
        "word" | "command_name" if node.named_child_count() == 0 => unescape(raw, |_| true, out),
        "raw_string" => out.push_str(strip(raw, "'", "'")),
        "ansi_c_string" => decode(strip(raw, "$'", "'"), out),
        "string" => string(node, text, depth, out),
        "translated_string" | "concatenation" | "command_name" | "variable_assignment" => {
            // What stands between its parts belongs to it too: `=`.
            let mut at = node.start_byte();
            for part in node.children(&mut node.walk()) {
                out.push_str(text.get(at..part.start_byte()).unwrap_or_default());
                put(part, text, depth + 1, out);
                at = part.end_byte();
            }
        }
        "command_substitution" => match printed(node, text) {
            Some(body) => out.push_str(body.trim_end()),
            None => out.push_str(raw),
        },
        "$" if node.parent().is_some_and(|p| p.kind() == "translated_string") => {}
        _ => out.push_str(raw),
    }
}

fn string(node: Node<'_>, text: &str, depth: usize, out: &mut String) {
    let escaped = |c: char| matches!(c, '"' | '\\' | '$' | '`' | '\n');
    let end = node.end_byte();
    let mut at = node.start_byte().saturating_add(1);
    for part in node.named_children(&mut node.walk()) {
        if part.kind() == "string_content" {
            continue;
        }
        unescape(text.get(at..part.start_byte()).unwrap_or_default(), escaped, out);
        put(part, text, depth + 1, out);
        at = part.end_byte();
    }
    unescape(text.get(at..end.saturating_sub(1)).unwrap_or_default(), escaped, out);
}

/// The text of `$(cat <<'END' … END)`, which agents use for messages of several lines.
fn printed<'a>(node: Node<'_>, text: &'a str) -> Option<&'a str> {
    let statement = only_child(node)?;
    let name = statement.child_by_field_name("body")?;
    if statement.kind() != "redirected_statement" || verbatim(name, text) != "cat" {
        return None;
    }
    let redirect = statement.child_by_field_name("redirect")?;
    (redirect.kind() == "heredoc_redirect").then(|| body(redirect, text)).flatten()
}

fn only_child(node: Node<'_>) -> Option<Node<'_>> {
    (node.named_child_count() == 1).then(|| node.named_child(0)).flatten()
}

/// The text of a heredoc.
pub(crate) fn body<'a>(redirect: Node<'_>, text: &'a str) -> Option<&'a str> {
    redirect
        .named_children(&mut redirect.walk())
        .find(|child| child.kind() == "heredoc_body")
        .map(|child| verbatim(child, text))
}

fn strip<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let text = text.strip_prefix(open).unwrap_or(text);
    text.strip_suffix(close).unwrap_or(text)
}

/// Takes out the backslashes before what they escape, and ends of lines that they hide.
fn unescape(text: &str, escaped: impl Fn(char) -> bool, out: &mut String) {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('\n') => {}
            Some(next) if escaped(next) => out.push(next),
            Some(next) => out.extend(['\\', next]),
            None => out.push('\\'),
        }
    }
}

/// `$'…'`.
fn decode(text: &str, out: &mut String) {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let Some(kind) = characters.next() else { break };
        let (radix, digits) = match kind {
            'n' => {
                out.push('\n');
                continue;
            }
            't' => {
                out.push('\t');
                continue;
            }
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='7' => (8, 3),
            other => {
                out.push(other);
                continue;
            }
        };
        let mut value = kind.to_digit(8).filter(|_| radix == 8).unwrap_or(0);
        let mut left = if radix == 8 { digits - 1 } else { digits };
        while left > 0
            && let Some(digit) = characters.peek().and_then(|c| c.to_digit(radix))
        {
            value = value.wrapping_mul(radix).wrapping_add(digit);
            characters.next();
            left -= 1;
        }
        out.push(char::from_u32(value).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}
