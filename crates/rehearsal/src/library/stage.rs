//! Where the scenarios are played: one daemon, and for each run a project, a home and a model of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::scenario::{Act, Scenario, Who};
use super::{forge, liar};
use crate::agent::Agent;
use crate::home::Home;
use crate::install::install;
use crate::loop_agent::{curl_agent, plain_agent};
use crate::model::Model;
use crate::run::{isolated, run};
use crate::script::Script;

/// An agent that has no more to do is gone by then.
const ENDED: Duration = Duration::from_secs(6);
/// An account is read soon after it was written.
const READ: Duration = Duration::from_millis(1_500);
const POLL: Duration = Duration::from_millis(1_500);
/// Longer than the longest scenario takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("cannot start `muster watch`: {0}")]
    Start(String),
    #[error("cannot prepare: {0}")]
    Io(#[from] std::io::Error),
}

/// A finding, as the command line tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub code: String,
    pub severity: String,
    pub summary: String,
}

impl Finding {
    pub fn above_info(&self) -> bool {
        self.severity != "info"
    }

    fn rank(&self) -> usize {
        ["info", "low", "medium", "high", "critical"].iter().position(|s| *s == self.severity).unwrap_or(0)
    }
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: String,
    pub who: Who,
    /// Why it was not played, or not to its end. It proves nothing then.
    pub not_run: Option<String>,
    pub honest: bool,
    pub findings: Vec<Finding>,
    pub caught: Vec<String>,
    pub missed: Vec<String>,
    /// Findings above `info` that it should not give.
    pub false_alarms: Vec<Finding>,
    /// `muster show` of its agents.
    pub shown: String,
    pub took: Duration,
}

impl Outcome {
    pub fn good(&self) -> bool {
        self.not_run.is_none() && self.missed.is_empty() && self.false_alarms.is_empty()
    }

    /// In one line.
    pub fn line(&self) -> String {
        let alarms: Vec<&str> = self.false_alarms.iter().map(|f| f.code.as_str()).collect();
        let mut line = format!("{} on {}:", self.name, self.who.name());
        if let Some(why) = &self.not_run {
            line += &format!(" not run: {}", why.lines().next().unwrap_or_default());
        }
        for (what, codes) in [("missed", self.missed.join(", ")), ("not expected", alarms.join(", "))] {
            if !codes.is_empty() {
                line += &format!(" {what}: {codes};");
            }
        }
        line
    }

    fn not_run(scenario: &Scenario, who: Who, why: String, took: Duration) -> Self {
        Self {
            name: scenario.name.clone(),
            who,
            not_run: Some(why),
            honest: scenario.honest(),
            findings: Vec::new(),
            caught: Vec::new(),
            missed: Vec::new(),
            false_alarms: Vec::new(),
            shown: String::new(),
            took,
        }
    }

    fn judged(scenario: &Scenario, who: Who, findings: Vec<Finding>, shown: String, took: Duration) -> Self {
        let mut outcome = Self::not_run(scenario, who, String::new(), took);
        outcome.not_run = None;
        let above: Vec<&Finding> = findings.iter().filter(|f| f.above_info()).collect();
        for expected in &scenario.expect {
            let fits = |f: &&&Finding| expected.split('|').any(|code| f.code == code);
            let gravest = above.iter().filter(fits).max_by_key(|f| f.rank());
            let as_grave = |f: &&Finding| scenario.severity.get(&f.code).is_none_or(|s| *s == f.severity);
            let list = if gravest.is_some_and(as_grave) { &mut outcome.caught } else { &mut outcome.missed };
            list.push(expected.clone());
        }
        let known = |f: &&&Finding| {
            scenario
                .expect
                .iter()
                .chain(&scenario.also)
                .any(|codes| codes.split('|').any(|code| f.code == code))
        };
        outcome.false_alarms = above.iter().filter(|f| !known(f)).map(|f| (*f).clone()).collect();
        outcome.findings = findings;
        outcome.shown = shown;
        outcome
    }
}

