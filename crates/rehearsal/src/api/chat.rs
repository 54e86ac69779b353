//! OpenAI's Chat Completions API, which most other providers speak too.

use serde_json::{Value, json};

use super::{Answer, Api, Question, Tool, data, list, text_of};
use crate::http::Response;

pub(super) fn question(body: &Value) -> Question {
    let mut out = Question {
        api: Api::ChatCompletions,
        model: text_of(body, "model").to_owned(),
        streaming: body["stream"] == true,
        tools: list(&body["tools"])
            .map(|tool| Tool { name: text_of(&tool["function"], "name").to_owned(), freeform: false })
            .collect(),
        schema: body["response_format"]["json_schema"].get("schema").cloned(),
        ..Question::default()
    };
    let mut called = false;
    for message in list(&body["messages"]) {
        let parts: String = list(&message["content"]).map(|part| text_of(part, "text")).collect();
        let text = message["content"].as_str().unwrap_or(&parts);
        match text_of(message, "role") {
            "tool" => out.results += 1,
            "assistant" => {
                called |= message.get("tool_calls").is_some();
                out.said.push(text.to_owned());
            }
            "user" if !called => {
                out.first_prompt.push_str(text);
                out.first_prompt.push('\n');
            }
            _ => {}
        }
    }
    out
}

pub(super) fn answer(question: &Question, answer: &Answer) -> Response {
    let calls: Vec<Value> = (0..)
        .zip(&answer.message.calls)
        .map(|(index, call)| {
            let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
            json!({"index": index, "id": answer.call_id("call", index), "type": "function", "function": function})
        })
        .collect();
    let stop = if calls.is_empty() { "stop" } else { "tool_calls" };
    let usage = json!({
        "prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out,
        "total_tokens": answer.tokens_in + answer.tokens_out,
    });
    let mut message = json!({"role": "assistant", "content": answer.message.text});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let whole = |object: &str, choices: Value| {
        json!({"id": format!("chatcmpl-{}", answer.id), "object": object, "created": 0, "model": answer.model,
               "choices": choices})
    };
    if !question.streaming {
        let mut out =
            whole("chat.completion", json!([{"index": 0, "message": message, "finish_reason": stop}]));
        out["usage"] = usage;
        return Response::json(&out);
    }
    let chunk = |delta: Value, finish: Value| {
        data(&whole("chat.completion.chunk", json!([{"index": 0, "delta": delta, "finish_reason": finish}])))
    };
    let mut out = chunk(json!({"role": "assistant", "content": answer.message.text}), Value::Null);
    for call in calls {
        out += &chunk(json!({"tool_calls": [call]}), Value::Null);
    }
    out += &chunk(json!({}), json!(stop));
    let mut last = whole("chat.completion.chunk", json!([]));
    last["usage"] = usage;
    out += &data(&last);
    out += "data: [DONE]\n\n";
    Response::events(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, render, two_calls};
    use super::*;

    #[test]
    fn reads_a_conversation() {
        let question = question(&json!({
            "model": "m", "tools": [{"type": "function", "function": {"name": "bash"}}],
            "messages": [
                {"role": "system", "content": "you are"},
                {"role": "user", "content": [{"type": "text", "text": "do it"}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "content": "out"},
            ],
        }));
        assert_eq!((question.results, question.first_prompt.trim()), (1, "do it"));
        assert_eq!(question.tools[0].name, "bash");
    }

    #[test]
    fn writes_a_stream() {
        let text = render(
            &Question { api: Api::ChatCompletions, streaming: true, ..Question::default() },
            &two_calls(),
        );
        let events = events(&text);
        assert_eq!(events[0]["choices"][0]["delta"]["content"], "now");
        assert_eq!(
            events[2]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
            r#"{"a":"y"}"#
        );
        assert_eq!(events[3]["choices"][0]["finish_reason"], "tool_calls");
        assert!(text.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn writes_a_message() {
        let text = render(&Question { api: Api::ChatCompletions, ..Question::default() }, &two_calls());
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["choices"][0]["message"]["tool_calls"][1]["id"], "call_701");
    }
}
