//! What must hold of outside bytes whatever they are: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::panic, reason = "a property fails by panicking")]

use crate::{cut, journal, process, quarantine, restore};

/// Files of `/proc`: the name of a process, its environment and the addresses of its sockets are an agent's.
pub fn containment_proc(bytes: &[u8]) {
    if let Some(found) = process::parse(7, bytes) {
        assert_eq!(found.key.pid, 7);
        assert_eq!(found.key.start_ns % muster_event::ProcessKey::TICK_NS, 0);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = (process::cgroup_in(&text), process::socket_inode(bytes), cut::socket_line(&text));
    let whole = [&b"A=1\0"[..], bytes].concat();
    assert!(process::is_marked(&whole, &[b"A=1".to_vec()]));
}

/// A journal that a power cut or somebody else left.
pub fn containment_journal(bytes: &[u8]) {
    let lines = journal::lines(bytes);
    let standing = restore::standing(&lines);
    assert!(standing.kept.len() + standing.begun.len() <= lines.len());
}

/// Lines of a file are the lineage's or not, and none is lost.
pub fn containment_lines(bytes: &[u8]) {
    let wanted = ["x".to_owned(), String::new()];
    let (left, taken) = quarantine::without(bytes, &wanted);
    assert!(left.len() <= bytes.len());
    assert_eq!(taken == 0, left == bytes);
    assert_eq!(quarantine::without(&left, &wanted), (left.clone(), 0));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn proc_files_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::containment_proc(&bytes);
        }

        #[test]
        fn journals_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::containment_journal(&bytes);
        }

        #[test]
        fn lines_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::containment_lines(&bytes);
        }
    }
}
