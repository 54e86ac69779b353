//! Keeps the facts of an agent's work as its events come.

use std::net::IpAddr;

use muster_event::{Address, Event, Kind, ProcessKey};

use crate::claims::facts::{Change, End, Facts, Run, Touch};
use crate::claims::runner::{self, Purpose};
use crate::engine::Engine;
use crate::process::Role;

/// Of each command line that is remembered, in bytes.
const EXECUTED_BYTES: usize = 400;
/// Parents between a process and the run that it belongs to.
const DEPTH_MAX: usize = 32;

/// Folders that builds and tools fill.
const GENERATED: [&str; 17] = [
    "/.git/",
    "/node_modules/",
    "/target/",
    "/build/",
    "/dist/",
    "/out/",
    "/__pycache__/",
    "/.pytest_cache/",
    "/.venv/",
    "/venv/",
    "/.cache/",
    "/.mypy_cache/",
    "/.ruff_cache/",
    "/coverage/",
    "/.next/",
    "/.tox/",
    "/.idea/",
];
/// Kinds of files on which the outcome of tests rests.
const SOURCE: [&str; 36] = [
    "py", "js", "ts", "jsx", "tsx", "mjs", "cjs", "rs", "go", "rb", "java", "kt", "c", "cc", "cpp", "h",
    "hpp", "cs", "php", "sh", "bash", "swift", "ex", "exs", "lua", "scala", "pl", "sql", "html", "css",
    "vue", "svelte", "toml", "yaml", "yml", "json",
];

pub(crate) fn is_generated(path: &str) -> bool {
    GENERATED.iter().any(|folder| path.contains(folder))
}

pub(crate) fn is_source(path: &str) -> bool {
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    let name = crate::roll::name_of(path);
    SOURCE.contains(&kind)
        && !is_generated(path)
        && !matches!(name, "package-lock.json" | "composer.lock" | "tsconfig.tsbuildinfo")
}

/// Programs by which somebody looks at a file; others read what they need of their own.
const READERS: [&str; 16] = [
    "cat", "head", "tail", "less", "more", "grep", "rg", "sed", "awk", "base64", "xxd", "strings", "cp",
    "bat", "tac", "nl",
];

