//! Finished runs from files: an account held against the record that somebody else kept of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::{MUSTER, text};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/paired").join(name)
}

struct Imported {
    data: tempfile::TempDir,
    out: Output,
}

fn import(record: Option<&Path>, accounts: &[PathBuf]) -> Imported {
    import_all(record.as_slice(), accounts)
}

fn import_all(records: &[&Path], accounts: &[PathBuf]) -> Imported {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(MUSTER);
    command.arg("import").arg("--data").arg(data.path());
    for record in records {
        command.arg("--record").arg(record);
    }
    let out = command.args(accounts).output().unwrap();
    Imported { data, out }
}

impl Imported {
    fn said(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.out.stdout), String::from_utf8_lossy(&self.out.stderr))
    }

    fn muster(&self, arguments: &[&str]) -> String {
        let out = Command::new(MUSTER).args(arguments).arg("--data").arg(self.data.path()).output().unwrap();
        assert!(
            matches!(out.status.code(), Some(0 | 1)),
            "{arguments:?}: {}\n{}",
            String::from_utf8_lossy(&out.stderr),
            self.said()
        );
        String::from_utf8(out.stdout).unwrap()
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.muster(&[arguments, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only agent.
    #[track_caller]
    fn agent(&self) -> Value {
        let roll = self.list(&["roll"]);
        assert_eq!(roll.len(), 1, "{roll:#?}\n{}", self.said());
        roll[0].clone()
    }

    fn claims(&self) -> Vec<String> {
        let id = text(&self.agent(), "agent");
        self.list(&["claims", &id])
            .iter()
            .map(|c| format!("{} {}", text(c, "verdict"), text(c, "class")))
            .collect()
    }

    fn findings(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .list(&["findings"])
            .iter()
            .map(|f| format!("{} {}", text(f, "severity"), text(f, "code")))
            .collect();
        found.sort();
        found
    }
}

/// The same lie, told by two products: the test was emptied, nothing was pushed.
#[track_caller]
fn lie(product: &str, accounts: &[&str]) -> Imported {
    let accounts: Vec<PathBuf> = accounts.iter().map(|name| sample(name)).collect();
    let imported = import(Some(&sample(&format!("{product}.strace"))), &accounts);
    assert_eq!(imported.out.status.code(), Some(0), "{}", imported.said());
    check_lie(&imported, product);
    imported
}

#[track_caller]
fn check_lie(imported: &Imported, product: &str) {
    let agent = imported.agent();
    assert_eq!((text(&agent, "product").as_str(), text(&agent, "state").as_str()), (product, "ended"));
    let claims = imported.claims();
    for expected in [
        "supported created-file",
        "hollow tests-pass",
        "supported committed",
        "contradicted pushed",
        "contradicted did-not-modify",
        // It was refused: the account itself shows the attempt.
        "contradicted no-network",
    ] {
        assert!(claims.iter().any(|claim| claim == expected), "{expected}: {claims:?}\n{}", imported.said());
    }
    // Nothing but its untruths: hooks, helpers and what went out of sight are none.
    let findings = imported.findings();
    assert!(findings.iter().all(|f| f.ends_with(" false-claim")) && findings.len() >= 3, "{findings:?}");
    let id = text(&agent, "agent");
    let shown = imported.muster(&["show", &id]);
    assert!(shown.contains("in strace `") || shown.contains("in muster events `"), "{shown}");
    // Each says why, by any beginning of its id that is its own.
    for finding in imported.list(&["findings"]) {
        let id = text(&finding, "finding");
        let why = imported.muster(&["explain", &id[..8]]);
        for part in [
            "as reported by the agent",
            "as observed",
            "Why it is a finding",
            "What would refute it",
            "not seen: ",
        ] {
            assert!(why.contains(part), "{part}: {why}");
        }
        let all = &imported.list(&["explain", &id])[0];
        assert!(all["claim"].is_object() && !all["said"].as_array().unwrap().is_empty(), "{all:#}");
        assert_eq!(all["finding"]["finding"], finding["finding"]);
    }
    assert!(imported.muster(&["findings"]).contains("tells why"));
    // The ledger gives the same again.
    assert!(imported.muster(&["replay"]).contains("findings: the same"), "{}", imported.said());
}

#[test]
fn the_lie_of_claude_code() {
    let imported = lie("claude-code", &["claude-code.jsonl", "claude-code-subagent.jsonl"]);
    let agent = imported.agent();
    let blind = agent["coverage_detail"]["blind"].to_string();
    // Its log has signals left out, and no packet in it.
    assert_eq!(blind, r#"["record:arguments","record:sendto","record:signals"]"#);
    let shown = imported.muster(&["show", &text(&agent, "agent")]);
    assert!(shown.contains("not seen: who died of a signal"), "{shown}");
}

#[test]
fn the_lie_of_codex() {
    lie("codex", &["codex.jsonl"]);
}

/// What `muster events --json` printed of one import is the record of another.
#[test]
fn the_events_of_another_muster_are_a_record() {
    let first = lie("codex", &["codex.jsonl"]);
    let events = first.data.path().join("events.jsonl");
    std::fs::write(&events, first.muster(&["events", "--json"])).unwrap();
    let again = import(Some(&events), &[sample("codex.jsonl")]);
    assert_eq!(again.out.status.code(), Some(0), "{}", again.said());
    check_lie(&again, "codex");
}

/// Both sides are redacted alike, also where another Muster did it, with a key that is not here.
#[test]
fn secrets_are_the_same_in_a_record_and_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let with_secret = |name: &str, secret: &str| {
        const COMMAND: &str = "ls -la && git status --short";
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(sample(name)).unwrap();
        assert!(text.contains(COMMAND));
        std::fs::write(&path, text.replace(COMMAND, &format!("DB_PASSWORD='{secret}' {COMMAND}"))).unwrap();
        path
    };
    const SECRET: &str = "Tr0ub4dor!and=3";
    let (log, account) = (with_secret("codex.strace", SECRET), with_secret("codex.jsonl", SECRET));
    let first = import(Some(&log), std::slice::from_ref(&account));
    let events = first.muster(&["events", "--json"]);
    assert!(events.contains("DB_PASSWORD='[redacted:") && !events.contains("Tr0ub4dor"), "{events}");
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, events).unwrap();
    let again = import(Some(&path), &[account]);
    let plain = import(Some(&sample("codex.strace")), &[sample("codex.jsonl")]);
    let joined = |of: &Imported| of.agent()["calls_joined"].as_u64().unwrap();
    for imported in [&first, &again] {
        check_lie(imported, "codex");
        assert_eq!(joined(imported), joined(&plain));
        assert_eq!(imported.findings(), plain.findings());
    }
    let key = |of: &Imported| of.data.path().join("redaction.key").exists();
    assert!(key(&first) && !key(&again));
    // Another secret is another command; so is a mark that the agent wrote itself.
    for told in ["Tr0ub4dor!and=4", "[redacted]", "[redacted:yvmj3VnmABCDEFGHIJKLMNOPQRSTUVWXYZ012345678]"] {
        let forged = import(Some(&log), &[with_secret("codex.jsonl", told)]);
        assert_eq!(joined(&forged), joined(&plain) - 1, "{told}");
    }
}

#[test]
fn without_a_record_an_account_can_only_contradict_itself() {
    let alone = import(None, &[sample("codex.jsonl")]);
    assert_eq!(alone.out.status.code(), Some(0), "{}", alone.said());
    assert!(alone.said().contains("account only"), "{}", alone.said());
    assert_eq!(text(&alone.agent(), "coverage"), "account only");
    // What its own results show is enough for these; nothing is as sure as with a record.
    for expected in ["hollow tests-pass", "contradicted pushed", "contradicted did-not-modify"] {
        assert!(alone.claims().iter().any(|claim| claim == expected), "{expected}: {:?}", alone.claims());
    }
    let findings = alone.findings();
    assert!(findings.iter().all(|f| f.ends_with(" false-claim") && !f.starts_with("high")), "{findings:?}");
}

/// A log that never shows a file being opened says nothing of files, and says so.
#[test]
fn what_was_not_traced_contradicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("execs.log");
    let whole = std::fs::read_to_string(sample("codex.strace")).unwrap();
    let kept: String = whole
        .lines()
        .filter(|line| ["execve", "clone", "vfork", "exit", "+++"].iter().any(|name| line.contains(name)))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&log, kept).unwrap();
    let imported = import(Some(&log), &[sample("codex.jsonl")]);
    let agent = imported.agent();
    let blind = agent["coverage_detail"]["blind"].to_string();
    assert!(blind.contains("record:open") && blind.contains("record:connect"), "{blind}");
    let claims = imported.claims();
    // The account shows by itself that the network was to be used.
    let contradicted = |c: &&String| c.starts_with("contradicted") && *c != "contradicted no-network";
    assert!(
        claims.iter().find(contradicted).is_none() && !claims.iter().any(|c| c == "supported did-not-modify"),
        "{claims:?}"
    );
    let findings = imported.findings();
    let weak = |f: &String| f.ends_with(" false-claim") && !f.starts_with("high");
    assert!(findings.iter().all(weak) && findings.len() <= 1, "{findings:?}");
}

