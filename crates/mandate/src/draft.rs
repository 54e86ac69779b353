//! Mandates as text: a new one, one that covers what was done, one that renews another, and how two differ in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use muster_event::Nanos;

use crate::glob::{PathGlob, escape, path_parts};
use crate::line::{Kind, Pattern, program_line};
use crate::text::{duration_words, moment_text};
use crate::{Action, Binding, Chain, Link, Mandate, Protocol, Verdict, id_of};

/// Files that hold authority elsewhere: refused by every draft, unless a line is taken out.
const SECRETS: [&str; 9] = [
    "~/.ssh/**",
    "~/.aws/**",
    "~/.gnupg/**",
    "~/.kube/**",
    "~/.config/gcloud/**",
    "~/.azure/**",
    "~/.netrc",
    "~/.git-credentials",
    "/etc/shadow",
];
/// So many programs or files of one folder are named one by one; beyond it, the folder is.
const NAMED_MAX: usize = 12;
const FILES_MAX: usize = 2;
/// Lines of paths of one kind; beyond it, folders are put together.
const PATHS_MAX: usize = 40;
/// So many lines below one folder are put together.
const ALIKE_MIN: usize = 4;

#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub principal: String,
    pub agent: String,
    pub task: String,
    pub host: String,
    pub serial: String,
    pub expires_ns: Nanos,
    pub allow: BTreeMap<Kind, Vec<String>>,
    pub deny: BTreeMap<Kind, Vec<String>>,
    pub time_ns: Option<Nanos>,
    pub sub_agents: Option<u64>,
    pub account: bool,
    /// Of the whole, for a part.
    pub parent: Option<String>,
}

impl Draft {
    /// A folder to work in, the system's programs, no network but what the product itself needs.
    pub fn for_folder(&mut self, folder: &str) {
        let folder = format!("{}/**", escape(folder.trim_end_matches('/')));
        let programs = vec!["/usr/**".to_owned(), "/bin/**".to_owned(), folder.replace(' ', "\\ ")];
        self.allow = BTreeMap::from([
            (Kind::Read, vec!["/**".to_owned()]),
            (Kind::Write, vec![folder, "/tmp/**".to_owned()]),
            (Kind::Execute, programs),
            (Kind::Tool, vec!["*".to_owned()]),
        ]);
        self.deny = BTreeMap::from([(Kind::Read, SECRETS.map(str::to_owned).to_vec())]);
        self.account = true;
    }

    pub fn text(&self) -> String {
        let mut out = String::from(
            "# What an agent may do, on whose word and until when: docs/mandates.md\nmuster = 1\n",
        );
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut key = |name: &str, value: String| {
            let _ = writeln!(out, "{name} = {value}");
        };
        key("principal", quoted(&self.principal));
        key("agent", quoted(&self.agent));
        key("task", quoted(&self.task));
        key("host", quoted(&self.host));
        key("serial", quoted(&self.serial));
        key("expires", moment_text(self.expires_ns));
        if let Some(parent) = &self.parent {
            key("parent", quoted(parent));
        }
        for (title, lines) in [("scope", &self.allow), ("scope.deny", &self.deny)] {
            if lines.values().all(Vec::is_empty) {
                continue;
            }
            let _ = writeln!(out, "\n[{title}]");
            for (kind, lines) in lines.iter().filter(|(_, lines)| !lines.is_empty()) {
                let lines: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
                let short = lines.iter().map(String::len).sum::<usize>() < 80;
                let _ = if short {
                    writeln!(out, "{} = [{}]", kind.key(), lines.join(", "))
                } else {
                    writeln!(out, "{} = [\n    {},\n]", kind.key(), lines.join(",\n    "))
                };
            }
        }
        if self.time_ns.is_some() || self.sub_agents.is_some() {
            let _ = writeln!(out, "\n[limits]");
            if let Some(ns) = self.time_ns {
                let _ = writeln!(out, "time = {}", quoted(&duration_words(ns)));
            }
            if let Some(count) = self.sub_agents {
                let _ = writeln!(out, "sub_agents = {count}");
            }
        }
        if self.account {
            let _ = writeln!(out, "\n[oversight]\naccount = true");
        }
        out
    }
}

