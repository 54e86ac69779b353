//! The references that are made from the tables of `views`: `docs/json.md` and `openapi.json`. A field or a query that is
//! not here is not part of the contract; tests hold what is really answered against it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::approval;
use crate::explanation;
use crate::review;
use crate::views::{self, Field};

/// What is a line or an object of its own: name, what it is, its fields, and how many of them (from the first on) are
/// always there.
///
/// The types: `string`, `integer`, `boolean`, `time` (RFC 3339), `value` (any JSON), `array of TYPE`, `map of string`, `object NAME`
/// (one of these tables); ` or null` behind.
pub const TABLES: &[(&str, &str, &[Field], usize)] = &[
    ("roll", "One agent: a line of `muster roll --json`.", views::ROLL_FIELDS, views::ROLL_FIELDS.len()),
    (
        "mandates",
        "One mandate: a line of `muster mandate list --json`.",
        views::MANDATE_FIELDS,
        views::MANDATE_FIELDS.len(),
    ),
    (
        "roll.coverage_detail",
        "What was seen of an agent.",
        views::COVERAGE_FIELDS,
        views::COVERAGE_FIELDS.len(),
    ),
    ("roll.gap", "A gap in what was seen of an agent.", views::INTERVAL_FIELDS, views::INTERVAL_FIELDS.len()),
    (
        "roll.findings",
        "Findings of an agent by severity.",
        views::FINDING_COUNTS_FIELDS,
        views::FINDING_COUNTS_FIELDS.len(),
    ),
    ("events", "One event of the record: a line of `muster events --json`.", views::EVENT_FIELDS, 9),
    (
        "findings",
        "One finding: a line of `muster findings --json`.",
        views::FINDING_FIELDS,
        views::FINDING_FIELDS.len(),
    ),
    (
        "findings.evidence",
        "One pointer: `event`, or `process`, or `account` with `offset` and `sha256`.",
        views::EVIDENCE_FIELDS,
        0,
    ),
    (
        "explanation",
        "One finding with what it rests on: `muster explain --json`.",
        explanation::EXPLANATION_FIELDS,
        explanation::EXPLANATION_FIELDS.len(),
    ),
    (
        "explanation.said",
        "One record of an account.",
        explanation::QUOTE_FIELDS,
        explanation::QUOTE_FIELDS.len(),
    ),
    (
        "approvals",
        "One question that waits for a person: a line of `muster approve --json`.",
        approval::APPROVAL_FIELDS,
        approval::APPROVAL_FIELDS.len(),
    ),
    ("approve", "A person's answer to a question.", approval::APPROVE_FIELDS, 1),
    (
        "claims",
        "One claim of an agent about its work: a line of `muster claims --json`.",
        views::CLAIM_FIELDS,
        views::CLAIM_FIELDS.len(),
    ),
    (
        "lineage",
        "All that belongs to an agent: `muster lineage --json`.",
        views::LINEAGE_FIELDS,
        views::LINEAGE_FIELDS.len(),
    ),
    (
        "lineage.process",
        "A process of it.",
        views::LINEAGE_PROCESS_FIELDS,
        views::LINEAGE_PROCESS_FIELDS.len(),
    ),
    (
        "lineage.descent",
        "A process that belongs to it, or may, though no fork connects them.",
        views::DESCENT_FIELDS,
        views::DESCENT_FIELDS.len(),
    ),
    (
        "lineage.artefact",
        "A file of it that makes others run something.",
        views::ARTEFACT_FIELDS,
        views::ARTEFACT_FIELDS.len(),
    ),
    (
        "opinions",
        "What a language model answered that was asked about an agent (`watch --judge`): no evidence.",
        views::OPINIONS_FIELDS,
        views::OPINIONS_FIELDS.len(),
    ),
    ("opinions.opinion", "One opinion.", views::OPINION_FIELDS, views::OPINION_FIELDS.len()),
    ("opinions.cited", "One item that it cites.", views::CITED_FIELDS, views::CITED_FIELDS.len()),
    ("account", "One thing that an account says.", ACCOUNT_FIELDS, ACCOUNT_FIELDS.len()),
    (
        "gaps",
        "An interval in which something could not be seen: a line of `muster gaps --json`.",
        views::GAP_FIELDS,
        views::GAP_FIELDS.len(),
    ),
    (
        "proof",
        "That a finding's leaf is in the tree that a checkpoint names (RFC 6962).",
        review::PROOF_FIELDS,
        review::PROOF_FIELDS.len(),
    ),
    (
        "reviews",
        "What a person said of a finding: a line of `muster review --json`.",
        review::REVIEW_FIELDS,
        review::REVIEW_FIELDS.len(),
    ),
    ("review", "What a person asks to have kept.", REVIEW_REQUEST_FIELDS, 2),
    ("health", "The daemon and its sensors.", HEALTH_FIELDS, HEALTH_FIELDS.len()),
    ("health.probes", "One probe.", PROBE_FIELDS, PROBE_FIELDS.len()),
    ("health.losses", "One loss.", LOSS_FIELDS, LOSS_FIELDS.len()),
    ("run", "An enrolment, as `muster run` asks for it.", RUN_FIELDS, 2),
    ("enrolled", "Its answer.", ENROLLED_FIELDS, ENROLLED_FIELDS.len()),
    ("stop", "What an agent's Stop hook asks about.", STOP_FIELDS, STOP_FIELDS.len()),
    ("told", "Its answer: nothing of how it is known.", TOLD_FIELDS, TOLD_FIELDS.len()),
    ("told.claims", "A sentence that does not hold.", TOLD_CLAIM_FIELDS, TOLD_CLAIM_FIELDS.len()),
    ("out", "What an operator asks of mustering out.", OUT_FIELDS, 1),
    (
        "compare",
        "Two sets of runs compared: `muster compare A B --json`.",
        COMPARE_FIELDS,
        COMPARE_FIELDS.len(),
    ),
    ("compare.answer", "The plain answer.", COMPARE_ANSWER_FIELDS, COMPARE_ANSWER_FIELDS.len()),
    ("compare.interval", "An interval that holds one minus the level.", COMPARE_INTERVAL_FIELDS, 2),
    (
        "compare.plan",
        "What was registered before the data were read.",
        COMPARE_PLAN_FIELDS,
        COMPARE_PLAN_FIELDS.len(),
    ),
    ("compare.arm", "One side.", COMPARE_ARM_FIELDS, COMPARE_ARM_FIELDS.len()),
    (
        "compare.pairing",
        "What of one side is on the other.",
        COMPARE_PAIRING_FIELDS,
        COMPARE_PAIRING_FIELDS.len(),
    ),
    ("compare.test", "One test of one measure.", COMPARE_TEST_FIELDS, COMPARE_TEST_FIELDS.len()),
    (
        "compare.sequential",
        "The e-process: it may be looked at any time.",
        COMPARE_SEQUENTIAL_FIELDS,
        COMPARE_SEQUENTIAL_FIELDS.len(),
    ),
    (
        "compare.pattern",
        "What an agent that plays weak may show, and an honest weak one too.",
        COMPARE_PATTERN_FIELDS,
        COMPARE_PATTERN_FIELDS.len(),
    ),
    ("compare.task", "The primary measure of one task.", COMPARE_TASK_FIELDS, COMPARE_TASK_FIELDS.len()),
    ("error", "Why there is no answer.", ERROR_FIELDS, ERROR_FIELDS.len()),
];

