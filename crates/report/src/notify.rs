//! A finding as others take it: chat, mail, syslog, OCSF, OTLP. Pure; what an agent can influence is made safe for each.

use muster_engine::{Code, Finding, Severity};
use muster_event::{Nanos, sanitize};
use serde_json::{Value, json};

/// Longest summary in a notice, in characters: the finding itself has the whole.
const SUMMARY_MAX: usize = 600;

/// What stands around a finding.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub host: &'a str,
    /// Product of the agent, its version and model, where they are known.
    pub product: &'a str,
    pub version: Option<&'a str>,
    pub model: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub label: &'a str,
    /// Number of the finding's leaf in the log, and SHA-256 of that leaf in hex.
    pub leaf: u64,
    pub leaf_hash: Option<&'a str>,
    /// Name of the log.
    pub origin: Option<&'a str>,
}

fn cut(text: &str) -> String {
    let safe = sanitize(text);
    let mut shown: String = safe.chars().take(SUMMARY_MAX).collect();
    if shown.len() < safe.len() {
        shown.push('…');
    }
    shown
}

/// One line for people.
pub fn line(finding: &Finding, around: &Around<'_>) -> String {
    format!(
        "[{}] {} on {}: {} ({})",
        finding.severity.name(),
        finding.code.name(),
        sanitize(around.host),
        cut(&finding.summary),
        sanitize(&finding.agent)
    )
}

/// Slack's incoming webhook, and whoever takes the same. No markup of an agent's: `<`, `>` and `&` are Slack's own.
pub fn slack(finding: &Finding, around: &Around<'_>) -> Value {
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let colour = match finding.severity {
        Severity::Critical => "#a3123a",
        Severity::High => "#c8372d",
        Severity::Medium => "#a86400",
        Severity::Low => "#27718f",
        Severity::Info => "#66707e",
    };
    let field = |title: &str, text: String| json!({"title": title, "value": plain(&text), "short": true});
    json!({
        "text": plain(&line(finding, around)),
        "attachments": [{
            "color": colour,
            "text": plain(&cut(&finding.explanation)),
            // No word of it is taken for markup.
            "mrkdwn_in": [],
            "fields": [
                field("agent", format!("{} ({})", sanitize(&finding.agent), sanitize(around.product))),
                field("stage", finding.stage.name().to_owned()),
                field("principal", sanitize(around.principal.unwrap_or("none: unmandated"))),
                field("finding", sanitize(&finding.id)),
            ],
        }],
    })
}

/// Subject and text of a mail.
pub fn mail(finding: &Finding, around: &Around<'_>) -> (String, String) {
    // A header is one line of limited length.
    let subject: String = line(finding, around).chars().take(180).collect();
    let text = format!(
        "{}\n\n{}\n\nagent      {} ({})\nprincipal  {}\nlabel      {}\nstage      {}\nfinding    {}\nleaf       {} of the log {}\n\n\
         On {}: muster explain {}\n",
        cut(&finding.summary),
        cut(&finding.explanation),
        sanitize(&finding.agent),
        sanitize(around.product),
        sanitize(around.principal.unwrap_or("none: unmandated")),
        sanitize(around.label),
        finding.stage.name(),
        sanitize(&finding.id),
        around.leaf,
        sanitize(around.origin.unwrap_or("")),
        sanitize(around.host),
        sanitize(&finding.id),
    );
    (subject, text)
}

/// RFC 5424, facility `authpriv` (10). `time` is RFC 3339.
pub fn syslog(finding: &Finding, around: &Around<'_>, time: &str) -> String {
    let severity = match finding.severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    };
    // Names are printable ASCII without spaces; values of structured data escape three characters.
    let name = |text: &str| -> String {
        let clean: String = text.chars().filter(char::is_ascii_graphic).take(48).collect();
        if clean.is_empty() { "-".to_owned() } else { clean }
    };
    let value = |text: &str| sanitize(text).replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
    format!(
        "<{}>1 {time} {} muster - {} [muster@32473 finding=\"{}\" agent=\"{}\" severity=\"{}\" stage=\"{}\" leaf=\"{}\"] \u{feff}{}",
        10 * 8 + severity,
        name(around.host),
        name(finding.code.name()),
        value(&finding.id),
        value(&finding.agent),
        finding.severity.name(),
        finding.stage.name(),
        around.leaf,
        cut(&finding.summary)
    )
}

