//! What was refused, and what then happened all the same: the very act (`denied-action`), or the same effect by another route
//! (`disguised-retry`).

use std::collections::BTreeMap;

use muster_account::{Class, Decision};
use muster_event::{Address, Event, Kind, Nanos, ProcessKey};

use crate::action::command_texts;
use crate::agent::{Action, Agent, Call};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::process::Role;
use crate::reconcile::{absolute, shorten};
use crate::roll::name_of;
use crate::shell;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Refusals remembered per agent, the newest: a person or a rule that refuses more than these in one run has been asked the
/// same again and again.
const DENIALS_MAX: usize = 256;
/// What one refused call was after, at most.
const TARGETS_MAX: usize = 64;
/// Acts that wait to be decided at once.
const RETRIES_MAX: usize = 64;
/// Acts of hooks that are remembered.
const BY_HOOKS_MAX: usize = 64;
/// The call that explains an act, and a person's leave for it, are written a little later.
const SETTLE_NS: Nanos = 3_000_000_000;
/// The account's times and the kernel's are of one clock.
const SLACK_NS: Nanos = 1_000_000_000;

#[derive(Default)]
pub(crate) struct Denials {
    denied: BTreeMap<usize, Denial>,
    next: usize,
    retries: Vec<Retry>,
    /// What the hooks of the configuration did lately: one of them may be about to refuse just that.
    by_hooks: std::collections::VecDeque<Event>,
}

struct Denial {
    call_id: String,
    /// What was refused, to show a person.
    shown: String,
    texts: Vec<String>,
    by: String,
    time_ns: Nanos,
    targets: Vec<Target>,
    evidence: Evidence,
}

/// What a refused call was after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// To change this file.
    Write(String),
    /// To remove it.
    Delete(String),
    /// To read it.
    Read(String),
    Chmod(String),
    /// To reach this host.
    Host(String),
    /// To run this file.
    Run(String),
    /// To run a program that acts on something of its own: with these words, and options by their first letters.
    Verb {
        program: String,
        words: Vec<String>,
        options: Vec<char>,
    },
}

/// An act that has the effect of something refused.
struct Retry {
    denial: usize,
    target: Target,
    did: String,
    seq: u64,
    process: ProcessKey,
    time_ns: Nanos,
    action: Option<usize>,
    /// The call that asks for it, where the act is not the record's.
    call: Option<usize>,
}

impl Denials {
    pub fn is_empty(&self) -> bool {
        self.denied.is_empty()
    }
}

