//! Recorded runs of real agents, replayed without a kernel. A scenario is `NAME.jsonl` (made by `muster replay --export`) and
//! `NAME.expected`, the findings that it must give. `UPDATE=1 cargo test` writes the latter anew: read the difference.

use std::fs;
use std::path::Path;

use muster_engine::{Engine, Input, Output, Products};

/// Findings, then what became of each agent.
fn play(text: &str) -> String {
    let mut engine = Engine::new(Products::built_in().unwrap());
    let mut findings = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for line in text.lines() {
        let input: Input = serde_json::from_str(line).unwrap();
        for output in engine.step(input) {
            match output {
                Output::Finding(f) => findings.push(format!(
                    "{} {} {}: {} ({} pieces of evidence)\n",
                    f.severity.name(),
                    f.code.name(),
                    f.stage.name(),
                    f.summary,
                    f.evidence.len()
                )),
                Output::Agent(state) => drop(last.insert(state.agent.clone(), state)),
                _ => {}
            }
        }
    }
    let rows = last.values().map(|a| {
        format!(
            "{} {} {}: {} of {} calls joined, coverage {}\n",
            a.product,
            a.version.as_deref().unwrap_or("?"),
            a.state.name(),
            a.calls_joined,
            a.calls,
            a.coverage.word()
        )
    });
    findings.into_iter().chain(rows).collect()
}

#[test]
fn every_recorded_run_gives_its_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        count += 1;
        let got = play(&fs::read_to_string(&file).unwrap());
        let expected = file.with_extension("expected");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &got).unwrap();
        }
        assert_eq!(got, fs::read_to_string(&expected).unwrap(), "{}", file.display());
    }
    assert!(count >= 4, "{count} scenarios");
}