/// The lines that cover what was done: folders, where there are many files of one.
pub fn lines_for(actions: &[Action], binding: &Binding, cwd: &str) -> BTreeMap<Kind, Vec<String>> {
    let outside = outside_runtime(actions, binding);
    let mut by_kind: BTreeMap<Kind, Vec<&Action>> = BTreeMap::new();
    for action in outside {
        by_kind.entry(Kind::of(action)).or_default().push(action);
    }
    let mut lines: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    lines.insert(Kind::Read, vec!["/**".to_owned()]);
    let home = binding.home.as_deref();
    for (kind, actions) in by_kind {
        let made = match kind {
            // Of reads, only those of sensitive files are known: what is not known is not refused.
            Kind::Read => continue,
            Kind::Write => path_lines(paths(&actions), cwd, home, FILES_MAX),
            Kind::Execute => {
                let lines = path_lines(paths(&actions), cwd, home, NAMED_MAX);
                lines.into_iter().map(|line| line.replace(' ', "\\ ")).collect()
            }
            Kind::Connect => connect_lines(&actions),
            Kind::Credential | Kind::Tool | Kind::Agent | Kind::Privileged => {
                let lines: BTreeSet<String> = actions
                    .iter()
                    .filter_map(|action| crate::line_for(action))
                    .map(|(_, line)| line)
                    .collect();
                lines.into_iter().collect()
            }
        };
        lines.insert(kind, made);
    }
    lines
}

/// Secrets that were not read.
pub fn refusals_for(actions: &[Action], home: Option<&str>) -> BTreeMap<Kind, Vec<String>> {
    let used = |secret: &str| {
        let glob = PathGlob::new(secret).and_then(|glob| glob.at_home(home.unwrap_or("/root")));
        glob.is_ok_and(|glob| {
            actions.iter().any(|action| match action {
                Action::Read { path } | Action::Credential { path: Some(path), .. } => glob.matches(path),
                _ => false,
            })
        })
    };
    let lines = SECRETS.into_iter().filter(|secret| !used(secret)).map(str::to_owned).collect();
    BTreeMap::from([(Kind::Read, lines)])
}

/// What no product does by itself.
fn outside_runtime<'a>(actions: &'a [Action], binding: &Binding) -> Vec<&'a Action> {
    // A mandate without a line allows what every program does, and nothing else.
    let body = "muster = 1\nprincipal = \"-\"\nagent = \"*\"\ntask = \"-\"\nhost = \"*\"\nserial = \"-\"\nexpires = 2200-01-01T00:00:00Z\n";
    let chain = Mandate::parse(body).ok().and_then(|mandate| {
        let id = id_of(body.as_bytes());
        Chain::new(vec![Link { stands_for: id.clone(), id, mandate, policy: None }], binding).ok()
    });
    let allowed = |action: &Action| {
        chain.as_ref().is_some_and(|chain| chain.decide(action, 1).verdict == Verdict::Allow)
    };
    actions.iter().filter(|action| !allowed(action)).collect()
}

fn paths<'a>(actions: &[&'a Action]) -> BTreeSet<&'a str> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Write { path } | Action::Execute { path, .. } => Some(path.as_str()),
            _ => None,
        })
        .filter(|path| path_parts(path).is_some())
        .collect()
}

