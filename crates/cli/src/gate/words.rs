//! An action as a person reads it, and patterns over actions as a person writes them: `write /srv/app/**`, `run git push*`.

use muster_mandate::Action;
use muster_mandate::glob::PathGlob;

/// Bytes of a pattern: a path and some stars.
const PATTERN_MAX: usize = 4 * 1024;

/// The verbs of patterns.
pub const VERBS: [&str; 8] = ["read", "write", "run", "connect", "credential", "tool", "agent", "privileged"];

pub fn verb(action: &Action) -> &'static str {
    match action {
        Action::Read { .. } => "read",
        Action::Write { .. } => "write",
        Action::Execute { .. } => "run",
        Action::Connect { .. } => "connect",
        Action::Credential { .. } => "credential",
        Action::Tool { .. } => "tool",
        Action::Agent { .. } => "agent",
        Action::Privileged { .. } => "privileged",
    }
}

/// What it is done to, whole: a person decides upon nothing else.
pub fn subject(action: &Action) -> String {
    match action {
        Action::Read { path } | Action::Write { path } => path.clone(),
        Action::Execute { path, argv } => {
            let rest: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
            if rest.is_empty() { path.clone() } else { format!("{path} {}", rest.join(" ")) }
        }
        Action::Connect { host, address, port, .. } => {
            let name = host.clone().or_else(|| address.map(|ip| ip.to_string())).unwrap_or_default();
            port.map_or(name.clone(), |port| format!("{name}:{port}"))
        }
        Action::Credential { what, path } => {
            path.as_ref().map_or(what.clone(), |path| format!("{what} {path}"))
        }
        Action::Tool { name, arguments } => {
            if arguments.is_empty() {
                name.clone()
            } else {
                format!("{name} {arguments}")
            }
        }
        Action::Agent { product } => product.clone(),
        Action::Privileged { operation, detail } => format!("{operation:?} {detail}").to_lowercase(),
    }
}

/// Shown to a person, escaped.
pub fn in_words(action: &Action) -> String {
    muster_event::sanitize(&format!("{} {}", verb(action), subject(action)))
}

/// A pattern that a person gave. `*` stands for anything but `/` in paths, `**` and other stars for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    verb: String,
    glob: String,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (verb, glob) =
            text.split_once(' ').ok_or("write a pattern as `VERB GLOB`, e.g. `write /srv/app/**`")?;
        if !VERBS.contains(&verb) {
            return Err(format!("`{verb}` is none of {}", VERBS.join(", ")));
        }
        let glob = glob.trim();
        if glob.is_empty() || glob.len() > PATTERN_MAX {
            return Err("the pattern is empty or too long".to_owned());
        }
        if glob.chars().all(|c| matches!(c, '*' | '/')) {
            return Err("a pattern that lets everything pass is no answer to a question".to_owned());
        }
        if matches!(verb, "read" | "write") {
            PathGlob::new(glob).map_err(|why| format!("`{glob}` {why}"))?;
        }
        Ok(Self { verb: verb.to_owned(), glob: glob.to_owned() })
    }

    pub fn fits(&self, action: &Action) -> bool {
        if verb(action) != self.verb {
            return false;
        }
        let subject = subject(action);
        match action {
            Action::Read { path } | Action::Write { path } => {
                PathGlob::new(&self.glob).is_ok_and(|glob| glob.matches(path))
            }
            // With or without its port.
            Action::Connect { host, address, .. } => {
                let name = host.clone().or_else(|| address.map(|ip| ip.to_string())).unwrap_or_default();
                wild(self.glob.as_bytes(), subject.as_bytes()) || wild(self.glob.as_bytes(), name.as_bytes())
            }
            Action::Tool { name, .. } => {
                wild(self.glob.as_bytes(), name.as_bytes()) || wild(self.glob.as_bytes(), subject.as_bytes())
            }
            Action::Execute { .. }
            | Action::Credential { .. }
            | Action::Agent { .. }
            | Action::Privileged { .. } => wild(self.glob.as_bytes(), subject.as_bytes()),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.glob)
    }
}

/// `*` is any text. Takes the time of their product at most.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

/// What a person may answer with instead of one action: narrow enough to be read.
pub fn suggestion(action: &Action) -> Option<String> {
    let folder =
        |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).filter(|f| f.len() > 1);
    Some(match action {
        Action::Read { path } => format!("read {}/*", folder(path)?),
        Action::Write { path } => format!("write {}/*", folder(path)?),
        Action::Execute { path, argv } => match argv.get(1) {
            Some(word) if !word.starts_with('-') && !word.contains(['*', '/', ' ']) => {
                format!("run {path} {word}*")
            }
            _ => return None,
        },
        Action::Connect { host: Some(host), .. } => format!("connect {host}"),
        Action::Connect { address: Some(address), .. } => format!("connect {address}"),
        Action::Tool { name, .. } => format!("tool {name}"),
        Action::Connect { .. }
        | Action::Credential { .. }
        | Action::Agent { .. }
        | Action::Privileged { .. } => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Action {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Action::Execute { path: argv[0].clone(), argv }
    }

    #[track_caller]
    fn check(pattern: &str, action: &Action, expected: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().fits(action), expected, "{pattern} {action:?}");
    }

    #[test]
    fn patterns() {
        let write = |path: &str| Action::Write { path: path.to_owned() };
        check("write /srv/app/*", &write("/srv/app/a"), true);
        check("write /srv/app/*", &write("/srv/app/a/b"), false);
        check("write /srv/app/**", &write("/srv/app/a/b"), true);
        check("read /srv/app/**", &write("/srv/app/a/b"), false);
        check("run git push*", &run("git push --force"), true);
        check("run git push*", &run("git pull"), false);
        check("run *rm*", &run("sudo rm x"), true);
        let tool = Action::Tool { name: "mcp__db__drop".into(), arguments: "{}".into() };
        check("tool mcp__db__*", &tool, true);
        check("tool mcp__files__*", &tool, false);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "write", "write *", "write /**", "run **", "fly /a", "write  "] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for action in [run("git push -f"), run("ls"), Action::Read { path: "/a/b".into() }] {
            if let Some(text) = suggestion(&action) {
                check(&text, &action, true);
            }
        }
    }

    #[test]
    fn what_a_person_reads_is_escaped() {
        let action = run("x \u{1b}[2J\u{202e}");
        assert!(!in_words(&action).contains(['\u{1b}', '\u{202e}']));
    }
}
