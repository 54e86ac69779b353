//! One sample of an Inspect log: one run.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::clean::Clean;
use super::document::Header;
use super::loose::Loose;
use super::{Ask, Notes, ReadError, name};
use crate::conduct::{Kind, Tally, kind};
use crate::run::{Run, SUCCESS};

/// Tool calls of one message, and scorers of one sample.
const CALLS_MAX: usize = 10_000;
const SCORES_MAX: usize = 256;
/// Texts of the agent that stand elsewhere in the sample.
const ATTACHED_MAX: usize = 100_000;
const ATTACHMENT: &str = "attachment://";

/// What of a table of metadata matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub task: Option<String>,
    pub arm: Option<String>,
    pub epoch: Option<u64>,
    pub outcome: Option<f64>,
    pub difficulty: Option<f64>,
    pub chance: Option<f64>,
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WantedVisitor;
        impl<'de> Visitor<'de> for WantedVisitor {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Wanted, E> {
                Ok(Wanted::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
                let mut wanted = Wanted::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "task" | "task_id" | "task_name" => {
                            wanted.task = Some(map.next_value::<Loose>()?.text)
                        }
                        "arm" | "condition" => wanted.arm = Some(map.next_value::<Loose>()?.text),
                        "epoch" => wanted.epoch = whole(&map.next_value::<Loose>()?),
                        "outcome" | "reward" | "success" => {
                            wanted.outcome = score(&map.next_value::<Loose>()?)
                        }
                        "difficulty" => wanted.difficulty = difficulty(&map.next_value::<Loose>()?),
                        "chance" => wanted.chance = map.next_value::<Loose>()?.number,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(wanted)
            }
        }
        deserializer.deserialize_any(WantedVisitor)
    }
}

fn whole(value: &Loose) -> Option<u64> {
    value.number.filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 1e15).map(|n| n as u64)
}

fn difficulty(value: &Loose) -> Option<f64> {
    value.number.or_else(|| {
        let words = ["trivial", "easy", "medium", "hard", "very hard"];
        words.iter().position(|word| value.text.eq_ignore_ascii_case(word)).map(|at| at as f64)
    })
}

/// Inspect's letters, yes and no, or a number.
pub fn score(value: &Loose) -> Option<f64> {
    value.number.or_else(|| match value.text.trim() {
        "C" | "c" | "yes" | "Yes" | "true" | "True" | "pass" | "PASS" => Some(1.0),
        "P" | "p" => Some(0.5),
        "I" | "i" | "N" | "n" | "no" | "No" | "false" | "False" | "fail" | "FAIL" => Some(0.0),
        other => other.parse().ok().filter(|n: &f64| n.is_finite()),
    })
}

/// `2026-01-02T03:04:05.25Z` in seconds; only differences of these are used.
pub fn seconds(text: &str) -> Option<f64> {
    let (date, rest) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let clock = |text: &str| {
        let mut parts = text.splitn(3, ':').map(|part| part.parse::<f64>().ok());
        let (h, m) = (parts.next()??, parts.next()??);
        let s = parts.next().unwrap_or(Some(0.0))?;
        Some(h * 3600.0 + m * 60.0 + s)
    };
    let offset = match zone.chars().next() {
        Some('+') => clock(zone.get(1..)?)?,
        Some('-') => -clock(zone.get(1..)?)?,
        _ => 0.0,
    };
    // Days since 0000-03-01, as Howard Hinnant counts them.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1;
    Some(days as f64 * 86_400.0 + clock(time)? - offset)
}

pub fn read(reader: &mut dyn Read, header: &Header, ask: &Ask, notes: &mut Notes) -> Result<Run, ReadError> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(Clean::new(reader)));
    let run = SampleSeed { header, ask, notes }.deserialize(&mut json)?;
    json.end()?;
    run
}

pub struct SampleSeed<'a> {
    pub header: &'a Header,
    pub ask: &'a Ask,
    pub notes: &'a mut Notes,
}

impl<'de> DeserializeSeed<'de> for SampleSeed<'_> {
    type Value = Result<Run, ReadError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// What is gathered while a sample goes by.
#[derive(Default)]
struct Sample {
    id: Option<Loose>,
    epoch: Option<u64>,
    scores: Vec<(String, Option<f64>)>,
    metadata: Wanted,
    error: bool,
    stopped: bool,
    choices: usize,
    tally: Tally,
    /// Messages named calls; those of events are then not counted again.
    messages: u64,
    attached: BTreeSet<String>,
}