fn path_lines(paths: BTreeSet<&str>, cwd: &str, home: Option<&str>, named_max: usize) -> Vec<String> {
    let home = home.map(|home| escape(home.trim_end_matches('/'))).filter(|home| !home.is_empty());
    let mut whole: BTreeSet<String> = BTreeSet::new();
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let is_project = cwd.matches('/').count() >= 2 && !matches!(cwd, "/usr/bin" | "/usr/lib" | "/home/");
    for path in paths {
        let within = |folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_project && within(cwd) {
            whole.insert(format!("{}/**", escape(cwd)));
            continue;
        }
        if let Some(temporary) = ["/tmp", "/var/tmp", "/dev/shm"].into_iter().find(|folder| within(folder)) {
            whole.insert(format!("{temporary}/**"));
            continue;
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(folder).or_default().insert(name);
    }
    for (folder, names) in &folders {
        // A name of chance will be another one in the next run.
        let by_chance = names.iter().any(|name| is_of_chance(name));
        if (names.len() > named_max || by_chance) && folder.matches('/').count() >= 2 {
            whole.insert(format!("{}/*", escape(folder)));
        } else {
            whole.extend(names.iter().map(|name| escape(&format!("{folder}/{name}"))));
        }
    }
    let mut lines: Vec<String> = whole.into_iter().collect();
    let mut depth = 6;
    while lines.len() > PATHS_MAX && depth >= 2 {
        let start = |line: &str| {
            let parts: Vec<&str> = line.split('/').collect();
            let start = parts.get(..=depth)?.join("/");
            // A home folder is never put together, nor what holds it.
            let above = home.as_ref().is_some_and(|home| home.starts_with(&start));
            (parts.len() > depth + 1 && !above).then_some(start)
        };
        let mut of: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines.iter().filter_map(|line| start(line)) {
            *of.entry(line).or_default() += 1;
        }
        // A folder of its own stays as it is.
        let together = |line: String| match start(&line) {
            Some(start) if of.get(&start).is_some_and(|count| *count >= ALIKE_MIN) => format!("{start}/**"),
            _ => line,
        };
        lines = lines.into_iter().map(together).collect::<BTreeSet<String>>().into_iter().collect();
        depth -= 1;
    }
    // What a wider line holds need not be named.
    let globs: Vec<Option<PathGlob>> = lines.iter().map(|line| PathGlob::new(line).ok()).collect();
    let held = |at: usize| {
        let Some(Some(inner)) = globs.get(at) else { return false };
        globs.iter().enumerate().any(|(other, outer)| {
            other != at
                && outer
                    .as_ref()
                    .is_some_and(|outer| outer.includes(inner) && (!inner.includes(outer) || other < at))
        })
    };
    // As the next user has it too.
    let shown = |line: &String| match home.as_ref().and_then(|home| line.strip_prefix(home.as_str())) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => line.clone(),
    };
    (0..lines.len()).filter(|at| !held(*at)).filter_map(|at| lines.get(at)).map(shown).collect()
}

/// Four digits in a row, or eight characters of which some are digits and none spell a word.
fn is_of_chance(name: &str) -> bool {
    let mut digits = 0;
    for c in name.chars() {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        if digits >= 4 {
            return true;
        }
    }
    name.split(['.', '-', '_']).any(|part| {
        part.len() >= 8
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.bytes().filter(u8::is_ascii_digit).count() >= 2
    })
}

fn connect_lines(actions: &[&Action]) -> Vec<String> {
    let mut lines = BTreeSet::new();
    // An address that a name was seen for is that name.
    let named: BTreeSet<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Connect { host: Some(_), address: Some(address), port, .. } => Some((*address, *port)),
            _ => None,
        })
        .collect();
    for action in actions {
        let Action::Connect { host, address, port, protocol } = action else { continue };
        if *protocol != Protocol::Unix && address.is_some_and(|it| it.to_canonical().is_loopback()) {
            // Programs of one machine choose their ports by chance.
            let fixed = port.filter(|port| *port < 32_768);
            lines.insert(fixed.map_or("localhost:*".to_owned(), |port| format!("localhost:{port}")));
        } else if host.is_some() || address.is_none_or(|address| !named.contains(&(address, *port))) {
            lines.extend(crate::line_for(action).map(|(_, line)| line));
        }
    }
    if lines.contains("localhost:*") {
        lines.retain(|line| !line.starts_with("localhost:") || line == "localhost:*");
    }
    lines.into_iter().collect()
}

