//! Places that make others run something: plain data, from `persistence/*.toml`, and what a file in one says it starts. What a
//! lineage did there is in `artefact.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

mod marks;
pub(crate) mod place;
pub mod starts;

use crate::products::glob;
use crate::roll::name_of;
pub(crate) use marks::fetches;
pub use marks::{Mark, MarkKind};
use place::Pattern;
pub use starts::{Reader, Starts};

const FILES: [&str; 4] = [
    include_str!("../persistence/machine.toml"),
    include_str!("../persistence/session.toml"),
    include_str!("../persistence/project.toml"),
    include_str!("../persistence/agent.toml"),
];

static BUILT_IN: LazyLock<Persistence> = LazyLock::new(|| {
    let mechanisms = FILES.iter().flat_map(|text| parse(text).unwrap_or_default()).collect();
    Persistence::new(mechanisms)
});

/// Whose acting again it takes until a file in such a place is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Nobody's.
    Machine,
    /// A login, or the start of a tool.
    Session,
    /// Work in this project.
    Project,
    /// Another run of an agent.
    Agent,
}

/// One kind of place.
#[derive(Clone, Debug, Deserialize)]
pub struct Mechanism {
    pub name: String,
    #[serde(rename = "class")]
    pub reach: Reach,
    pub path: Vec<String>,
    #[serde(default)]
    pub not: Vec<String>,
    #[serde(default)]
    pub activator: Vec<String>,
    pub starts: Reader,
    #[serde(rename = "where")]
    pub place: String,
    /// MITRE ATT&CK.
    pub technique: String,
    /// It runs without anybody asking for it by name, so what it fetches nobody looks at.
    #[serde(default)]
    pub by_itself: bool,
    /// By what a user asks for it, in lower case; `word*` begins a word.
    #[serde(default)]
    pub asked: Vec<String>,
    /// Ordinary work in a project that the agent works in.
    #[serde(default)]
    pub quiet: bool,
}

impl Mechanism {
    /// Does this program run what stands in such a place? `names`: of its executable, and of the script that it interprets.
    pub(crate) fn is_activator(&self, pid: u32, names: &[&str]) -> bool {
        self.activator.iter().any(|known| match known.as_str() {
            "@init" => pid == 1 || names.iter().any(|name| matches!(*name, "systemd" | "init")),
            "@shell" => names.iter().any(|name| is_shell(name)),
            "@python" => names.iter().any(|name| is_versioned(name, "python") || is_versioned(name, "pypy")),
            "@git" => names.iter().any(|name| *name == "git" || name.starts_with("git-")),
            "@node" => names.iter().any(|name| NODE.contains(name)),
            known => names.iter().any(|name| glob(known, name)),
        })
    }
}

/// The runners of JavaScript packages.
const NODE: [&str; 14] = [
    "npm",
    "npm-cli.js",
    "npx",
    "npx-cli.js",
    "yarn",
    "yarn.js",
    "pnpm",
    "pnpm.cjs",
    "bun",
    "node",
    "nodejs",
    "corepack",
    "pnpx",
    "lerna",
];

pub(crate) fn is_shell(name: &str) -> bool {
    matches!(
        name.trim_start_matches('-'),
        "sh" | "bash"
            | "dash"
            | "zsh"
            | "fish"
            | "ksh"
            | "mksh"
            | "ash"
            | "busybox"
            | "csh"
            | "tcsh"
            | "rbash"
            | "nu"
            | "elvish"
            | "xonsh"
            | "yash"
    )
}

