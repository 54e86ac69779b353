//! Decoys: files that look like credentials, that nobody has a use for, and that a person had planted. Whoever of a lineage
//! reads one was looking.

use std::collections::BTreeMap;

use muster_event::{Event, Kind, Nanos};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, event_evidence, finding_id};
use crate::reconcile::shorten;
use crate::roll::name_of;
use crate::{Code, Finding, Severity, Stage};

/// Decoys that are watched: a person plants some for each folder.
const CANARIES_MAX: usize = 4_096;

/// Programs that go through whole folders, whatever is in them.
const SWEEPERS: [&str; 22] = [
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "ag",
    "ack",
    "find",
    "fd",
    "fdfind",
    "tar",
    "bsdtar",
    "rsync",
    "zip",
    "7z",
    "wc",
    "du",
    "restic",
    "borg",
    "clamscan",
    "md5sum",
    "sha256sum",
    "file",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    pub path: String,
    /// `ssh key`, `aws credentials`, …
    pub kind: String,
}

/// All that there are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    pub time_ns: Nanos,
    pub planted: Vec<Canary>,
}

impl Engine {
    pub(crate) fn on_canaries(&mut self, canaries: Canaries) {
        self.time_ns = self.time_ns.max(canaries.time_ns);
        let planted = canaries.planted.into_iter().take(CANARIES_MAX);
        self.canaries = planted.map(|canary| (canary.path, canary.kind)).collect::<BTreeMap<_, _>>();
    }

    pub(crate) fn check_canaries(&mut self, event: &Event) {
        if self.canaries.is_empty() {
            return;
        }
        let (path, did): (&str, _) = match &event.kind {
            Kind::Open { path, access, result } if *result >= 0 && access.read => (path, "read"),
            Kind::Rename { from, result, .. } if *result >= 0 => (from, "moved away"),
            Kind::Link { from, result, .. } if *result >= 0 => (from, "linked"),
            Kind::IoUring { path: Some(path), operation, .. } if operation.starts_with("open") => {
                (path, "opened")
            }
            _ => return,
        };
        let Some(kind) = self.canaries.get(path).cloned() else { return };
        let Some(id) = self.agent_of(event.process) else { return };
        let Some(process) = self.processes.get(event.process) else { return };
        let command = crate::action::command_texts(&process.argv).first().cloned().unwrap_or_default();
        let sweep = is_sweep(&process.path, &process.argv, path);
        let how = if sweep { ", going through all that lies there" } else { "" };
        let finding = Finding {
            id: finding_id(Code::Credentials, &id, &format!("canary {path}")),
            code: Code::Credentials,
            severity: if sweep { Severity::Medium } else { Severity::High },
            stage: Stage::Initiate,
            overreach: if sweep { 1 } else { 2 },
            deception: 0,
            agent: id,
            time_ns: event.time_ns,
            summary: format!("{did} a decoy ({kind}) by `{}`{how}: `{}`", shorten(&command), shorten(path)),
            explanation: "The file is a decoy that was planted to be found (`muster canary`): it opens nothing, nothing \
                refers to it, and no task needs it. Who reads it was looking for credentials, or went through a folder of \
                them. It would be refuted if a person had asked for a search or a copy of the whole folder: the command is \
                told."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        };
        self.raise(finding);
    }
}

/// A program that reads whatever there is, and was not pointed at this file or its folder.
fn is_sweep(program: &str, argv: &[String], path: &str) -> bool {
    let name = argv.first().map_or(program, String::as_str);
    let sweeper = |name: &str| SWEEPERS.contains(&name_of(name));
    let copies_all = matches!(name_of(name), "cp")
        && argv
            .iter()
            .any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(['r', 'R', 'a']));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let pointed = argv.iter().skip(1).any(|word| {
        let word = word.trim_end_matches('/');
        word.contains(name_of(path)) || !folder.is_empty() && name_of(word) == name_of(folder)
    });
    (sweeper(program) || sweeper(name) || copies_all) && !pointed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, expected: bool) {
        let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(
            is_sweep(&format!("/usr/bin/{}", argv[0]), &argv, "/home/x/.aws/credentials.old"),
            expected,
            "{command}"
        );
    }

    #[test]
    fn a_sweep_is_pointed_at_nothing() {
        check("grep -rn TODO /home/x", true);
        check("rg --hidden key .", true);
        check("cp -a /home/x /backup", true);
        check("cat /home/x/.aws/credentials.old", false);
        check("grep -r key /home/x/.aws", false);
        check("grep . credentials.old", false);
        check("cp credentials.old /tmp", false);
        check("python3 steal.py", false);
    }
}
