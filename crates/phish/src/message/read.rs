//! A message as it comes: a mail with its headers, a chat message as JSON, or bare text.

use mail_parser::{HeaderName, MessageParser, MimeHeaders, PartType};
use serde_json::Value;

use crate::host::name::cut;

/// Of a mail that is longer, the beginning is read: text and links stand there, what follows are pictures.
pub const MAIL_MAX: usize = 4 << 20;
/// Parts of a mail: honest ones have under fifty. One with more is read up to there, as text.
const PARTS_MAX: usize = 500;
/// Text of all its parts that is looked at.
const TEXT_MAX: usize = 128 << 10;
/// HTML that is looked at.
const HTML_MAX: usize = 1 << 20;
/// Links that are looked at.
pub const LINKS_MAX: usize = 200;
/// Longest name, subject or address.
const FIELD_MAX: usize = 500;

#[derive(Clone, Debug, Default)]
pub struct Message {
    pub from_name: String,
    /// Host of the sender's address; empty where there is none.
    pub from_host: String,
    pub from: String,
    pub reply_host: String,
    pub subject: String,
    pub text: String,
    pub links: Vec<Link>,
    /// `Authentication-Results`, lower case, the topmost one: the receiver's own.
    pub results: String,
    pub mail: bool,
    /// It was too long or had too many parts to be read whole.
    pub cut: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// What a reader sees, where that is another thing than where it leads.
    pub shown: Option<String>,
    pub target: String,
}

#[must_use]
pub fn read(bytes: &[u8]) -> Message {
    let (start, cut_off) = match bytes.get(..MAIL_MAX) {
        Some(start) => (start, bytes.len() > MAIL_MAX),
        None => (bytes, false),
    };
    let mut message = if start.trim_ascii_start().first() == Some(&b'{') {
        chat(start).unwrap_or_else(|| bare(start))
    } else if is_mail(start) {
        mail(start).unwrap_or_else(|| bare(start))
    } else {
        bare(start)
    };
    message.cut |= cut_off;
    find_links(&message.text.clone(), &mut message.links);
    message
}

fn bare(bytes: &[u8]) -> Message {
    let text = String::from_utf8_lossy(bytes);
    Message { text: cut(&text, TEXT_MAX).to_owned(), cut: text.len() > TEXT_MAX, ..Message::default() }
}

/// Whether it begins with headers, one of them a mail's.
fn is_mail(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(bytes.get(..bytes.len().min(64 << 10)).unwrap_or_default());
    let mut known = 0;
    for (n, line) in head.lines().take(400).enumerate() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) || (n == 0 && line.starts_with("From ")) {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.contains(' ') {
            return false;
        }
        known += usize::from(
            [
                "from",
                "to",
                "subject",
                "date",
                "received",
                "message-id",
                "mime-version",
                "return-path",
                "reply-to",
            ]
            .contains(&name.to_ascii_lowercase().as_str()),
        );
    }
    known >= 2
}

fn mail(bytes: &[u8]) -> Option<Message> {
    // A bomb of parts in parts: only what stands before it is read.
    let mut limit = bytes.len();
    let mut parts = 0;
    for (at, window) in bytes.windows(9).enumerate() {
        if window.eq_ignore_ascii_case(b"boundary=") || (window.starts_with(b"\n--") && window.len() == 9) {
            parts += 1;
            if parts > PARTS_MAX {
                limit = at;
                break;
            }
        }
    }
    let bytes_read = bytes.get(..limit)?;
    let parsed = MessageParser::default().parse(bytes_read)?;
    let mut message = Message { mail: true, cut: limit < bytes.len(), ..Message::default() };
    if let Some(from) = parsed.from().and_then(|f| f.first()) {
        message.from_name = field(from.name().unwrap_or_default());
        message.from = field(from.address().unwrap_or_default());
        message.from_host = host_of(&message.from);
    }
    let reply = parsed.reply_to().and_then(|f| f.first()).and_then(|f| f.address()).unwrap_or_default();
    message.reply_host = host_of(reply);
    message.subject = field(parsed.subject().unwrap_or_default());
    let results = HeaderName::from("Authentication-Results");
    let first = parsed.headers_raw().find(|(name, _)| name.eq_ignore_ascii_case(results.as_str()));
    message.results = first.map_or(String::new(), |(_, value)| cut(value, 4096).to_lowercase());
    for part in parsed.parts.iter().take(PARTS_MAX) {
        match &part.body {
            PartType::Text(text) if part.attachment_name().is_none() => push(&mut message.text, text),
            PartType::Html(html) => {
                let html = cut(html, HTML_MAX);
                anchors(html, &mut message.links);
                push(&mut message.text, &seen(html));
            }
            _ => {}
        }
    }
    Some(message)
}

