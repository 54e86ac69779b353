//! Bytes in, whole records out: framing, hashes and offsets. What a record means is in the file of its product.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_event::{redact, redact_bytes};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::item::Actor;
use crate::json::{at, text, time_ns};
use crate::{Body, Format, Framing, Item, claude, codex, gemini, opencode, openhands};

/// Longest record that is kept whole. A longer line is carried as `Other`, cut to its beginning.
const RECORD_MAX: usize = 64 * 1024 * 1024;
/// Raw bytes kept of a record that is too long or is no JSON.
const RAW_MAX: usize = 64 * 1024;
/// Longest name of a record type. Products' own have some thirty bytes; a record decides how long its is.
const RECORD_TYPE_MAX: usize = 256;
/// Record types that are counted: products have some dozens.
const UNKNOWN_MAX: usize = 256;

/// One record of an account's file, as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub offset: u64,
    /// Length in the file, in bytes, with its line break.
    pub len: u64,
    /// SHA-256 of the raw bytes (without the line break), before redaction.
    pub sha256: [u8; 32],
    /// The bytes, with secrets redacted.
    pub raw: Vec<u8>,
    pub items: Vec<Item>,
}

/// Reads one file of an account. Feed it the file's bytes in order.
pub struct Reader {
    framing: Framing,
    product: Product,
    record_max: usize,
    offset: u64,
    /// A line that is not whole yet; of one that is too long, its beginning.
    torn: Vec<u8>,
    /// The line has outgrown `record_max`: its bytes go to the hash only.
    overlong: Option<(Sha256, u64)>,
    unknown: BTreeMap<String, u64>,
}

enum Product {
    Claude(claude::Claude),
    Codex(codex::Codex),
    Gemini(gemini::Gemini),
    OpenCode(opencode::OpenCode),
    OpenHands(openhands::OpenHands),
}

impl Reader {
    pub fn new(format: Format) -> Self {
        let product = match format {
            Format::ClaudeCode => Product::Claude(claude::Claude::default()),
            Format::Codex => Product::Codex(codex::Codex::default()),
            Format::GeminiCli => Product::Gemini(gemini::Gemini::default()),
            Format::OpenCode => Product::OpenCode(opencode::OpenCode::default()),
            Format::OpenHands => Product::OpenHands(openhands::OpenHands::default()),
        };
        Self {
            framing: format.framing(),
            product,
            record_max: RECORD_MAX,
            offset: 0,
            torn: Vec::new(),
            overlong: None,
            unknown: BTreeMap::new(),
        }
    }

