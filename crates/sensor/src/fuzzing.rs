//! What must hold of the sensor's decoding whatever the bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property fails by panicking"
)]

use std::cell::RefCell;
use std::path::Path;

use muster_event::{Address, Kind};

use crate::decode::{self, Calls};
use crate::paths::{self, Resolver};
use crate::wire::{HEAD_LEN, Raw, kind, tag};
use crate::{markers, network, probes, scan};

thread_local! {
    static CALLS: Calls = Calls::default();
    /// Remembers folders, so that the file system is not asked each time.
    static RESOLVER: RefCell<Resolver> = RefCell::default();
}

/// A record as the probes send it.
pub fn probe_record(bytes: &[u8]) {
    let Some(raw) = Raw::parse(bytes) else {
        assert!(bytes.len() < HEAD_LEN, "whole, and not read");
        return;
    };
    assert_eq!(Raw::boot_ns_of(bytes), Some(raw.boot_ns));
    RESOLVER.with_borrow_mut(|resolver| {
        let decoded = match raw.kind {
            kind::FORK => Some(decode::fork(&raw)),
            // An environment that was cut is read from the process: which one is there is chance.
            kind::EXEC if raw.arg(2) > raw.blob(tag::ENV).unwrap_or_default().len() as u64 => None,
            kind::EXEC => Some(decode::exec(&raw, &[], resolver)),
            kind::EXIT => Some(decode::exit(&raw)),
            kind::URING => Some(decode::uring(&raw, resolver)),
            kind::OUTPUT => Some(decode::output(&raw)),
            kind::NET => network::kinds(&raw).into_iter().next(),
            _ => CALLS.with(|calls| decode::syscall(&raw, calls, "before", resolver)),
        };
        if let Some(Kind::Exit { code, signal }) = &decoded {
            assert!(code.is_some() != signal.is_some(), "exactly one of the two");
        }
        if let Some(Kind::Output { lines, hashes, .. }) = &decoded {
            assert!(hashes.len() <= muster_event::OUTPUT_LINES_MAX && hashes.len() as u64 <= *lines);
        }
        // What is made of a record is bounded by it: four characters a byte, and the folders of links.
        if let Some(Kind::Exec { path, cwd, argv, .. }) = &decoded {
            let bound = 4 * bytes.len() + 16;
            assert!(
                path.len() <= bound
                    && cwd.len() <= bound
                    && argv.iter().map(String::len).sum::<usize>() <= 2 * bound
            );
        }
    });
}

/// The first bytes of a packet: which protocol, then what it says.
pub fn packet(bytes: &[u8]) {
    let (control, data) = bytes.split_first().unwrap_or((&0, &[]));
    let port: u16 = if control & 1 == 0 { 53 } else { 443 };
    let transport: u32 = if control & 2 == 0 { 6 } else { 17 };
    let mut record = vec![0; HEAD_LEN];
    record[..2].copy_from_slice(&kind::NET.to_ne_bytes());
    record[4..8].copy_from_slice(&transport.to_ne_bytes());
    let address = [&2u16.to_ne_bytes()[..], &port.to_be_bytes(), &[192, 0, 2, 1]].concat();
    for (tag, blob) in [(tag::ADDRESS, address.as_slice()), (tag::DATA, data)] {
        record.extend(tag.to_ne_bytes());
        record.extend((blob.len().min(0xffff) as u16).to_ne_bytes());
        record.extend(&blob[..blob.len().min(0xffff)]);
    }
    let kinds = network::kinds(&Raw::parse(&record).unwrap());
    for kind in &kinds {
        match kind {
            Kind::Dns { server, .. } => assert!(matches!(server, Address::Ip { port: 53, .. })),
            Kind::Tls { address, .. } | Kind::Http { address, .. } => {
                assert!(matches!(address, Address::Ip { port: 443, .. }));
            }
            other => panic!("no packet says this: {other:?}"),
        }
        if let Kind::Http { target, .. } = kind
            && let Some((_, query)) = target.split_once('?')
        {
            let cut = |pair: &str| pair.split_once('=').is_none_or(|(_, v)| v == "sse" || v == "[redacted]");
            assert!(query.split('&').all(cut), "a value of a query is kept: {target}");
        }
    }
    // A question takes five bytes at least.
    assert!(kinds.len() <= 1 + data.len() / 5);
    let _ = network::parse_address(data);
}

