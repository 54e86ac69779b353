//! One line of a mandate's scope: what it says, what it matches, and whether it holds another.

use crate::glob::{PathGlob, Word, Words, escape, path_parts};
use crate::host::{HostPattern, Target};
use crate::{Action, Operation};

/// What kind of act a line is about. The names are those of the keys in a mandate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Read,
    Write,
    Execute,
    Connect,
    Credential,
    Tool,
    Agent,
    Privileged,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Read,
        Kind::Write,
        Kind::Execute,
        Kind::Connect,
        Kind::Credential,
        Kind::Tool,
        Kind::Agent,
        Kind::Privileged,
    ];

    /// In `[scope]`.
    pub fn key(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Execute => "execute",
            Kind::Connect => "connect",
            Kind::Credential => "credentials",
            Kind::Tool => "tools",
            Kind::Agent => "agents",
            Kind::Privileged => "privileged",
        }
    }

    /// In an `ask` line, in Cedar, and to people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Credential => "credential",
            Kind::Tool => "tool",
            Kind::Agent => "agent",
            other => other.key(),
        }
    }

    pub fn of(action: &Action) -> Kind {
        match action {
            Action::Read { .. } => Kind::Read,
            Action::Write { .. } => Kind::Write,
            Action::Execute { .. } => Kind::Execute,
            Action::Connect { .. } => Kind::Connect,
            Action::Credential { .. } => Kind::Credential,
            Action::Tool { .. } => Kind::Tool,
            Action::Agent { .. } => Kind::Agent,
            Action::Privileged { .. } => Kind::Privileged,
        }
    }
}

/// What a line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Path(PathGlob),
    Command(Command),
    Host(HostPattern),
    Credential { what: Word, path: Option<PathGlob> },
    Word(Word),
}

/// A program, and its arguments where the line names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub program: PathGlob,
    pub arguments: Option<Words>,
}

/// A line, and where in the file it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// E.g. `scope.write[2]`.
    pub rule: String,
    /// Line of the file, from 1.
    pub number: usize,
    pub text: String,
    pub pattern: Pattern,
}

