//! Units of systemd, by its own command, where systemd is the machine's first process; those of users by their own managers.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Artefact, run};

/// For a machine that is busy, or emulated: systemd reads all units anew where one of them changed.
const LIMIT: Duration = Duration::from_secs(20);
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
    /// The unit that a file is. One that the file only adds to (a drop-in), starts (a timer), or is a link to in a folder of wishes,
    /// may be somebody else's.
    pub fn of(artefact: &Artefact) -> Vec<Unit> {
        let is_machines = artefact.unit.is_none() || artefact.unit().is_some();
        match unit_of(&artefact.path) {
            Some(name) if artefact.whole && is_machines => Self::at(&artefact.path, &name),
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

    /// The unit of this control group, if its first process is one of these: an agent, or what it asked for, may be a service that
    /// would be started again.
    pub fn run_by(group: &str, pids: &BTreeSet<u32>) -> Option<Unit> {
        let name = group.rsplit('/').next().filter(|name| name.ends_with(".service") && is_name(name))?;
        let user = group
            .split('/')
            .find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
        let is_manager = name.starts_with("user@");
        let manager = user.filter(|_| !is_manager).map_or(Manager::Machine, Manager::User);
        let unit = Unit { name: name.to_owned(), manager };
        let main = unit.systemctl(&["show", "--property=MainPID", "--value", "--", name]).ok()?;
        main.trim().parse().is_ok_and(|main| pids.contains(&main)).then_some(unit)
    }

    pub fn forget(&self) -> Result<(), String> {
        if is_name(&self.name) {
            self.systemctl(&["unmask", "--runtime", "--no-reload", "--", &self.name]).map(drop)
        } else {
            Ok(())
        }
    }

    /// Its files are not where they were.
    pub fn reload(&self) -> Result<(), String> {
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    pub fn is_active(&self) -> bool {
        is_name(&self.name) && self.systemctl(&["is-active", "--quiet", "--", &self.name]).is_ok()
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut argv = vec!["systemctl".to_owned(), "--no-ask-password".to_owned()];
        if matches!(self.manager, Manager::User(_)) {
            argv.push("--user".to_owned());
        }
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        match self.manager {
            Manager::Machine => run::run_as(&argv, &[], LIMIT, None),
            Manager::User(uid) => {
                // A manager answers nobody but its user.
                let folder = format!("{RUNTIME}/{uid}");
                let group = fs::metadata(&folder).map_err(|error| format!("`{folder}`: {error}"))?.gid();
                run::run_as(&argv, &[("XDG_RUNTIME_DIR", &folder)], LIMIT, Some((uid, group)))
            }
        }
    }
}

/// One command for all units of each manager.
fn for_each_manager(units: &[Unit], arguments: &[&str]) -> Vec<String> {
    let mut left: Vec<&Unit> = units.iter().filter(|unit| is_name(&unit.name)).collect();
    let mut trouble = Vec::new();
    while let Some(first) = left.first().copied() {
        let (same, others): (Vec<&Unit>, Vec<&Unit>) =
            left.into_iter().partition(|unit| unit.is_of_same_manager(first));
        let names = same.iter().map(|unit| unit.name.as_str());
        let all: Vec<&str> = arguments.iter().copied().chain(["--"]).chain(names).collect();
        let shown = || same.iter().map(|unit| unit.shown()).collect::<Vec<_>>().join(", ");
        trouble.extend(first.systemctl(&all).err().map(|error| format!("units {}: {error}", shown())));
        left = others;
    }
    trouble
}

/// None of them is started again. It does not wait for their processes: they are killed by others.
pub(crate) fn stop_soon(units: &[Unit]) {
    // What goes wrong shows when they are stopped.
    drop(for_each_manager(units, &["stop", "--no-block"]));
}

/// Nothing starts those that are to be masked, and none of them runs.
pub(crate) fn stop(units: &[Unit], masked: &[Unit]) -> Vec<String> {
    // It is told of the masks with the files that go, once.
    let mut trouble = for_each_manager(masked, &["mask", "--runtime", "--no-reload"]);
    let said = for_each_manager(units, &["stop"]);
    // One that was made for its process is gone with it.
    if units.iter().any(Unit::is_active) {
        trouble.extend(said);
    }
    trouble
}

/// The unit whose own file this is.
fn unit_of(path: &Path) -> Option<String> {
    const KINDS: [&str; 6] = [".service", ".timer", ".path", ".socket", ".mount", ".automount"];
    let name = path.file_name()?.to_str()?;
    let folders = path.parent()?.to_str()?;
    let place = ["/systemd/system", "/systemd/user", "/systemd/transient"];
    let is_unit =
        KINDS.iter().any(|kind| name.ends_with(kind)) && place.iter().any(|it| folders.ends_with(it));
    is_unit.then(|| name.to_owned())
}

/// Whose units a file in this folder is of.
fn managers(path: &Path) -> Vec<Manager> {
    let text = path.to_string_lossy();
    if !text.contains("/systemd/user/") && !text.starts_with("/run/user/") {
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
        for (path, unit) in [
            ("/etc/systemd/system/b.service", Some("b.service")),
            ("/etc/systemd/system/b.timer", Some("b.timer")),
            ("/etc/systemd/system/ssh.service.d/b.conf", None),
            ("/etc/systemd/system/multi-user.target.wants/cron.service", None),
            ("/etc/systemd/system-generators/b.service", None),
            ("/usr/share/dbus-1/services/b.service", None),
            ("/run/user/1000/systemd/transient/b.service", Some("b.service")),
            ("/home/ann/.config/systemd/user/b.path", Some("b.path")),
        ] {
            assert_eq!(unit_of(Path::new(path)).as_deref(), unit, "{path}");
        }
        assert_eq!(managers(Path::new("/etc/systemd/system/b.service")), [Manager::Machine]);
        // Who is not there has no manager.
        assert_eq!(managers(Path::new("/run/user/4000000/systemd/user/b.service")), []);
        assert_eq!(managers(Path::new("/nowhere/.config/systemd/user/b.service")), []);
    }
}