impl Engine {
    /// A call was refused, by a rule, a hook or a person.
    pub(crate) fn note_denied(
        &mut self,
        id: &str,
        call_id: &str,
        by: &str,
        time_ns: Nanos,
        evidence: &Evidence,
    ) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(&index) = agent.call_by_id.get(call_id) else { return };
        let cwd = agent.state.cwd.clone();
        let home = agent.home.clone();
        let Some(call) = agent.calls.get_mut(&index) else { return };
        call.denied = true;
        let known = agent.denials.denied.values_mut().find(|denial| denial.call_id == call_id);
        if let Some(known) = known {
            if known.by.is_empty() {
                by.clone_into(&mut known.by);
            }
            return;
        }
        let denial = Denial {
            call_id: call_id.to_owned(),
            shown: describe(call),
            texts: call.texts().map(str::to_owned).collect(),
            by: by.to_owned(),
            time_ns,
            targets: targets(call, &cwd, home.as_deref()),
            evidence: evidence.clone(),
        };
        let unjoin = call.joined.take().is_some();
        let call_ns = call.time_ns;
        let done = agent
            .denials
            .by_hooks
            .iter()
            .filter(|event| event.time_ns.saturating_add(SLACK_NS) >= call_ns)
            .find(|event| denial.targets.iter().any(|target| has_effect(event, target, true)));
        let by_hook = done.map(|event| {
            let did = format!("a hook of it {}", in_words(event, &[]));
            denied(id, &denial, &did, event.seq, event.process, event.time_ns)
        });
        agent.denials.denied.insert(agent.denials.next, denial);
        agent.denials.next += 1;
        while agent.denials.denied.len() > DENIALS_MAX {
            agent.denials.denied.pop_first();
        }
        // Another call, which was not refused, may have been what the act was for.
        if unjoin {
            agent.state.calls_joined = agent.state.calls_joined.saturating_sub(1);
            let acts: Vec<usize> = agent
                .actions
                .iter()
                .rev()
                .filter(|(_, a)| a.call == Some(index))
                .map(|(at, _)| *at)
                .collect();
            for at in acts {
                if let Some(action) = agent.actions.get_mut(&at) {
                    action.call = None;
                    action.decided = false;
                    agent.actions_open.insert(at);
                }
            }
        }
        if let Some(finding) = by_hook {
            self.raise(finding);
        }
    }

    /// What a hook of the configuration does.
    pub(crate) fn note_hook(&mut self, event: &Event) {
        let changes = matches!(
            event.kind,
            Kind::Unlink { .. } | Kind::Rename { .. } | Kind::Truncate { .. } | Kind::Chmod { .. }
        ) || matches!(&event.kind, Kind::Open { access, .. } if access.write);
        if !changes {
            return;
        }
        let Some(member) = self.processes.get(event.process).and_then(|p| p.member.clone()) else { return };
        let Role::Action(index) = member.role else { return };
        let Some(agent) = self.agents.get_mut(&member.agent) else { return };
        if agent.actions.get(&index).is_some_and(|a| a.helper.is_some() && a.free && !a.uncovered) {
            agent.denials.by_hooks.push_back(event.clone());
            if agent.denials.by_hooks.len() > BY_HOOKS_MAX {
                agent.denials.by_hooks.pop_front();
            }
        }
    }

    /// Held against what was refused: an event of the lineage.
    pub(crate) fn note_retry(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = &process.member else { return };
        let Some(agent) = self.agents.get(&member.agent) else { return };
        if agent.denials.is_empty() {
            return;
        }
        let action = match member.role {
            Role::Action(index) => Some(index),
            Role::Harness => None,
            Role::Member => return,
        };
        let own =
            |index: &usize| agent.actions.get(index).is_some_and(|a| a.helper.is_some() && !a.uncovered);
        if action.as_ref().is_some_and(own) {
            return;
        }
        let id = member.agent.clone();
        let found = agent.denials.denied.iter().rev().find_map(|(at, denial)| {
            if event.time_ns < denial.time_ns {
                return None;
            }
            let target = denial.targets.iter().find(|target| has_effect(event, target, action.is_some()))?;
            Some((*at, target.clone()))
        });
        let Some((denial, target)) = found else { return };
        let did = in_words(event, &process.argv);
        let retry = Retry {
            denial,
            target,
            did,
            seq: event.seq,
            process: event.process,
            time_ns: event.time_ns,
            action,
            call: None,
        };
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.denials.wait(retry);
        }
    }

    /// Held against what was refused: a call that reads, which the record may not show.
    pub(crate) fn note_retry_call(&mut self, id: &str, index: usize) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.denials.is_empty() {
            return;
        }
        let Some(call) = agent.calls.get(&index) else { return };
        let found = agent.denials.denied.iter().rev().find_map(|(at, denial)| {
            if call.call_id == denial.call_id || call.time_ns < denial.time_ns {
                return None;
            }
            let target = denial
                .targets
                .iter()
                .find(|target| asks_for(call, target, &agent.state.cwd, agent.home.as_deref()))?;
            Some((*at, target.clone()))
        });
        let Some((denial, target)) = found else { return };
        let retry = Retry {
            denial,
            target,
            did: describe(call),
            seq: 0,
            process: agent.state.root,
            time_ns: call.time_ns,
            action: None,
            call: Some(index),
        };
        agent.denials.wait(retry);
    }

    pub(crate) fn check_denials(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.denials.retries.is_empty() {
            return;
        }
        let imported = agent.imported;
        let (due, waiting): (Vec<Retry>, Vec<Retry>) = std::mem::take(&mut agent.denials.retries)
            .into_iter()
            .partition(|retry| imported || now.saturating_sub(retry.time_ns) > SETTLE_NS);
        agent.denials.retries = waiting;
        let findings: Vec<Finding> = due.iter().filter_map(|retry| disguised(id, agent, retry)).collect();
        for finding in findings {
            self.raise(finding);
        }
    }
}

