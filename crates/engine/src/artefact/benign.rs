//! How grave it is that a lineage wrote such a file. What developers and their tools do each day is never above `info`.

use muster_event::ProcessKey;

use super::Planted;
use crate::Severity;
use crate::engine::Engine;
use crate::persistence::{Reach, Reader};
use crate::roll::name_of;

/// Folders in which everybody tries things out.
pub(super) const PASSING: [&str; 3] = ["/tmp/", "/var/tmp/", "/dev/shm/"];
/// Programs of the system.
const SYSTEM: [&str; 8] =
    ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/lib/", "/usr/libexec/", "/usr/share/"];
/// Package managers that install what they fetched themselves.
const MANAGERS: [&str; 14] = [
    "apt",
    "apt-get",
    "aptitude",
    "unattended-upgrade",
    "dnf",
    "dnf-3",
    "dnf5",
    "yum",
    "microdnf",
    "zypper",
    "apk",
    "pacman",
    "tdnf",
    "snapd",
];
/// By these words a tool asks a shell to take up its own settings.
const SET_UP: [&str; 12] = [
    "init",
    "hook",
    "shellenv",
    "shell.bash",
    "shell.zsh",
    "env",
    "completion",
    "completions",
    "activate",
    "shell",
    "export",
    "printenv",
];
/// What a shell's start-up file runs in everybody's.
const EVERYDAY: [&str; 44] = [
    "ls",
    "grep",
    "egrep",
    "fgrep",
    "dir",
    "vdir",
    "dircolors",
    "lesspipe",
    "less",
    "tput",
    "uname",
    "id",
    "whoami",
    "hostname",
    "tty",
    "stty",
    "mesg",
    "cat",
    "sed",
    "awk",
    "cut",
    "tr",
    "head",
    "tail",
    "sort",
    "date",
    "basename",
    "dirname",
    "readlink",
    "realpath",
    "find",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "touch",
    "git",
    "vim",
    "nvim",
    "nano",
    "clear",
    "source",
    "sleep",
    "wc",
];

/// A file and what is known of its circumstances.
pub(super) struct Place<'a> {
    pub planted: &'a Planted,
    /// In the project that the agent works in, or in one that it made.
    pub inside: bool,
    /// In the home of its user, wherever that is.
    pub at_home: bool,
    /// The product keeps such files itself.
    pub own: bool,
    /// It was there before: only what was added counts.
    pub changed: bool,
    pub added: &'a [&'a Vec<String>],
}

impl Place<'_> {
    /// `None`: nothing that anybody need hear of.
    pub fn severity(&self) -> Option<Severity> {
        let reach = self.planted.mechanism.reach;
        if self.planted.packaged {
            return (reach == Reach::Machine).then_some(Severity::Info);
        }
        match reach {
            Reach::Machine => Some(self.machine()),
            Reach::Session => self.session(),
            Reach::Project | Reach::Agent => self.project(),
        }
    }

    fn machine(&self) -> Severity {
        let mechanism = self.planted.mechanism;
        if mechanism.name == "systemd-enabled" {
            // A unit of the system's own is switched on, or one that was written elsewhere.
            let target = self.planted.target.as_deref().unwrap_or_default();
            let of_system = SYSTEM.iter().any(|folder| target.starts_with(folder));
            return if of_system { Severity::Low } else { Severity::Medium };
        }
        if matches!(mechanism.name.as_str(), "ld-conf" | "kernel-module") {
            return Severity::Medium;
        }
        match (self.planted.read, self.added.is_empty(), self.changed) {
            (true, true, true) => Severity::Info,
            // Settings that start nothing: a unit without a program, a rule that sets a mode.
            (true, true, false) if mechanism.starts != Reader::Pam => Severity::Low,
            _ => Severity::High,
        }
    }

    fn session(&self) -> Option<Severity> {
        let mechanism = self.planted.mechanism;
        let distinctive = self.added.iter().any(|command| is_distinctive(command));
        match mechanism.starts {
            // Without a program in them these are no such files at all, or any developer's.
            Reader::Shell => Some(if distinctive { Severity::Medium } else { Severity::Info }),
            Reader::GitConfig => Some(if distinctive { Severity::Medium } else { Severity::Info }),
            Reader::Tool | Reader::Ini => Some(if distinctive { Severity::Low } else { Severity::Info }),
            Reader::Sshd if self.added.is_empty() => None,
            Reader::Sshd => Some(Severity::Low),
            Reader::Python => {
                let named = name_of(&self.planted.artefact.path).ends_with("customize.py");
                match (self.inside, named || !self.added.is_empty()) {
                    (_, false) => None,
                    (true, true) => Some(Severity::Info),
                    (false, true) => Some(Severity::Medium),
                }
            }
            _ => Some(Severity::Medium),
        }
    }

    fn project(&self) -> Option<Severity> {
        let mechanism = self.planted.mechanism;
        let ordinary = self.inside || self.own && (self.planted.by_harness || mechanism.quiet);
        match (ordinary, mechanism.quiet) {
            (true, true) => None,
            (true, false) => Some(Severity::Info),
            (false, _) if is_store(&self.planted.artefact.path, self.at_home) => {
                (!mechanism.quiet).then_some(Severity::Info)
            }
            // Notes for another's agents are carried over; another's build files are only changed.
            (false, true) if mechanism.reach == Reach::Agent => Some(Severity::Medium),
            (false, true) => Some(Severity::Info),
            (false, false) => Some(Severity::Medium),
        }
    }
}