    /// As `new`, with another length from which on a line is too long: the real one is out of reach of a test.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn with_record_max(format: Format, record_max: usize) -> Self {
        Self { record_max, ..Self::new(format) }
    }

    /// Takes the next bytes of the file (for `Framing::Document`: the whole file, each time it changed; for
    /// `Framing::Rows`: one row, as a JSON object) and gives the records that are whole now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Record> {
        match self.framing {
            Framing::Lines => self.feed_lines(bytes),
            Framing::Document | Framing::Rows => {
                let record = self.record(0, bytes.len() as u64, bytes);
                Vec::from_iter(record)
            }
        }
    }

    /// The file is at its end and will not grow: a last line without a line break is a record too, if it is whole JSON,
    /// or too long to tell.
    pub fn finish(&mut self) -> Option<Record> {
        if self.overlong.is_some() {
            return self.overlong_record();
        }
        let torn = std::mem::take(&mut self.torn);
        if torn.is_empty() || serde_json::from_slice::<Value>(&torn).is_err() {
            self.torn = torn;
            return None;
        }
        let offset = self.offset;
        self.offset += torn.len() as u64;
        self.record(offset, torn.len() as u64, &torn)
    }

    /// Bytes of a line that waits for its rest.
    pub fn waiting(&self) -> usize {
        self.torn.len()
    }

    /// Record types that were met and are not interpreted, with how often.
    pub fn unknown(&self) -> &BTreeMap<String, u64> {
        &self.unknown
    }

    fn feed_lines(&mut self, bytes: &[u8]) -> Vec<Record> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            if self.overlong.is_none() && self.torn.len() + text.len() > self.record_max {
                self.overlong = Some((Sha256::new_with_prefix(&self.torn), self.torn.len() as u64));
                self.torn.truncate(RAW_MAX);
            }
            if let Some((hash, len)) = &mut self.overlong {
                hash.update(text);
                *len += piece.len() as u64;
                let room = RAW_MAX.saturating_sub(self.torn.len());
                self.torn.extend_from_slice(text.get(..room).unwrap_or(text));
                if whole {
                    out.extend(self.overlong_record());
                }
                continue;
            }
            if whole && self.torn.is_empty() {
                let offset = self.offset;
                self.offset += piece.len() as u64;
                out.extend(self.record(offset, piece.len() as u64, text));
                continue;
            }
            self.torn.extend_from_slice(text);
            if whole {
                let line = std::mem::take(&mut self.torn);
                let len = line.len() as u64 + 1;
                let offset = self.offset;
                self.offset += len;
                out.extend(self.record(offset, len, &line));
            }
        }
        out
    }

    fn overlong_record(&mut self) -> Option<Record> {
        let (hash, len) = self.overlong.take()?;
        let head = std::mem::take(&mut self.torn);
        let offset = self.offset;
        self.offset += len;
        *self.unknown.entry("overlong line".to_owned()).or_default() += 1;
        let items = vec![other("overlong line")];
        Some(Record {
            offset,
            len,
            sha256: hash.finalize().into(),
            raw: redact_bytes(&head).into_owned(),
            items,
        })
    }

    fn record(&mut self, offset: u64, len: u64, bytes: &[u8]) -> Option<Record> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            *self.unknown.entry("not JSON".to_owned()).or_default() += 1;
            let raw = redact_bytes(bytes.get(..RAW_MAX).unwrap_or(bytes)).into_owned();
            return Some(Record { offset, len, sha256, raw, items: vec![other("not JSON")] });
        };
        let mut items = match &mut self.product {
            Product::Claude(product) => product.items(&value),
            Product::Codex(product) => product.items(&value),
            Product::Gemini(product) => product.items(&value),
            Product::OpenCode(product) => product.items(&value),
            Product::OpenHands(product) => product.items(&value),
        };
        items.extend(link(&self.product, &value));
        for item in &mut items {
            redact_item(&mut item.body);
            if let Body::Other { record_type } = &item.body
                && (self.unknown.len() < UNKNOWN_MAX || self.unknown.contains_key(record_type))
            {
                *self.unknown.entry(record_type.clone()).or_default() += 1;
            }
        }
        Some(Record { offset, len, sha256, raw: redact_bytes(bytes).into_owned(), items })
    }
}

/// Claude Code links each record to the one that it follows; Codex numbers them.
fn link(product: &Product, record: &Value) -> Option<Item> {
    let id = |key| text(record, &[key]).filter(|id| id.len() <= RECORD_TYPE_MAX).map(str::to_owned);
    let body = match product {
        Product::Claude(_) => {
            Body::Link { record: Some(id("uuid")?), after: id("parentUuid"), ordinal: None }
        }
        Product::Codex(_) => Body::Link {
            record: None,
            after: None,
            ordinal: Some(at(record, &["ordinal"]).and_then(Value::as_u64)?),
        },
        Product::Gemini(_) | Product::OpenCode(_) | Product::OpenHands(_) => return None,
    };
    let time_ns = text(record, &["timestamp"]).and_then(time_ns);
    Some(Item { time_ns, actor: Actor::Main, body })
}

fn other(record_type: &str) -> Item {
    Item { time_ns: None, actor: Actor::Main, body: Body::Other { record_type: record_type.to_owned() } }
}

/// Items are stored beside the raw bytes, so secrets are cut out of them too. Paths and ids stay: they are what joins are
/// made by, and the sensor's own are cut in the same way.
fn redact_item(body: &mut Body) {
    match body {
        Body::Session { .. } | Body::TurnEnd | Body::Link { .. } => {}
        Body::Prompt { text, .. } | Body::Text { text, .. } | Body::Thinking { text } => cut_out(text),
        Body::Call { command, arguments, .. } | Body::Effective { command, arguments, .. } => {
            command.iter_mut().for_each(cut_out);
            cut_out(arguments);
        }
        Body::Result { output, .. } => cut_out(output),
        Body::Decision { reason, .. } => cut_out(reason),
        Body::Other { record_type } => {
            record_type.truncate(record_type.floor_char_boundary(RECORD_TYPE_MAX));
            cut_out(record_type);
        }
    }
}

fn cut_out(text: &mut String) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted;
    }
}
