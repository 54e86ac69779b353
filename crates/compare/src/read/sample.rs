//! One sample of an Inspect log: one run.

mod parts;
mod wanted;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::clean::Clean;
use super::document::Header;
use super::loose::Loose;
use super::{Ask, Notes, ReadError, name};
use crate::conduct::{Tally, kind};
use crate::run::{Run, SUCCESS};
use parts::{Content, Each, Event, Message, Score, Scores};
use wanted::whole;
pub use wanted::{Wanted, score, seconds};

/// Texts of the agent that stand elsewhere in the sample.
const ATTACHED_MAX: usize = 100_000;
const ATTACHMENT: &str = "attachment://";

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
        run.epoch = Some(self.epoch.unwrap_or(1));
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