/// The files of `/proc`, one after the other.
pub fn proc_files(bytes: &[u8]) {
    if let Some(stat) = scan::parse_stat(bytes) {
        assert!(stat.comm.len() < bytes.len() && stat.start_ns % 10_000_000 == 0);
    }
    // A process chooses its own name: whatever it is, the numbers behind it are found.
    let line = [b"42 (", bytes, b") S 7 40 41 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1234 5 6"].concat();
    let stat = scan::parse_stat(&line).unwrap();
    assert_eq!(stat.comm, bytes);
    assert_eq!((stat.parent, stat.group, stat.session, stat.start_ns), (7, 40, 41, 12_340_000_000));
    let argv = decode::strings(bytes);
    assert!(argv.len() <= bytes.len());
    let env = markers::of_environment(bytes);
    assert!(env.values().all(|value| value.len() <= 4 * 512 + 64), "a value is bounded: {env:?}");
    let text = String::from_utf8_lossy(bytes);
    if let Some(path) = scan::cgroup_path(&text) {
        assert!(Path::new(path).is_relative(), "a cgroup's folder is below the root: {path}");
    }
    let _ = (probes::cgroup_mount(&text), scan::is_for_write(&text));
}

/// Components of a path, and a path that a program gave.
pub fn path_components(bytes: &[u8]) {
    let path = paths::from_components(bytes, false);
    assert!(path.starts_with(b"/") && path.len() <= bytes.len() + 1);
    assert!(!path.contains(&0));
    assert!(paths::from_components(bytes, true).starts_with("…".as_bytes()));
    // Names that a path can have come back in their order.
    let names: Vec<&[u8]> = bytes.split(|b| *b == 0 || *b == b'/').filter(|name| !name.is_empty()).collect();
    let sent: Vec<u8> = names.iter().rev().flat_map(|name| [name, b"\0".as_slice()].concat()).collect();
    let expected = [b"/".as_slice(), &names.join(&b'/')].concat();
    assert_eq!(paths::from_components(&sent, false), expected);
    let lexical = paths::lexical(Path::new(std::ffi::OsStr::new(&*String::from_utf8_lossy(bytes))));
    assert!(
        !Path::new(&*String::from_utf8_lossy(&lexical)).components().any(|part| part.as_os_str() == "..")
    );
    let _ = paths::after_fd(bytes);
    if !bytes.contains(&0) {
        // No folder of this name: nothing is asked of links.
        let resolved = RESOLVER.with_borrow_mut(|r| r.resolve(bytes, Some(b"/nowhere/at/all"), None));
        assert!(!bytes.starts_with(b"/") || resolved.starts_with('/'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::flag;

    /// A head with a kind that there is, arguments, and blobs.
    fn record() -> impl Strategy<Value = Vec<u8>> {
        let blobs = vec((1u16..16, vec(any::<u8>(), 0..48)), 0..6);
        (0u16..9, any::<u16>(), 0u32..520, vec(any::<u8>(), HEAD_LEN - 8), blobs).prop_map(
            |(kind, flags, nr, head, blobs)| {
                let mut out =
                    [&kind.to_ne_bytes()[..], &(flags & !flag::COMPAT).to_ne_bytes(), &nr.to_ne_bytes()]
                        .concat();
                out.extend(head);
                // The lengths of what was cut: short, so that no process is asked.
                out[96..112].fill(0);
                for (tag, blob) in blobs {
                    out.extend(tag.to_ne_bytes());
                    out.extend((blob.len() as u16).to_ne_bytes());
                    out.extend(blob);
                }
                out
            },
        )
    }

    proptest! {
        #[test]
        fn any_record(record in record(), noise: Vec<u8>) {
            probe_record(&record);
            probe_record(&noise);
        }

        #[test]
        fn any_packet(control: u8, opening in prop::sample::select(vec![&b""[..], b"GET /x?a=b HTTP/1.1\r\n", b"\x16\x03\x01", b"\0\x07\x01\0\0\x01\0\0\0\0\0\0"]), data: Vec<u8>) {
            packet(&[&[control], opening, &data].concat());
        }

        #[test]
        fn any_file_of_proc(bytes: Vec<u8>, name in "(AGENT|HOME|TMUX)=.{0,20}") {
            proc_files(&bytes);
            proc_files(&[name.as_bytes(), &bytes].join(&0));
        }

        #[test]
        fn any_path(text in "[a-c./]{0,24}", bytes: Vec<u8>) {
            path_components(text.as_bytes());
            path_components(&bytes);
        }
    }
}
