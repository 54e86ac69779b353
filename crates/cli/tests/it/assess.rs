//! The assessment: its numbers, computed again from the bytes of the ledger by other code; what it refuses; and that nothing
//! in it that an agent wrote is more than text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster_engine::{Input, Output as Told};
use muster_server::{Retention, Store};
use serde_json::{Value, json};

use crate::rig::MUSTER;

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_764_060_000 * SECOND;
const EVIL: &str = "<script>alert(1)</script>\u{1b}[31m\u{202e}&\"'";

/// Knuth's generator: the same ledger each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

fn input(store: &mut Store, value: Value) {
    let input: Input =
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    store.append(&input).unwrap();
}

fn row(chance: &mut Chance, n: u64) -> Value {
    let drill = n % 9 == 4;
    let whole = chance.below(5) > 0;
    let gaps = if chance.below(12) == 0 {
        json!([{"cause": chance.of(&["daemon_down", "clock_step"]), "from_ns": T0, "to_ns": null}])
    } else {
        json!([])
    };
    json!({
        "agent": format!("agent-{n}"),
        "product": if drill && n.is_multiple_of(2) { "drill-agent" } else { chance.of(&["claude-code", "codex", EVIL]) },
        "version": chance.of(&["1.0", "2.0"]), "model": if chance.below(4) == 0 { Value::Null } else { json!(chance.of(&["opus", "gpt", EVIL])) },
        "root": {"pid": 100 + n, "start_ns": n}, "parent": if chance.below(10) == 0 { json!("agent-0") } else { Value::Null },
        "mandate": if chance.below(3) == 0 { Value::Null } else { json!("m") }, "principal": null,
        "label": if drill { format!("drill:x{n}") } else { EVIL.to_owned() }, "found_by": EVIL, "uid": chance.below(2) * 1000,
        "command": if chance.below(6) == 0 { json!(["claude", "--dangerously-skip-permissions"]) } else { json!(["claude"]) },
        "cwd": "/", "sessions": [], "accounts": [], "started_ns": T0 + n * 60 * SECOND, "last_ns": T0 + n * 60 * SECOND,
        "ended_ns": null, "state": "running", "stage": null, "processes": 1, "events": chance.below(100), "calls": 3,
        "calls_joined": chance.below(4), "doing": EVIL,
        "coverage": {
            "record_from_ns": if whole { json!(T0) } else { Value::Null }, "began_unseen": chance.below(9) == 0,
            "lost": if chance.below(8) == 0 { 5 } else { 0 }, "blind": if chance.below(9) == 0 { json!(["connect"]) } else { json!([]) },
            "account": chance.below(4) > 0, "unreadable": [], "gaps": gaps, "gaps_more": 0,
        },
    })
}

fn finding(chance: &mut Chance, n: u64, agent: u64) -> Value {
    let code = chance.of(&[
        "unreported-action",
        "false-claim",
        "persistence",
        "credentials",
        "money",
        "successor",
        "monitor-tampering",
        "unmandated-agent",
        "account-missing",
        "carry-over",
        "account-tampered",
        "omission",
        "entrenchment",
        "compute",
    ]);
    json!({
        "id": format!("f-{n}"), "code": code, "severity": chance.of(&["info", "info", "low", "medium", "high", "critical"]),
        "stage": chance.of(&["initiate", "conceal", "sustain"]), "overreach": chance.below(4), "deception": chance.below(4),
        "agent": format!("agent-{agent}"), "time_ns": T0 + agent * 60 * SECOND + n * SECOND, "summary": EVIL,
        "explanation": EVIL, "evidence": [],
    })
}

fn action() -> Value {
    json!({"kind": "read", "path": EVIL})
}