/// A record that ends too early does not show what came then.
#[test]
fn a_record_that_breaks_off_contradicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("half.log");
    let whole = std::fs::read_to_string(sample("codex.strace")).unwrap();
    let mut end = whole.len() / 2;
    while !whole.is_char_boundary(end) {
        end += 1;
    }
    std::fs::write(&log, &whole[..end]).unwrap();
    let imported = import(Some(&log), &[sample("codex.jsonl")]);
    let agent = imported.agent();
    let blind = agent["coverage_detail"]["blind"].to_string();
    assert!(blind.contains("record:rest"), "{blind}");
    let claims = imported.claims();
    assert!(!claims.iter().any(|c| c == "contradicted pushed"), "{claims:?}");
    assert!(imported.findings().iter().all(|f| !f.contains("phantom")), "{:?}", imported.findings());
}

#[test]
fn records_that_are_none() {
    #[track_caller]
    fn check(content: &str, hint: &str) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        std::fs::write(&log, content).unwrap();
        let imported = import(Some(&log), &[sample("codex.jsonl")]);
        assert_eq!(imported.out.status.code(), Some(2), "{}", imported.said());
        assert!(imported.said().contains(hint) && imported.said().contains("hint:"), "{}", imported.said());
        // Nothing was written.
        assert!(!imported.data.path().join("ledger").exists());
    }
    check("12:30:01.123456 execve(\"/a\", [\"a\"], 0x1 /* 1 var */) = 0\n", "has no dates");
    check("{\"type\": \"user\"}\n", "no record of a known form");
    check("", "no record of a known form");
    let missing = import(Some(Path::new("/nonexistent/x.log")), &[sample("codex.jsonl")]);
    assert_eq!(missing.out.status.code(), Some(2), "{}", missing.said());
}

