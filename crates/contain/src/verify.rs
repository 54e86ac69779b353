//! Is it over? Looked at afresh, as if nothing had been done.

use std::collections::BTreeSet;

use muster_event::ProcessKey;

use crate::closure::{Finder, Guard};
use crate::units::{self, Unit};
use crate::{Target, cut, process};

/// What is left, in words; nothing: nothing was found.
pub(crate) fn verify(
    target: &Target,
    groups: &[String],
    known: &BTreeSet<ProcessKey>,
    guard: &Guard,
    sockets: &BTreeSet<u64>,
) -> Vec<String> {
    let (table, closure) = Finder::new(target).look(target, groups, known, guard);
    let mut left: Vec<String> = closure
        .certain
        .iter()
        .map(|key| {
            let state = table.get(&key.pid).map_or('?', |process| process.state);
            format!("process {} ({state}): {}", key.pid, process::command(key.pid))
        })
        .collect();
    left.extend(cut::left(sockets).into_iter().map(|socket| format!("connection {socket}")));
    for artefact in target.taken() {
        if artefact.whole && artefact.stands() {
            left.push(format!("file {}", artefact.path.display()));
        }
        if units::is_there() {
            let active = Unit::of(artefact).into_iter().filter(Unit::is_active);
            left.extend(active.map(|unit| format!("unit {}", unit.shown())));
        }
    }
    left
}