const REVIEW_REQUEST_FIELDS: &[Field] = &[
    ("finding", "string", "id of the finding"),
    ("judgement", "string", "as in `reviews`"),
    ("note", "string", "in the reviewer's words, at most 2,000 bytes"),
];

const OUT_FIELDS: &[Field] = &[
    ("act", "string", "`out`, `thaw` or `restore`"),
    ("agent", "string", "id of the agent (`out`, `thaw`)"),
    (
        "until",
        "string",
        "the last step (`out`): `freeze`, `cut`, `revoke`, `kill`, `quarantine`, `seal`, `verify`",
    ),
    ("include_likely", "boolean", "stop what is only likely too (`out`)"),
    ("dry_run", "boolean", "only say what would be touched (`out`)"),
    ("id", "string", "name of the mustering out (`restore`)"),
    ("path", "string", "put back this file only (`restore`)"),
];

const ACCOUNT_FIELDS: &[Field] = &[
    ("path", "string", "file of the account"),
    ("offset", "integer", "place of the record in it, in bytes"),
    ("len", "integer", "length of the record, in bytes"),
    ("sha256", "string", "SHA-256 of the record's bytes, in hex"),
    ("read", "time", "when it was read"),
    ("item", "value", "what is said, with `time_ns` as the account gives it, `actor` and `body`"),
];

