//! A drill in its guise, as the steps that the agent plays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::guise::Chance;
use crate::{Guise, Interpreter, Scenario, Step, Tells, Writer};

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Executed as `bash -c`.
    pub run: Option<String>,
    /// Written by the agent's own program: the file and its text.
    pub write: Option<(String, String)>,
    /// What the account has of it; `None`: nothing.
    pub told: Option<Told>,
    pub say: Option<String>,
    pub sleep_ms: u64,
    /// It is what the drill is about, not one of the honest steps around it.
    pub rogue: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// A shell command, or a written file.
    pub command: Option<String>,
    pub shown: Option<String>,
    pub exit: Option<i32>,
}

/// Honest steps that come before the acts.
const CHAFF: [&str; 6] =
    ["ls -la", "git status --short", "cat README.md", "wc -l src/main.py", "git log --oneline", "pwd"];

/// `words`: what stands for `@word@` in the scenario.
pub fn plan(scenario: &Scenario, guise: &Guise, words: &BTreeMap<String, String>) -> Vec<Act> {
    let mut chance = Chance(guise.seed ^ 0x5eed);
    let mut out = Vec::new();
    for _ in 0..guise.chaff {
        let command = chance.pick(&CHAFF, "ls");
        out.push(Act {
            run: Some(command.to_owned()),
            told: Some(Told { command: Some(command.to_owned()), shown: None, exit: None }),
            sleep_ms: guise.pause_ms,
            ..Act::default()
        });
    }
    let mut steps: Vec<&Step> = scenario.steps.iter().collect();
    if scenario.shuffle {
        chance.shuffle(&mut steps);
    }
    let tells = if scenario.is_honest() { Tells::Told } else { scenario.told.unwrap_or(guise.tells) };
    for step in steps {
        let mut act = act(step, guise, tells, words);
        act.rogue = !scenario.is_honest() && act.say.is_none() && step.sleep_ms.is_none();
        act.sleep_ms = step.sleep_ms.unwrap_or(guise.pause_ms);
        out.push(act);
    }
    if !out.iter().any(|act| act.say.is_some()) {
        out.push(Act { say: Some("That is what I could do.".to_owned()), ..Act::default() });
    }
    out
}

fn act(step: &Step, guise: &Guise, tells: Tells, words: &BTreeMap<String, String>) -> Act {
    let fill = |text: &str| fill(text, words);
    let told = |command: Option<&str>| match tells {
        Tells::Hidden => None,
        Tells::Told => {
            let command = step.told_as.as_deref().map(fill).or(command.map(str::to_owned));
            Some(Told { command, shown: step.shown.as_deref().map(fill), exit: step.exit })
        }
    };
    if let Some(command) = &step.run {
        let command = fill(command);
        let run = if step.shell { command } else { by(guise.interpreter, &command) };
        return Act { told: told(Some(&run)), run: Some(run), ..Act::default() };
    }
    if let Some(path) = step.write.as_ref().or(step.append.as_ref()) {
        let (path, text) = (fill(path), fill(&step.text));
        return match written(guise.writer, &path, &text, step.append.is_some()) {
            Some(run) => Act { told: told(Some(&run)), run: Some(run), ..Act::default() },
            None => Act { told: told(None), write: Some((path, text)), ..Act::default() },
        };
    }
    if let Some(command) = &step.phantom {
        let command = Some(fill(command));
        let told = Some(Told { command, shown: step.shown.as_deref().map(fill), exit: step.exit });
        return Act { told, ..Act::default() };
    }
    Act { say: step.say.as_deref().map(fill), ..Act::default() }
}

/// The command, as another interpreter's.
fn by(interpreter: Interpreter, command: &str) -> String {
    let quoted = quote(command);
    match interpreter {
        Interpreter::Plain => command.to_owned(),
        Interpreter::Sh => format!("sh -c {quoted}"),
        Interpreter::Bash => format!("bash -c {quoted}"),
        Interpreter::Python => {
            format!(
                "python3 -c 'import subprocess, sys; sys.exit(subprocess.run([\"bash\", \"-c\", sys.argv[1]]).returncode)' {quoted}"
            )
        }
        Interpreter::Perl => {
            format!("perl -e 'exit(system(\"bash\", \"-c\", $ARGV[0]) >> 8)' {quoted}")
        }
    }
}

/// The command that writes the file; `None`: the agent does it itself.
fn written(writer: Writer, path: &str, text: &str, append: bool) -> Option<String> {
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let (folder, file, text) = (quote(folder), quote(path), quote(text));
    let to = if append { ">>" } else { ">" };
    let command = match writer {
        Writer::Tool if append => format!("printf %s {text} >> {file}"),
        Writer::Tool => return None,
        Writer::Redirect => format!("printf %s {text} {to} {file}"),
        Writer::Tee => format!("printf %s {text} | tee {}{file} >/dev/null", if append { "-a " } else { "" }),
        Writer::Python => {
            let mode = if append { "a" } else { "w" };
            format!("python3 -c 'import sys; open(sys.argv[1], \"{mode}\").write(sys.argv[2])' {file} {text}")
        }
        Writer::Perl => {
            format!("perl -e 'open(F, \"{to}\", $ARGV[0]) or die; print F $ARGV[1]' {file} {text}")
        }
        Writer::Move if append => {
            format!("{{ cat {file} 2>/dev/null; printf %s {text}; }} > {file}.new && mv {file}.new {file}")
        }
        Writer::Move => format!("printf %s {text} > {file}.new && mv {file}.new {file}"),
    };
    Some(format!("mkdir -p {folder} && {command}"))
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn fill(text: &str, words: &BTreeMap<String, String>) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("@{word}@"), value))
}

/// Seeds of so many runs, each drill in turn.
pub fn scatter(seed: u64, runs: usize) -> Vec<u64> {
    let mut chance = Chance(seed);
    (0..runs).map(|_| chance.next()).collect()
}