impl Pattern {
    /// `grants`: the line allows; it must say where a program lies.
    pub fn new(kind: Kind, text: &str, grants: bool) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(match kind {
            Kind::Read | Kind::Write => Pattern::Path(PathGlob::new(text)?),
            Kind::Execute => Pattern::Command(command(text, grants)?),
            Kind::Connect => Pattern::Host(HostPattern::new(text)?),
            Kind::Credential => {
                let (what, path) = match text.split_once(':') {
                    Some((what, path)) => (what, Some(PathGlob::new(path)?)),
                    None => (text, None),
                };
                Pattern::Credential { what: Word::new(what)?, path }
            }
            Kind::Tool | Kind::Agent => Pattern::Word(Word::new(text)?),
            Kind::Privileged => {
                if text != "*" && !operations().any(|(_, name)| name == text) {
                    let known: Vec<&str> = operations().map(|(_, name)| name).collect();
                    return Err(format!("`{text}` is no operation\nhint: one of {}", known.join(", ")));
                }
                Pattern::Word(Word::new(text)?)
            }
        })
    }

    pub fn of_home(&self) -> bool {
        match self {
            Pattern::Path(glob) => glob.of_home(),
            Pattern::Command(command) => command.program.of_home(),
            Pattern::Host(host) => host.of_home(),
            Pattern::Credential { path, .. } => path.as_ref().is_some_and(PathGlob::of_home),
            Pattern::Word(_) => false,
        }
    }

    pub fn at_home(&self, home: &str) -> Result<Pattern, String> {
        Ok(match self {
            Pattern::Path(glob) => Pattern::Path(glob.at_home(home)?),
            Pattern::Command(Command { program, arguments }) => {
                Pattern::Command(Command { program: program.at_home(home)?, arguments: arguments.clone() })
            }
            Pattern::Host(host) => Pattern::Host(host.at_home(home)?),
            Pattern::Credential { what, path } => Pattern::Credential {
                what: what.clone(),
                path: path.as_ref().map(|path| path.at_home(home)).transpose()?,
            },
            Pattern::Word(word) => Pattern::Word(word.clone()),
        })
    }

    /// `allows`: as a line that allows; see `HostPattern::allows`.
    pub fn matches(&self, subject: &Subject<'_>, allows: bool) -> bool {
        match (self, subject) {
            (Pattern::Path(glob), Subject::Path(parts)) => glob.matches_parts(parts),
            (Pattern::Command(command), Subject::Command(parts, argv)) => {
                command.program.matches_parts(parts)
                    && command
                        .arguments
                        .as_ref()
                        .is_none_or(|words| words.matches(argv.get(1..).unwrap_or_default()))
            }
            (Pattern::Host(host), Subject::Host(target)) if allows => host.allows(target),
            (Pattern::Host(host), Subject::Host(target)) => host.matches(target),
            (Pattern::Credential { what, path }, Subject::Credential(name, parts)) => {
                what.matches(name)
                    && match (path, parts) {
                        (None, _) => true,
                        (Some(path), Some(parts)) => path.matches_parts(parts),
                        // A refusal holds for what may be the path, a grant does not.
                        (Some(_), None) => !allows,
                    }
            }
            (Pattern::Word(word), Subject::Word(name)) => word.matches(name),
            _ => false,
        }
    }

    /// All that the other allows, this one allows. `false` where that cannot be shown.
    pub fn includes(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Path(outer), Pattern::Path(inner)) => outer.includes(inner),
            (Pattern::Command(outer), Pattern::Command(inner)) => {
                outer.program.includes(&inner.program)
                    && match (&outer.arguments, &inner.arguments) {
                        (None, _) => true,
                        (Some(outer), Some(inner)) => outer.includes(inner),
                        (Some(_), None) => false,
                    }
            }
            (Pattern::Host(outer), Pattern::Host(inner)) => outer.includes(inner),
            (
                Pattern::Credential { what: outer, path: outer_path },
                Pattern::Credential { what: inner, path: inner_path },
            ) => {
                outer.includes(inner)
                    && match (outer_path, inner_path) {
                        (None, _) => true,
                        (Some(outer), Some(inner)) => outer.includes(inner),
                        (Some(_), None) => false,
                    }
            }
            (Pattern::Word(outer), Pattern::Word(inner)) => outer.includes(inner),
            _ => false,
        }
    }
}

/// Splits at spaces that no `\` stands before; the `\` stays but for spaces.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ' ' {
            words.push(String::new());
            continue;
        }
        let Some(word) = words.last_mut() else { continue };
        if c == '\\' && chars.peek() == Some(&' ') {
            chars.next();
            word.push(' ');
        } else if c == '\\' {
            word.push(c);
            word.extend(chars.next());
        } else {
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn command(text: &str, grants: bool) -> Result<Command, String> {
    let words = split_words(text);
    let (program, arguments) = words.split_first().ok_or("is empty")?;
    let program = if program.contains('/') || program == "~" {
        PathGlob::new(program)?
    } else if grants {
        return Err(format!(
            "`{program}` may lie anywhere\nhint: name the whole path, as `/usr/bin/{program}`: any file may bear that name"
        ));
    } else {
        PathGlob::new(&format!("/**/{program}"))?
    };
    let arguments =
        if arguments.is_empty() { None } else { Some(Words::new(arguments.iter().map(String::as_str))?) };
    Ok(Command { program, arguments })
}

/// A program's path as a line names it.
pub fn program_line(path: &str) -> String {
    escape(path).replace(' ', "\\ ")
}

/// The operations by their names in mandates and JSON.
pub fn operations() -> impl Iterator<Item = (Operation, &'static str)> {
    [
        (Operation::Bpf, "bpf"),
        (Operation::Ptrace, "ptrace"),
        (Operation::Mount, "mount"),
        (Operation::Module, "module"),
        (Operation::Signal, "signal"),
        (Operation::IoUring, "io_uring"),
        (Operation::Namespace, "namespace"),
        (Operation::SetUid, "set_uid"),
        (Operation::Other, "other"),
    ]
    .into_iter()
}

pub fn operation_name(operation: Operation) -> &'static str {
    operations().find(|(it, _)| *it == operation).map_or("other", |(_, name)| name)
}