/// `{from|sender|username, text|content|message, …}`, as exports of chats have it.
fn chat(bytes: &[u8]) -> Option<Message> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let get = |keys: &[&str]| {
        let found = keys.iter().find_map(|k| match value.get(*k)? {
            Value::String(text) => Some(text.clone()),
            Value::Object(inner) => ["name", "username", "displayName", "first_name"]
                .iter()
                .find_map(|k| inner.get(*k)?.as_str().map(str::to_owned)),
            _ => None,
        });
        found.unwrap_or_default()
    };
    let text = get(&["text", "content", "body", "message", "markdown"]);
    let subject = get(&["subject", "title"]);
    if text.is_empty() && subject.is_empty() {
        return None;
    }
    let from = field(&get(&["from", "sender", "author", "user", "username", "from_name"]));
    let (from_name, address) = match from.split_once('<') {
        Some((name, rest)) => {
            (name.trim().trim_matches('"').to_owned(), rest.trim_end_matches('>').to_owned())
        }
        None if from.contains('@') && !from.starts_with('@') => (String::new(), from),
        None => (from, String::new()),
    };
    let mut message = Message {
        from_host: host_of(&address),
        from: address,
        from_name,
        subject: field(&subject),
        reply_host: host_of(&get(&["reply_to", "replyTo", "reply-to"])),
        ..Message::default()
    };
    message.mail = !message.from_host.is_empty();
    let html = get(&["html"]);
    anchors(cut(&html, HTML_MAX), &mut message.links);
    push(&mut message.text, &text);
    push(&mut message.text, &seen(cut(&html, HTML_MAX)));
    Some(message)
}

fn field(text: &str) -> String {
    cut(text.trim(), FIELD_MAX).to_owned()
}

fn host_of(address: &str) -> String {
    address
        .rsplit_once('@')
        .map_or(String::new(), |(_, host)| field(host.trim_end_matches('>')).to_lowercase())
}

fn push(text: &mut String, more: &str) {
    let room = TEXT_MAX.saturating_sub(text.len());
    text.push_str(cut(more, room));
    text.push_str("\n\n");
}

/// `<a href="…">…</a>`: where it leads, and what is shown where that names a host.
fn anchors(html: &str, links: &mut Vec<Link>) {
    let lower = html.to_ascii_lowercase();
    let mut at = 0;
    while let Some(found) = lower.get(at..).and_then(|rest| rest.find("href")) {
        if links.len() >= LINKS_MAX {
            return;
        }
        let start = at + found + 4;
        at = start;
        let Some(rest) = html.get(start..) else { return };
        let value = rest.trim_start().strip_prefix('=').map(str::trim_start).unwrap_or_default();
        let (quote, value) = match value.chars().next() {
            Some(q @ ('"' | '\'')) => (q, value.get(1..).unwrap_or_default()),
            _ => ('>', value),
        };
        let target = entities(cut(value.split(quote).next().unwrap_or_default(), 2048).trim());
        let shown = value
            .get(..value.len().min(4096))
            .or(Some(cut(value, 4096)))
            .and_then(|v| v.split_once('>'))
            .map(|(_, v)| v)
            .and_then(|v| v.split("</a").next().or(Some(v)))
            .map(seen)
            .map(|text| text.trim().to_owned());
        if target.contains("://") || target.starts_with("//") {
            let shown =
                shown.filter(|s| !s.is_empty() && !s.contains(' ') && s.contains('.') && s.len() < 200);
            links.push(Link { shown, target });
        }
    }
}

/// URLs in plain text, defanged ones too.
fn find_links(text: &str, links: &mut Vec<Link>) {
    for word in
        text.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '(' | ')' | '|' | '`'))
    {
        if links.len() >= LINKS_MAX {
            return;
        }
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
        let bare = word.contains('.') && word.len() < 200 && {
            // A bare name counts where its end is a suffix in the list and it has no @.
            let name = word.split('/').next().unwrap_or_default();
            let known =
                psl::suffix(name.as_bytes()).is_some_and(|s| s.is_known() && s.as_bytes().len() < name.len());
            known
                && !word.contains('@')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        };
        if (word.contains("://") || bare) && word.len() < 2048 {
            let target = word.to_owned();
            if !links.iter().any(|l| l.target == target) {
                links.push(Link { shown: None, target });
            }
        }
    }
}

/// What of HTML is seen: no tags, no styles, no scripts.
fn seen(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let end = ["style", "script"]
            .iter()
            .find(|t| after.get(..t.len()).is_some_and(|name| name.eq_ignore_ascii_case(t)));
        let after = match end {
            Some(tag) => after.split_once(&format!("</{tag}")).map_or("", |(_, rest)| rest),
            None => after,
        };
        let (tag, next) = after.split_once('>').unwrap_or(("", ""));
        let tag = tag.trim_start_matches('/').to_ascii_lowercase();
        let block = ["p", "div", "br", "tr", "li", "h1", "h2", "h3", "td", "table"]
            .iter()
            .any(|t| tag.strip_prefix(t).is_some_and(|r| r.is_empty() || r.starts_with([' ', '/'])));
        text.push_str(if block { "\n\n" } else { "" });
        rest = next;
    }
    text.push_str(rest);
    entities(&text)
}

fn entities(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&rsquo;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
