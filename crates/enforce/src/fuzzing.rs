//! What must hold of bytes that an agent, or a resolver, gives: driven by proptest here, by libFuzzer in `fuzz/`.

use std::net::IpAddr;

use simple_dns::{Packet, RCODE};

use crate::{acts, names};

/// A question of an agent's, or the answer of a resolver.
pub fn dns_message(bytes: &[u8]) {
    if let Some((_, found)) = names::addresses(bytes, 7) {
        assert!(found.iter().all(|address| address.to_canonical() == *address), "{found:?}");
    }
    if let Ok(packet) = Packet::parse(bytes) {
        let _ = names::refuse(&packet, RCODE::NameError);
    }
    let text = String::from_utf8_lossy(bytes);
    let table = names::Names::with_table(&text);
    assert!(table.of(IpAddr::from([203, 0, 113, 250])).len() <= 64);
    assert!((1..=3).contains(&names::resolvers(&text).len()));
}

/// The address of a socket, as it lies in an agent's memory.
pub fn socket_address(bytes: &[u8]) {
    let known = acts::is_address(bytes);
    assert!(!known || bytes.len() >= 2);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dns_message(bytes: Vec<u8>) {
            super::dns_message(&bytes);
        }

        #[test]
        fn socket_address(family in 0_u16..20, rest: Vec<u8>) {
            super::socket_address(&[&family.to_ne_bytes()[..], &rest].concat());
        }
    }
}
