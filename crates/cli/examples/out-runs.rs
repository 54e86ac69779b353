//! Musters out many lineages and counts who survives, who else dies, and how long it takes. Not in the gate:
//! `cargo run -p muster-cli --example out-runs -- [--runs N]` as root, beside `target/debug/muster`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a proof fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Steps in whose middle the daemon is killed.
const HALTS: [&str; 9] = [
    "freeze:begun",
    "freeze:done",
    "cut:begun",
    "kill:begun",
    "kill:done",
    "quarantine:begun",
    "seal:begun",
    "verify:begun",
    "verify:done",
];

/// Places in `FORMS`.
const BOMB: usize = 6;
const AT: usize = 7;
const CRON: usize = 8;
/// cron looks once a minute: it takes part in one of so many runs.
const CRON_EACH: usize = 20;

/// What a lineage may be made of; each leaves sleepers that are known by their number.
const FORMS: [(&str, usize, &str); 11] = [
    ("double fork", 1, "(sh -c 'sleep W.1 & wait' &)"),
    ("setsid", 1, "setsid sh -c 'sleep W.2; :' &"),
    ("no environment", 1, "(env -i setsid sh -c 'sleep W.3 & exec sleep W.31' &)"),
    (
        "out of its control group",
        1,
        "(env -i setsid sh -c 'echo $$ >ROOT/cgroup.procs; (sleep W.4 &); sleep W.41' &)",
    ),
    ("tmux", 1, "tmux -L mW new-session -d 'sleep W.5'"),
    (
        "mutual respawners",
        1,
        "cat >DIR/a <<'X'\nwhile :; do pgrep -f DIR/b >/dev/null || (setsid sh DIR/b &); sleep 0.05; done\nX\n\
         cat >DIR/b <<'X'\n# W\nwhile :; do pgrep -f DIR/a >/dev/null || (setsid sh DIR/a &); sleep 0.05; done\nX\n\
         setsid sh DIR/a & (sleep W.6 &)",
    ),
    (
        "fork bomb",
        1,
        "mkdir -p PIDS && echo 40 >PIDS/pids.max && \
         (bash -c 'echo $BASHPID >PIDS/cgroup.procs; f(){ f|f & sleep W.7; }; f' 2>/dev/null &)",
    ),
    ("at", 1, "echo 'sleep W.51' | at now 2>/dev/null"),
    ("cron", 1, "echo '* * * * * root sleep W.61' >/etc/cron.d/out-W"),
    (
        "a hook in a repository of its user's",
        0,
        "printf '#!/bin/sh\n(setsid sleep W.71 &)\n' >DIR/other/.git/hooks/pre-commit; \
         chmod +x DIR/other/.git/hooks/pre-commit",
    ),
    ("daemon of daemons", 1, "(setsid sh -c '(setsid sh -c \"(setsid sleep W.8 &)\" &)' &)"),
];

struct Run {
    micros: u64,
    survivors: Vec<String>,
    bystanders_killed: usize,
    is_as_planned: bool,
    left: Vec<String>,
}

fn muster() -> PathBuf {
    let example = std::env::current_exe().unwrap();
    example.parent().and_then(Path::parent).unwrap().join("muster")
}

