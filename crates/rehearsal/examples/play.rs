//! Plays a script to a real agent, by hand: `play AGENT DIR [--under "muster run … --"] [--linger SECONDS] STEP…`
//!
//! Steps: `say:TEXT`, `sh:COMMAND`, `bg:COMMAND`, `write:PATH=TEXT`, `read:PATH`, `wait:MS`, `last:TEXT`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the test rig")]

use std::path::Path;
use std::process::Command;

use muster_rehearsal::{Agent, Home, Model, Script, Step, install, run};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let linger = value("--linger").map_or(0, |seconds| seconds.parse().expect("seconds"));
    let under: Vec<String> =
        value("--under").map(|words| words.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
    let [name, dir, steps @ ..] = arguments.as_slice() else { panic!("play AGENT DIR STEP…") };
    let agent = Agent::ALL.into_iter().find(|a| a.name() == name).expect("an agent's name");
    let installed = install(agent).expect("installed");
    let home = Home::new().expect("a home");
    let model =
        Model::start(Script::new(steps.iter().map(|s| step(s)).collect::<Vec<_>>())).expect("a model");
    let mut command = installed.command(Path::new(dir), &home, &model, "do the task").expect("a command");
    if let [program, more @ ..] = under.as_slice() {
        let mut outer = Command::new(program);
        outer.args(more).arg(command.get_program()).args(command.get_args()).current_dir(dir).env_clear();
        outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = outer;
    }
    let ran = run(command, Agent::PATIENCE).expect("it runs");
    println!("{}\n{}\n{}", ran.status, ran.stdout, ran.stderr);
    // The agent's home, with its account, goes with this program.
    std::thread::sleep(std::time::Duration::from_secs(linger));
}

fn step(text: &str) -> Step {
    let (kind, rest) = text.split_once(':').expect("KIND:TEXT");
    match kind {
        "say" => Step::say(rest),
        "sh" => Step::shell(rest),
        "bg" => Step::background(rest),
        "read" => Step::read(rest),
        "wait" => Step::Wait(rest.parse().expect("milliseconds")),
        "last" => Step::last(rest),
        "write" => {
            let (path, content) = rest.split_once('=').expect("PATH=TEXT");
            Step::write(path, content)
        }
        other => panic!("no such step: {other}"),
    }
}