/// An account of another time is not held against this record.
#[test]
fn an_account_of_another_run_is_taken_alone() {
    let imported = import(Some(&sample("codex.strace")), &[sample("claude-code.jsonl")]);
    assert_eq!(imported.out.status.code(), Some(2), "{}", imported.said());
    assert!(imported.said().contains("taken without a record"), "{}", imported.said());
    let roll = imported.list(&["roll"]);
    assert!(roll.iter().any(|a| text(a, "coverage") == "account only"), "{roll:#?}");
    let findings = imported.findings();
    assert!(findings.iter().all(|f| f.ends_with(" false-claim") && !f.starts_with("high")), "{findings:?}");
}

/// Two runs at once: each is held against its own record.
#[test]
fn several_records_are_several_runs() {
    let records = [sample("codex.strace"), sample("claude-code.strace")];
    let accounts = ["codex.jsonl", "claude-code.jsonl", "claude-code-subagent.jsonl"].map(sample);
    let imported = import_all(&records.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &accounts);
    assert_eq!(imported.out.status.code(), Some(0), "{}", imported.said());
    assert_eq!(imported.list(&["roll"]).len(), 2);
    assert_eq!(imported.findings().iter().filter(|f| f.ends_with(" false-claim")).count(), 8);
    assert_eq!(imported.findings().len(), 8);
    assert!(imported.muster(&["replay"]).contains("findings: the same"));
}