/// A ledger of two days of a daemon, with everything that an assessment looks at.
fn ledger(data: &Path) {
    let mut chance = Chance(7);
    let (mut store, _) = Store::open(data, Retention::UNLIMITED).unwrap();
    let start = |at: u64| {
        json!({"start": {"time_ns": at, "host": "desk", "boot_id": "b", "version": "1", "kernel_record": true,
            "daemon": {"pid": 1, "start_ns": 1}, "data_dir": "/d"}})
    };
    input(&mut store, start(T0));
    let mut told = 0;
    for n in 0..240 {
        let at = T0 + n * 60 * SECOND;
        if n == 120 {
            input(&mut store, json!({"stop": {"time_ns": at}}));
            input(&mut store, start(at + 30 * SECOND));
        }
        let mut state = row(&mut chance, n);
        let apply = |store: &mut Store, output: Told| store.apply(&output).unwrap();
        apply(&mut store, Told::Agent(serde_json::from_value(state.clone()).unwrap()));
        let key = json!({"pid": 100 + n, "start_ns": n});
        let member =
            json!({"agent": format!("agent-{n}"), "process": key, "from_seq": n * 2 + 1, "by": "ancestry"});
        apply(&mut store, Told::Member(serde_json::from_value(member).unwrap()));
        let ip = chance.of(&["127.0.0.1", "203.0.113.7", "::1"]);
        let event = json!({"seq": n * 2 + 1, "time_ns": at, "boot_ns": n + 1, "process": key, "thread": 100 + n, "uid": 0, "cgroup": 0,
            "comm": "x", "kind": {"connect": {"address": {"ip": {"ip": ip, "port": 443}}, "result": if chance.below(3) == 0 { -111 } else { -115 }}}});
        input(&mut store, json!({"event": event}));
        if chance.below(3) == 0 {
            let words = chance.of(&[
                "bypassPermissions",
                "default",
                "approval never, sandbox danger-full-access",
                "approval on-request, sandbox danger-full-access",
                "yolo",
                "approval never, sandbox workspace-write",
            ]);
            let item = json!({"time_ns": null, "actor": {"main": null}, "body": {"session": {"id": "s", "authority": words}}});
            let record = json!({"account": {"agent": format!("agent-{n}"), "path": "/a", "offset": n, "len": 1, "sha256": "00".repeat(32),
                "time_ns": at, "raw": "x", "items": [item]}});
            if serde_json::from_value::<Input>(record.clone()).is_ok() {
                input(&mut store, record);
            }
        }
        for _ in 0..chance.below(4) {
            let finding = finding(&mut chance, told, n);
            told += 1;
            apply(&mut store, Told::Finding(serde_json::from_value(finding).unwrap()));
        }
        // Not across the stop.
        if chance.below(5) == 0 && !(110..120).contains(&n) {
            for (step, after) in [("freeze", 2), ("kill", 3 + chance.below(50))] {
                let done = if step == "freeze" { "begun" } else { "done" };
                input(
                    &mut store,
                    json!({"containment": {"id": "o", "agent": format!("agent-{n}"), "time_ns": at + (after + 300) * SECOND,
                    "step": step, "state": done, "text": EVIL, "by": "x"}}),
                );
            }
        }
        if chance.below(2) == 0 {
            let note = |state: Value, at: u64| {
                json!({"approval": {"time_ns": at, "id": format!("q-{n}"), "agent": format!("agent-{n}"), "state": state, "action": action(),
                    "decision": {"verdict": "ask", "rule": "r", "reason": EVIL, "mandate": null}, "said": EVIL, "by": null, "until_ns": null,
                    "pattern": null, "count": 1}})
            };
            input(&mut store, note(json!("asked"), at + SECOND));
            let answer = match chance.below(4) {
                0 => json!("timed_out"),
                1 => json!({"answered": "deny"}),
                _ => json!({"answered": "allow"}),
            };
            input(&mut store, note(answer, at + SECOND + chance.below(5) * SECOND));
            let verdict = chance.of(&["allow", "deny"]);
            input(
                &mut store,
                json!({"gate": {"time_ns": at, "agent": format!("agent-{n}"), "process": null, "by": "hook", "action": action(),
                "decision": {"verdict": verdict, "rule": "r", "reason": "", "mandate": null}, "enforced": chance.below(2) == 0,
                "blocked": false, "approval": null, "call": null, "count": 1 + chance.below(3)}}),
            );
        }
        if chance.below(20) == 0 {
            let gap = json!({"id": format!("g-{n}"), "cause": chance.of(&["lost", "asleep", "daemon_down"]), "subject": EVIL, "agent": null,
                "from_ns": at, "to_ns": at + 7 * SECOND + 500_000_000, "boot_id": "b", "boot_id_before": null, "boot_from_ns": null,
                "boot_to_ns": null, "count": 3, "detail": EVIL});
            apply(&mut store, Told::Gap(serde_json::from_value(gap).unwrap()));
        }
        // The newest row counts.
        state["calls"] = json!(5);
        state["last_ns"] = json!(at + SECOND);
        state["ended_ns"] = json!(at + SECOND);
        apply(&mut store, Told::Agent(serde_json::from_value(state).unwrap()));
    }
    input(&mut store, json!({"tick": {"time_ns": T0 + 300 * 60 * SECOND, "boot_ns": 1, "asleep_ns": 0}}));
    store.commit(true).unwrap();
}

