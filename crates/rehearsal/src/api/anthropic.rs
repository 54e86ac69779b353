//! Anthropic's Messages API.

use serde_json::{Value, json};

use super::{Answer, Api, Question, Tool, event, list, text_of};
use crate::http::Response;

pub(super) fn question(body: &Value) -> Question {
    let mut out = Question {
        api: Api::AnthropicMessages,
        model: text_of(body, "model").to_owned(),
        streaming: body["stream"] == true,
        // The provider's own tools (web search, by `type`) are not for the model to call here.
        tools: list(&body["tools"])
            .filter(|tool| tool.get("input_schema").is_some())
            .map(|tool| Tool { name: text_of(tool, "name").to_owned(), freeform: false })
            .collect(),
        schema: body["output_config"]["format"]
            .get("schema")
            .or(body["output_format"].get("schema"))
            .cloned(),
        ..Question::default()
    };
    let mut called = false;
    for message in list(&body["messages"]) {
        let own = message["role"] == "assistant";
        let whole = [json!({"type": "text", "text": message["content"]})];
        let blocks = message["content"].as_array().map_or(&whole[..], Vec::as_slice);
        for block in blocks {
            match text_of(block, "type") {
                "tool_result" => out.results += 1,
                "tool_use" => called = true,
                "text" if own => out.said.push(text_of(block, "text").to_owned()),
                "text" if !called => {
                    out.first_prompt.push_str(text_of(block, "text"));
                    out.first_prompt.push('\n');
                }
                _ => {}
            }
        }
    }
    out
}

pub(super) fn answer(question: &Question, answer: &Answer) -> Response {
    if question.count_only {
        return Response::json(&json!({"input_tokens": answer.tokens_in}));
    }
    let mut blocks = Vec::new();
    if !answer.message.text.is_empty() {
        blocks.push(json!({"type": "text", "text": answer.message.text}));
    }
    for (index, call) in answer.message.calls.iter().enumerate() {
        let id = answer.call_id("toolu", index);
        blocks.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    let stop = if answer.message.calls.is_empty() { "end_turn" } else { "tool_use" };
    let usage = json!({
        "input_tokens": answer.tokens_in, "output_tokens": answer.tokens_out,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
    });
    let mut message = json!({
        "id": format!("msg_{}", answer.id), "type": "message", "role": "assistant", "model": answer.model,
        "content": blocks, "stop_reason": stop, "stop_sequence": null, "usage": usage,
    });
    if !question.streaming {
        return Response::json(&message);
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    let mut out = event("message_start", &json!({"type": "message_start", "message": message}));
    for (index, block) in blocks.iter().enumerate() {
        let (empty, delta) = if block["type"] == "text" {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]}))
        } else {
            let mut empty = block.clone();
            empty["input"] = json!({});
            (empty, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}))
        };
        let name = "content_block_start";
        out += &event(name, &json!({"type": name, "index": index, "content_block": empty}));
        let name = "content_block_delta";
        out += &event(name, &json!({"type": name, "index": index, "delta": delta}));
        let name = "content_block_stop";
        out += &event(name, &json!({"type": name, "index": index}));
    }
    let end = json!({"stop_reason": stop, "stop_sequence": null});
    out += &event("message_delta", &json!({"type": "message_delta", "delta": end, "usage": usage}));
    out += &event("message_stop", &json!({"type": "message_stop"}));
    Response::events(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, render, two_calls};
    use super::*;

    #[test]
    fn reads_a_conversation() {
        let question = question(&json!({
            "model": "m", "stream": true,
            "tools": [{"name": "Bash", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}],
            "messages": [
                {"role": "user", "content": "do it"},
                {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "1"}]},
                {"role": "user", "content": [{"type": "tool_result"}, {"type": "text", "text": "a reminder"}]},
            ],
        }));
        assert_eq!((question.results, question.first_prompt.trim()), (1, "do it"));
        assert_eq!(question.tools, [Tool { name: "Bash".to_owned(), freeform: false }]);
        assert_eq!(question.said, ["ok"]);
    }

    #[test]
    fn writes_a_stream() {
        let events = events(&render(&Question { streaming: true, ..Question::default() }, &two_calls()));
        let kinds: Vec<_> = events.iter().map(|e| text_of(e, "type")).collect();
        let block = ["content_block_start", "content_block_delta", "content_block_stop"];
        let expected =
            [&["message_start"][..], &block, &block, &block, &["message_delta", "message_stop"]].concat();
        assert_eq!(kinds, expected);
        assert_eq!(events[4]["content_block"]["id"], "toolu_700");
        assert_eq!(events[5]["delta"]["partial_json"], r#"{"a":"x"}"#);
        assert_eq!(events[10]["delta"]["stop_reason"], "tool_use");
    }

    #[test]
    fn writes_a_message() {
        let message: Value = serde_json::from_str(&render(&Question::default(), &two_calls())).unwrap();
        assert_eq!(message["content"][2]["input"], json!({"a": "y"}));
    }
}