/// The text with another serial and end, naming what it renews. Comments stay.
pub fn renewed(text: &str, old_id: &str, serial: &str, expires_ns: Nanos) -> String {
    let mut out = String::new();
    let mut top = true;
    let mut done = false;
    for line in text.lines() {
        top &= !line.trim_start().starts_with('[');
        let key = line.split('=').next().unwrap_or_default().trim();
        if top && matches!(key, "renews" | "serial" | "expires") {
            if !done {
                let _ = writeln!(out, "serial = {}", toml::Value::from(serial));
                let _ = writeln!(out, "renews = {}", toml::Value::from(old_id));
                let _ = writeln!(out, "expires = {}", moment_text(expires_ns));
                done = true;
            }
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The text with the hash of its policy.
pub fn with_policy_hash(text: &str, hash: &str) -> String {
    let mut out = String::new();
    let mut top = true;
    for line in text.lines() {
        top &= !line.trim_start().starts_with('[');
        let key = line.split('=').next().unwrap_or_default().trim();
        if top && key == "policy_sha256" {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if top && key == "policy" {
            let _ = writeln!(out, "policy_sha256 = {}", toml::Value::from(hash));
        }
    }
    out
}

/// How the second differs from the first, a sentence each.
pub fn differences(old: &Mandate, new: &Mandate) -> Vec<String> {
    let mut words = Vec::new();
    for (name, before, after) in [
        ("principal", old.principal.clone(), new.principal.clone()),
        ("task", old.task.clone(), new.task.clone()),
        ("serial", old.serial.clone(), new.serial.clone()),
        ("begins", moment(old.not_before_ns), moment(new.not_before_ns)),
        ("parent", text(old.parent.as_ref()), text(new.parent.as_ref())),
        ("time", length(old.limits.time_ns), length(new.limits.time_ns)),
        ("processor time", length(old.limits.cpu_ns), length(new.limits.cpu_ns)),
        ("processes", number(old.limits.processes), number(new.limits.processes)),
        ("sub-agents", number(old.limits.sub_agents), number(new.limits.sub_agents)),
        ("calls", number(old.limits.calls), number(new.limits.calls)),
        ("tokens", number(old.limits.tokens), number(new.limits.tokens)),
        ("money (millionths of a dollar)", number(old.limits.micro_usd), number(new.limits.micro_usd)),
        ("longest silence", length(old.oversight.silence_ns), length(new.oversight.silence_ns)),
        ("policy", policy(old), policy(new)),
    ] {
        if before != after {
            words.push(format!("{name}: was {before}, is {after}"));
        }
    }
    match new.expires_ns.cmp(&old.expires_ns) {
        std::cmp::Ordering::Less => {
            words.push(format!("ends {} earlier", duration_words(old.expires_ns - new.expires_ns)));
        }
        std::cmp::Ordering::Greater => {
            words.push(format!("ends {} later", duration_words(new.expires_ns - old.expires_ns)));
        }
        std::cmp::Ordering::Equal => {}
    }
    for (which, more, old, new) in [
        ("may", "may no longer", &old.allow, &new.allow),
        ("is refused to", "is no longer refused to", &old.deny, &new.deny),
        ("asks to", "no longer asks to", &old.ask, &new.ask),
    ] {
        for kind in Kind::ALL {
            let lines = |lines: &crate::Lines| -> Vec<(String, Pattern)> {
                let lines = lines.get(&kind).into_iter().flatten();
                lines.map(|line| (line.text.clone(), line.pattern.clone())).collect()
            };
            let (before, after) = (lines(old), lines(new));
            for (text, pattern) in &after {
                if !before.iter().any(|(_, known)| known == pattern) {
                    let held = before.iter().any(|(_, known)| known.includes(pattern));
                    let note = if held { " (within what was there)" } else { "" };
                    words.push(format!("{which} {}: `{text}`{note}", kind.name()));
                }
            }
            for (text, pattern) in &before {
                if !after.iter().any(|(_, known)| known == pattern) {
                    let held = after.iter().any(|(_, known)| known.includes(pattern));
                    let note = if held { " (within what is there)" } else { "" };
                    words.push(format!("{more} {}: `{text}`{note}", kind.name()));
                }
            }
        }
    }
    if old.oversight.account != new.oversight.account {
        words.push(
            if new.oversight.account { "must keep an account" } else { "need keep no account" }.to_owned(),
        );
    }
    for (name, same) in [
        ("agent", old.agents == new.agents),
        ("host", old.hosts == new.hosts),
        ("single_use", old.single_use == new.single_use),
        ("delegation", old.delegation == new.delegation),
    ] {
        if !same {
            words.push(format!("`{name}` is another"));
        }
    }
    words
}

fn moment(ns: Option<Nanos>) -> String {
    ns.map_or("at once".to_owned(), moment_text)
}

fn length(ns: Option<Nanos>) -> String {
    ns.map_or("any".to_owned(), duration_words)
}

fn number(count: Option<u64>) -> String {
    count.map_or("any".to_owned(), |count| count.to_string())
}

fn text(value: Option<&String>) -> String {
    value.map_or("none".to_owned(), |value| format!("`{value}`"))
}

fn policy(mandate: &Mandate) -> String {
    mandate.policy.as_ref().map_or("none".to_owned(), |it| {
        format!(
            "`{}` {}",
            it.name,
            it.sha256.as_deref().and_then(|hash| hash.get(..12)).unwrap_or("unsigned")
        )
    })
}

/// A program's line for the whole folder that it lies in.
pub fn program_folder_line(folder: &str) -> String {
    format!("{}/**", program_line(folder.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str) -> Action {
        Action::Write { path: path.to_owned() }
    }

    fn binding() -> Binding {
        Binding { product: "claude-code".into(), home: Some("/root".into()), ..Binding::default() }
    }

    #[test]
    fn folders_not_thousands_of_files() {
        let mut actions: Vec<Action> = (0..1_000).map(|n| write(&format!("/x/app/src/{n}/x.rs"))).collect();
        actions.extend((0..300).map(|n| write(&format!("/srv/data/{n}/a/b/c"))));
        actions.extend([
            write("/tmp/x"),
            write("/dev/null"),
            write("/root/.claude/projects/x"),
            write("/etc/one.conf"),
            write("/var/cache/thing/a83hf73h2.json"),
            write("/x/app"),
            write("/root/.thing/one"),
            Action::Execute { path: "/usr/bin/git".into(), argv: vec!["git".into()] },
            Action::Tool { name: "Bash".into(), arguments: "{}".into() },
        ]);
        let lines = lines_for(&actions, &binding(), "/x/app");
        assert_eq!(lines[&Kind::Execute], ["/usr/bin/git"]);
        assert_eq!(lines[&Kind::Tool], ["Bash"]);
        assert_eq!(
            lines[&Kind::Write],
            ["/etc/one.conf", "~/.thing/one", "/srv/data/**", "/tmp/**", "/var/cache/thing/*", "/x/app/**"]
        );
        // They cover all that was done.
        let draft = Draft {
            principal: "a".into(),
            agent: "*".into(),
            task: "t".into(),
            host: "*".into(),
            serial: "1".into(),
            expires_ns: 4_000_000_000_000_000_000,
            allow: lines,
            ..Draft::default()
        };
        let mandate = Mandate::parse(&draft.text()).unwrap();
        let link = Link { id: "x".into(), stands_for: "x".into(), mandate, policy: None };
        let chain = Chain::new(vec![link], &binding()).unwrap();
        for action in &actions {
            assert_eq!(chain.decide(action, 1).verdict, Verdict::Allow, "{action:?}");
        }
    }

    #[test]
    fn texts_are_read_again() {
        let mut draft =
            Draft { principal: "a\"b".into(), agent: "codex".into(), task: "t".into(), ..Draft::default() };
        (draft.host, draft.serial, draft.expires_ns) = ("h".into(), "1".into(), 1_800_000_000_000_000_000);
        draft.for_folder("/w/a b");
        let mandate = Mandate::parse(&draft.text()).unwrap();
        assert_eq!(mandate.principal, "a\"b");
        assert_eq!(mandate.warnings().len(), 2);
        let newer = renewed(&draft.text(), &"a".repeat(64), "2", 1_900_000_000_000_000_000);
        let newer = Mandate::parse(&newer).unwrap();
        newer.is_renewal_of(&mandate).unwrap();
        assert_eq!(differences(&mandate, &newer).len(), 2);
    }

    #[test]
    fn differences_in_words() {
        let body = crate::mandate::tests::SAMPLE;
        let old = Mandate::parse(body).unwrap();
        let new = body
            .replace("~/work/**\"]", "~/work/a/**\"]")
            .replace("account = true", "")
            .replace("T18:", "T17:");
        let words = differences(&old, &Mandate::parse(&new).unwrap());
        assert_eq!(
            words,
            [
                "ends 1h earlier",
                "may write: `~/work/a/**` (within what was there)",
                "may no longer write: `~/work/**`",
                "need keep no account",
            ]
        );
    }
}
