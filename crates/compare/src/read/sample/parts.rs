//! What a sample is made of, as far as it is looked at: messages, calls, events, scores. Any of them may have any type.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::loose::Loose;
use super::wanted::score;
use crate::conduct::{Kind, kind};

/// Tool calls of one message, and scorers of one sample.
const CALLS_MAX: usize = 10_000;
const SCORES_MAX: usize = 256;

/// Any of a list, one at a time, without the list.
pub struct Each<'a, T>(pub &'a mut dyn FnMut(T));

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

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub role: Loose,
    pub content: Content,
    pub reasoning: Option<Loose>,
    pub tool_calls: Calls,
}

/// Text, or parts of which some are thinking.
#[derive(Default)]
pub struct Content {
    pub text: String,
    pub thinking: Vec<String>,
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
pub struct Call {
    pub function: Loose,
    pub arguments: Loose,
}

impl Call {
    pub fn kind(&self) -> Kind {
        kind(&self.function.text, None, self.arguments.command.as_deref(), &self.arguments.text)
    }
}

#[derive(Default)]
pub struct Calls(pub Vec<Call>);

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
pub struct Event {
    pub event: Loose,
    pub timestamp: Option<Loose>,
    pub working_start: Option<Loose>,
    pub function: Loose,
    pub arguments: Loose,
    pub action: Loose,
    pub decision: Loose,
    pub output: Option<Output>,
}

/// Of a model event; the outputs of others are texts.
#[derive(Default)]
pub struct Output {
    stops: Vec<String>,
}

impl Output {
    pub fn refused(&self) -> bool {
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
pub struct Score {
    value: Option<Loose>,
}

impl Score {
    pub fn value(&self) -> Option<f64> {
        self.value.as_ref().and_then(score)
    }
}

/// By scorer, in the log's order.
pub struct Scores(pub Vec<(String, Option<f64>)>);

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
