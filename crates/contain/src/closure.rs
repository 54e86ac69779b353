//! Who belongs to the lineage now: what the record says, and what descends from it, as `/proc` shows it.

use std::collections::{BTreeMap, BTreeSet};

use muster_event::ProcessKey;

use crate::Target;
use crate::process::{self, Process};

/// Who is never touched: Muster, who asked it, the agent's own ancestors, and pid 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    pub keys: BTreeSet<ProcessKey>,
    /// Their sessions and groups: who shares only these is nobody's.
    sessions: BTreeSet<u32>,
}

impl Guard {
    /// This process and the ones given, each with its ancestors; of the roots the ancestors only.
    pub fn new(own: &[u32], roots: &[ProcessKey]) -> Guard {
        let mut keys = BTreeSet::new();
        for pid in own.iter().copied().chain([std::process::id(), 1]) {
            keys.extend(process::ancestors(pid));
        }
        let alive: Vec<&ProcessKey> =
            roots.iter().filter(|root| process::key_of(root.pid) == Some(**root)).collect();
        for root in &alive {
            let above = process::ancestors(root.pid);
            // An agent within the agent has that one above it.
            let outside = above.iter().rposition(|key| roots.contains(key)).map_or(0, |at| at + 1);
            keys.extend(above.into_iter().skip(outside));
        }
        let sessions = keys
            .iter()
            .filter_map(|key| process::read(key.pid))
            .flat_map(|it| [it.session, it.group])
            .collect();
        Guard { keys, sessions }
    }

    pub fn holds(&self, key: ProcessKey) -> bool {
        key.pid <= 2 || self.keys.contains(&key)
    }
}

/// What of each process only a look into its own files tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs {
    pub cgroup: BTreeSet<u32>,
    pub marked: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    pub certain: BTreeSet<ProcessKey>,
    pub likely: BTreeSet<ProcessKey>,
}

/// Looks into `/proc`, and keeps who was found: who was of the lineage once is so for good.
pub(crate) struct Finder {
    pub found: BTreeSet<ProcessKey>,
    /// Members that were seen to lead the session that has their pid.
    leaders: BTreeSet<u32>,
    markers: Vec<Vec<u8>>,
    /// Looked into, and nothing was found: only who is new is looked into again.
    strangers: BTreeSet<ProcessKey>,
}

impl Finder {
    pub fn new(target: &Target) -> Finder {
        let markers = target.markers.iter().map(|m| format!("{}={}", m.name, m.value).into_bytes()).collect();
        Finder { found: BTreeSet::new(), leaders: BTreeSet::new(), markers, strangers: BTreeSet::new() }
    }

    /// `cgroups`: those of the lineage, with the one that stragglers are moved to.
    pub fn look(
        &mut self,
        target: &Target,
        cgroups: &[String],
        known: &BTreeSet<ProcessKey>,
        guard: &Guard,
    ) -> (BTreeMap<u32, Process>, Closure) {
        let table = process::table();
        let mut signs = Signs::default();
        for process in table.values().filter(|process| !process.is_dead()) {
            let (key, pid) = (process.key, process.key.pid);
            if self.found.contains(&key) || self.strangers.contains(&key) {
                continue;
            }
            let inside = |own: String| cgroups.iter().any(|group| is_below(&own, group));
            if !cgroups.is_empty() && process::cgroup_of(pid).is_some_and(inside) {
                signs.cgroup.insert(pid);
            } else if !self.markers.is_empty()
                && process::is_marked(&process::environment(pid), &self.markers)
            {
                signs.marked.insert(pid);
            } else {
                self.strangers.insert(key);
            }
        }
        let closure = self.close(target, &table, &signs, known, guard);
        (table, closure)
    }

    /// Pure, but for what it keeps.
    pub fn close(
        &mut self,
        target: &Target,
        table: &BTreeMap<u32, Process>,
        signs: &Signs,
        known: &BTreeSet<ProcessKey>,
        guard: &Guard,
    ) -> Closure {
        let mut children: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        let mut sessions: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        let alive = || table.values().filter(|process| !process.is_dead() && !guard.holds(process.key));
        for process in alive() {
            children.entry(process.parent).or_default().push(process);
            sessions.entry(process.session).or_default().push(process);
        }
        // What the root had started before it became the agent is not the agent's, though it descends from it.
        let is_older = |key: &ProcessKey| key.start_ns < target.began_ns && !target.roots.contains(key);
        let (older, said): (BTreeSet<ProcessKey>, BTreeSet<ProcessKey>) =
            target.members.union(known).copied().partition(is_older);
        let likely_of_record =
            |key: &ProcessKey| (target.likely.contains(key) || older.contains(key)) && !said.contains(key);
        let begins = |process: &Process| {
            let key = &process.key;
            said.contains(key)
                || target.roots.contains(key)
                || self.found.contains(key)
                || (target.include_likely && likely_of_record(key))
                || signs.cgroup.contains(&key.pid)
                || signs.marked.contains(&key.pid)
        };
        let mut waiting: Vec<&Process> = alive().filter(|process| begins(process)).collect();
        // Sessions whose leader was a member are left by nobody and joined by nobody.
        waiting.extend(self.leaders.iter().filter_map(|leader| sessions.get(leader)).flatten());
        let (mut certain, mut children_before) = (BTreeSet::new(), BTreeSet::new());
        while let Some(process) = waiting.pop() {
            if !certain.insert(process.key) {
                continue;
            }
            if process.session == process.key.pid {
                self.leaders.insert(process.session);
            }
            let is_root = target.roots.contains(&process.key);
            for child in children.get(&process.key.pid).into_iter().flatten() {
                let before = is_root && child.key.start_ns < target.began_ns && !begins(child);
                if before {
                    children_before.insert(child.key);
                } else {
                    waiting.push(child);
                }
            }
            // What a root's session holds may be older than the agent.
            if process.session == process.key.pid && !is_root {
                waiting.extend(sessions.get(&process.session).into_iter().flatten());
            }
        }
        for root in &target.roots {
            self.leaders.remove(&root.pid);
        }
        let groups: BTreeSet<u32> = table
            .values()
            .filter(|process| certain.contains(&process.key))
            .flat_map(|process| [process.session, process.group])
            .filter(|id| *id > 1 && !guard.sessions.contains(id))
            .collect();
        let mut likely: BTreeSet<ProcessKey> = alive()
            .filter(|process| {
                likely_of_record(&process.key)
                    || children_before.contains(&process.key)
                    || groups.contains(&process.session)
                    || groups.contains(&process.group)
            })
            .map(|process| process.key)
            .filter(|key| !certain.contains(key))
            .collect();
        if target.include_likely {
            certain.append(&mut likely);
        }
        self.found.extend(&certain);
        Closure { certain, likely }
    }
}