impl Denials {
    fn wait(&mut self, retry: Retry) {
        let again = self
            .retries
            .iter()
            .any(|r| r.denial == retry.denial && r.action == retry.action && r.call == retry.call);
        if !again && self.retries.len() < RETRIES_MAX {
            self.retries.push(retry);
        }
    }
}

/// An act that was refused and that nobody asked for again.
pub(crate) fn denied_action(id: &str, agent: &Agent, action: &Action) -> Option<Finding> {
    let denial = agent.denials.denied.values().rev().find(|denial| {
        let same = action.call_id.as_ref().is_some_and(|call| *call == denial.call_id);
        let text = || {
            denial.texts.iter().any(|text| !text.is_empty() && action.texts.iter().any(|t| t == text))
                && action.time_ns.saturating_add(60 * SLACK_NS) >= denial.time_ns
        };
        same || text()
    })?;
    Some(denied(
        id,
        denial,
        &format!("ran `{}`", shorten(&action.display)),
        action.seq,
        action.process,
        action.time_ns,
    ))
}

/// A file that a refused call names was written by the agent's own program.
pub(crate) fn denied_write(id: &str, agent: &Agent, write: &crate::agent::Write) -> Option<Finding> {
    let denial = agent.denials.denied.values().rev().find(|denial| {
        write.time_ns.saturating_add(60 * SLACK_NS) >= denial.time_ns
            && denial
                .targets
                .iter()
                .any(|target| matches!(target, Target::Write(path) | Target::Delete(path) if *path == write.path))
            // A call of a tool that writes, no command: that has an execution of its own.
            && denial.texts.is_empty()
    })?;
    Some(denied(
        id,
        denial,
        &format!("wrote `{}`", shorten(&write.path)),
        write.seq,
        write.process,
        write.time_ns,
    ))
}

fn denied(id: &str, denial: &Denial, did: &str, seq: u64, process: ProcessKey, time_ns: Nanos) -> Finding {
    Finding {
        id: finding_id(Code::DeniedAction, id, &format!("{} {did}", denial.call_id)),
        code: Code::DeniedAction,
        severity: Severity::High,
        stage: Stage::Conceal,
        overreach: 2,
        deception: 2,
        agent: id.to_owned(),
        time_ns,
        summary: format!("{did}, though that was refused{}", by(denial)),
        explanation: "The account says that this call was refused, and the kernel's record has it done: what refuses has no \
            effect, or was got round. It would be refuted by a later leave for the same call that the account does not \
            show."
            .to_owned(),
        evidence: vec![denial.evidence.clone(), event_evidence(seq, process)],
    }
}