/// An action, taken apart once for all lines.
pub enum Subject<'a> {
    Path(Vec<&'a str>),
    Command(Vec<&'a str>, &'a [String]),
    Host(Target<'a>),
    Credential(&'a str, Option<Vec<&'a str>>),
    Word(&'a str),
}

impl<'a> Subject<'a> {
    /// `None`: its path is none that anything can be held against.
    pub fn new(action: &'a Action) -> Option<Subject<'a>> {
        Some(match action {
            Action::Read { path } | Action::Write { path } => Subject::Path(path_parts(path)?),
            Action::Execute { path, argv } => Subject::Command(path_parts(path)?, argv),
            Action::Connect { host, address, port, protocol } => {
                Subject::Host(Target::new(host.as_deref(), *address, *port, *protocol))
            }
            Action::Credential { what, path } => Subject::Credential(
                what,
                match path {
                    Some(path) => Some(path_parts(path)?),
                    None => None,
                },
            ),
            Action::Tool { name, .. } => Subject::Word(name),
            Action::Agent { product } => Subject::Word(product),
            Action::Privileged { operation, .. } => Subject::Word(operation_name(*operation)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &str, argv: &str) -> Action {
        Action::Execute { path: path.to_owned(), argv: argv.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn commands() {
        for (line, path, argv, expected) in [
            ("/usr/bin/git", "/usr/bin/git", "git push", true),
            ("/usr/bin/git status **", "/usr/bin/git", "git push", false),
            ("/usr/bin/git status **", "/usr/bin/git", "git status -s", true),
            ("/usr/bin/git **  push **", "/usr/bin/git", "git -C /x push", true),
            ("/opt/my\\ tool/bin", "/opt/my tool/bin", "bin", true),
            ("/usr/bin/git", "/tmp/git", "git", false),
        ] {
            let pattern = Pattern::new(Kind::Execute, line, true).unwrap();
            let action = run(path, argv);
            assert_eq!(
                pattern.matches(&Subject::new(&action).unwrap(), true),
                expected,
                "{line}: {path} {argv}"
            );
        }
        assert!(Pattern::new(Kind::Execute, "git push **", true).is_err());
        let anywhere = Pattern::new(Kind::Execute, "git ** push **", false).unwrap();
        assert!(anywhere.matches(&Subject::new(&run("/tmp/git", "git push")).unwrap(), false));
    }

    #[test]
    fn credentials() {
        let line = Pattern::new(Kind::Credential, "env-file:/p/**", true).unwrap();
        let act = |path: Option<&str>| Action::Credential {
            what: "env-file".into(),
            path: path.map(str::to_owned),
        };
        assert!(line.matches(&Subject::new(&act(Some("/p/.env"))).unwrap(), true));
        assert!(!line.matches(&Subject::new(&act(None)).unwrap(), true));
        assert!(line.matches(&Subject::new(&act(None)).unwrap(), false));
    }

    #[test]
    fn inclusion() {
        for (kind, outer, inner, expected) in [
            (Kind::Execute, "/usr/bin/git", "/usr/bin/git status", true),
            (Kind::Execute, "/usr/bin/git status **", "/usr/bin/git", false),
            (Kind::Credential, "ssh", "ssh:/root/.ssh/id", true),
            (Kind::Credential, "ssh:/root/**", "ssh", false),
            (Kind::Tool, "mcp__*", "mcp__github__*", true),
            (Kind::Privileged, "*", "ptrace", true),
        ] {
            let pattern = |text| Pattern::new(kind, text, true).unwrap();
            assert_eq!(pattern(outer).includes(&pattern(inner)), expected, "{outer} {inner}");
        }
        assert!(Pattern::new(Kind::Privileged, "ptrcae", true).is_err());
    }
}
