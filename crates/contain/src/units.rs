//! Units of systemd, by its own command, where systemd is the machine's first process; those of users by their own managers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Artefact, run};

const LIMIT: Duration = Duration::from_secs(5);
/// Managers of users that one unit for all of them is asked of.
const MANAGERS_MAX: usize = 64;
const RUNTIME: &str = "/run/user";

pub(crate) fn is_there() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A unit that an agent named is an argument, never an option, and never a pattern.
pub(crate) fn is_name(unit: &str) -> bool {
    !unit.is_empty()
        && unit.len() < 256
        && !unit.starts_with('-')
        && unit.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
}

/// Who runs a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Manager {
    Machine,
    /// Of this user, where it runs.
    User(u32),
}

/// A unit with whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub name: String,
    manager: Manager,
}

impl Unit {
    /// The unit that a file is. One that the file only adds to (a drop-in), or that it has started (a link in a folder of wishes),
    /// may be somebody else's.
    pub fn of(artefact: &Artefact) -> Vec<Unit> {
        match artefact.unit() {
            Some(name) if artefact.whole && is_unit_file(&artefact.path, name) => {
                Self::at(&artefact.path, name)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// … by the path of the file, once for each manager that has it.
    pub fn at(path: &Path, name: &str) -> Vec<Unit> {
        let unit = |manager| Unit { name: name.to_owned(), manager };
        managers(path).into_iter().map(unit).collect()
    }

    pub fn is_of_same_manager(&self, other: &Unit) -> bool {
        self.manager == other.manager
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self.manager {
            Manager::Machine => self.name.clone(),
            Manager::User(uid) => format!("{} (of user {uid})", self.name),
        }
    }

    /// Nothing starts it any more, and what it started ends.
    pub fn stop(&self) -> Result<(), String> {
        let unit = &self.name;
        if !is_name(unit) {
            return Err(format!("`{unit}` is no name of a unit"));
        }
        self.systemctl(&["mask", "--runtime", "--", unit])?;
        // Frozen processes take no other signal.
        drop(self.systemctl(&["kill", "--signal=KILL", "--", unit]));
        self.systemctl(&["stop", "--", unit])
    }

    pub fn forget(&self) -> Result<(), String> {
        if is_name(&self.name) {
            self.systemctl(&["unmask", "--runtime", "--", &self.name])
        } else {
            Ok(())
        }
    }

    /// Its files are not where they were.
    pub fn reload(&self) -> Result<(), String> {
        self.systemctl(&["daemon-reload"])
    }

    pub fn is_active(&self) -> bool {
        is_name(&self.name) && self.systemctl(&["is-active", "--quiet", "--", &self.name]).is_ok()
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<(), String> {
        let mut argv = vec!["systemctl".to_owned(), "--no-ask-password".to_owned()];
        if matches!(self.manager, Manager::User(_)) {
            argv.push("--user".to_owned());
        }
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        match self.manager {
            Manager::Machine => run::run(&argv, &[], LIMIT),
            Manager::User(uid) => {
                // A manager answers nobody but its user.
                let folder = format!("{RUNTIME}/{uid}");
                let group = fs::metadata(&folder).map_err(|error| format!("`{folder}`: {error}"))?.gid();
                run::run_as(&argv, &[("XDG_RUNTIME_DIR", &folder)], LIMIT, Some((uid, group)))
            }
        }
    }
}

/// Is the file this unit's own?
fn is_unit_file(path: &Path, unit: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let folder = folder.unwrap_or_default();
    path.file_name().is_some_and(|name| name == unit)
        && ![".wants", ".requires", ".d", ".upholds"].iter().any(|end| folder.ends_with(end))
}

/// Whose units a file in this folder is of.
fn managers(path: &Path) -> Vec<Manager> {
    let text = path.to_string_lossy();
    if !text.contains("/systemd/user/") && !text.starts_with(RUNTIME) {
        return vec![Manager::Machine];
    }
    let running = |uid: &u32| Path::new(&format!("{RUNTIME}/{uid}/systemd")).is_dir();
    let below = |part: &str| text.find(part).and_then(|at| text.get(..at)).map(PathBuf::from);
    let uid = if let Some(rest) = text.strip_prefix("/run/user/") {
        rest.split('/').next().and_then(|uid| uid.parse().ok())
    } else {
        let home = below("/.config/").or_else(|| below("/.local/"));
        match home {
            Some(home) => fs::metadata(home).ok().map(|meta| meta.uid()),
            // For every user.
            None => {
                let users = fs::read_dir(RUNTIME).into_iter().flatten().flatten();
                let uids = users.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
                return uids.filter(running).take(MANAGERS_MAX).map(Manager::User).collect();
            }
        }
    };
    uid.filter(running).map(Manager::User).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_no_option() {
        for (unit, is) in
            [("a.service", true), ("a@1.timer", true), ("--all", false), ("*", false), ("a b", false)]
        {
            assert_eq!(is_name(unit), is, "{unit}");
        }
    }

    #[test]
    fn only_the_files_own_unit_is_stopped() {
        for (path, unit, is) in [
            ("/etc/systemd/system/b.service", "b.service", true),
            ("/etc/systemd/system/ssh.service.d/b.conf", "ssh.service", false),
            ("/etc/systemd/system/multi-user.target.wants/cron.service", "cron.service", false),
            ("/home/ann/.config/systemd/user/b.timer", "b.timer", true),
        ] {
            assert_eq!(is_unit_file(Path::new(path), unit), is, "{path}");
        }
        assert_eq!(managers(Path::new("/etc/systemd/system/b.service")), [Manager::Machine]);
        // Who is not there has no manager.
        assert_eq!(managers(Path::new("/run/user/4000000/systemd/user/b.service")), []);
        assert_eq!(managers(Path::new("/nowhere/.config/systemd/user/b.service")), []);
    }
}