impl<'de> Visitor<'de> for SampleSeed<'_> {
    type Value = Result<Run, ReadError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut sample = Sample::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => sample.id = Some(map.next_value()?),
                "epoch" => sample.epoch = whole(&map.next_value()?),
                "scores" => sample.scores = map.next_value::<Scores>()?.0,
                "score" => {
                    let score: Option<Score> = map.next_value()?;
                    sample.scores.extend(score.map(|score| ("score".to_owned(), score.value())));
                }
                "metadata" => sample.metadata = map.next_value::<Option<Wanted>>()?.unwrap_or_default(),
                "error" => sample.error = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                "limit" => sample.stopped = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                "choices" => {
                    sample.choices = map.next_value::<Option<Vec<IgnoredAny>>>()?.map_or(0, |c| c.len())
                }
                "messages" => map.next_value_seed(Each(&mut |message: Message| sample.message(message)))?,
                "events" => map.next_value_seed(Each(&mut |event: Event| sample.event(event)))?,
                "transcript" => map.next_value_seed(Legacy(&mut sample))?,
                "attachments" => map.next_value_seed(Attachments(&mut sample))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(sample.run(self.header, self.ask, self.notes))
    }
}

impl Sample {
    fn run(self, header: &Header, ask: &Ask, notes: &mut Notes) -> Result<Run, ReadError> {
        let mut run = Run { measures: self.tally.measures(), ..Run::default() };
        let id = self.id.map(|id| id.text).unwrap_or_default();
        let task = header.eval.task.as_ref().map(|t| t.text.as_str()).unwrap_or_default();
        run.task = name(&if task.is_empty() { id } else { format!("{task}/{id}") })?;
        run.epoch = self.epoch.unwrap_or(1);
        let arms = [Some(&self.metadata), header.eval.metadata.as_ref(), header.eval.task_args.as_ref()];
        run.arm =
            arms.into_iter().flatten().find_map(|wanted| wanted.arm.clone()).map(|a| name(&a)).transpose()?;
        run.difficulty = self.metadata.difficulty;
        run.chance = self.metadata.chance.or_else(|| (self.choices > 1).then(|| 1.0 / self.choices as f64));
        run.error = self.error;
        run.measures.insert("stops".to_owned(), f64::from(u8::from(self.error || self.stopped)));
        let score = match &ask.scorer {
            Some(wanted) => self.scores.iter().find(|(name, _)| name == wanted),
            None => self.scores.first(),
        };
        match score {
            Some((scorer, Some(value))) => {
                run.measures.insert(SUCCESS.to_owned(), *value);
                if self.scores.len() > 1 && ask.scorer.is_none() {
                    notes.push(format!(
                        "samples have {} scorers; `{scorer}` is taken (--scorer names another)",
                        self.scores.len()
                    ));
                }
            }
            Some((scorer, None)) => {
                notes.push(format!("scorer `{scorer}` gave values that are no outcome; they are left out"));
            }
            None => notes.push("samples without a score have no outcome".to_owned()),
        }
        Ok(run)
    }

    fn message(&mut self, message: Message) {
        if message.role.text != "assistant" {
            return;
        }
        self.messages += 1;
        self.text(&message.content);
        if let Some(reasoning) = &message.reasoning {
            self.tally.thought(&reasoning.text);
        }
        for call in message.tool_calls.0 {
            let kind = call.kind();
            self.tally.call(kind, &call.arguments.text);
        }
    }

    fn text(&mut self, content: &Content) {
        for thinking in &content.thinking {
            self.attach(thinking);
            self.tally.thought(thinking);
        }
        self.attach(&content.text);
        self.tally.said(&content.text);
    }

    fn attach(&mut self, text: &str) {
        for (at, _) in text.match_indices(ATTACHMENT) {
            let hash: String = text
                .get(at + ATTACHMENT.len()..)
                .unwrap_or_default()
                .chars()
                .take_while(char::is_ascii_hexdigit)
                .take(64)
                .collect();
            if self.attached.len() < ATTACHED_MAX {
                self.attached.insert(hash);
            }
        }
    }

    fn event(&mut self, event: Event) {
        let seconds = event
            .working_start
            .as_ref()
            .and_then(|s| s.number)
            .or_else(|| event.timestamp.as_ref().and_then(|t| seconds(&t.text)));
        if let Some(seconds) = seconds {
            self.tally.at(seconds);
        }
        match event.event.text.as_str() {
            "tool" => {
                let kind = kind(
                    &event.function.text,
                    None,
                    event.arguments.command.as_deref(),
                    &event.arguments.text,
                );
                if let (true, Some(seconds)) = (kind.writes, seconds) {
                    self.tally.wrote_at(seconds);
                }
            }
            "sandbox" => {
                if let (true, Some(seconds)) = (event.action.text == "write_file", seconds) {
                    self.tally.wrote_at(seconds);
                }
            }
            "approval" => {
                if matches!(event.decision.text.as_str(), "reject" | "terminate") {
                    self.tally.denied();
                }
            }
            "model" if event.output.is_some_and(|output| output.refused()) => self.tally.refused(),
            _ => {}
        }
    }
}