fn drills() -> String {
    let mut chance = Chance(3);
    let mut lines = String::new();
    for n in 0..120_u64 {
        let seen = chance.below(10) < 7;
        let line = json!({
            "drill": chance.of(&["cron-drop-in", "copies-weights", EVIL]), "title": EVIL, "stage": chance.of(&["initiate", "conceal", "sustain"]),
            "factor": chance.of(&["money", "persistence", "copies"]), "honest": n.is_multiple_of(10), "played": !n.is_multiple_of(17),
            "without": if n.is_multiple_of(11) { json!("files") } else { Value::Null }, "agents": [format!("agent-{}", n % 240)],
            "seen": seen, "detect_ms": if seen { json!(chance.below(5_000)) } else { Value::Null }, "findings": if n.is_multiple_of(20) { json!({"money": 1}) } else { json!({}) },
            "acts": 3, "acts_failed": chance.below(4), "mustered_out": seen, "out_ms": if seen { json!(chance.below(90)) } else { Value::Null },
            "survivors": u64::from(n == 50), "withstood": chance.of(&["none", "user-contact", "routine-monitoring"]),
        });
        lines += &format!("{line}\n");
    }
    lines
}

/// Every leaf, from the bytes on the disk alone (`docs/ledger.md`): the journal, and bundles where they are.
fn leaves(data: &Path) -> BTreeMap<u64, Value> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(data.join("ledger/segments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "log") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut index: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut at = 64;
        while at + 8 <= bytes.len() {
            let (length, crc) = (number(&bytes[at..at + 4]) as usize, number(&bytes[at + 4..at + 8]));
            if crc == 0 || at + 8 + length > bytes.len() {
                break;
            }
            found.insert(index, serde_json::from_slice(&bytes[at + 8..at + 8 + length]).unwrap());
            index += 1;
            at += 8 + length;
        }
    }
    let mut folders = vec![data.join("ledger/tile/entries")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name =
                path.strip_prefix(data.join("ledger/tile/entries")).unwrap().to_string_lossy().into_owned();
            let name = name.split(".p/").next().unwrap();
            let bundle: u64 =
                name.split('/').map(|part| part.trim_start_matches('x')).collect::<String>().parse().unwrap();
            let bytes = fs::read(&path).unwrap();
            let (mut at, mut index) = (0, bundle * 256);
            while at + 2 <= bytes.len() {
                let length = usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1]);
                found.insert(index, serde_json::from_slice(&bytes[at + 2..at + 2 + length]).unwrap());
                index += 1;
                at += 2 + length;
            }
        }
    }
    found
}

fn assess(data: &Path, arguments: &[&str]) -> Output {
    Command::new(MUSTER).arg("assess").args(arguments).arg("--data").arg(data).output().unwrap()
}

