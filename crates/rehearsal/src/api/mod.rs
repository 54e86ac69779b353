//! The model APIs: what a request asks, and how an answer is written down.

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::offer::Wanted;

mod anthropic;
mod chat;
mod gemini;
mod responses;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    #[default]
    AnthropicMessages,
    OpenAiResponses,
    ChatCompletions,
    Gemini,
}

/// A tool that the request offers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// Takes free text, no object.
    pub(crate) freeform: bool,
}

/// A request to a model, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) api: Api,
    pub(crate) model: String,
    pub(crate) streaming: bool,
    /// Only the number of tokens is asked.
    pub(crate) count_only: bool,
    pub(crate) tools: Vec<Tool>,
    /// Tool results in the conversation.
    pub(crate) results: usize,
    /// What the model has said in the conversation.
    pub(crate) said: Vec<String>,
    /// What the user said before the first tool call.
    pub(crate) first_prompt: String,
    /// The JSON schema that the answer must have.
    pub(crate) schema: Option<Value>,
}

/// A message of the model's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) calls: Vec<Wanted>,
}

/// A message with what makes it one of its kind.
pub(crate) struct Answer<'a> {
    pub(crate) message: &'a Message,
    pub(crate) model: &'a str,
    /// Different in each answer.
    pub(crate) id: String,
    pub(crate) tokens_in: usize,
    pub(crate) tokens_out: usize,
}

impl Answer<'_> {
    fn call_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}{index:02}", self.id)
    }
}

/// What this HTTP request asks of a model; `None` where it is no model request.
pub(crate) fn question(request: &Request) -> Option<Question> {
    let path = request.path();
    if request.method != "POST" {
        return None;
    }
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    if path.ends_with("/v1/messages") {
        Some(anthropic::question(&body))
    } else if path.ends_with("/v1/messages/count_tokens") {
        Some(Question { count_only: true, ..anthropic::question(&body) })
    } else if path.ends_with("/responses") {
        Some(responses::question(&body))
    } else if path.ends_with("/chat/completions") {
        Some(chat::question(&body))
    } else if path.ends_with("enerateContent") || path.ends_with(":countTokens") {
        Some(gemini::question(path, &body))
    } else {
        None
    }
}

pub(crate) fn answer(question: &Question, answer: &Answer) -> Response {
    match question.api {
        Api::AnthropicMessages => anthropic::answer(question, answer),
        Api::OpenAiResponses => responses::answer(question, answer),
        Api::ChatCompletions => chat::answer(question, answer),
        Api::Gemini => gemini::answer(question, answer),
    }
}

/// One server-sent event with a name.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// One server-sent event without a name.
fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The smallest value that fits a JSON schema.
pub(crate) fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return sample(first);
    }
    if let Some(options) = schema["enum"].as_array() {
        // Gemini CLI asks who speaks next: the user, else it would go on for ever.
        return options.iter().find(|o| *o == "user").or(options.first()).cloned().unwrap_or_default();
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str()).unwrap_or("object");
    match kind.to_ascii_lowercase().as_str() {
        "string" => json!("rehearsal"),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(0)),
        "boolean" => json!(false),
        "array" => json!([]),
        "null" => Value::Null,
        _ => {
            let all = schema["properties"].as_object();
            all.into_iter().flatten().map(|(name, property)| (name.clone(), sample(property))).collect()
        }
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn two_calls() -> Message {
        let call = |name: &str| Wanted { name: name.to_owned(), arguments: json!({"a": name}) };
        Message { text: "now".to_owned(), calls: vec![call("x"), call("y")] }
    }

    pub(super) fn render(question: &Question, message: &Message) -> String {
        let full = Answer { message, model: "m", id: "7".to_owned(), tokens_in: 1, tokens_out: 2 };
        String::from_utf8(answer(question, &full).body).unwrap()
    }

    pub(super) fn events(text: &str) -> Vec<Value> {
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    #[test]
    fn samples() {
        let schema = json!({"type": "OBJECT", "properties": {
            "next_speaker": {"type": "STRING", "enum": ["model", "user"]},
            "why": {"type": ["string", "null"]}, "n": {"type": "integer"}, "l": {"type": "array"},
        }});
        assert_eq!(sample(&schema), json!({"next_speaker": "user", "why": "rehearsal", "n": 0, "l": []}));
    }
}