impl Engine {
    /// Keeps what an event tells of an agent's work.
    pub(crate) fn note_fact(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = process.member.as_ref() else { return };
        let action = match member.role {
            Role::Action(index) => Some(index),
            Role::Harness => None,
            Role::Member => return,
        };
        let id = member.agent.clone();
        // What the harness does for itself is no act of the model's.
        let own = self.agents.get(&id).is_some_and(|agent| {
            action
                .and_then(|index| agent.actions.get(&index))
                .is_some_and(|a| a.helper.is_some() && !a.uncovered)
        });
        let by_tool = action.is_some() && !own;
        let touch = |detail: String, failed| Touch {
            detail,
            seq: event.seq,
            time_ns: event.time_ns,
            failed,
            by_run: false,
        };
        match &event.kind {
            Kind::Exec { argv, cwd, .. } if !own => self.note_exec(event, &id, action, argv, cwd),
            Kind::Exit { code, signal } => {
                let status = code.or(signal.map(|signal| 128_i32.saturating_add(signal)));
                let end = End { seq: event.seq, time_ns: event.time_ns, status };
                let failed = by_tool && status.is_some_and(|status| status != 0);
                let line =
                    failed.then(|| super::prose::head(&process.argv.join(" "), EXECUTED_BYTES).to_owned());
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.claims.facts.end(event.process, end);
                    if let Some(line) = line {
                        Facts::touch(&mut agent.claims.facts.failed, touch(line, true));
                    }
                }
            }
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                self.note_change(event, &id, path, false, !access.create);
            }
            Kind::Open { path, access, result } if access.read && *result >= 0 && by_tool => {
                let reader = process.argv.first().map_or("", |a| crate::roll::name_of(a));
                if READERS.contains(&reader)
                    && let Some(agent) = self.agents.get_mut(&id)
                {
                    Facts::touch(&mut agent.claims.facts.secrets, touch(path.clone(), false));
                }
            }
            Kind::Rename { from, to, result } if *result >= 0 => {
                self.note_change(event, &id, to, false, false);
                self.note_change(event, &id, from, true, true);
            }
            Kind::Link { to, result, .. } if *result >= 0 => self.note_change(event, &id, to, false, false),
            Kind::Unlink { path, result, .. } if *result >= 0 => {
                self.note_change(event, &id, path, true, true)
            }
            Kind::Truncate { path, result, .. } if *result >= 0 => {
                self.note_change(event, &id, path, false, true)
            }
            Kind::Connect { address: Address::Ip { ip, port }, result } if by_tool && !is_local(ip) => {
                let failed = *result < 0 && *result != -115;
                let touch = touch(format!("{ip}:{port}"), failed);
                self.note_network(event.process, &id, touch);
            }
            Kind::Dns { name, .. } | Kind::Tls { name, .. } if by_tool && name != "localhost" => {
                let touch = touch(name.clone(), false);
                self.note_network(event.process, &id, touch);
            }
            _ => {}
        }
    }

    fn note_network(&mut self, process: ProcessKey, id: &str, touch: Touch) {
        let outer = self.run_of(process, id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        let facts = &mut agent.claims.facts;
        let by_run = facts.is_check(process) || outer.is_some_and(|outer| facts.is_check(outer));
        Facts::touch(&mut facts.network, Touch { by_run, ..touch });
    }

    fn note_exec(&mut self, event: &Event, id: &str, action: Option<usize>, argv: &[String], cwd: &str) {
        let within = self.run_of(event.process, id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        let facts = &mut agent.claims.facts;
        let line = argv.join(" ");
        let line = super::prose::head(&line, EXECUTED_BYTES).to_owned();
        // The harness itself is not what it ran.
        if action.is_some() {
            facts.execute(event.time_ns, event.seq, line);
        }
        let Some(runner) = runner::recognise(argv) else { return };
        // The hundred compilers of one build are that build.
        if within.is_some() && runner.purpose != Purpose::Test {
            return;
        }
        facts.run(Run {
            runner,
            suite: runner::suite(argv, cwd),
            name: crate::reconcile::shorten(&argv.join(" ")),
            process: event.process,
            action,
            within,
            seq: event.seq,
            time_ns: event.time_ns,
            end: None,
        });
    }

    /// The outermost live run that this process belongs to, other than itself.
    fn run_of(&self, key: ProcessKey, id: &str) -> Option<ProcessKey> {
        let facts = &self.agents.get(id)?.claims.facts;
        if facts.live.is_empty() {
            return None;
        }
        self.processes
            .ancestors(key)
            .take(DEPTH_MAX)
            .filter(|p| facts.live.contains(&p.key))
            .last()
            .map(|p| p.key)
    }

    fn note_change(&mut self, event: &Event, id: &str, path: &str, removed: bool, again: bool) {
        let by_run = {
            let live = self.agents.get(id).is_some_and(|a| a.claims.facts.live.contains(&event.process));
            live || self.run_of(event.process, id).is_some()
        };
        let Some(agent) = self.agents.get_mut(id) else { return };
        if path.contains("/.git/") {
            let touch = Touch {
                detail: path.to_owned(),
                seq: event.seq,
                time_ns: event.time_ns,
                failed: removed,
                by_run: false,
            };
            let facts = &mut agent.claims.facts;
            if removed {
            } else if path.contains("/.git/refs/remotes/") || path.contains("/.git/logs/refs/remotes/") {
                Facts::touch(&mut facts.remote_refs, touch);
            } else if path.contains("/.git/refs/heads/") || path.contains("/.git/logs/") {
                Facts::touch(&mut facts.refs, touch);
            }
            return;
        }
        if path.starts_with("/dev/") || path.starts_with("/proc/") {
            return;
        }
        let inside = agent.works_in(path);
        // What stands above the project says nothing of what is in it.
        let within = if inside { path.get(agent.state.cwd.len()..).unwrap_or(path) } else { path };
        if is_generated(within) || by_run && !inside {
            agent.claims.facts.skip(path);
            return;
        }
        let test = inside && runner::is_test_file(path) && !is_generated(path);
        agent.claims.facts.change(Change {
            path: path.to_owned(),
            seq: event.seq,
            time_ns: event.time_ns,
            removed,
            again,
            test,
            source: inside && (is_source(within) || test),
            by_run,
        });
    }
}

fn is_local(ip: &IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}