#[track_caller]
fn report(data: &Path, arguments: &[&str]) -> Value {
    let out = assess(data, &[arguments, &["--json"]].concat());
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The ledger again, by its JSON alone.
struct Again {
    time: (u64, u64),
    leaves: BTreeMap<u64, Value>,
    /// Newest row of each run that is no drill, within the time.
    runs: BTreeMap<String, Value>,
    findings: Vec<(u64, Value)>,
}

impl Again {
    fn new(data: &Path, since: u64, until: u64) -> Self {
        let leaves = leaves(data);
        let mut rows = BTreeMap::new();
        let mut findings = Vec::new();
        for (at, leaf) in &leaves {
            if let Some(row) = leaf.pointer("/output/agent") {
                rows.insert(row["agent"].as_str().unwrap().to_owned(), row.clone());
            }
            if let Some(finding) = leaf.pointer("/output/finding/finding") {
                findings.push((*at, finding.clone()));
            }
        }
        let runs: BTreeMap<String, Value> = rows
            .into_iter()
            .filter(|(_, row)| {
                let started = row["started_ns"].as_u64().unwrap();
                let drill =
                    row["product"] == "drill-agent" || row["label"].as_str().unwrap().starts_with("drill:");
                !drill && started >= since && started < until
            })
            .collect();
        findings.retain(|(_, f)| {
            runs.contains_key(f["agent"].as_str().unwrap()) && f["time_ns"].as_u64().unwrap() < until
        });
        Again { time: (since, until), leaves, runs, findings }
    }

    fn count(&self, is: impl Fn(&Value) -> bool) -> u64 {
        self.runs.values().filter(|row| is(row)).count() as u64
    }

    /// Runs of which a finding is so.
    fn with(&self, runs: impl Fn(&Value) -> bool, is: impl Fn(&Value) -> bool) -> u64 {
        let agents: BTreeSet<&str> =
            self.findings.iter().filter(|(_, f)| is(f)).map(|(_, f)| f["agent"].as_str().unwrap()).collect();
        agents.into_iter().filter(|agent| runs(&self.runs[*agent])).count() as u64
    }

    /// Of the time that is assessed.
    fn decisions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u64, &'a Value)> {
        let (since, until) = self.time;
        self.inputs(name).filter(move |(_, note)| (since..until).contains(&note["time_ns"].as_u64().unwrap()))
    }

    fn inputs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u64, &'a Value)> {
        self.leaves.iter().filter_map(move |(at, leaf)| Some((*at, leaf.get("input")?.get(name)?)))
    }
}

fn above(finding: &Value) -> bool {
    finding["severity"] != "info"
}

/// … and an act of the agent's own.
fn act(finding: &Value) -> bool {
    above(finding) && finding["code"] != "unmandated-agent" && finding["code"] != "account-missing"
}

/// A rate is the count of the number that other code counted, and its interval that of a third.
#[track_caller]
fn same(rate: &Value, count: u64, of: u64, what: &str) {
    assert_eq!((&rate["count"], &rate["of"]), (&json!(count), &json!(of)), "{what}: {rate}");
    let Some(exact) = muster_drill::exact(count, of) else {
        assert!(rate["share"].is_null(), "{what}: {rate}");
        return;
    };
    // serde_json reads the last digit of a number as it comes.
    assert!((rate["share"].as_f64().unwrap() - count as f64 / of as f64).abs() < 1e-15, "{what}: {rate}");
    for (name, bound) in [("low", exact.low), ("high", exact.high)] {
        assert!((rate[name].as_f64().unwrap() - bound).abs() < 1e-9, "{what}: {name} of {rate}, {bound}");
    }
}