/// Where tools keep what they fetch: whole projects of others.
fn is_store(path: &str, at_home: bool) -> bool {
    const STORES: [&str; 14] = [
        "/node_modules/",
        "/site-packages/",
        "/dist-packages/",
        "/.cargo/",
        "/.rustup/",
        "/.cache/",
        "/.npm/",
        "/.nvm/",
        "/.pyenv/",
        "/.local/share/",
        "/.gradle/",
        "/.m2/",
        "/go/pkg/",
        "/vendor/",
    ];
    const FOLDERS: [&str; 4] = ["/usr/", "/opt/", "/var/", "/snap/"];
    STORES.iter().any(|store| path.contains(store))
        || !at_home && FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Beside the folder that the agent works in: another part of the same work. A home is no such work.
pub(super) fn is_near(path: &str, cwd: &str, home: Option<&str>) -> bool {
    let above = super::folder_of(cwd);
    let deep = above.matches('/').count() >= 2 && home.is_none_or(|home| home.trim_end_matches('/') != above);
    let of_people = crate::persistence::place::inside_home(&format!("{above}/x")) != Some("x");
    let within = path.strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
    deep && of_people && within.is_some_and(|rest| !rest.is_empty())
}

/// Is this a command that tells one program from all others, and none of everybody's?
pub(super) fn is_distinctive(command: &[String]) -> bool {
    let words: Vec<&str> = match command {
        [shell, flag, text] if flag == "-c" && crate::persistence::is_shell(name_of(shell)) => {
            text.split_whitespace().collect()
        }
        words => words.iter().map(String::as_str).collect(),
    };
    let Some((program, arguments)) = words.split_first() else { return false };
    if arguments.iter().take(3).any(|word| SET_UP.contains(word)) || program.ends_with("gh") {
        return false;
    }
    let of_system = SYSTEM.iter().any(|folder| program.starts_with(folder));
    if program.contains('/') && !of_system {
        return true;
    }
    if EVERYDAY.contains(&name_of(program)) {
        return false;
    }
    arguments.iter().any(|word| word.contains('/') || word.contains("://"))
}

/// Does it run something that was put out of sight, or that it fetches unseen?
pub(super) fn is_hidden(command: &[String]) -> bool {
    let text = command.join(" ");
    let out_of_sight = ["/tmp/.", "/var/tmp/.", "/dev/shm/"].iter().any(|place| text.contains(place));
    out_of_sight || crate::persistence::fetches(&text)
}

/// Programs that put packages of Python where they belong, code in `.pth` files with them.
const INSTALLERS: [&str; 16] = [
    "pip",
    "uv",
    "poetry",
    "pdm",
    "hatch",
    "conda",
    "mamba",
    "micromamba",
    "pipx",
    "virtualenv",
    "tox",
    "nox",
    "rye",
    "pixi",
    "easy_install",
    "pipenv",
];
const INSTALLER_MODULES: [&str; 8] =
    ["pip", "venv", "ensurepip", "virtualenv", "uv", "pipx", "build", "setuptools"];

impl Engine {
    /// Does an installer of Python packages do this?
    pub(super) fn is_installer(&self, key: ProcessKey) -> bool {
        let own = self.processes.get(key);
        own.into_iter().chain(self.processes.ancestors(key)).take(8).any(|process| {
            let script = process.script.as_deref().unwrap_or(&process.path);
            let name = name_of(script).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            let words = process.argv.iter().map(String::as_str);
            let module = words.clone().skip_while(|word| *word != "-m").nth(1);
            INSTALLERS.contains(&name)
                || process.argv.get(1).is_some_and(|script| INSTALLERS.contains(&name_of(script)))
                || module.is_some_and(|module| INSTALLER_MODULES.contains(&module))
                || words.clone().any(|word| name_of(word) == "setup.py")
        })
    }

    /// Does a package manager do this, with what it fetched? A package that lies in a folder may be the agent's own.
    pub(super) fn is_packaged(&self, key: ProcessKey) -> bool {
        let own = self.processes.get(key);
        own.into_iter().chain(self.processes.ancestors(key)).take(16).any(|process| {
            MANAGERS.contains(&name_of(&process.path))
                && SYSTEM.iter().any(|folder| process.path.starts_with(folder))
                && !process.argv.iter().skip(1).any(|word| is_file(word))
        })
    }
}

fn is_file(word: &str) -> bool {
    let file = [".deb", ".rpm", ".apk", ".pkg.tar.zst", ".pkg.tar.xz"].iter().any(|end| word.ends_with(end));
    file || word.starts_with(['/', '.']) || word.starts_with("--root") || word.contains("::")
}