fn daemon(data: &Path, halt: Option<&str>) -> Child {
    let mut command = Command::new(muster());
    command.args(["watch", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    if let Some(halt) = halt {
        command.env("MUSTER_TEST_HALT", halt);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready "), "{line}");
    child
}

fn ask(data: &Path, arguments: &[&str]) -> (bool, Vec<Value>) {
    let out = Command::new(muster()).args(arguments).arg("--json").arg("--data").arg(data).output().unwrap();
    let lines = String::from_utf8_lossy(&out.stdout);
    (out.status.success(), lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Command lines of live processes that hold this word.
fn alive(word: &str) -> Vec<String> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let command = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let is_dead = stat.rsplit_once(") ")?.1.starts_with('Z');
        let line =
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
        (!is_dead && line.contains(word)).then_some(line)
    };
    pids.filter_map(command).collect()
}

/// Services of our own, where the machine runs none.
#[derive(Default)]
struct Services {
    at: bool,
    cron: bool,
    children: Vec<Child>,
}

impl Services {
    fn start() -> Self {
        let mut here = Services::default();
        for (name, path) in [("atd", "/usr/sbin/atd"), ("cron", "/usr/sbin/cron")] {
            let runs = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
            });
            if runs || !Path::new(path).exists() {
                eprintln!("without {name}: it runs already, or is not installed");
                continue;
            }
            here.children.push(Command::new(path).arg("-f").spawn().unwrap());
            here.at |= name == "atd";
            here.cron |= name == "cron";
        }
        here
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

struct Wild {
    agent: String,
    word: String,
    child: Child,
    other: Child,
}

/// A lineage with bystanders: one that the same shell had started before, in the same session, and one elsewhere.
fn wild(data: &Path, dir: &Path, number: usize, services: &Services) -> Wild {
    let word = format!("8{:05}{number:04}", std::process::id() % 100_000);
    let mounted = Path::new("/sys/fs/cgroup/unified").is_dir();
    let root = if mounted { "/sys/fs/cgroup/unified" } else { "/sys/fs/cgroup" };
    // A different half of the forms each time, the fork bomb in every eighth run.
    let chosen = (0..FORMS.len())
        .filter(|at| (number >> (at % 3)) & 1 == at & 1 || number % FORMS.len() == *at || *at == CRON);
    let mut sleepers = 1;
    let mut script = String::new();
    let rare = |at: &usize| match *at {
        BOMB => number % 8 == 6,
        AT => services.at,
        CRON => services.cron && number % CRON_EACH == CRON_EACH - 1,
        _ => true,
    };
    fs::create_dir_all(dir.join("other/.git/hooks")).unwrap();
    for (_, count, text) in chosen.filter(rare).filter_map(|at| FORMS.get(at)) {
        sleepers += count;
        let pids = format!("/sys/fs/cgroup/pids/m{word}");
        let text = text.replace("PIDS", &pids).replace("ROOT", root);
        script.push_str(&text.replace("DIR", &dir.display().to_string()).replace('W', &word));
        script.push('\n');
    }
    script.push_str(&format!("sleep {word}.9"));
    let other = Command::new("sleep").arg(format!("1{word}.2")).spawn().unwrap();
    let child = Command::new("sh")
        .args(["-c", r#"sleep "$1" & sleep 0.1; shift; exec "$@""#, "sh", &format!("1{word}.1")])
        .arg(muster())
        .args(["run", "--label", &word, "--data"])
        .arg(data)
        .args(["--", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut wild = Wild { agent: String::new(), word, child, other };
    wild.agent = wait_for(data, &wild.word, sleepers, &script);
    wild
}

/// The agent, once so many sleepers of it are there.
fn wait_for(data: &Path, word: &str, sleepers: usize, script: &str) -> String {
    let began = Instant::now();
    let numbers = || alive(&format!("sleep {word}")).iter().filter(|it| it.starts_with("sleep")).count();
    loop {
        let found = ask(data, &["roll"]).1.into_iter().find(|it| it["label"] == word);
        if let Some(agent) = found.filter(|_| numbers() >= sleepers) {
            return agent["agent"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(100), "{} of {sleepers}\n{script}", numbers());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Those that stay as they are until they are stopped.
fn steady(touched: &Value) -> BTreeSet<String> {
    let all = touched["processes"].as_array().unwrap().iter().filter_map(|it| it["command"].as_str());
    all.filter(|it| it.starts_with("sleep 8") || it.starts_with("tmux")).map(str::to_owned).collect()
}

/// Ends these very processes.
fn end_all(word: &str) {
    for pid in
        fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok())
    {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).replace('\0', " ").trim_end().starts_with(word) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn end(mut wild: Wild) -> (Vec<String>, usize) {
    // What comes back does so soon.
    thread::sleep(Duration::from_millis(300));
    let bystander = format!("1{}.", wild.word);
    let survivors = alive(&wild.word).into_iter().filter(|it| !it.contains(&bystander)).collect();
    let lived = alive(&format!("sleep {bystander}")).len();
    end_all(&format!("sleep {bystander}"));
    drop(wild.child.wait());
    drop(wild.other.wait());
    drop(fs::remove_dir(format!("/sys/fs/cgroup/pids/m{}", wild.word)));
    (survivors, 2 - lived)
}

fn one(data: &Path, number: usize, services: &Services) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let wild = wild(data, dir.path(), number, services);
    let table = PathBuf::from(format!("/etc/cron.d/out-{}", wild.word));
    // What was written a moment ago is not read yet: no dry run could name it.
    thread::sleep(Duration::from_millis(1_500));
    let planned = ask(data, &["out", &wild.agent, "--dry-run"]).1;
    let report = ask(data, &["out", &wild.agent, "--yes"]).1;
    let (planned, report) = (planned.first().unwrap(), report.first().unwrap());
    let touched = &report["touched"];
    let is_as_planned = steady(planned) == steady(touched)
        && ["files", "units", "revocations", "cgroups"].iter().all(|it| planned[*it] == touched[*it]);
    if !is_as_planned {
        println!("planned {planned}\ntouched {touched}");
    }
    let (mut survivors, bystanders_killed) = end(wild);
    // The last writings of a lineage are read when it is over; what they are is put away then.
    thread::sleep(Duration::from_millis(1_500));
    for file in [table, dir.path().join("other/.git/hooks/pre-commit")] {
        if fs::remove_file(&file).is_ok() {
            survivors.push(file.display().to_string());
        }
    }
    Run {
        micros: report["dead_micros"].as_u64().unwrap_or(u64::MAX),
        survivors,
        bystanders_killed,
        is_as_planned,
        left: report["left"].as_array().unwrap().iter().map(ToString::to_string).collect(),
    }
}

/// The daemon dies in the middle of a step; the next one finishes the job.
fn halted(number: usize, at: &str) {
    let (data, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = daemon(data.path(), Some(at));
    let wild = wild(data.path(), dir.path(), number, &Services::default());
    let done = ask(data.path(), &["out", &wild.agent, "--yes"]).0;
    drop(first.wait());
    let mut next = daemon(data.path(), None);
    let began = Instant::now();
    loop {
        let listed = ask(data.path(), &["out", "--list"]).1;
        let state = listed.first().and_then(|it| it["state"].as_str()).unwrap_or_default().to_owned();
        if state.starts_with("stands") || began.elapsed() > Duration::from_secs(20) {
            let (survivors, bystanders) = end(wild);
            println!(
                "killed at {at}: first {done}, then {state}; survivors {survivors:?}, bystanders killed {bystanders}"
            );
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    drop(next.kill());
    drop(next.wait());
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let runs = words
        .iter()
        .position(|it| it == "--runs")
        .and_then(|at| words.get(at + 1)?.parse().ok())
        .unwrap_or(200);
    let data = tempfile::tempdir().unwrap();
    let services = Services::start();
    let mut watch = daemon(data.path(), None);
    // It looks at what stands in such places first.
    thread::sleep(Duration::from_secs(2));
    let mut all = Vec::new();
    for number in 0..runs {
        let run = one(data.path(), number, &services);
        if !run.survivors.is_empty()
            || run.bystanders_killed > 0
            || !run.is_as_planned
            || !run.left.is_empty()
        {
            println!(
                "run {number}: survivors {:?}, bystanders killed {}, as planned {}, left {:?}",
                run.survivors, run.bystanders_killed, run.is_as_planned, run.left
            );
        }
        all.push(run);
        if all.len() % 20 == 0 {
            eprintln!("{} of {runs}", all.len());
        }
    }
    drop(watch.kill());
    drop(watch.wait());
    let mut micros: Vec<u64> = all.iter().map(|run| run.micros).collect();
    micros.sort_unstable();
    let at = |share: usize| {
        micros.get((micros.len() * share / 100).min(micros.len().saturating_sub(1))).copied().unwrap_or(0)
            / 1000
    };
    println!(
        "{} lineages: {} survivors, {} bystanders killed, {} not as planned, {} with something left; dead after p50 {} ms, p99 {} ms, at most {} ms",
        all.len(),
        all.iter().map(|run| run.survivors.len()).sum::<usize>(),
        all.iter().map(|run| run.bystanders_killed).sum::<usize>(),
        all.iter().filter(|run| !run.is_as_planned).count(),
        all.iter().filter(|run| !run.left.is_empty()).count(),
        at(50),
        at(99),
        at(100),
    );
    for (number, halt) in HALTS.iter().enumerate() {
        halted(9000 + number, halt);
    }
}
