//! Google's `generateContent` API.

use serde_json::{Value, json};

use super::{Answer, Api, Question, Tool, data, list, text_of};
use crate::http::Response;

pub(super) fn question(path: &str, body: &Value) -> Question {
    let config = &body["generationConfig"];
    let model = path.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default();
    let mut out = Question {
        api: Api::Gemini,
        model: model.to_owned(),
        streaming: path.ends_with(":streamGenerateContent"),
        count_only: path.ends_with(":countTokens"),
        tools: list(&body["tools"])
            .flat_map(|tool| list(&tool["functionDeclarations"]))
            .map(|tool| Tool { name: text_of(tool, "name").to_owned(), freeform: false })
            .collect(),
        schema: config.get("responseJsonSchema").or(config.get("responseSchema")).cloned(),
        ..Question::default()
    };
    let mut called = false;
    for content in list(&body["contents"]) {
        let own = content["role"] == "model";
        for part in list(&content["parts"]) {
            called |= part.get("functionCall").is_some();
            if part.get("functionResponse").is_some() {
                out.results += 1;
            } else if own && part["thought"] != true {
                out.said.push(text_of(part, "text").to_owned());
            } else if !own && !called {
                out.first_prompt.push_str(text_of(part, "text"));
                out.first_prompt.push('\n');
            }
        }
    }
    out
}

pub(super) fn answer(question: &Question, answer: &Answer) -> Response {
    if question.count_only {
        return Response::json(&json!({"totalTokens": answer.tokens_in}));
    }
    let mut parts = Vec::new();
    if !answer.message.text.is_empty() {
        parts.push(json!({"text": answer.message.text}));
    }
    for (index, call) in answer.message.calls.iter().enumerate() {
        let id = answer.call_id("call", index);
        parts.push(json!({"functionCall": {"id": id, "name": call.name, "args": call.arguments}}));
    }
    let content = json!({"role": "model", "parts": parts});
    let value = json!({
        "candidates": [{"index": 0, "content": content, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": answer.tokens_in, "candidatesTokenCount": answer.tokens_out,
            "totalTokenCount": answer.tokens_in + answer.tokens_out,
        },
        "modelVersion": answer.model, "responseId": answer.id,
    });
    if question.streaming { Response::events(data(&value)) } else { Response::json(&value) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, render, two_calls};
    use super::*;

    #[test]
    fn reads_a_conversation() {
        let body = json!({
            "tools": [{"functionDeclarations": [{"name": "run_shell_command"}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "do it"}]},
                {"role": "model", "parts": [{"text": "ok"}, {"functionCall": {"name": "run_shell_command"}}]},
                {"role": "user", "parts": [{"functionResponse": {}}, {"functionResponse": {}}]},
            ],
        });
        let question = question("/v1beta/models/gemini-2.5-pro:streamGenerateContent", &body);
        assert_eq!((question.model.as_str(), question.streaming), ("gemini-2.5-pro", true));
        assert_eq!((question.results, question.first_prompt.trim()), (2, "do it"));
        assert_eq!(question.tools[0].name, "run_shell_command");
    }

    #[test]
    fn writes_one_event_or_one_object() {
        let mut question = Question { api: Api::Gemini, streaming: true, ..Question::default() };
        let streamed = events(&render(&question, &two_calls()));
        question.streaming = false;
        let plain: Value = serde_json::from_str(&render(&question, &two_calls())).unwrap();
        assert_eq!(streamed, std::slice::from_ref(&plain));
        assert_eq!(plain["candidates"][0]["content"]["parts"][2]["functionCall"]["args"], json!({"a": "y"}));
    }
}