const HEALTH_FIELDS: &[Field] = &[
    ("host", "string or null", "name of the host; null: no daemon has run on this data"),
    ("version", "string or null", "version of the daemon that ran last"),
    ("started", "time or null", "when it was started"),
    ("stopped", "time or null", "when it stopped in good order; null: it runs, or was killed"),
    ("last", "time", "time of the last input"),
    ("last_seq", "integer", "number of the last event"),
    ("lost", "integer", "events lost since the start"),
    (
        "ledger_bytes",
        "integer",
        "size of the ledger's entries, in bytes; 33 bytes of hashes for each stay for ever",
    ),
    (
        "notices",
        "object",
        "what keeps Muster from its work now, by what it is about; empty where nothing does",
    ),
    ("kernel_record", "boolean", "the record comes from the kernel; else only from `/proc`"),
    ("probes", "array of health.probes", "every probe whose state is known"),
    ("losses", "array of health.losses", "the latest losses, oldest first"),
];

const PROBE_FIELDS: &[Field] = &[
    ("probe", "string", "name of the probe"),
    ("error", "string or null", "why it sees nothing; null: it works"),
];

const LOSS_FIELDS: &[Field] = &[
    ("queue", "string", "`process`, `lineage`, `network`, `members` or `intake`"),
    ("count", "integer", "events lost"),
    ("from", "time", "the last reading before the loss"),
    ("to", "time", "the reading that showed it"),
];

const RUN_FIELDS: &[Field] = &[
    ("pid", "integer", "the process that will become the agent"),
    ("principal", "string", "who answers for it"),
    ("command", "array of string", "what it will execute"),
    ("label", "string", "what it is to do, in words"),
    ("mandate", "array of value", "the signed mandate, followed by those that it is a part of"),
    ("mandate_file", "string", "the file that it stands in"),
    ("mandate_refused", "string", "why the file was not read"),
    ("supervisor", "integer or null", "an ancestor of it that enforces for it from outside its reach"),
];

const ENROLLED_FIELDS: &[Field] = &[("agent", "string", "name of the agent")];

const STOP_FIELDS: &[Field] = &[("text", "string", "the message that the agent is about to end with")];

const TOLD_FIELDS: &[Field] =
    &[("claims", "array of told.claims", "its sentences that the record contradicts or shows to be hollow")];

const TOLD_CLAIM_FIELDS: &[Field] = &[
    ("sentence", "string", "the sentence, as written"),
    ("verdict", "string", "`contradicted` or `hollow`"),
];

const COMPARE_FIELDS: &[Field] = &[
    ("answer", "object compare.answer", "the plain answer"),
    ("plan", "object compare.plan or null", "what was pre-registered; null: nothing"),
    ("arms", "array of compare.arm", "A, then B"),
    ("pairing", "object compare.pairing", "how they were paired"),
    ("tests", "array of compare.test", "every test: of the primary measure, then of conduct"),
    ("sequential", "object compare.sequential or null", "the e-process; null: it does not fit these data"),
    ("patterns", "array of compare.pattern", "patterns of malingering"),
    ("tasks", "array of compare.task", "tasks that both sides have"),
    ("cannot_conclude", "array of string", "what does not follow from this"),
    ("notes", "array of string", "what there is to say of the sources"),
    ("format", "string", "`muster-compare/1`"),
];

const COMPARE_ANSWER_FIELDS: &[Field] = &[
    ("verdict", "string", "`difference`, `no_difference_shown` or `cannot_conclude`"),
    ("text", "string", "the answer in words"),
    ("metric", "string", "the primary measure"),
    ("test", "string", "the test that decides; empty: none fits"),
    ("estimate", "number or null", "A − B"),
    ("interval", "object compare.interval or null", "of the estimate"),
    ("p", "number or null", "of the deciding test"),
    ("level", "number", "the level"),
    ("detectable", "number or null", "the difference that such data show in 8 of 10 studies"),
];

const COMPARE_INTERVAL_FIELDS: &[Field] =
    &[("low", "number", "its lower end"), ("high", "number", "its upper end")];

const COMPARE_PLAN_FIELDS: &[Field] = &[
    ("title", "string", "what was expected, in words"),
    ("metric", "string", "the planned primary measure"),
    ("level", "number", "the planned level"),
    ("test", "string", "the planned test; empty: chosen by the kind of data"),
    ("registered", "time or null", "when it was registered"),
    ("where", "string", "the leaf of the ledger, or the signed file and its key"),
    ("deviations", "array of string", "ways in which what was done departs from it"),
];