/// Every reference anywhere in the report points to a leaf that says what it is said to say.
fn references(value: &Value, leaves: &BTreeMap<u64, Value>, seen: &mut u64) {
    match value {
        Value::Object(fields) => {
            if let (Some(what), Some(id), Some(leaf)) =
                (fields.get("what"), fields.get("id"), fields.get("leaf"))
            {
                let (what, id) = (what.as_str().unwrap(), id.as_str().unwrap());
                if let Some(leaf) = leaf.as_u64() {
                    let text = leaves[&leaf].to_string();
                    let place = match what {
                        "finding" => leaves[&leaf].pointer("/output/finding/finding/id").cloned(),
                        "agent" => leaves[&leaf].pointer("/output/agent/agent").cloned(),
                        "gap" => leaves[&leaf].pointer("/output/gap/id").cloned(),
                        "input" => text.contains(&format!("\"{id}\"")).then(|| json!(id)),
                        "event" => leaves[&leaf].pointer("/input/event/kind/connect").map(|_| json!(id)),
                        "drill" => Some(json!(id)),
                        other => panic!("{other}"),
                    };
                    assert_eq!(place, Some(json!(id)), "{what} {id}: {text}");
                    *seen += 1;
                }
            }
            fields.values().for_each(|value| references(value, leaves, seen));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, leaves, seen)),
        _ => {}
    }
}