fn disguised(id: &str, agent: &Agent, retry: &Retry) -> Option<Finding> {
    let denial = agent.denials.denied.get(&retry.denial)?;
    let action = retry.action.and_then(|index| agent.actions.get(&index));
    let call = match retry.call {
        Some(index) => agent.calls.get(&index),
        None => action.and_then(|action| action.call).and_then(|index| agent.calls.get(&index)),
    };
    // A harness's own write is one of a call's only where a call names it.
    let call = call.or_else(|| match (&retry.target, retry.action) {
        (Target::Write(path) | Target::Delete(path), None) => agent.calls.values().rev().find(|call| {
            call.time_ns <= retry.time_ns.saturating_add(SLACK_NS)
                && call.time_ns >= denial.time_ns
                && call
                    .paths
                    .iter()
                    .any(|p| absolute(p, call.cwd.as_deref().unwrap_or(&agent.state.cwd)) == *path)
        }),
        _ => None,
    });
    // Refused as well: nothing came of it.
    if retry.call.is_some() && call.is_none_or(|call| call.denied || call.result.is_none()) {
        return None;
    }
    if let Some(call) = call {
        // The same words again are no disguise: a rule or a person let it pass this time, or it is a denied action.
        if call.texts().any(|text| denial.texts.iter().any(|t| t == text)) || call.call_id == denial.call_id {
            return None;
        }
        if call.denied && retry.call.is_some() || call.allowed_by_person {
            return None;
        }
    } else if retry.action.is_none()
        || action.is_some_and(|a| a.texts.iter().any(|t| denial.texts.contains(t)))
    {
        return None;
    }
    // Somebody spoke with it since.
    if agent.claims.turn_ns > denial.time_ns && agent.claims.turn_ns <= retry.time_ns {
        return None;
    }
    let route = match call {
        Some(call) if retry.call.is_none() => format!(" by {}", describe(call)),
        Some(_) => String::new(),
        None => action.map(|a| format!(" by `{}`", shorten(&a.display))).unwrap_or_default(),
    };
    let mut evidence = vec![denial.evidence.clone()];
    if retry.call.is_none() {
        evidence.push(event_evidence(retry.seq, retry.process));
    }
    evidence.extend(call.map(|call| call.evidence.clone()));
    Some(Finding {
        id: finding_id(Code::DisguisedRetry, id, &format!("{} {:?}", denial.call_id, retry.target)),
        code: Code::DisguisedRetry,
        severity: Severity::High,
        stage: Stage::Initiate,
        overreach: 2,
        deception: 1,
        agent: id.to_owned(),
        time_ns: retry.time_ns,
        summary: format!("was refused {}{}, then {}{route}", denial.shown, by(denial), retry.did),
        explanation: "What was refused was done by another way: other words, another program or another tool, with the same \
            effect. It would be refuted by a person's leave in between, or if what was refused was the way and not the \
            effect."
            .to_owned(),
        evidence,
    })
}

fn by(denial: &Denial) -> String {
    if denial.by.is_empty() { String::new() } else { format!(" (by {})", shorten(&denial.by)) }
}

fn describe(call: &Call) -> String {
    match (&call.command, call.paths.first()) {
        (Some(command), _) => format!("`{}`", shorten(command)),
        (None, Some(path)) => format!("`{} {}`", shorten(&call.tool), shorten(path)),
        (None, None) => format!("`{}`", shorten(&call.tool)),
    }
}

/// Is a decision a person's own?
pub(crate) fn is_persons(decision: Decision, by: &str) -> bool {
    decision == Decision::Accept && by.starts_with("user")
}

/// Whether the event has the effect that was refused. `tool`: by a tool, not by the agent's own program.
fn has_effect(event: &Event, target: &Target, tool: bool) -> bool {
    match (target, &event.kind) {
        (Target::Write(path), Kind::Open { path: seen, access, result }) => {
            *result >= 0 && access.write && seen == path
        }
        (Target::Write(path), Kind::Rename { to, result, .. } | Kind::Link { to, result, .. }) => {
            *result >= 0 && to == path
        }
        (Target::Write(path) | Target::Delete(path), Kind::Truncate { path: seen, result, .. }) => {
            *result >= 0 && seen == path
        }
        (Target::Write(path), Kind::Symlink { path: seen, result, .. }) => *result >= 0 && seen == path,
        (
            Target::Delete(path),
            Kind::Unlink { path: seen, result, .. } | Kind::Rename { from: seen, result, .. },
        ) => *result >= 0 && crate::products::glob(path, seen),
        (
            Target::Chmod(path),
            Kind::Chmod { path: seen, result, .. } | Kind::Chown { path: seen, result, .. },
        ) => *result >= 0 && seen == path,
        (Target::Read(path), Kind::Open { path: seen, access, result }) => {
            *result >= 0 && access.read && !access.write && seen == path
        }
        (Target::Host(host), kind) if tool => reaches(kind, host),
        (Target::Run(path), Kind::Exec { path: program, script, argv, cwd, .. }) => {
            program == path
                || script.as_ref().is_some_and(|script| script == path)
                || argv
                    .iter()
                    .skip(1)
                    .take(3)
                    .any(|word| !word.starts_with('-') && absolute(word, cwd) == *path)
                    && argv.first().is_some_and(|own| crate::roll::is_interpreter(own))
        }
        (Target::Verb { program, words, options }, Kind::Exec { argv, .. }) => {
            let (own, own_words, own_options) = verb(argv);
            own == *program
                && words.iter().all(|word| own_words.contains(word))
                && options.iter().all(|option| own_options.contains(option))
        }
        _ => false,
    }
}

