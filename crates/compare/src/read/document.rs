//! A JSON document: an Inspect log (`eval`, `samples`) or an ATIF trajectory (`schema_version`, `steps`), told apart by what
//! comes.

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::clean::Clean;
use super::loose::Loose;
use super::sample::{self, SampleSeed};
use super::{Ask, Notes, ReadError, Sink, name};
use crate::conduct::{Tally, kind};
use crate::run::{Run, SUCCESS};

/// What an Inspect log says of all its samples.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Header {
    pub eval: Eval,
    pub status: Option<Loose>,
    pub error: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Eval {
    pub task: Option<Loose>,
    pub metadata: Option<sample::Wanted>,
    pub task_args: Option<sample::Wanted>,
}

impl Header {
    pub fn notes(&self, notes: &mut Notes) {
        if let Some(status) = &self.status
            && !status.text.is_empty()
            && status.text != "success"
        {
            notes.push(format!("the evaluation's status is `{}`", status.text));
        }
    }
}

pub fn header(reader: &mut dyn Read) -> Result<Header, ReadError> {
    Ok(serde_json::from_reader(BufReader::new(Clean::new(reader)))?)
}

pub fn read(reader: impl Read, ask: &Ask, notes: &mut Notes, sink: Sink) -> Result<(), ReadError> {
    let mut document = serde_json::Deserializer::from_reader(BufReader::new(Clean::new(reader)));
    let mut refused = None;
    let seed = Document { ask, notes, sink, refused: &mut refused };
    let result = seed.deserialize(&mut document).and_then(|()| document.end());
    match refused {
        Some(error) => Err(error),
        None => Ok(result?),
    }
}

struct Document<'a, 'b> {
    ask: &'a Ask,
    notes: &'a mut Notes,
    sink: Sink<'b>,
    /// Why the sink ended it: serde's errors hold text only.
    refused: &'a mut Option<ReadError>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Inspect log or an ATIF trajectory")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut header = Header::default();
        let mut samples = false;
        let mut atif = Trajectory::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "eval" => header.eval = map.next_value()?,
                "status" => header.status = Some(map.next_value()?),
                "samples" => {
                    samples = true;
                    map.next_value_seed(Samples {
                        header: &header,
                        ask: self.ask,
                        notes: self.notes,
                        sink: self.sink,
                        refused: self.refused,
                    })?;
                }
                "steps" => map.next_value_seed(Steps(&mut atif))?,
                "schema_version" => atif.version = Some(map.next_value()?),
                "session_id" | "trajectory_id" => {
                    let id: Loose = map.next_value()?;
                    atif.id.get_or_insert(id.text);
                }
                "extra" => atif.extra = map.next_value::<Option<sample::Wanted>>()?.unwrap_or_default(),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        header.notes(self.notes);
        let is_atif = atif.version.as_ref().is_some_and(|v| v.text.starts_with("ATIF")) || atif.steps > 0;
        if samples {
            return Ok(());
        }
        if !is_atif {
            return Err(A::Error::custom("it has neither `samples` (Inspect) nor `steps` (ATIF)"));
        }
        let result = atif.run().and_then(|run| (self.sink)(run));
        result.map_err(|error| {
            *self.refused = Some(error);
            A::Error::custom("refused")
        })
    }
}

struct Samples<'a, 'b, 'c> {
    header: &'a Header,
    ask: &'a Ask,
    notes: &'a mut Notes,
    sink: &'c mut (dyn FnMut(Run) -> Result<(), ReadError> + 'b),
    refused: &'a mut Option<ReadError>,
}

impl<'de> DeserializeSeed<'de> for Samples<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Samples<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of samples")
    }

    /// A log without samples has `null`.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(result) =
            seq.next_element_seed(SampleSeed { header: self.header, ask: self.ask, notes: self.notes })?
        {
            if let Err(error) = result.and_then(|run| (self.sink)(run)) {
                *self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Trajectory {
    version: Option<Loose>,
    id: Option<String>,
    extra: sample::Wanted,
    steps: u64,
    tally: Tally,
}

impl Trajectory {
    fn run(self) -> Result<Run, ReadError> {
        let mut run = Run { measures: self.tally.measures(), ..Run::default() };
        let task = self.extra.task.or(self.id).unwrap_or_default();
        run.task = name(&task)?;
        run.epoch = self.extra.epoch;
        run.arm = self.extra.arm.map(|arm| name(&arm)).transpose()?;
        run.difficulty = self.extra.difficulty;
        run.chance = self.extra.chance;
        if let Some(outcome) = self.extra.outcome {
            run.measures.insert(SUCCESS.to_owned(), outcome);
        }
        Ok(run)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Step {
    source: Option<Loose>,
    timestamp: Option<Loose>,
    message: Option<Loose>,
    reasoning_content: Option<Loose>,
    tool_calls: Option<Vec<StepCall>>,
    /// Told before, in the trajectory that this one goes on with.
    is_copied_context: Option<bool>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct StepCall {
    function_name: Option<Loose>,
    arguments: Option<Loose>,
}

struct Steps<'a>(&'a mut Trajectory);

impl<'de> DeserializeSeed<'de> for Steps<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Steps<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of steps")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(step) = seq.next_element::<Step>()? {
            self.0.steps += 1;
            if step.is_copied_context == Some(true) {
                continue;
            }
            let seconds = step.timestamp.and_then(|t| t.number.or_else(|| sample::seconds(&t.text)));
            let tally = &mut self.0.tally;
            if let Some(seconds) = seconds {
                tally.at(seconds);
            }
            if step.source.is_none_or(|source| source.text != "agent") {
                continue;
            }
            if let Some(message) = step.message {
                tally.said(&message.text);
            }
            if let Some(thinking) = step.reasoning_content {
                tally.thought(&thinking.text);
            }
            for call in step.tool_calls.unwrap_or_default() {
                let arguments = call.arguments.unwrap_or_default();
                let tool = call.function_name.unwrap_or_default();
                let kind = kind(&tool.text, None, arguments.command.as_deref(), &arguments.text);
                tally.call(kind, &arguments.text);
                if let (true, Some(seconds)) = (kind.writes, seconds) {
                    tally.wrote_at(seconds);
                }
            }
        }
        Ok(())
    }
}