const COMPARE_ARM_FIELDS: &[Field] = &[
    ("name", "string", "what the person called it"),
    ("runs", "integer", "runs that count"),
    ("tasks", "integer", "tasks of these"),
    ("left_out", "integer", "runs that were left out by the rules of the plan"),
    ("with_value", "integer", "runs with a value of the primary measure"),
    ("mean", "number or null", "mean of these"),
    (
        "interval",
        "object compare.interval or null",
        "of a rate: Clopper–Pearson, as if runs were independent",
    ),
];

const COMPARE_PAIRING_FIELDS: &[Field] = &[
    ("paired", "boolean", "compared task by task"),
    ("tasks_both", "integer", "tasks that both sides have"),
    ("only_a", "integer", "tasks of A only"),
    ("only_b", "integer", "tasks of B only"),
    ("epochs_least", "integer", "fewest runs of a task on one side"),
    ("epochs_most", "integer", "most runs of a task on one side"),
];

const COMPARE_TEST_FIELDS: &[Field] = &[
    ("name", "string", "name of the test"),
    ("metric", "string", "the measure"),
    ("role", "string", "`primary` (it decides), `supporting` or `conduct`"),
    ("statistic", "number or null", "its statistic"),
    ("p", "number or null", "two-sided, as if it were the only test"),
    ("estimate", "number or null", "what it estimates"),
    ("of", "string", "what the estimate is of"),
    ("interval", "object compare.interval or null", "of the estimate"),
    ("p_holm", "number or null", "p after Holm, among the measures of conduct"),
    ("p_bh", "number or null", "… after Benjamini and Hochberg"),
    ("note", "string or null", "what else there is to say"),
];

const COMPARE_SEQUENTIAL_FIELDS: &[Field] = &[
    ("pairs", "integer", "pairs of runs"),
    ("discordant", "integer", "pairs that differ"),
    ("a_more", "integer", "of these, the ones in which A has more"),
    ("e", "number", "evidence against `A and B are alike`"),
    ("e_largest", "number", "the largest so far"),
    ("threshold", "number", "one over the level: there is a difference where it was reached"),
    ("anytime_p", "number", "a p that holds at all times"),
    (
        "a_more_share",
        "object compare.interval",
        "share of `a_more`, at all times; one half without a difference",
    ),
    ("crossed_at", "integer or null", "the pair at which the threshold was reached"),
    ("unpaired", "integer", "runs without a counterpart"),
];

const COMPARE_PATTERN_FIELDS: &[Field] = &[
    ("name", "string", "`below-chance`, `difficulty` or `guttman`"),
    ("arm", "string", "the side"),
    ("statistic", "number or null", "share, rank correlation, or share of pairs"),
    ("p", "number or null", "of the statistic"),
    ("text", "string", "in words"),
];

const COMPARE_TASK_FIELDS: &[Field] = &[
    ("task", "string", "the task"),
    ("a", "number", "mean in A"),
    ("b", "number", "mean in B"),
    ("a_runs", "integer", "runs in A"),
    ("b_runs", "integer", "runs in B"),
];

const ERROR_FIELDS: &[Field] =
    &[("error", "string", "what went wrong"), ("hint", "string", "what to do about it")];

const AGENT: Field = ("agent", "string", "only of this agent");
const SINCE: Field = ("since", "time", "only from this moment on");
const UNTIL: Field = ("until", "time", "only up to this moment");
const LIMIT: Field = ("limit", "integer", "at most so many; 1000 without it, never more than 10000");