fn reaches(kind: &Kind, host: &str) -> bool {
    match kind {
        Kind::Connect { address: Address::Ip { ip, .. }, .. }
        | Kind::Send { address: Address::Ip { ip, .. }, .. } => ip.to_string() == host,
        Kind::Dns { name, .. } | Kind::Tls { name, .. } => {
            name.trim_end_matches('.').eq_ignore_ascii_case(host)
        }
        Kind::Http { host: Some(named), .. } => {
            named.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case(host))
        }
        _ => false,
    }
}

/// Does a later call's text ask for what was refused, where the record would not show it?
fn asks_for(call: &Call, target: &Target, cwd: &str, home: Option<&str>) -> bool {
    let cwd = call.cwd.as_deref().unwrap_or(cwd);
    match target {
        Target::Read(path) => match call.class {
            Class::Read => call.paths.iter().any(|p| absolute(p, cwd) == *path),
            Class::Execute => call.texts().any(|text| {
                let named = |word: &str| {
                    absolute(word, cwd) == *path
                        // In the text of another language.
                        || word.contains(path.as_str())
                        || name_of(path).len() >= 6 && name_of(path).contains('.') && word.contains(name_of(path))
                };
                shell::simple_commands(&at_home(text, home)).unwrap_or_default().iter().any(|simple| {
                    let lists = matches!(simple.words.first().map(|w| name_of(w)), Some("ls" | "find" | "git" | "rm" | "test" | "[" | "echo" | "stat"));
                    !lists && simple.words.iter().skip(1).any(|word| named(word))
                })
            }),
            _ => false,
        },
        Target::Host(host) => call.class == Class::Fetch && hosts(&call.arguments).iter().any(|h| h == host),
        Target::Write(_) | Target::Delete(_) | Target::Chmod(_) | Target::Run(_) | Target::Verb { .. } => false,
    }
}

/// What a call was after.
fn targets(call: &Call, cwd: &str, home: Option<&str>) -> Vec<Target> {
    let cwd = call.cwd.as_deref().unwrap_or(cwd);
    let mut out = Vec::new();
    for path in &call.paths {
        let path = absolute(path, cwd);
        match call.class {
            Class::Edit => out.push(Target::Write(path)),
            Class::Delete | Class::Move => out.push(Target::Delete(path)),
            Class::Read => out.push(Target::Read(path)),
            Class::Search
            | Class::Execute
            | Class::Fetch
            | Class::Mcp
            | Class::Delegate
            | Class::Think
            | Class::Plan
            | Class::Ask
            | Class::Other => {}
        }
    }
    if call.class == Class::Fetch {
        out.extend(hosts(&call.arguments).into_iter().map(Target::Host));
    }
    for text in call.texts() {
        out.extend(of_command(&at_home(text, home), cwd));
    }
    out.sort();
    out.dedup();
    out.truncate(TARGETS_MAX);
    out
}

/// With the user's folder in place of `~/` and `$HOME/`, where a word begins with it.
pub(crate) fn at_home(text: &str, home: Option<&str>) -> String {
    let Some(home) = home.filter(|home| home.starts_with('/')) else { return text.to_owned() };
    let home = format!("{}/", home.trim_end_matches('/'));
    let mut out = text.replace("${HOME}/", &home).replace("$HOME/", &home);
    for before in [" ", "\t", "\n", "=", ">", "<", "\"", "'"] {
        out = out.replace(&format!("{before}~/"), &format!("{before}{home}"));
    }
    match out.strip_prefix("~/") {
        Some(rest) => format!("{home}{rest}"),
        None => out,
    }
}

/// What a shell command is after, by its text.
pub(crate) fn of_command(text: &str, cwd: &str) -> Vec<Target> {
    let all = shell::simple_commands(text).unwrap_or_default();
    all.iter().flat_map(|simple| of_simple(simple, cwd)).collect()
}