fn is_versioned(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

#[derive(Deserialize)]
struct File {
    mechanism: Vec<Mechanism>,
}

fn parse(text: &str) -> Result<Vec<Mechanism>, toml::de::Error> {
    Ok(toml::from_str::<File>(text)?.mechanism)
}

/// All places, found by a path in few steps: a busy agent writes thousands of files.
pub struct Persistence {
    mechanisms: Vec<Mechanism>,
    /// Patterns of each mechanism, and those that it leaves out.
    compiled: Vec<(Vec<Pattern>, Vec<Pattern>)>,
    /// By the last name of their patterns, where that is one.
    by_name: BTreeMap<String, BTreeSet<usize>>,
    /// … or by the last of their folders that has a name; or by neither.
    by_folder: BTreeMap<String, BTreeSet<usize>>,
    rest: BTreeSet<usize>,
}

impl Persistence {
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    fn new(mechanisms: Vec<Mechanism>) -> Self {
        let compile = |all: &[String]| all.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        let compiled: Vec<(Vec<Pattern>, Vec<Pattern>)> =
            mechanisms.iter().map(|m| (compile(&m.path), compile(&m.not))).collect();
        let mut out = Self {
            mechanisms,
            compiled: Vec::new(),
            by_name: BTreeMap::new(),
            by_folder: BTreeMap::new(),
            rest: BTreeSet::new(),
        };
        for (at, (patterns, _)) in compiled.iter().enumerate() {
            for pattern in patterns {
                match (pattern.last_name(), pattern.last_folder()) {
                    (Some(name), _) => out.by_name.entry(name.to_owned()).or_default().insert(at),
                    (None, Some(folder)) => out.by_folder.entry(folder.to_owned()).or_default().insert(at),
                    (None, None) => out.rest.insert(at),
                };
            }
        }
        out.compiled = compiled;
        out
    }

    pub fn all(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    pub fn get(&self, name: &str) -> Option<&Mechanism> {
        self.mechanisms.iter().find(|m| m.name == name)
    }

    /// What kind of place this path is. `homes`: home folders besides the usual ones.
    pub fn at(&self, path: &str, homes: &[&str]) -> Option<&Mechanism> {
        if !path.starts_with('/') {
            return None;
        }
        let mut candidates: BTreeSet<usize> = self.rest.clone();
        candidates.extend(self.by_name.get(name_of(path)).into_iter().flatten());
        for folder in path.split('/') {
            candidates.extend(self.by_folder.get(folder).into_iter().flatten());
        }
        candidates.into_iter().find_map(|at| {
            let (patterns, not) = self.compiled.get(at)?;
            let fits = patterns.iter().any(|p| p.matches(path, homes));
            (fits && !not.iter().any(|p| p.matches(path, homes))).then(|| self.mechanisms.get(at))?
        })
    }

    /// Globs of the places that are read before any agent changes them.
    pub fn read_before(&self) -> impl Iterator<Item = &str> {
        let read = self.mechanisms.iter().filter(|m| m.reach <= Reach::Session);
        read.flat_map(|m| m.path.iter().map(String::as_str))
    }

    /// What a file at this place starts, and what stands out in it.
    pub fn read(&self, path: &str, mechanism: &str, text: &str) -> Starts {
        let starts = self.get(mechanism).map(|m| m.starts.read(path, text)).unwrap_or_default();
        let text = text.get(..text.floor_char_boundary(starts::TEXT_MAX)).unwrap_or_default();
        Starts { marks: marks::marks(path, text), ..starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_can_be_read() {
        let mut names = BTreeSet::new();
        for text in FILES {
            for mechanism in parse(text).unwrap() {
                assert!(names.insert(mechanism.name.clone()), "{} stands twice", mechanism.name);
                assert!(mechanism.technique.starts_with('T'), "{mechanism:?}");
                assert!(!mechanism.path.is_empty() && !mechanism.place.is_empty(), "{mechanism:?}");
                for path in mechanism.path.iter().chain(&mechanism.not) {
                    assert!(path.starts_with(['/', '~', '*']), "{path}");
                }
            }
        }
        assert!(names.len() > 50, "{}", names.len());
    }

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let found = Persistence::built_in().at(path, &["/data/ann"]);
        assert_eq!(found.map(|m| m.name.as_str()), expected, "{path}");
    }

    #[test]
    fn places_are_known_by_their_paths() {
        for (path, expected) in [
            ("/var/spool/cron/crontabs/root", "cron"),
            ("/var/spool/cron/root", "cron"),
            ("/etc/cron.d/x", "cron-system"),
            ("/etc/cron.daily/x", "cron-folder"),
            ("/var/spool/cron/atjobs/a00001019f2a3c", "at"),
            ("/home/ann/.config/systemd/user/x.service", "systemd-unit"),
            ("/root/.config/systemd/user/x.timer", "systemd-timer"),
            ("/etc/systemd/system/ssh.service.d/x.conf", "systemd-drop-in"),
            ("/etc/systemd/system/multi-user.target.wants/x.service", "systemd-enabled"),
            ("/home/ann/.bashrc", "shell-startup"),
            ("/data/ann/.bashrc", "shell-startup"),
            ("/root/.zshenv", "shell-startup"),
            ("/etc/profile.d/x.sh", "profile-d"),
            ("/home/ann/.ssh/authorized_keys", "authorized-keys"),
            ("/w/p/.git/hooks/pre-commit", "git-hook"),
            ("/w/p/.git/config", "git-config"),
            ("/home/ann/.gitconfig", "git-config-user"),
            ("/w/package.json", "npm-scripts"),
            ("/w/node_modules/.bin/tsc", "node-bin"),
            ("/usr/lib/python3/dist-packages/sitecustomize.py", "python-site"),
            ("/w/.venv/lib/python3.11/site-packages/evil.pth", "python-site"),
            ("/w/CLAUDE.md", "agent-memory"),
            ("/w/.claude/settings.local.json", "agent-settings"),
            ("/w/.claude/skills/a/b/SKILL.md", "agent-skill"),
            ("/w/.mcp.json", "mcp-servers"),
            ("/w/.github/workflows/ci.yml", "ci"),
            ("/w/.envrc", "direnv"),
            ("/etc/ld.so.preload", "ld-preload"),
            ("/etc/rc3.d/S99x", "init-script"),
        ] {
            check(path, Some(expected));
        }
        for path in [
            "/w/src/main.rs",
            "/var/spool/cron/crontabs/tmp.Ab3",
            "/data/bob/.bashrc",
            "/w/.bashrc",
            "/w/.git/hooks/pre-commit.sample",
            "/w/node_modules/a/package.json",
            "/w/.git/objects/ab/cd",
            "/w/hooks/x",
            "relative/.git/config",
            "",
        ] {
            check(path, None);
        }
    }
}