/// Any of a list, one at a time, without the list.
struct Each<'a, T>(&'a mut dyn FnMut(T));

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Each<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(one) = seq.next_element()? {
            (self.0)(one);
        }
        Ok(())
    }
}

struct Legacy<'a>(&'a mut Sample);

impl<'de> DeserializeSeed<'de> for Legacy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Legacy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transcript")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "events" {
                map.next_value_seed(Each(&mut |event: Event| self.0.event(event)))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Attachments<'a>(&'a mut Sample);

impl<'de> DeserializeSeed<'de> for Attachments<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Attachments<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by their hash")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if self.0.attached.contains(&key) {
                let text: Loose = map.next_value()?;
                self.0.tally.words(&text.text);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Message {
    role: Loose,
    content: Content,
    reasoning: Option<Loose>,
    tool_calls: Calls,
}

/// Text, or parts of which some are thinking.
#[derive(Default)]
struct Content {
    text: String,
    thinking: Vec<String>,
}

/// Parts of one message.
const PARTS_MAX: usize = 10_000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    text: Option<Loose>,
    reasoning: Option<Loose>,
    refusal: Option<Loose>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or its parts")
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content { text: text.to_owned(), thinking: Vec::new() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut content = Content::default();
                let mut parts = 0;
                while let Some(part) = seq.next_element::<Part>()? {
                    parts += 1;
                    if parts > PARTS_MAX {
                        continue;
                    }
                    for text in [part.text, part.refusal].into_iter().flatten() {
                        if !content.text.is_empty() {
                            content.text.push('\n');
                        }
                        content.text.push_str(&text.text);
                    }
                    content.thinking.extend(part.reasoning.map(|reasoning| reasoning.text));
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Call {
    function: Loose,
    arguments: Loose,
}

impl Call {
    fn kind(&self) -> Kind {
        kind(&self.function.text, None, self.arguments.command.as_deref(), &self.arguments.text)
    }
}

#[derive(Default)]
struct Calls(Vec<Call>);

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut calls = Vec::new();
        Each(&mut |call: Call| {
            if calls.len() < CALLS_MAX {
                calls.push(call);
            }
        })
        .deserialize(deserializer)?;
        Ok(Calls(calls))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    event: Loose,
    timestamp: Option<Loose>,
    working_start: Option<Loose>,
    function: Loose,
    arguments: Loose,
    action: Loose,
    decision: Loose,
    output: Option<Output>,
}

/// Of a model event; the outputs of others are texts.
#[derive(Default)]
struct Output {
    stops: Vec<String>,
}

impl Output {
    fn refused(&self) -> bool {
        self.stops.iter().any(|stop| matches!(stop.as_str(), "content_filter" | "refusal"))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    stop_reason: Option<Loose>,
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OutputVisitor;
        impl<'de> Visitor<'de> for OutputVisitor {
            type Value = Output;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an output")
            }

            fn visit_unit<E>(self) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Output, E> {
                Ok(Output::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Output, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Output::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Output, A::Error> {
                let mut stops = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "choices" {
                        map.next_value_seed(Each(&mut |choice: Choice| {
                            if stops.len() < PARTS_MAX {
                                stops.extend(choice.stop_reason.map(|stop| stop.text));
                            }
                        }))?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Output { stops })
            }
        }
        deserializer.deserialize_any(OutputVisitor)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Score {
    value: Option<Loose>,
}

impl Score {
    fn value(&self) -> Option<f64> {
        self.value.as_ref().and_then(score)
    }
}

/// By scorer, in the log's order.
struct Scores(Vec<(String, Option<f64>)>);

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScoresVisitor;
        impl<'de> Visitor<'de> for ScoresVisitor {
            type Value = Scores;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("scores by scorer")
            }

            fn visit_unit<E>(self) -> Result<Scores, E> {
                Ok(Scores(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scores, A::Error> {
                let mut scores = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let score: Option<Score> = map.next_value()?;
                    if scores.len() < SCORES_MAX {
                        scores.push((name, score.and_then(|score| score.value())));
                    }
                }
                Ok(Scores(scores))
            }
        }
        deserializer.deserialize_any(ScoresVisitor)
    }
}
