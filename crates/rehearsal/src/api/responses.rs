//! OpenAI's Responses API.

use serde_json::{Value, json};

use super::{Answer, Api, Question, Tool, event, list, text_of};
use crate::http::Response;

pub(super) fn question(body: &Value) -> Question {
    let mut out = Question {
        api: Api::OpenAiResponses,
        model: text_of(body, "model").to_owned(),
        streaming: body["stream"] == true,
        tools: list(&body["tools"])
            .filter(|tool| tool.get("name").is_some() && tool["type"] != "namespace")
            .map(|tool| Tool { name: text_of(tool, "name").to_owned(), freeform: tool["type"] == "custom" })
            .collect(),
        schema: body["text"]["format"].get("schema").cloned(),
        ..Question::default()
    };
    let mut called = false;
    let plain = [json!({"type": "message", "role": "user", "content": body["input"]})];
    for item in body["input"].as_array().map_or(&plain[..], Vec::as_slice) {
        let kind = item["type"].as_str().unwrap_or("message");
        if kind.ends_with("_call_output") {
            out.results += 1;
        } else if kind.ends_with("_call") {
            called = true;
        } else if kind == "message" {
            let parts: String = list(&item["content"]).map(|part| text_of(part, "text")).collect();
            let text = item["content"].as_str().unwrap_or(&parts);
            match text_of(item, "role") {
                "assistant" => out.said.push(text.to_owned()),
                "user" if !called => {
                    out.first_prompt.push_str(text);
                    out.first_prompt.push('\n');
                }
                _ => {}
            }
        }
    }
    out
}

pub(super) fn answer(question: &Question, answer: &Answer) -> Response {
    let mut items = Vec::new();
    if !answer.message.text.is_empty() {
        let content = json!([{"type": "output_text", "text": answer.message.text, "annotations": []}]);
        items.push(json!({
            "type": "message", "id": format!("msg_{}", answer.id), "role": "assistant", "status": "completed",
            "content": content,
        }));
    }
    for (index, call) in answer.message.calls.iter().enumerate() {
        let (id, call_id) = (answer.call_id("fc", index), answer.call_id("call", index));
        items.push(match call.arguments.as_str() {
            Some(text) => json!({
                "type": "custom_tool_call", "id": id, "call_id": call_id, "status": "completed",
                "name": call.name, "input": text,
            }),
            None => json!({
                "type": "function_call", "id": id, "call_id": call_id, "status": "completed",
                "name": call.name, "arguments": call.arguments.to_string(),
            }),
        });
    }
    let response = |status: &str, output: &[Value]| {
        json!({
            "id": format!("resp_{}", answer.id), "object": "response", "created_at": 0, "status": status,
            "model": answer.model, "output": output, "parallel_tool_calls": true,
            "usage": {
                "input_tokens": answer.tokens_in, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer.tokens_out, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.tokens_in + answer.tokens_out,
            },
        })
    };
    if !question.streaming {
        return Response::json(&response("completed", &items));
    }
    let mut number = 0;
    let mut send = |name: &str, mut data: Value| {
        data["type"] = json!(name);
        data["sequence_number"] = json!(number);
        number += 1;
        event(name, &data)
    };
    let mut out = send("response.created", json!({"response": response("in_progress", &[])}));
    for (index, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = json!("in_progress");
        for empty in ["content", "arguments", "input"] {
            if begun.get(empty).is_some() {
                begun[empty] = if empty == "content" { json!([]) } else { json!("") };
            }
        }
        out += &send("response.output_item.added", json!({"output_index": index, "item": begun}));
        if item["type"] == "message" {
            let text = &item["content"][0]["text"];
            out += &send(
                "response.output_text.delta",
                json!({"output_index": index, "content_index": 0, "item_id": item["id"], "delta": text}),
            );
        }
        out += &send("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    out += &send("response.completed", json!({"response": response("completed", &items)}));
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
            "tools": [{"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"},
                      {"type": "web_search"}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<env/>"}]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "do it"}]},
                {"type": "function_call", "call_id": "1"}, {"type": "function_call_output", "call_id": "1"},
                {"type": "custom_tool_call"}, {"type": "custom_tool_call_output"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
            ],
        }));
        assert_eq!((question.results, question.first_prompt.as_str()), (2, "<env/>\ndo it\n"));
        assert_eq!(question.tools.iter().map(|t| t.freeform).collect::<Vec<_>>(), [false, true]);
        assert_eq!(question.said, ["ok"]);
    }

    #[test]
    fn writes_a_stream() {
        let mut message = two_calls();
        message.calls[1].arguments = json!("*** Begin Patch");
        let question = Question { api: Api::OpenAiResponses, streaming: true, ..Question::default() };
        let events = events(&render(&question, &message));
        let kinds: Vec<_> = events.iter().map(|e| text_of(e, "type")).collect();
        assert_eq!(kinds.first(), Some(&"response.created"));
        assert_eq!(kinds.last(), Some(&"response.completed"));
        let done: Vec<_> = events.iter().filter(|e| e["type"] == "response.output_item.done").collect();
        assert_eq!(done[1]["item"]["arguments"], r#"{"a":"x"}"#);
        assert_eq!(done[2]["item"]["input"], "*** Begin Patch");
    }
}