fn severity_id(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// OCSF 1.9 Detection Finding (class 2004) with the profiles `record_integrity` and, for the agent, the objects of
/// `ai_operation`.
pub fn ocsf(finding: &Finding, around: &Around<'_>, version: &str) -> Value {
    const CATEGORY: u64 = 2;
    const CLASS: u64 = 2004;
    const CREATE: u64 = 1;
    let ms = |ns: Nanos| ns / 1_000_000;
    let model =
        around.model.map(|model| json!({"name": sanitize(model), "ai_provider": provider(around.product)}));
    let mut agent = json!({
        "name": sanitize(around.product), "instance_uid": sanitize(&finding.agent), "uid": sanitize(around.product),
        "type_id": 1, "type": "Native", "version": around.version.map(sanitize),
        "charter": Some(around.label).filter(|label| !label.is_empty()).map(sanitize), "ai_model": &model,
    });
    drop_nulls(&mut agent);
    let attacks: Option<Value> =
        finding.code.attack().map(|id| json!([{"version": "17", "technique": {"uid": id, "name": id}}]));
    let attestation = around.leaf_hash.map(|hash| {
        json!([{
            "uid": around.leaf.to_string(), "chain_uid": around.origin.map(sanitize), "authority_uid": around.origin.map(sanitize),
            "fingerprint": {"algorithm_id": 3, "algorithm": "SHA-256", "encoding_id": 1, "value": hash},
        }])
    });
    let mut event = json!({
        "activity_id": CREATE, "activity_name": "Create",
        "category_uid": CATEGORY, "category_name": "Findings",
        "class_uid": CLASS, "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + CREATE, "type_name": "Detection Finding: Create",
        "severity_id": severity_id(finding.severity), "severity": severity_name(finding.severity),
        "status_id": 1, "status": "New",
        "time": ms(finding.time_ns),
        "message": cut(&finding.summary),
        "is_alert": finding.severity > Severity::Info,
        "metadata": {
            "version": "1.9.0", "profiles": ["ai_operation", "record_integrity"], "uid": sanitize(&finding.id), "sequence": around.leaf,
            "event_code": finding.code.name(), "log_name": "muster",
            "product": {"name": "Muster", "vendor_name": "Muster", "version": version},
        },
        "finding_info": {
            "uid": sanitize(&finding.id), "title": format!("{}: {}", finding.code.name(), cut(&finding.summary)),
            "desc": cut(&finding.explanation), "types": [finding.code.name()], "tags": [{"name": "stage", "value": finding.stage.name()},
                {"name": "overreach", "value": finding.overreach.to_string()}, {"name": "deception", "value": finding.deception.to_string()},
                {"name": "owasp", "value": finding.code.owasp()}],
            "analytic": {"type_id": 2, "type": "Behavioral", "uid": finding.code.name(), "name": finding.code.name()},
            "attacks": attacks, "created_time": ms(finding.time_ns),
        },
        "evidences": [{"ai_agent": &agent, "data": {"evidence": finding.evidence}}],
        "resources": [{"name": sanitize(around.host), "type": "host"}],
        "ai_agent": &agent, "ai_model": &model,
        "attestation_list": attestation,
    });
    drop_nulls(&mut event);
    event
}

/// Who serves the models of a product, where that is one.
fn provider(product: &str) -> &'static str {
    match product {
        "claude-code" => "Anthropic",
        "codex" => "OpenAI",
        "gemini-cli" => "Google",
        _ => "Unknown",
    }
}

/// What is not known is left out.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A request of OTLP's log service, as JSON (`POST /v1/logs`).
pub fn otlp(finding: &Finding, around: &Around<'_>, version: &str, now_ns: Nanos) -> Value {
    let (number, text) = match finding.severity {
        Severity::Info => (9, "INFO"),
        Severity::Low => (11, "INFO3"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
        Severity::Critical => (21, "FATAL"),
    };
    let word = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": sanitize(value)}});
    let count = |key: &str, value: u64| json!({"key": key, "value": {"intValue": value.to_string()}});
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            word("service.name", "muster"), word("service.version", version), word("host.name", around.host),
        ]},
        "scopeLogs": [{"scope": {"name": "muster.findings"}, "logRecords": [{
            "timeUnixNano": finding.time_ns.to_string(), "observedTimeUnixNano": now_ns.to_string(),
            "severityNumber": number, "severityText": text, "eventName": "muster.finding",
            "body": {"stringValue": cut(&finding.summary)},
            "attributes": [
                word("muster.finding.id", &finding.id), word("muster.finding.code", finding.code.name()),
                word("muster.finding.severity", finding.severity.name()), word("muster.finding.stage", finding.stage.name()),
                word("muster.finding.explanation", &cut(&finding.explanation)),
                word("muster.agent", &finding.agent), word("gen_ai.agent.name", around.product),
                word("gen_ai.request.model", around.model.unwrap_or_default()),
                count("muster.log.leaf", around.leaf), count("muster.overreach", u64::from(finding.overreach)),
                count("muster.deception", u64::from(finding.deception)),
            ],
        }]}],
    }]})
}

/// What stands for findings that were too many to be told one by one.
pub fn many(count: u64, gravest: Severity, codes: &[(Code, u64)], host: &str) -> String {
    let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{count} {}", code.name())).collect();
    format!(
        "[{}] {count} more findings on {}, too many to tell one by one: {}. All of them: `muster findings`, and the page.",
        gravest.name(),
        sanitize(host),
        codes.join(", ")
    )
}