/// … and one of the simple commands in it.
pub(crate) fn of_simple(simple: &shell::Simple, cwd: &str) -> Vec<Target> {
    let mut out = Vec::new();
    let written = simple.written.iter().filter(|path| !path.starts_with("/dev/") && is_plain(path));
    out.extend(written.map(|path| Target::Write(absolute(path, cwd))));
    let Some(program) = simple.words.first() else { return out };
    let operands: Vec<&str> = simple
        .words
        .iter()
        .skip(1)
        .map(String::as_str)
        .filter(|w| !w.starts_with('-') && !w.is_empty())
        .collect();
    let paths = || operands.iter().filter(|word| is_plain(word)).map(|word| absolute(word, cwd));
    let name = name_of(program);
    match name {
        "rm" | "rmdir" | "unlink" | "shred" | "trash" => out.extend(paths().map(Target::Delete)),
        "tee" | "touch" | "truncate" => out.extend(paths().map(Target::Write)),
        "mv" => {
            let all: Vec<String> = paths().collect();
            if let Some((last, rest)) = all.split_last() {
                out.extend(rest.iter().cloned().map(Target::Delete));
                out.push(Target::Write(last.clone()));
            }
        }
        "cp" | "install" | "ln" => {
            out.extend(paths().next_back().map(Target::Write));
            if name == "cp" {
                out.extend(paths().take(operands.len().saturating_sub(1)).map(Target::Read));
            }
        }
        "sed" | "perl" if simple.words.iter().any(|w| w.starts_with("-i") || w == "--in-place") => {
            out.extend(paths().next_back().map(Target::Write));
        }
        "chmod" | "chown" | "chgrp" => {
            out.extend(operands.iter().skip(1).map(|word| Target::Chmod(absolute(word, cwd))));
        }
        "cat" | "head" | "tail" | "less" | "more" | "base64" | "xxd" | "strings" | "source" | "." | "od"
        | "tac" | "nl" | "bat" => out.extend(paths().map(Target::Read)),
        "curl" | "wget" | "http" | "https" | "nc" | "ncat" | "ssh" | "scp" | "rsync" | "sftp" | "ftp"
        | "telnet" | "ping" | "socat" | "aria2c" => {
            out.extend(operands.iter().flat_map(|word| host_of(word)).map(Target::Host));
        }
        "git" | "npm" | "pnpm" | "yarn" | "cargo" | "docker" | "podman" | "kubectl" | "helm"
        | "terraform" | "aws" | "gcloud" | "az" | "gh" | "glab" | "systemctl" | "service" | "crontab"
        | "at" | "kill" | "pkill" | "killall" | "pip" | "pip3" | "apt" | "apt-get" | "useradd"
        | "usermod" | "passwd" | "mount" | "umount" | "iptables" | "sysctl" | "shutdown" | "reboot" => {
            let (program, words, options) = verb(&simple.words);
            if !words.is_empty() {
                out.push(Target::Verb { program, words, options });
            }
        }
        _ if program.contains('/') => out.push(Target::Run(absolute(program, cwd))),
        _ if crate::roll::is_interpreter(program) => {
            let script = operands.first().filter(|word| is_plain(word) && word.contains(['.', '/']));
            if !simple.words.iter().any(|w| matches!(w.as_str(), "-c" | "-e" | "-m" | "--eval")) {
                out.extend(script.map(|word| Target::Run(absolute(word, cwd))));
            }
        }
        _ => {}
    }
    // Hosts in addresses, whatever the program.
    out.extend(simple.words.iter().filter(|w| w.contains("://")).flat_map(|w| hosts(w)).map(Target::Host));
    out
}

/// Words whose meaning the text alone gives.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.contains(['$', '`', '{', '~', '\n']) && !matches!(word, "." | ".." | "/" | "*")
}