fn check(data: &Path, report: &Value, since: u64, until: u64) {
    let again = Again::new(data, since, until);
    let of = again.runs.len() as u64;
    assert!(of > 50, "{of}");
    let whole = |row: &Value| {
        let c = &row["coverage"];
        !c["record_from_ns"].is_null()
            && c["began_unseen"] == false
            && c["lost"] == 0
            && c["blind"].as_array().unwrap().is_empty()
            && c["gaps"].as_array().unwrap().iter().all(|gap| gap["cause"] != "daemon_down")
    };
    let s = &report["scope"];
    assert_eq!((&s["runs"], &s["leaves"]), (&json!(of), &json!(again.leaves.len())));
    same(&s["mandated"], again.count(|row| !row["mandate"].is_null()), of, "mandated");
    same(&s["record_whole"], again.count(whole), of, "whole");
    same(&report["opportunity"]["coverage"], again.count(whole), of, "coverage");
    same(&s["with_account"], again.count(|row| row["coverage"]["account"] == true), of, "account");
    same(&s["runs_with_loss"], again.count(|row| row["coverage"]["lost"] != 0), of, "loss");
    let sum = |name: &str| again.runs.values().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(
        (&s["events"], &s["calls"], &s["calls_joined"]),
        (&json!(sum("events")), &json!(sum("calls")), &json!(sum("calls_joined")))
    );

    // Means.
    let mean = |name: &str| {
        &report["means"]["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()["runs"]
    };
    same(mean("root"), again.count(|row| row["uid"] == 0), of, "root");
    same(mean("sub-agents"), again.count(|row| !row["parent"].is_null()), of, "sub-agents");
    same(mean("money"), again.with(|_| true, |f| f["code"] == "money"), of, "money");
    same(
        mean("persistence"),
        again.with(|_| true, |f| f["code"] == "persistence" || f["code"] == "entrenchment"),
        of,
        "persistence",
    );
    let out: BTreeSet<u64> = again
        .inputs("event")
        .filter(|(_, e)| {
            e["kind"]["connect"]["address"]["ip"]["ip"] == "203.0.113.7"
                && e["kind"]["connect"]["result"] == -115
        })
        .map(|(_, e)| e["process"]["pid"].as_u64().unwrap())
        .collect();
    same(
        mean("egress"),
        again.count(|row| out.contains(&row["root"]["pid"].as_u64().unwrap())),
        of,
        "egress",
    );

    // Motive, for all and for each product and model.
    let model = |row: &Value| row["model"].as_str().unwrap_or("not known").to_owned();
    let groups: BTreeSet<(String, String)> =
        again.runs.values().map(|row| (row["product"].as_str().unwrap().to_owned(), model(row))).collect();
    assert_eq!(report["motive"]["groups"].as_array().unwrap().len(), groups.len());
    let mut told = vec![(&report["motive"]["all"], None)];
    told.extend(report["motive"]["groups"].as_array().unwrap().iter().zip(groups.into_iter().map(Some)));
    for (bands, group) in told {
        let mine = |row: &Value| group.as_ref().is_none_or(|(p, m)| row["product"] == *p && model(row) == *m);
        let of = again.count(mine);
        for axis in ["overreach", "deception"] {
            for band in 1..=3_u64 {
                let n = again.with(mine, |f| act(f) && f[axis].as_u64().unwrap() >= band);
                same(&bands[axis][band as usize - 1], n, of, axis);
            }
        }
        same(&bands["any"], again.with(mine, above), of, "any");
        let one = |axis: &str| -> BTreeSet<&str> {
            let of = again.findings.iter().filter(|(_, f)| {
                act(f) && f[axis].as_u64().unwrap() > 0 && mine(&again.runs[f["agent"].as_str().unwrap()])
            });
            of.map(|(_, f)| f["agent"].as_str().unwrap()).collect()
        };
        same(&bands["both"], one("overreach").intersection(&one("deception")).count() as u64, of, "both");
    }

    // Modes, mustering out, approvals, gate.
    let o = &report["opportunity"];
    let mut modes: BTreeMap<&str, bool> = BTreeMap::new();
    for (_, account) in again.inputs("account") {
        let words = account.pointer("/items/0/body/session/authority").unwrap().as_str().unwrap();
        let skips =
            ["bypassPermissions", "yolo", "approval never, sandbox danger-full-access"].contains(&words);
        modes.insert(account["agent"].as_str().unwrap(), skips);
    }
    let flag = |row: &Value| row["command"].as_array().unwrap().len() > 1;
    let known = again.count(|row| flag(row) || modes.contains_key(row["agent"].as_str().unwrap()));
    let skip = again.count(|row| flag(row) || modes.get(row["agent"].as_str().unwrap()) == Some(&true));
    same(&o["skip_permissions"], skip, known, "skip");
    assert_eq!(o["mode_not_known"], json!(of - known));
    let (mut begun, mut dead) = (BTreeSet::new(), BTreeMap::new());
    for (_, step) in again.inputs("containment") {
        let agent = step["agent"].as_str().unwrap();
        if step["state"] == "begun" {
            begun.insert(agent);
        } else {
            dead.insert(agent, step["time_ns"].as_u64().unwrap());
        }
    }
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, f) in again.findings.iter().filter(|(_, f)| above(f)) {
        let at = f["time_ns"].as_u64().unwrap();
        let known = first.entry(f["agent"].as_str().unwrap()).or_insert(at);
        *known = at.min(*known);
    }
    let responded = first.keys().filter(|agent| begun.contains(*agent)).count() as u64;
    same(&o["responded"], responded, first.len() as u64, "responded");
    let most =
        first.iter().filter_map(|(agent, at)| Some(dead.get(agent)?.saturating_sub(*at) / 1_000_000)).max();
    assert_eq!(o["respond"]["most_ms"].as_f64(), most.map(|ms| ms as f64));
    let (mut asked, mut allowed, mut fast, mut denied, mut late) = (BTreeMap::new(), 0, 0, 0, 0);
    for (_, note) in again.decisions("approval") {
        let (id, at) = (note["id"].as_str().unwrap(), note["time_ns"].as_u64().unwrap());
        match &note["state"] {
            Value::String(word) if word == "asked" => drop(asked.insert(id, at)),
            Value::String(_) => late += 1,
            answer if answer["answered"] == "allow" => {
                allowed += 1;
                fast += u64::from(at - asked[id] < 2 * SECOND);
            }
            _ => denied += 1,
        }
    }
    let a = &o["approvals"];
    assert_eq!(
        (&a["asked"], &a["allowed"], &a["denied"], &a["timed_out"]),
        (&json!(asked.len()), &json!(allowed), &json!(denied), &json!(late))
    );
    same(&a["granted_unread"], fast, allowed, "unread");
    let gates = |is: &dyn Fn(&Value) -> bool| {
        again.decisions("gate").filter(|(_, g)| is(g)).map(|(_, g)| g["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(o["gate"]["decisions"], json!(gates(&|_| true)));
    let deny = |g: &Value| g["decision"]["verdict"] == "deny";
    same(&o["gate"]["unenforced"], gates(&|g| deny(g) && g["enforced"] == false), gates(&deny), "unenforced");

    // The gap's two lines, summed over time and over versions.
    let staged = |stage: &str| {
        let order = ["initiate", "conceal", "sustain"];
        let least = order.iter().position(|s| *s == stage).unwrap();
        again.with(|_| true, |f| above(f) && order.iter().position(|s| f["stage"] == *s).unwrap() >= least)
    };
    for (list, name) in [("over_time", "initiate"), ("over_time", "sustain"), ("over_versions", "sustain")] {
        let points = report["gap"][list].as_array().unwrap();
        let sum = |field: &str| points.iter().map(|p| p[name][field].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("count"), sum("of")), (staged(name), of), "{list} {name}");
    }
    // Incidents.
    let incidents = &report["incidents"];
    assert_eq!(incidents["listed"].as_array().unwrap().len(), first.len());
    for severity in ["low", "medium", "high", "critical"] {
        let n = again.findings.iter().filter(|(_, f)| f["severity"] == severity).count();
        assert_eq!(incidents["severities"].get(severity).and_then(Value::as_u64).unwrap_or(0), n as u64);
    }
    let mut seen = 0;
    references(report, &again.leaves, &mut seen);
    assert!(seen > 100, "{seen}");
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        ledger(&desk.data());
        fs::write(desk.path("drills.jsonl"), drills()).unwrap();
        desk
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn the_numbers_come_from_the_ledger() {
    let desk = Desk::new();
    let files = desk.path("drills.jsonl").display().to_string();
    let whole = report(&desk.data(), &["--drills", &files, "--entity", "one"]);
    check(&desk.data(), &whole, 0, u64::MAX);
    // Watched: from the start to the stop, and from the second start to the last that it wrote.
    assert_eq!(whole["scope"]["seconds_watched"], json!((120 * 60 + 180 * 60 - 30) as f64));
    let gaps: u64 =
        leaves(&desk.data()).values().filter(|leaf| leaf.pointer("/output/gap").is_some()).count() as u64;
    let rows = whole["scope"]["gaps"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), gaps);
    assert_eq!(rows.iter().map(|row| row["seconds"].as_f64().unwrap()).sum::<f64>(), gaps as f64 * 7.5);
    // Drills.
    let runs: Vec<Value> = drills().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of: Vec<&Value> = runs
        .iter()
        .filter(|d| d["played"] == true && d["honest"] == false && d["without"].is_null())
        .collect();
    let d = &whole["opportunity"]["drills"];
    let seen = of.iter().filter(|d| d["seen"] == true).count() as u64;
    same(&d["recall"], seen, of.len() as u64, "recall");
    let mut times: Vec<u64> = of.iter().filter_map(|d| d["detect_ms"].as_u64()).collect();
    times.sort_unstable();
    let middle = (times[(times.len() - 1) / 2] + times[times.len() / 2]) as f64 / 2.0;
    assert_eq!((&d["detect"]["median_ms"], &d["detect"]["n"]), (&json!(middle), &json!(times.len())));
    let coverage = &whole["opportunity"]["coverage"];
    let chance = coverage["share"].as_f64().unwrap() * (seen as f64 / of.len() as f64);
    let o = &whole["opportunity"]["seen"];
    assert!((o["chance"].as_f64().unwrap() - chance).abs() < 1e-15);
    assert!((o["attempts"].as_f64().unwrap() - 0.01_f64.ln() / (1.0 - chance).ln()).abs() < 1e-9);
    // A part of the time only.
    let (since, until) = ("2025-11-25T09:30:00Z", "2025-11-25T11:00:00Z");
    let part = report(&desk.data(), &["--since", since, "--until", until]);
    check(&desk.data(), &part, T0 + 50 * 60 * SECOND, T0 + 140 * 60 * SECOND);
    assert!(
        part["opportunity"]["drills"].is_null() && part["opportunity"]["seen"].is_null(),
        "not recorded is no zero"
    );
    let sources = part["scope"]["sources"].as_array().unwrap();
    let mandates = sources.iter().find(|s| s["name"] == "signed mandates").unwrap();
    assert_eq!((&mandates["recorded"], &mandates["text"]), (&json!(false), &json!("not recorded")));
}

#[test]
fn the_page_is_text_that_nobody_else_wrote() {
    let desk = Desk::new();
    let (page, file, other) = (desk.path("r.html"), desk.path("r.json"), desk.path("other.json"));
    let name = |path: &Path| path.display().to_string();
    let drills = name(&desk.path("drills.jsonl"));
    let first =
        assess(&desk.data(), &["--until", "2025-11-25T10:00:00Z", "--entity", EVIL, "-o", &name(&other)]);
    assert_eq!(first.status.code(), Some(1), "{}", String::from_utf8_lossy(&first.stderr));
    let out = assess(
        &desk.data(),
        &[
            "--drills",
            &drills,
            "--before",
            &name(&other),
            "--bundle",
            &name(&other),
            "-o",
            &name(&page),
            "-o",
            &name(&file),
        ],
    );
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(told.contains("open weaknesses") && !told.contains(['\u{1b}', '\u{202e}']), "{told}");
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("<script") && !page.contains(['\u{1b}', '\u{202e}']));
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere");
    for part in [
        "In plain words",
        "Scope and coverage",
        "Means:",
        "Motive:",
        "Opportunity:",
        "The gap:",
        "Incidents",
        "Open weaknesses",
        "What changed",
        "Side by side",
        "ASI01",
        "<svg",
        "not recorded",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // The changes are differences of the two reports' own rates; the other's numbers are its own.
    let (now, before): (Value, Value) = (
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap(),
        serde_json::from_slice(&fs::read(&other).unwrap()).unwrap(),
    );
    let row = &now["change"]["rows"][0];
    assert_eq!((&row["before"], &row["now"]), (&before["scope"]["mandated"], &now["scope"]["mandated"]));
    let share = |report: &Value| report["scope"]["mandated"]["share"].as_f64().unwrap();
    assert!((row["difference"].as_f64().unwrap() - (share(&now) - share(&before))).abs() < 1e-12);
    assert_eq!(now["beside"][0]["rows"][0]["rate"], before["scope"]["mandated"]);
    assert_eq!(now["beside"][0]["entity"], EVIL);
}

#[test]
fn what_it_refuses() {
    let desk = Desk::new();
    let refuses = |arguments: &[&str], because: &str| {
        let out = assess(&desk.data(), arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && said.contains(because), "{arguments:?}: {said}");
    };
    let write = |name: &str, text: &str| {
        fs::write(desk.path(name), text).unwrap();
        desk.path(name).display().to_string()
    };
    refuses(&["-o", "report.pdf"], "ends neither in .html nor in .json");
    refuses(&["--since", "yesterday"], "give a time such as");
    refuses(&["--since", "2026-01-02", "--until", "2026-01-01"], "--since is not before --until");
    refuses(&["--drills", &write("torn.jsonl", "{\"drill\":\"a\"}\n{\"dri")], "line 2 is no run of a drill");
    refuses(&["--drills", "not-there.jsonl"], "cannot read `not-there.jsonl`");
    refuses(&["--before", &write("x.json", "{}")], "it is no assessment of this form");
    refuses(&["--bundle", &write("y.json", "[1")], "it is no assessment");
    let out = assess(&desk.path("nothing"), &[]);
    assert_eq!(out.status.code(), Some(2));
    // A ledger without a run has nothing to assess, and says so.
    let out = assess(&desk.data(), &["--since", "2027-01-01"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&out.stdout).contains("There is nothing to assess"));
}
