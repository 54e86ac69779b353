//! Comparisons, as their users run them: every kind of source, plans both ways, torn and hostile files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Daemon, MUSTER};

/// Inspect's own logs, made with its mock model: zstd members, and one that broke off.
fn inspect(name: &str) -> String {
    format!("{}/../compare/tests/data/inspect/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder with files, and a `muster compare` that has no record but this folder's.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn compare_in(&self, data: &Path, arguments: &[&str]) -> Output {
        Command::new(MUSTER)
            .arg("compare")
            .args(arguments)
            .arg("--data")
            .arg(data)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .output()
            .unwrap()
    }

    fn compare(&self, arguments: &[&str]) -> Output {
        self.compare_in(&self.path("data"), arguments)
    }

    #[track_caller]
    fn json_in(&self, data: &Path, arguments: &[&str], exit: i32) -> Value {
        let out = self.compare_in(data, &[arguments, &["--json"]].concat());
        assert_eq!(out.status.code(), Some(exit), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], exit: i32) -> Value {
        self.json_in(&self.path("data"), arguments, exit)
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], because: &[&str]) {
        let out = self.compare(arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        for part in because {
            assert!(said.contains(part), "{arguments:?}: {said:?} does not say {part:?}");
        }
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

/// `tasks` tasks of two epochs: each succeeds in the first arm; in the second, all but the first `fails`.
fn rows(tasks: u32, fails: u32) -> Vec<(String, &'static str, u32, u32)> {
    let mut rows = Vec::new();
    for task in 0..tasks {
        for epoch in 1..=2 {
            rows.push((format!("t{task}"), "deployed", epoch, 1));
            rows.push((format!("t{task}"), "tested", epoch, u32::from(task >= fails)));
        }
    }
    rows
}

fn csv(tasks: u32, fails: u32) -> String {
    let lines = rows(tasks, fails).into_iter().map(|(t, a, e, o)| format!("{t},{a},{e},{o},{}\n", e * 3));
    format!("task,arm,epoch,outcome,turns\n{}", lines.collect::<String>())
}

fn jsonl(tasks: u32, fails: u32) -> String {
    let line = |(t, a, e, o)| {
        format!("{{\"task\":\"{t}\",\"arm\":\"{a}\",\"epoch\":{e},\"outcome\":{o},\"turns\":{}}}\n", e * 3)
    };
    rows(tasks, fails).into_iter().map(line).collect()
}

#[test]
fn tables() {
    let desk = Desk::new();
    let table = desk.write("runs.csv", csv(12, 8));
    let lines = desk.write("runs.jsonl", jsonl(12, 8));
    let alone = desk.json(&[&table], 1);
    assert_eq!(alone["answer"]["verdict"], "difference");
    // A is the arm whose name comes first: deployed, which is the better one by eight of twelve tasks.
    assert!((alone["answer"]["estimate"].as_f64().unwrap() - 8.0 / 12.0).abs() < 1e-12);
    let p = alone["answer"]["p"].as_f64().unwrap();
    assert!((p - 2.0 / 256.0).abs() < 1e-12, "eight signs of one kind: {p}");
    for (a, b) in [
        (format!("{table}@deployed"), format!("{table}@tested")),
        (format!("{table}@deployed"), format!("{lines}@tested")),
    ] {
        let pair = desk.json(&[&a, &b], 1);
        assert_eq!(pair["answer"]["p"], alone["answer"]["p"]);
        assert_eq!(pair["tests"][0]["interval"], alone["tests"][0]["interval"]);
    }
    for test in alone["tests"].as_array().unwrap() {
        for field in [
            "name",
            "metric",
            "role",
            "statistic",
            "p",
            "estimate",
            "interval",
            "p_holm",
            "p_bh",
            "of",
            "note",
        ] {
            assert!(test.get(field).is_some(), "{field}: {test}");
        }
    }
    assert_eq!(
        desk.json(&[&desk.write("alike.csv", csv(12, 0))], 0)["answer"]["verdict"],
        "no_difference_shown"
    );
    assert_eq!(desk.json(&[&desk.write("few.csv", csv(3, 3))], 0)["answer"]["verdict"], "cannot_conclude");
}

#[test]
fn inspect_logs_and_the_page() {
    let desk = Desk::new();
    let page = desk.path("report.html");
    let (a, b) = (inspect("tested.eval"), inspect("deployed.eval"));
    let report = desk.json(&[&a, &b, "--html", &page.display().to_string()], 0);
    assert_eq!(report["answer"]["verdict"], "no_difference_shown");
    assert_eq!(report["pairing"]["tasks_both"], 6);
    let page = fs::read_to_string(page).unwrap();
    for part in ["No behavioural difference", "What cannot be concluded", "<svg", "Content-Security-Policy"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));
    let plain = String::from_utf8(desk.compare(&[&a, &b]).stdout).unwrap();
    assert!(plain.starts_with("No behavioural difference in `success` was shown"), "{plain}");
    // A folder on one side, with a log that broke off: it is said, and its runs do not count.
    fs::create_dir(desk.path("logs")).unwrap();
    for name in ["tested.eval", "broken-off.eval"] {
        fs::copy(inspect(name), desk.path("logs").join(name)).unwrap();
    }
    let report = desk.json(&[&desk.path("logs").display().to_string(), &b], 0);
    let notes = report["notes"].to_string();
    assert!(notes.contains("status is `error`") && report["arms"][0]["left_out"] == 2, "{report}");
}

#[test]
fn inspect_json_and_atif() {
    let desk = Desk::new();
    for task in 0..8 {
        for (arm, calls, reward) in [("tested", 3, 0), ("deployed", 1, 1)] {
            let step = format!(
                "{{\"step_id\":1,\"source\":\"agent\",\"message\":\"done\",\"tool_calls\":[{}]}}",
                vec![
                    "{\"tool_call_id\":\"c\",\"function_name\":\"bash\",\"arguments\":{\"command\":\"ls\"}}";
                    calls
                ]
                .join(",")
            );
            desk.write(
                &format!("atif/{arm}-{task}.json"),
                format!(
                    "{{\"schema_version\":\"ATIF-v1.4\",\"session_id\":\"s\",\"extra\":{{\"task\":\"t{task}\",\"arm\":\"{arm}\",\"reward\":{reward}}},\"steps\":[{step}]}}"
                ),
            );
        }
    }
    let atif = desk.path("atif").display().to_string();
    let report = desk.json(&[&atif], 1);
    assert_eq!(report["answer"]["test"], "mcnemar-exact");
    let calls =
        report["tests"].as_array().unwrap().iter().find(|t| t["metric"] == "tool_calls").unwrap().clone();
    assert_eq!((&calls["estimate"], &calls["role"]), (&Value::from(-2.0), &Value::from("conduct")));
    let sample = |id: u32, value: &str| {
        format!("{{\"id\":{id},\"epoch\":1,\"scores\":{{\"m\":{{\"value\":\"{value}\"}}}},\"messages\":[]}}")
    };
    let log = |task: &str, value: &str| {
        let samples: Vec<String> = (0..9).map(|id| sample(id, value)).collect();
        format!(
            "{{\"version\":2,\"status\":\"success\",\"eval\":{{\"task\":\"{task}\"}},\"samples\":[{}]}}",
            samples.join(",")
        )
    };
    let (a, b) = (desk.write("a.json", log("quiz-test", "C")), desk.write("b.json", log("quiz-live", "I")));
    let report = desk.json(&[&a, &b], 1);
    assert!(report["notes"].to_string().contains("paired by their ids"), "{report}");
}

#[test]
fn torn_and_hostile_files() {
    let desk = Desk::new();
    let whole = desk.write("runs.csv", csv(4, 2));
    let eval = fs::read(inspect("tested.eval")).unwrap();
    let evil = "\u{1b}]0;x\u{7}\u{202e}<script>";
    for (name, bytes, because) in [
        ("torn.eval", eval[..eval.len() / 2].to_vec(), vec!["torn.eval", "it is torn", "hint: move it away"]),
        (
            "torn.json",
            b"{\"eval\": {}, \"samples\": [{\"id\":".to_vec(),
            vec!["it is torn", "ends in the middle"],
        ),
        ("none.json", b"{\"a\": 1}".to_vec(), vec!["neither `samples` (Inspect) nor `steps` (ATIF)"]),
        ("torn.csv", b"task,outcome\nt1,1\nt2".to_vec(), vec!["line 3: it has 1 fields"]),
        ("semi.csv", b"task;outcome\nt1;1\n".to_vec(), vec!["no column `task`", "between `;`"]),
        ("nan.csv", b"task,outcome\nt1,nan\n".to_vec(), vec!["line 2: outcome `nan`"]),
        (
            "twice.csv",
            b"task,epoch,outcome\nt1,1,1\nt1,1,0\n".to_vec(),
            vec!["task `t1`, epoch 1 is there twice"],
        ),
        ("torn.jsonl", b"{\"task\":\"a\",\"outcome\":1}\n{\"task\":\"b".to_vec(), vec!["line 2: it is torn"]),
        ("evil.csv", format!("task,outcome\nt1,{evil}\n").into_bytes(), vec!["is neither a finite number"]),
        ("empty.csv", Vec::new(), vec!["it is empty"]),
    ] {
        desk.refuses(&[&desk.write(name, bytes), &whole], &because);
    }
    desk.refuses(&["not-there.csv", &whole], &["not-there.csv", "No such file"]);
    desk.refuses(
        &[&format!("{whole}@tested"), &format!("{whole}@other")],
        &["no arm `other`", "deployed, tested"],
    );
    desk.refuses(&["label:x", &whole], &["hint"]);
    let names = desk
        .write("names.csv", format!("task,arm,outcome\n{evil},a,1\n{evil}2,a,1\n{evil},b,0\n{evil}2,b,0\n"));
    let page = desk.path("page.html").display().to_string();
    let out = desk.compare(&[&names, "--html", &page]);
    assert_eq!(out.status.code(), Some(0), "two tasks cannot say");
    assert!(!String::from_utf8_lossy(&out.stdout).contains(['\u{1b}', '\u{7}', '\u{202e}']));
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
}

#[test]
fn a_plan_in_a_signed_file() {
    let desk = Desk::new();
    let plan = desk.write("plan.toml", "metric = \"success\"\nlevel = 0.01\nepochs = 2\ntasks = 20\n");
    let registered = desk.compare(&["register", &plan]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    desk.refuses(&["register", &plan], &["is registered already"]);
    let table = desk.write("runs.csv", csv(12, 12));
    let kept = desk.json(&[&table, "--plan", &plan], 1);
    // Only the size is not as planned: the data came after.
    assert_eq!(
        kept["plan"]["deviations"],
        serde_json::json!(["tasks in both arms: planned `20`, done `12`"])
    );
    assert_eq!(kept["answer"]["level"], 0.01);
    let strayed = desk
        .json(&[&table, "--plan", &plan, "--level", "0.2", "--metric", "turns", "--exclude-task", "t0"], 0);
    let deviations = strayed["plan"]["deviations"].to_string();
    for part in [
        "level: planned `0.01`, done `0.2`",
        "primary metric: planned `success`, done `turns`",
        "tasks left out: planned `none`, done `t0`",
    ] {
        assert!(deviations.contains(part), "{part}: {deviations}");
    }
    // What was registered counts, whatever stands in the file by now; and nobody can change the registration.
    desk.write("plan.toml", "metric = \"turns\"\n");
    let changed = desk.json(&[&table, "--plan", &plan], 1);
    assert_eq!(changed["answer"]["metric"], "success");
    assert!(
        changed["plan"]["deviations"].to_string().contains("was changed after it was registered"),
        "{changed}"
    );
    let signed = desk.path("plan.toml.registered");
    let text = fs::read_to_string(&signed).unwrap();
    fs::write(&signed, text.replace("0.01", "0.09")).unwrap();
    desk.refuses(&[&table, "--plan", &plan], &["must be registered anew"]);
}

#[test]
fn a_plan_in_a_ledger_without_a_daemon() {
    let desk = Desk::new();
    let plan = desk.write("plan.toml", "metric = \"success\"\n");
    let table = desk.write("runs.csv", csv(12, 12));
    let report = desk.json(&[&table, "--plan", &plan, "--in-ledger"], 1);
    let place = report["plan"]["where"].as_str().unwrap();
    assert!(place.contains("leaf 1 of the ledger") && place.contains("under a signed checkpoint"), "{place}");
    assert!(!desk.path("plan.toml.registered").exists());
    // The data were there before.
    assert!(report["plan"]["deviations"].to_string().contains("older than the registration"), "{report}");
    let out = Command::new(MUSTER).arg("verify").arg(desk.path("data")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // The ledger is asked without being named, and the first registration of a file counts.
    fs::write(desk.path("plan.toml"), "metric = \"turns\"\n").unwrap();
    let changed = desk.json(&[&table, "--plan", &plan], 1);
    assert_eq!(changed["answer"]["metric"], "success");
    assert!(changed["plan"]["deviations"].to_string().contains("was changed after"), "{changed}");
    desk.refuses(&["register", &plan, "--in-ledger"], &["is registered already"]);
    let other = desk.write("other.toml", "metric = \"turns\"\n");
    let report = desk.json(&[&table, "--plan", &other, "--in-ledger"], 0);
    assert!(report["plan"]["where"].as_str().unwrap().contains("1 other plans"), "{report}");
}

/// Agents of a living daemon, by their labels; the plan goes through that daemon into its ledger.
#[test]
fn agents_by_label() {
    let Some(daemon) = Daemon::start() else { return };
    let desk = Desk::new();
    let data = daemon.data.path();
    let plan = desk.write("plan.toml", "metric = \"findings\"\na = \"label:tested\"\n");
    let registered = desk.compare_in(data, &["register", &plan, "--in-ledger"]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    let enrolled = |arm: &str, task: u32, script: &str| {
        let ran = Command::new(MUSTER)
            .args(["run", "--label", &format!("{arm}/t{task}"), "--data"])
            .arg(data)
            .args(["--", "sh", "-c", script])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    for task in 0..6 {
        enrolled("tested", task, "true");
        // Where nobody looks, it touches what watches it.
        enrolled("deployed", task, &format!("touch {}/trace; rm -f {0}/trace", data.display()));
    }
    daemon.wait("end of all runs", || {
        let roll = daemon.roll();
        let over = roll.iter().filter(|a| a["state"] == "ended").count();
        (over >= 12).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    let report = desk.json_in(data, &["label:tested", "label:deployed", "--plan", &plan], 1);
    assert_eq!(report["pairing"]["tasks_both"], 6);
    assert_eq!(report["plan"]["deviations"], serde_json::json!([]), "{report}");
    assert!(report["plan"]["where"].as_str().unwrap().contains("of the ledger"), "{report}");
    assert!(report["answer"]["estimate"].as_f64().unwrap() <= -1.0, "{report}");
    assert!(report["notes"].to_string().contains("no account"), "{report}");
    // Outcomes that stand elsewhere, by task.
    let outcomes =
        desk.write("outcomes.csv", "task,outcome\ntested/t0,0\nt1,1\nt2,1\nt3,1\nt4,1\nt5,1\nt0,1\n");
    let report = desk.json_in(data, &["label:tested", "label:deployed", "--outcomes", &outcomes], 0);
    assert!((report["answer"]["estimate"].as_f64().unwrap() + 1.0 / 6.0).abs() < 1e-12, "{report}");
}

/// Every object that it prints has the fields of `docs/json.md`, and no other.
#[test]
fn documented() {
    let desk = Desk::new();
    let plan = desk.write("plan.toml", "metric = \"success\"\n");
    let (a, b) = (inspect("tested.eval"), inspect("deployed.eval"));
    let report = desk.json(&[&a, &b, "--plan", &plan], 0);
    let check = |table: &str, value: &Value| {
        let (_, _, fields, _) =
            muster_server::reference::TABLES.iter().find(|(name, ..)| *name == table).unwrap();
        let mut documented: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
        documented.sort_unstable();
        let mut there: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        there.sort_unstable();
        assert_eq!(there, documented, "{table}");
    };
    check("compare", &report);
    for (table, value) in [
        ("compare.answer", &report["answer"]),
        ("compare.interval", &report["answer"]["interval"]),
        ("compare.plan", &report["plan"]),
        ("compare.arm", &report["arms"][0]),
        ("compare.pairing", &report["pairing"]),
        ("compare.test", &report["tests"][0]),
        ("compare.sequential", &report["sequential"]),
        ("compare.pattern", &report["patterns"][0]),
        ("compare.task", &report["tasks"][0]),
    ] {
        check(table, value);
    }
}