/// Is a cgroup this one, or below it? The root is nobody's.
pub(crate) fn is_below(own: &str, group: &str) -> bool {
    !group.is_empty() && own.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of `PID PARENT SESSION GROUP START [STATE]`.
    fn processes(text: &str) -> BTreeMap<u32, Process> {
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u32>().unwrap();
            Process {
                key: ProcessKey { pid: number(0), start_ns: u64::from(number(4)) },
                parent: number(1),
                session: number(2),
                group: number(3),
                state: words.get(5).map_or('S', |s| s.chars().next().unwrap()),
                kernel: false,
                comm: String::new(),
            }
        };
        text.split(',').map(line).map(|process| (process.key.pid, process)).collect()
    }

    #[track_caller]
    fn check(text: &str, change: impl Fn(&mut Target, &mut Signs), certain: &[u32], likely: &[u32]) {
        let table = processes(text);
        let mut target =
            Target { roots: vec![ProcessKey { pid: 100, start_ns: 10 }], began_ns: 20, ..Target::default() };
        let mut signs = Signs::default();
        change(&mut target, &mut signs);
        let guard = Guard { keys: [table[&10].key].into(), sessions: [10].into() };
        let found = Finder::new(&target).close(&target, &table, &signs, &BTreeSet::new(), &guard);
        let pids = |keys: &BTreeSet<ProcessKey>| keys.iter().map(|key| key.pid).collect::<Vec<_>>();
        assert_eq!((pids(&found.certain), pids(&found.likely)), (certain.to_vec(), likely.to_vec()));
    }

    /// The user's shell (10) and its other job (11) are nobody's.
    const SHELL: &str = "10 1 10 10 1, 11 10 10 11 2, 100 10 10 100 10";

    #[test]
    fn who_belongs() {
        let nothing = |_: &mut Target, _: &mut Signs| {};
        check(&format!("{SHELL}, 101 100 10 100 30, 102 101 102 102 31"), nothing, &[100, 101, 102], &[]);
        // The same pid, but another process.
        check("10 1 10 10 1, 100 10 10 100 99", nothing, &[], &[]);
        // What the root had started before it became the agent.
        check(&format!("{SHELL}, 101 100 10 101 12"), nothing, &[100], &[101]);
        check(
            &format!("{SHELL}, 101 100 10 101 12"),
            |t, _| t.members.extend([ProcessKey { pid: 101, start_ns: 12 }]),
            &[100],
            &[101],
        );
        // The root is gone; a marker, a control group, and what descends from there.
        check(
            "10 1 10 10 1, 200 1 200 200 50, 201 200 200 200 51",
            |_, s| s.marked.extend([200]),
            &[200, 201],
            &[],
        );
        check("10 1 10 10 1, 200 1 200 200 50", |_, s| s.cgroup.extend([200]), &[200], &[]);
        // A marked shell that the daemon descends from is guarded.
        check(SHELL, |_, s| s.marked.extend([10]), &[100], &[]);
        // Who shares only a process group is likely; in a session that a member leads, certain.
        check(&format!("{SHELL}, 300 1 10 100 40"), nothing, &[100], &[300]);
        check(&format!("{SHELL}, 101 100 101 101 30, 300 1 101 300 40"), nothing, &[100, 101, 300], &[]);
        check(&format!("{SHELL}, 300 1 10 100 40"), |t, _| t.include_likely = true, &[100, 300], &[]);
        // The dead are no members, and have no children.
        check(&format!("{SHELL}, 101 100 10 100 30 Z"), nothing, &[100], &[]);
    }

    #[test]
    fn a_group_is_below_itself_only() {
        assert!(is_below("muster/1-2", "muster/1-2") && is_below("muster/1-2/x", "muster/1-2"));
        assert!(!is_below("muster/1-23", "muster/1-2") && !is_below("a", "") && !is_below("", ""));
    }
}