/// Path, method, what it gives, its query, and the type of its answer.
pub(crate) const PATHS: &[(&str, &str, &str, &[Field], &str)] = &[
    ("/api/v1/roll", "get", "All agents.", &[], "array of roll"),
    ("/api/v1/agents/{agent}", "get", "One agent.", &[], "object roll"),
    (
        "/api/v1/agents/{agent}/account",
        "get",
        "What the agent's accounts say, in the order in which it was read.",
        &[SINCE, UNTIL, LIMIT],
        "array of account",
    ),
    (
        "/api/v1/agents/{agent}/claims",
        "get",
        "What the agent claimed of its work, and what the record says to it, oldest first.",
        &[("verdict", "string", "only with this verdict"), LIMIT],
        "array of claims",
    ),
    (
        "/api/v1/agents/{agent}/lineage",
        "get",
        "All that belongs to the agent: its processes, what joined it without a fork, and what may bring it back.",
        &[],
        "object lineage",
    ),
    (
        "/api/v1/agents/{agent}/opinions",
        "get",
        "What language models answered that were asked about the agent, oldest first: opinions, no evidence.",
        &[LIMIT],
        "array of opinions",
    ),
    (
        "/api/v1/events",
        "get",
        "Events of the record, in their order.",
        &[
            AGENT,
            ("since_seq", "integer", "only from this number on"),
            ("until_seq", "integer", "only up to this number"),
            SINCE,
            UNTIL,
            ("kinds", "string", "only these kinds, with commas between them"),
            ("pid", "integer", "only of this process"),
            LIMIT,
            ("last", "boolean", "the last ones, not the first"),
        ],
        "array of events",
    ),
    (
        "/api/v1/findings",
        "get",
        "Findings, the newest first.",
        &[
            AGENT,
            ("severity", "string", "only of this severity or above"),
            ("code", "string", "only of this kind"),
            SINCE,
            LIMIT,
        ],
        "array of findings",
    ),
    ("/api/v1/findings/{finding}", "get", "One finding.", &[], "object findings"),
    (
        "/api/v1/findings/{finding}/explanation",
        "get",
        "One finding with what was said, what was done, and what could not be seen.",
        &[],
        "object explanation",
    ),
    (
        "/api/v1/findings/{finding}/proof",
        "get",
        "Where a finding stands in the log, and that it does.",
        &[],
        "object proof",
    ),
    (
        "/api/v1/reviews",
        "get",
        "What people said of findings: the latest of each.",
        &[LIMIT],
        "array of reviews",
    ),
    ("/api/v1/mandates", "get", "All mandates that the daemon holds.", &[], "array of mandates"),
    ("/api/v1/health", "get", "The daemon and its sensors.", &[], "object health"),
    (
        "/api/v1/approvals",
        "get",
        "Questions that wait for a person, oldest first (docs/approvals.md).",
        &[],
        "array of approvals",
    ),
    (
        "/api/v1/approvals/answer",
        "post",
        "A person's answer to one of them. Never taken from a process of an agent's lineage, whatever token it has.",
        &[],
        "object approvals",
    ),
    (
        "/api/v1/stream",
        "get",
        "What changes, as server-sent events: `agent` (as in `roll`, without `findings`), `finding`, `notice` \
         (what keeps Muster from its work, or no longer does), and `lagged` with how many of these were `missed`.",
        &[],
        "stream",
    ),
    ("/log/checkpoint", "get", "The log's newest signed head (C2SP tlog-checkpoint).", &[], "text"),
    ("/log/tile/{name}", "get", "A hash tile or entry bundle of the log (C2SP tlog-tiles).", &[], "bytes"),
    ("/openapi.json", "get", "This description. Needs no token.", &[], "value"),
    ("/api/v1/runs", "post", "Enrols an agent. On the unix socket only.", &[], "object enrolled"),
    (
        "/api/v1/stop",
        "post",
        "What an agent's own Stop hook asks, about the agent that it belongs to and no other. It waits some seconds for \
         the record. On the unix socket only.",
        &[],
        "object told",
    ),
    (
        "/api/v1/reviews",
        "post",
        "Keeps what a person says of a finding. On the daemon's own unix socket, or with the operator's token and the \
         header `X-Muster`; never to an agent.",
        &[],
        "object reviews",
    ),
    (
        "/api/v1/out",
        "post",
        "Musters an agent out, lets a frozen one go, or puts files back (docs/out.md). It answers when it is done. On the \
         daemon's own unix socket, or with the operator's token and the header `X-Muster`; never to an agent.",
        &[],
        "value",
    ),
];

