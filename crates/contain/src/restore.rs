//! Puts back what was put away, and lets go what stands still.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, renameat_with};

use crate::freeze::{self, Frozen};
use crate::journal::{self, Journal, Line, Note};
use crate::quarantine::{self, Action, Quarantined};
use crate::units::{self, Unit};

/// What of a mustering out is still in force, by its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub id: String,
    pub agent: String,
    pub until: String,
    pub by: String,
    pub asked_ns: u64,
    /// It went as far as it should; what it left.
    pub finished: Option<Vec<String>>,
    /// Last step that was done.
    pub done: Option<String>,
    pub frozen: Vec<Frozen>,
    pub killed: bool,
    pub thawed: bool,
    pub kept: Vec<Quarantined>,
    /// Files whose moving was begun, and not ended.
    pub begun: Vec<Quarantined>,
    /// Its files were put back: what they start is nobody's to stop any more.
    pub restored: bool,
    pub revoked: bool,
    /// How often the lineage came back and was stopped again.
    pub returned: u64,
}

impl Standing {
    pub fn is_over(&self) -> bool {
        self.thawed || self.restored
    }
}

pub fn standing(lines: &[Line]) -> Standing {
    let mut it = Standing::default();
    for line in lines {
        match &line.note {
            Note::Asked { id, agent, until, by } => {
                it.id.clone_from(id);
                it.agent.clone_from(agent);
                it.until.clone_from(until);
                it.by.clone_from(by);
                it.asked_ns = line.time_ns;
            }
            Note::Step { step, state, .. } => {
                it.killed |= step == "kill";
                if state == "done" {
                    it.thawed |= step == "thaw";
                    it.revoked |= step == "revoke";
                    it.returned += u64::from(step == "watch");
                    it.restored |= step == "restore";
                    it.done = Some(step.clone());
                }
            }
            Note::Frozen { frozen } => it.frozen.push(frozen.clone()),
            Note::Moving { kept } => it.begun.push((**kept).clone()),
            Note::Moved { number } => {
                if let Some(at) = it.begun.iter().position(|kept| kept.number == *number) {
                    it.kept.push(it.begun.remove(at));
                }
            }
            Note::Kept { number, .. } => it.begun.retain(|kept| kept.number != *number),
            Note::Restoring { .. } => {}
            Note::Restored { number } => it.kept.retain(|kept| kept.number != *number),
            Note::Finished { left } => it.finished = Some(left.clone()),
        }
    }
    it
}

/// Puts files back: all, or the one of this path. Gives each with what kept it from it.
pub fn restore(out: &Path, only: Option<&Path>) -> io::Result<Vec<(PathBuf, Result<(), String>)>> {
    let standing = standing(&journal::read(out)?);
    let mut journal = Journal::open(out)?;
    let mut told = Vec::new();
    for kept in standing.kept.iter().filter(|kept| only.is_none_or(|path| path == kept.path)) {
        journal.write(Note::Restoring { number: kept.number })?;
        let done = back(kept, &quarantine::folder(out));
        if done.is_ok() {
            journal.write(Note::Restored { number: kept.number })?;
            if let (Some(unit), true) = (&kept.unit, units::is_there()) {
                for unit in Unit::at(&kept.path, unit) {
                    drop(unit.forget().and_then(|()| unit.reload()));
                }
            }
        }
        told.push((kept.path.clone(), done.map_err(|error| error.to_string())));
    }
    Ok(told)
}

fn back(kept: &Quarantined, folder: &Path) -> io::Result<()> {
    let place = quarantine::place(&kept.path)?;
    let name = kept.number.to_string();
    let from = folder.join(&name);
    let taken = || io::Error::other("something else stands at its path now: it stays put away");
    match kept.action {
        Action::Lines => {
            // What was written to it since would be lost.
            let mut bytes = Vec::new();
            File::open(&from)?.read_to_end(&mut bytes)?;
            match place.stat() {
                Err(_) => {}
                Ok(stat)
                    if (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)) == kept.modified => {}
                Ok(_) => return Err(io::Error::other("it was changed since: put its lines back by hand")),
            }
            quarantine::replace(kept, &place, &bytes)?;
            fs::remove_file(from)
        }
        Action::Move => {
            if place.stat().is_ok() {
                return Err(taken());
            }
            let here = File::open(folder)?;
            match renameat_with(&here, name.as_str(), &place.folder, &place.name, RenameFlags::NOREPLACE) {
                Ok(()) if kept.target.is_some() => Ok(()),
                Ok(()) => quarantine::dress(kept, place.open()?.as_fd()),
                Err(rustix::io::Errno::XDEV) => {
                    if let Some(target) = &kept.target {
                        rustix::fs::symlinkat(target, &place.folder, &place.name)?;
                        let (owner, group) =
                            (rustix::fs::Uid::from_raw(kept.uid), rustix::fs::Gid::from_raw(kept.gid));
                        rustix::fs::chownat(
                            &place.folder,
                            &place.name,
                            Some(owner),
                            Some(group),
                            AtFlags::SYMLINK_NOFOLLOW,
                        )?;
                        return fs::remove_file(from);
                    }
                    let flags =
                        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let made =
                        rustix::fs::openat(&place.folder, &place.name, flags, Mode::from_raw_mode(0o600))?;
                    let mut made = File::from(made);
                    io::copy(&mut File::open(&from)?, &mut made)?;
                    quarantine::dress(kept, made.as_fd())?;
                    made.sync_all()?;
                    fs::remove_file(from)
                }
                Err(rustix::io::Errno::EXIST) => Err(taken()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Lets a lineage go on that was only frozen.
pub fn thaw(out: &Path) -> io::Result<Result<(), String>> {
    let standing = standing(&journal::read(out)?);
    if standing.killed {
        return Ok(Err("it was killed: nobody is left to be let go".to_owned()));
    }
    let mut journal = Journal::open(out)?;
    let trouble: Vec<String> = standing.frozen.iter().rev().flat_map(freeze::thaw).collect();
    let (state, text) =
        if trouble.is_empty() { ("done", "it goes on".to_owned()) } else { ("failed", trouble.join("; ")) };
    journal.write(Note::Step { step: "thaw".to_owned(), state: state.to_owned(), text: text.clone() })?;
    Ok(if trouble.is_empty() { Ok(()) } else { Err(text) })
}
