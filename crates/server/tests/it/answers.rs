//! The API is what `openapi.json` says, in every answer; the command line prints the same objects.

use muster_server::Update;
use muster_server::reference::{TABLES, json_markdown, openapi};
use serde_json::{Map, Value, json};

use crate::rig::{Rig, finding, state, stream_until};
use crate::security::paths;

struct Document(Value);

impl Document {
    fn new() -> Self {
        Self(serde_json::from_str(&openapi()).unwrap())
    }

    fn schema(&self, path: &str, method: &str, code: &str) -> &Value {
        &self.0["paths"][path][method]["responses"][code]["content"]["application/json"]["schema"]
    }

    /// As much of JSON Schema as the document uses; a property that it does not have is an error too.
    fn check(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            let found = &self.0["components"]["schemas"][name];
            assert!(found.is_object(), "no schema `{name}`");
            return self.check(found, value, at);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(types.contains(&found), "{at} is {found}, not {types:?}");
        if schema["format"] == "date-time"
            && let Some(text) = value.as_str()
        {
            assert!(muster_server::views::parse_time(text).is_some(), "{at} is no time: {text}");
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{index}]"));
        }
        let fields = value.as_object().cloned().unwrap_or_default();
        for (name, value) in &fields {
            let property = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            let property = property.unwrap_or_else(|| panic!("{at}.{name} is not documented"));
            self.check(property, value, &format!("{at}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(fields.contains_key(name), "{at}.{name} is missing");
        }
    }
}

/// `.route("/path", get(…))` in a source file.
fn routes(source: &str) -> Vec<(String, String)> {
    let found = source.split(".route(\"").skip(1).map(|rest| {
        let (path, rest) = rest.split_once("\", ").unwrap();
        (path.to_owned(), rest.split('(').next().unwrap().to_owned())
    });
    found.collect()
}

#[test]
fn every_route_is_documented_and_every_documented_path_answers() {
    let document = Document::new();
    let mut known = routes(include_str!("../../src/http/api.rs"));
    known.iter_mut().for_each(|(path, _)| *path = path.replace("{*", "{"));
    known.sort();
    let mut documented: Vec<(String, String)> = Vec::new();
    for (path, methods) in document.0["paths"].as_object().unwrap() {
        documented.extend(methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
    }
    documented.sort();
    assert_eq!(known, documented);
    let rig = Rig::new();
    for (path, target) in paths() {
        let answer = match path.as_str() {
            // The log's are no JSON: `log.rs` has them.
            "/api/v1/stream" | "/log/checkpoint" | "/log/tile/{name}" => continue,
            // Nothing is signed here.
            "/api/v1/findings/{finding}/proof" => continue,
            "/api/v1/runs" => {
                let body = json!({"pid": 7, "principal": "p", "command": ["x"], "label": ""});
                document.check(&json!({"$ref": "#/components/schemas/run"}), &body, "run");
                rig.send_unix("POST /api/v1/runs", &body.to_string())
            }
            "/api/v1/stop" => {
                let body = json!({"text": "I pushed it."});
                document.check(&json!({"$ref": "#/components/schemas/stop"}), &body, "stop");
                rig.send_unix("POST /api/v1/stop", &body.to_string())
            }
            "/api/v1/approvals/answer" => {
                let body = json!({"id": "q-1", "allow": true, "pattern": null});
                document.check(&json!({"$ref": "#/components/schemas/approve"}), &body, "approve");
                rig.send_unix("POST /api/v1/approvals/answer", &body.to_string())
            }
            "/api/v1/out" => {
                let body = json!({"act": "out", "agent": "one", "dry_run": true});
                rig.send_unix("POST /api/v1/out", &body.to_string())
            }
            _ => rig.get(&target),
        };
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let method = if document.0["paths"][&path]["get"].is_object() { "get" } else { "post" };
        let value = answer.json();
        assert!(value.as_array().is_none_or(|all| !all.is_empty()), "{path} has nothing to check");
        document.check(document.schema(&path, method, "200"), &value, &path);
    }
}

#[test]
fn refusals_have_their_documented_shape() {
    let document = Document::new();
    let rig = Rig::new();
    for (path, target, status) in [
        ("/api/v1/agents/{agent}", "/api/v1/agents/nobody", 404),
        ("/api/v1/findings/{finding}", "/api/v1/findings/f-0", 404),
        ("/api/v1/events", "/api/v1/events?kinds=exec,nothing", 400),
        ("/api/v1/events", "/api/v1/events?since=yesterday", 400),
        ("/api/v1/events", "/api/v1/events?pid=x", 400),
        ("/api/v1/events", "/api/v1/events?unknown=1", 400),
        ("/api/v1/findings", "/api/v1/findings?severity=severe", 400),
        ("/api/v1/findings", "/api/v1/findings?code=x", 400),
        ("/api/v1/agents/{agent}/claims", "/api/v1/agents/one/claims?verdict=x", 400),
    ] {
        let answer = rig.get(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        document.check(document.schema(path, "get", "default"), &answer.json(), target);
    }
    let refused = rig.send_unix("POST /api/v1/runs", r#"{"pid":0,"principal":"p","command":[]}"#);
    assert_eq!(refused.status, 409);
    document.check(document.schema("/api/v1/runs", "post", "default"), &refused.json(), "runs");
}

#[test]
fn every_documented_query_is_taken() {
    let document = Document::new();
    let rig = Rig::new();
    for (path, target) in paths() {
        for parameter in document.0["paths"][&path]["get"]["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "query" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let value = match name {
                "since" | "until" => "2026-01-02T03:04:05Z",
                "kinds" => "exec,open",
                "severity" => "high",
                "code" => "unreported-action",
                "verdict" => "hollow",
                "last" => "true",
                _ => "1",
            };
            let answer = rig.get(&format!("{target}?{name}={value}"));
            assert_eq!(answer.status, 200, "{target} {name}: {}", answer.body);
        }
    }
}

#[test]
fn the_stream_sends_what_is_documented() {
    let document = Document::new();
    let rig = Rig::new();
    let table = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let line = stream_until(&rig, "event: finding\ndata: ", |http| {
        http.publish(Update::Finding(Box::new(finding())))
    });
    document.check(&table("findings"), &serde_json::from_str(&line).unwrap(), "finding");
    let line =
        stream_until(&rig, "event: agent\ndata: ", |http| http.publish(Update::Agent(Box::new(state()))));
    let mut agent: Map<String, Value> = serde_json::from_str(&line).unwrap();
    assert!(
        agent
            .insert(
                "findings".to_owned(),
                json!({"critical": 0, "high": 0, "medium": 0, "low": 0, "info": 0})
            )
            .is_none()
    );
    document.check(&table("roll"), &agent.into(), "agent");
}

/// What scripts rely on: names and types may not change.
#[test]
fn the_contract_of_scripts() {
    const CONTRACT: &[(&str, &str, bool)] = &[
        (
            "roll",
            "agent string, product string, root_pid integer, mandate string or null, state string, stage string or null, coverage string",
            true,
        ),
        ("events", "seq integer, time time, agent string or null, pid integer, kind string", true),
        ("events", "path string, argv array of string, address string, exit_status integer", false),
        (
            "findings",
            "finding string, code string, severity string, stage string, agent string, summary string, evidence array of findings.evidence",
            true,
        ),
    ];
    for (table, fields, always) in CONTRACT {
        let (_, _, documented, required) = TABLES.iter().find(|(name, ..)| name == table).unwrap();
        for field in fields.split(", ") {
            let (name, kind) = field.split_once(' ').unwrap();
            let at = documented.iter().position(|(known, ..)| *known == name);
            let at = at.unwrap_or_else(|| panic!("{table}.{name} is gone"));
            assert_eq!(documented[at].1, kind, "{table}.{name}");
            assert_eq!(at < *required, *always, "{table}.{name}: always there or not");
        }
    }
    let rig = Rig::new();
    let agent = rig.get("/api/v1/agents/one").json();
    assert!(["running", "ended", "frozen", "out"].contains(&agent["state"].as_str().unwrap()));
    let events = rig.get("/api/v1/events?kinds=exec,exit").json();
    assert!(
        events[0]["argv"].is_array() && events[0]["path"].is_string() && events[1]["exit_status"] == 0,
        "{events}"
    );
}

#[test]
fn every_field_has_its_words() {
    let page = json_markdown();
    for (name, what, fields, _) in TABLES {
        assert!(!what.is_empty() && page.contains(&format!("## `{name}`")));
        for (field, kind, meaning) in *fields {
            assert!(!meaning.is_empty() && page.contains(&format!("| `{field}` | {kind}")), "{name}.{field}");
        }
    }
}