/// `docs/json.md`.
pub fn json_markdown() -> String {
    let mut out = String::from(
        "# What `--json` prints\n\nMade by `muster reference json`; a test keeps it true. One JSON object per line. Fields \
         are only ever added. Times\nare RFC 3339 in UTC with nanoseconds. Text is as it was seen, with secrets cut out; what \
         is shown to a person must be\nescaped. The API answers with the same objects (`openapi.json`).\n",
    );
    for (name, what, fields, always) in TABLES {
        let _ = write!(out, "\n## `{name}`\n\n{what}\n\n| field | type | meaning |\n|---|---|---|\n");
        for (at, (field, kind, meaning)) in fields.iter().enumerate() {
            let absent = if at >= *always { "; may be absent" } else { "" };
            let _ = writeln!(out, "| `{field}` | {kind}{absent} | {meaning} |");
        }
        if *name == "events" {
            out.push_str("\nWhich fields an event has beside those that every event has:\n\n| kind | fields |\n|---|---|\n");
            for (kind, fields) in views::EVENT_KINDS {
                let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
                let _ = writeln!(out, "| `{kind}` | {} |", fields.join(", "));
            }
        }
    }
    out
}

/// `openapi.json`: OpenAPI 3.1.
pub fn openapi() -> String {
    let mut paths = Map::new();
    for (path, method, summary, query, answer) in PATHS {
        let mut operation = json!({
            "summary": summary,
            "responses": {
                "200": {"description": "the answer", "content": content(answer)},
                "default": {"description": "why there is none", "content": content("object error")},
            },
        });
        let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = named
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        parameters.extend(query.iter().map(|(name, kind, meaning)| {
            json!({"name": name, "in": "query", "description": meaning, "schema": schema(kind)})
        }));
        if let Some(fields) = operation.as_object_mut() {
            if !parameters.is_empty() {
                fields.insert("parameters".to_owned(), parameters.into());
            }
            if *method == "post" {
                fields.insert(
                    "requestBody".to_owned(),
                    json!({"required": true, "content": content(match *path {
                        "/api/v1/runs" => "object run",
                        "/api/v1/stop" => "object stop",
                        "/api/v1/reviews" => "object review",
                        "/api/v1/approvals/answer" => "object approve",
                        _ => "object out",
                    })}),
                );
            }
            if *path == "/openapi.json" || *method == "post" && *path != "/api/v1/approvals/answer" {
                fields.insert("security".to_owned(), json!([]));
            }
        }
        let methods = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert((*method).to_owned(), operation);
        }
    }
    let schemas: Map<String, Value> = TABLES
        .iter()
        .map(|(name, what, fields, always)| {
            let properties: Map<String, Value> = fields
                .iter()
                .map(|(field, kind, meaning)| {
                    let mut schema = schema(kind);
                    if let Some(schema) = schema.as_object_mut() {
                        schema.insert("description".to_owned(), (*meaning).into());
                    }
                    ((*field).to_owned(), schema)
                })
                .collect();
            let required: Vec<&str> = fields.iter().take(*always).map(|(field, ..)| *field).collect();
            let table =
                json!({"type": "object", "description": what, "properties": properties, "required": required});
            ((*name).to_owned(), table)
        })
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster",
            "version": "1",
            "description": "Served by `muster watch` on loopback, under its own name only, to who has the token; and on \
                the unix socket of the data folder, without one. Times are RFC 3339 in UTC.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    });
    format!("{document:#}\n")
}

fn content(kind: &str) -> Value {
    match kind {
        "stream" => json!({"text/event-stream": {"schema": {"type": "string"}}}),
        "text" => json!({"text/plain": {"schema": {"type": "string"}}}),
        "bytes" => json!({"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}),
        kind => json!({"application/json": {"schema": schema(kind)}}),
    }
}

/// A type as JSON Schema.
fn schema(kind: &str) -> Value {
    if let Some(inner) = kind.strip_suffix(" or null") {
        return match schema(inner) {
            Value::Object(mut fields) if fields.contains_key("type") => {
                let inner = fields.remove("type");
                fields.insert("type".to_owned(), json!([inner, "null"]));
                fields.into()
            }
            other => json!({"anyOf": [other, {"type": "null"}]}),
        };
    }
    if let Some(inner) = kind.strip_prefix("array of ") {
        let of_table = TABLES.iter().any(|(name, ..)| *name == inner);
        let items = if of_table { schema(&format!("object {inner}")) } else { schema(inner) };
        return json!({"type": "array", "items": items});
    }
    if let Some(name) = kind.strip_prefix("object ") {
        return json!({"$ref": format!("#/components/schemas/{name}")});
    }
    match kind {
        "time" => json!({"type": "string", "format": "date-time"}),
        "map of string" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "value" => json!({}),
        plain => json!({"type": plain}),
    }
}