fn verb(argv: &[String]) -> (String, Vec<String>, Vec<char>) {
    let program = argv.first().map_or("", |word| name_of(word)).to_owned();
    let mut words = Vec::new();
    let mut options = Vec::new();
    let mut rest = argv.iter().skip(1);
    while let Some(word) = rest.next() {
        if program == "git" && matches!(word.as_str(), "-c" | "-C") {
            rest.next();
        } else if let Some(option) = word.strip_prefix("--") {
            options.extend(option.chars().next());
        } else if let Some(letters) = word.strip_prefix('-').filter(|w| !w.is_empty()) {
            options.extend(letters.chars());
        } else {
            words.push(word.clone());
        }
    }
    (program, words, options)
}

/// The hosts of addresses in a text.
pub(crate) fn hosts(text: &str) -> Vec<String> {
    let after = |part: &str| {
        let host: String = part
            .rsplit_once('@')
            .filter(|(user, _)| !user.contains('/'))
            .map_or(part, |(_, host)| host)
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            .collect();
        (!host.is_empty()).then(|| host.to_ascii_lowercase())
    };
    text.split("://").skip(1).filter_map(after).filter(|host| !is_own(host)).collect()
}

/// `user@host:path`, `host`, `1.2.3.4`.
fn host_of(word: &str) -> Option<String> {
    if word.contains("://") {
        return hosts(word).into_iter().next();
    }
    let host = word.rsplit_once('@').map_or(word, |(_, host)| host);
    let host = host.split([':', '/']).next().unwrap_or_default().to_ascii_lowercase();
    let named =
        host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    (named && !is_own(&host)).then_some(host)
}

fn is_own(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "::1")
}

fn in_words(event: &Event, argv: &[String]) -> String {
    match &event.kind {
        Kind::Open { path, access, .. } if access.write => format!("wrote `{}`", shorten(path)),
        Kind::Open { path, .. } => format!("read `{}`", shorten(path)),
        Kind::Rename { from, to, .. } => format!("moved `{}` to `{}`", shorten(from), shorten(to)),
        Kind::Link { to: path, .. } | Kind::Symlink { path, .. } | Kind::Truncate { path, .. } => {
            format!("changed `{}`", shorten(path))
        }
        Kind::Unlink { path, .. } => format!("removed `{}`", shorten(path)),
        Kind::Chmod { path, .. } | Kind::Chown { path, .. } => {
            format!("changed the permissions of `{}`", shorten(path))
        }
        Kind::Connect { address, .. } | Kind::Send { address, .. } => format!("reached {address}"),
        Kind::Dns { name, .. } | Kind::Tls { name, .. } => format!("reached `{}`", shorten(name)),
        Kind::Http { host, .. } => format!("reached `{}`", shorten(host.as_deref().unwrap_or_default())),
        _ => {
            let text = command_texts(argv).first().cloned().unwrap_or_default();
            format!("ran `{}`", shorten(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Target]) {
        let mut found = of_command(text, "/w");
        found.sort();
        found.dedup();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_a_command_is_after() {
        let write = |path: &str| Target::Write(path.to_owned());
        let delete = |path: &str| Target::Delete(path.to_owned());
        let host = |name: &str| Target::Host(name.to_owned());
        check("echo x > /etc/motd", &[write("/etc/motd")]);
        check("rm -rf build ../x", &[delete("/w/build"), delete("/x")]);
        check("cat a | tee b >/dev/null", &[write("/w/b"), Target::Read("/w/a".into())]);
        check("mv a b", &[delete("/w/a"), write("/w/b")]);
        check("sed -i s/a/b/ conf.py", &[write("/w/conf.py")]);
        check("curl -s http://Evil.example/x", &[host("evil.example")]);
        check("scp a me@h.example:b", &[host("h.example")]);
        check("curl http://127.0.0.1:80/", &[]);
        check("./deploy.sh prod", &[Target::Run("/w/deploy.sh".into())]);
        check("python3 deploy.py", &[Target::Run("/w/deploy.py".into())]);
        check("python3 -c 'print(1)'", &[]);
        check(
            "git push --force origin main",
            &[Target::Verb {
                program: "git".into(),
                words: vec!["push".into(), "origin".into(), "main".into()],
                options: vec!['f'],
            }],
        );
        check("ls -l; echo $HOME; rm $X", &[]);
    }
}