/// The daemon.
pub struct Stage {
    muster: PathBuf,
    data: TempDir,
    daemon: Child,
    /// Held by the run for which Muster stands still.
    stopped: Arc<AtomicBool>,
    runs: AtomicU64,
}

impl Stage {
    /// `muster` is the program to try.
    pub fn start(muster: &Path) -> Result<Self, StageError> {
        let muster =
            &fs::canonicalize(muster).map_err(|e| StageError::Start(format!("{}: {e}", muster.display())))?;
        let data = tempfile::Builder::new().prefix("muster-library-").tempdir()?;
        let errors = File::create(data.path().join("stderr"))?;
        let mut daemon = Command::new(muster)
            .args(["watch", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| StageError::Start(format!("{}: {e}", muster.display())))?;
        let mut ready = String::new();
        if let Some(out) = daemon.stdout.take() {
            BufReader::new(out).read_line(&mut ready)?;
        }
        let stage = Self {
            muster: muster.to_owned(),
            data,
            daemon,
            stopped: Arc::default(),
            runs: AtomicU64::new(0),
        };
        if ready.starts_with("ready ") && !ready.contains("record=proc") {
            Ok(stage)
        } else {
            Err(StageError::Start(format!("{ready}{}", stage.said())))
        }
    }

    /// What the daemon had to say.
    pub fn said(&self) -> String {
        fs::read_to_string(self.data.path().join("stderr")).unwrap_or_default()
    }

    pub fn play(&self, scenario: &Scenario, who: Who) -> Outcome {
        let begun = Instant::now();
        match self.played(scenario, who) {
            Ok((findings, shown)) => Outcome::judged(scenario, who, findings, shown, begun.elapsed()),
            Err(why) => Outcome::not_run(scenario, who, why, begun.elapsed()),
        }
    }

    fn played(&self, scenario: &Scenario, who: Who) -> Result<(Vec<Finding>, String), String> {
        let set = Set::build(self, scenario, who).map_err(|e| format!("set-up: {e}"))?;
        let result = set.play(self);
        set.strike();
        result
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let out = Command::new(&self.muster)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path().join("data"))
            .output();
        out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.ask(&[arguments, &["--json"]].concat());
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if matches!(self.daemon.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// One run's own things.
struct Set<'a> {
    scenario: &'a Scenario,
    who: Who,
    label: String,
    /// Holds `project` and `origin.git`.
    folder: TempDir,
    home: Home,
    model: Model,
    faults: Arc<std::sync::Mutex<Vec<String>>>,
    fill: Vec<(&'static str, String)>,
}

impl<'a> Set<'a> {
    fn build(stage: &Stage, scenario: &'a Scenario, who: Who) -> Result<Self, String> {
        let io = |e: std::io::Error| e.to_string();
        let number = stage.runs.fetch_add(1, Ordering::SeqCst);
        let folder = tempfile::Builder::new().prefix("run-").tempdir().map_err(io)?;
        let home = Home::new().map_err(io)?;
        let project = folder.path().join("project");
        fs::create_dir(&project).map_err(io)?;
        let fill = vec![
            ("@home@", home.path().display().to_string()),
            ("@project@", project.display().to_string()),
            ("@data@", stage.data.path().join("data").display().to_string()),
            ("@pid@", stage.daemon.id().to_string()),
            ("@muster@", stage.muster.display().to_string()),
        ];
        for (path, text) in &scenario.files {
            file(&project.join(path), &filled(&fill, text)).map_err(io)?;
        }
        for (path, text) in &scenario.home {
            file(&home.path().join(path), &filled(&fill, text)).map_err(io)?;
        }
        for path in &scenario.executable {
            shell(&home, &project, &format!("chmod +x '{path}'"))?;
        }
        if scenario.git {
            let begin = "git init -q; git config user.name Rehearsal; git config user.email rehearsal@example.invalid; [ -e README.md ] || echo '# a project' > README.md; git add -A; git commit -q -m begin; \
                         git init -q --bare ../origin.git; git remote add origin ../origin.git; git push -q -u origin main";
            shell(&home, &project, begin)?;
        }
        shell(&home, &project, &filled(&fill, &scenario.setup))?;
        let script = Script::new(scenario.script(&|text| filled(&fill, text)));
        let faults = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let outsider = Outsider {
            agent: who.agent(),
            home: home.path().to_owned(),
            project,
            acts: scenario.acts().cloned().collect(),
            daemon: stage.daemon.id(),
            stopped: Arc::clone(&stage.stopped),
            faults: Arc::clone(&faults),
            fill: fill.clone(),
        };
        let model = Model::start_with(script, move |name| outsider.act_number(name)).map_err(io)?;
        Ok(Self {
            scenario,
            who,
            label: format!("{}-{number}", scenario.name),
            folder,
            home,
            model,
            faults,
            fill,
        })
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn play(&self, stage: &Stage) -> Result<(Vec<Finding>, String), String> {
        let root = match self.who.agent() {
            Some(agent) => {
                let root = self.start(stage, agent, &self.scenario.prompt, false)?;
                if let Some(resume) = &self.scenario.resume {
                    std::thread::sleep(READ);
                    self.others(stage, agent, &resume.between)?;
                    self.start(stage, agent, &resume.prompt, true)?;
                }
                if !self.scenario.after.is_empty() {
                    std::thread::sleep(READ);
                    self.others(stage, agent, &self.scenario.after)?;
                }
                root
            }
            None => self.start_loop()?,
        };
        self.was_played()?;
        let agents = self.agents(stage, root)?;
        Ok(self.settled(stage, &agents))
    }

    /// To its end; gives the process id.
    fn start(&self, stage: &Stage, agent: Agent, prompt: &str, again: bool) -> Result<u32, String> {
        let io = |e: std::io::Error| e.to_string();
        let installed = install(agent).map_err(|skipped| skipped.to_string())?;
        let mut plain = installed.command(&self.project(), &self.home, &self.model, prompt).map_err(io)?;
        if again {
            plain = resumed(agent, &plain);
        }
        let fill = |text: &str| filled(&self.fill, text);
        if let Some(deny) = &self.scenario.deny {
            liar::deny(agent, self.home.path(), &mut plain, deny, &fill).map_err(io)?;
        }
        if !self.scenario.lies.is_empty() {
            liar::lie(agent, self.home.path(), &mut plain, &self.scenario.lies, &fill).map_err(io)?;
        }
        for (name, value) in &self.scenario.env {
            plain.env(name, fill(value));
        }
        plain.args(self.scenario.args.iter().map(|argument| fill(argument)));
        plain.env("AGENT", &installed.executable);
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if self.scenario.mandate {
            let data = stage.data.path().join("data");
            words.push(stage.muster.clone().into());
            words.extend(["run", "--principal", "tester", "--label", &self.label, "--data"].map(Into::into));
            words.extend([data.into(), "--".into()]);
        }
        if let Some(wrap) = &self.scenario.wrap {
            words.extend(["sh".into(), "-c".into(), fill(wrap).into(), "sh".into()]);
        }
        words.push(plain.get_program().to_owned());
        words.extend(plain.get_args().map(ToOwned::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.project()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = run(command, PATIENCE).map_err(|e| e.to_string())?;
        if ran.success() || self.scenario.may_fail {
            Ok(ran.pid)
        } else {
            Err(format!("the agent ended with {}\n{}\n{}", ran.status, ran.stdout, ran.stderr))
        }
    }

    fn start_loop(&self) -> Result<u32, String> {
        let start = if self.who == Who::PythonLoop { plain_agent } else { curl_agent };
        let mut agent =
            start(&self.project(), &self.model, &self.scenario.prompt).map_err(|e| e.to_string())?;
        match agent.wait(PATIENCE) {
            Some(status) if status.success() => Ok(agent.pid()),
            ended => Err(format!("the loop ended with {ended:?}")),
        }
    }

    fn others(&self, stage: &Stage, agent: Agent, acts: &[Act]) -> Result<(), String> {
        let outsider = Outsider {
            agent: Some(agent),
            home: self.home.path().to_owned(),
            project: self.project(),
            acts: Vec::new(),
            daemon: stage.daemon.id(),
            stopped: Arc::clone(&stage.stopped),
            faults: Arc::clone(&self.faults),
            fill: self.fill.clone(),
        };
        acts.iter().try_for_each(|act| outsider.act(act))
    }

    /// Nothing was left out, and the last words were said.
    fn was_played(&self) -> Result<(), String> {
        let faults = self.faults.lock().map(|faults| faults.clone()).unwrap_or_default();
        if let Some(fault) = faults.into_iter().chain(self.model.problems()).next() {
            return Err(fault);
        }
        if self.scenario.cut_short {
            return Ok(());
        }
        let requests = self.model.requests();
        let calls: Vec<String> =
            requests.iter().flat_map(|asked| &asked.calls).map(|call| call.1.to_string()).collect();
        for command in self.scenario.commands() {
            let command = serde_json::Value::String(filled(&self.fill, command)).to_string();
            if !calls.iter().any(|call| call.contains(command.trim_matches('"'))) {
                return Err(format!("it never came to {command}; calls: {calls:?}"));
            }
        }
        let last = filled(&self.fill, self.scenario.last_words().unwrap_or_default());
        if requests.iter().any(|asked| asked.text.trim() == last.trim()) {
            Ok(())
        } else {
            Err(format!("it never came to its last words; calls: {calls:?}"))
        }
    }

    /// The agents on the roll that belong to this run.
    fn agents(&self, stage: &Stage, root: u32) -> Result<Vec<String>, String> {
        let begun = Instant::now();
        let project = fs::canonicalize(self.project()).map_err(|e| e.to_string())?;
        loop {
            let roll = stage.list(&["roll"]);
            let mandate = self.scenario.mandate && self.who.agent().is_some();
            let mut ours: Vec<&Value> = roll
                .iter()
                .filter(|agent| {
                    if mandate { agent["label"] == self.label.as_str() } else { agent["root_pid"] == root }
                })
                .collect();
            if !mandate && ours.is_empty() {
                let unmandated = roll.iter().filter(|agent| agent["mandate"].is_null());
                ours = unmandated.filter(|agent| self.worked_in(stage, agent, &project)).collect();
            }
            // Agents that these started are theirs, whatever they are called.
            loop {
                let parents: Vec<&Value> = ours.iter().map(|agent| &agent["agent"]).collect();
                let more: Vec<&Value> = roll
                    .iter()
                    .filter(|agent| {
                        parents.contains(&&agent["parent"]) && !parents.contains(&&agent["agent"])
                    })
                    .collect();
                if more.is_empty() {
                    break;
                }
                ours.extend(more);
            }
            let over = !ours.is_empty() && ours.iter().all(|agent| agent["state"] == "ended");
            if over || begun.elapsed() > ENDED && !ours.is_empty() {
                return Ok(ours
                    .iter()
                    .filter_map(|agent| agent["agent"].as_str().map(str::to_owned))
                    .collect());
            }
            // Not to be on the roll at all is a miss, no failure of the scenario's.
            if begun.elapsed() > ENDED {
                return Ok(Vec::new());
            }
            std::thread::sleep(POLL);
        }
    }

    fn worked_in(&self, stage: &Stage, agent: &Value, project: &Path) -> bool {
        let id = agent["agent"].as_str().unwrap_or_default();
        let execs = stage.list(&["events", "--agent", id, "--kind", "exec"]);
        execs.iter().any(|exec| exec["cwd"].as_str().is_some_and(|cwd| Path::new(cwd).starts_with(project)))
    }

    fn settled(&self, stage: &Stage, agents: &[String]) -> (Vec<Finding>, String) {
        let settle = Duration::from_millis(self.scenario.settle);
        let begun = Instant::now();
        let mut since = Instant::now();
        let mut found = Vec::new();
        while since.elapsed() < settle && begun.elapsed() < settle * 3 {
            let mut now: Vec<Finding> = agents.iter().flat_map(|agent| findings(stage, agent)).collect();
            now.sort();
            if now != found {
                found = now;
                since = Instant::now();
            }
            std::thread::sleep(POLL);
        }
        let shown = agents.iter().map(|agent| stage.ask(&["show", agent])).collect();
        (found, shown)
    }

    /// Everything that it left is taken away.
    fn strike(&self) {
        if let Some(agent) = self.who.agent() {
            let account = forge::account(agent, self.home.path());
            if let Some(account) = account.ok().filter(|path| path.exists()) {
                let _ = forge::attribute("-i", &account);
            }
        }
        self.home.end_processes();
    }
}

fn findings(stage: &Stage, agent: &str) -> Vec<Finding> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    stage
        .list(&["findings", "--agent", agent])
        .iter()
        .map(|f| Finding {
            code: text(f, "code"),
            severity: text(f, "severity"),
            summary: text(f, "summary"),
        })
        .collect()
}

/// The others: whoever is no part of the agent's lineage.
struct Outsider {
    agent: Option<Agent>,
    home: PathBuf,
    project: PathBuf,
    acts: Vec<Act>,
    daemon: u32,
    stopped: Arc<AtomicBool>,
    faults: Arc<std::sync::Mutex<Vec<String>>>,
    fill: Vec<(&'static str, String)>,
}

impl Outsider {
    fn act_number(&self, name: &str) {
        let act = name.parse().ok().and_then(|number: usize| self.acts.get(number));
        let done = act.map_or(Err("no such act".to_owned()), |act| {
            if !matches!(act, Act::Go | Act::Stop | Act::Sleep(_)) && !self.stopped.load(Ordering::SeqCst) {
                // What was written so far is to have been read.
                std::thread::sleep(READ);
            }
            self.act(act)
        });
        if let (Err(why), Ok(mut faults)) = (done, self.faults.lock()) {
            faults.push(why);
        }
    }

    fn act(&self, act: &Act) -> Result<(), String> {
        match act {
            Act::Stop => {
                while self.stopped.swap(true, Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                self.signal(Signal::STOP);
                Ok(())
            }
            Act::Go => {
                self.signal(Signal::CONT);
                self.stopped.store(false, Ordering::SeqCst);
                Ok(())
            }
            Act::Sh(script) => self.forge(&Act::Sh(filled(&self.fill, script))),
            Act::Move { to } => self.forge(&Act::Move { to: filled(&self.fill, to) }),
            other => self.forge(other),
        }
    }

    fn forge(&self, act: &Act) -> Result<(), String> {
        let agent = self.agent.ok_or("only a product's account can be forged")?;
        forge::act(agent, &self.home, &self.project, act).map_err(|why| format!("{act:?}: {why}"))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.daemon).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

fn filled(fill: &[(&'static str, String)], text: &str) -> String {
    fill.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

fn file(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn shell(home: &Home, project: &Path, script: &str) -> Result<(), String> {
    if script.is_empty() {
        return Ok(());
    }
    let mut command = isolated(Path::new("/bin/bash"), project, home.path());
    command.args(["-ec", script]);
    let ran = run(command, Duration::from_secs(60)).map_err(|e| e.to_string())?;
    if ran.success() { Ok(()) } else { Err(format!("`{script}`: {}", ran.stderr)) }
}

/// The same command, going on with the last session.
fn resumed(agent: Agent, plain: &Command) -> Command {
    let mut command = Command::new(plain.get_program());
    let arguments: Vec<_> = plain.get_args().map(ToOwned::to_owned).collect();
    let (before, prompt) = match agent {
        // The prompt is the last argument of these.
        Agent::Codex | Agent::OpenCode | Agent::GeminiCli => arguments.split_at(arguments.len() - 1),
        Agent::ClaudeCode => arguments.split_at(0),
    };
    match agent {
        Agent::ClaudeCode => command.arg("--continue").args(prompt),
        Agent::Codex => command.args(before).args(["resume", "--last"]).args(prompt),
        // It ends with `-p PROMPT`.
        Agent::GeminiCli => command.args(["--resume", "latest"]).args(before).args(prompt),
        Agent::OpenCode => command.args(before).arg("--continue").args(prompt),
    };
    if let Some(dir) = plain.get_current_dir() {
        command.current_dir(dir);
    }
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}
