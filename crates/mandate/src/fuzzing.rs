//! What must hold of mandates, allowed signers and signatures whatever they are: driven by proptest here, by libFuzzer in `fuzz/`.

use crate::glob::{PathGlob, Word};
use crate::{Action, Binding, Chain, HostPattern, Link, Mandate, Signers, id_of, signature};

/// A mandate: read or refused, with a line that it has; what is read decides about anything and is a part of nothing looser.
pub fn mandate(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mandate = match Mandate::parse(&text) {
        Ok(mandate) => mandate,
        Err(error) => {
            assert!(error.line <= text.lines().count() + 1, "{error}");
            return;
        }
    };
    assert!(mandate.is_renewal_of(&mandate).is_ok(), "it is itself");
    assert!(mandate.is_part_of(&mandate).is_err(), "a part has less depth");
    let id = id_of(text.as_bytes());
    let link = Link { stands_for: id.clone(), id, mandate, policy: None };
    let binding = Binding { home: Some("/h".to_owned()), ..Binding::default() };
    if let Ok(chain) = Chain::new(vec![link], &binding) {
        let path: String = text.chars().rev().take(64).collect();
        for action in [
            Action::Read { path: format!("/{path}") },
            Action::Execute { path: path.clone(), argv: vec![path.clone()] },
            Action::Tool { name: path.clone(), arguments: path },
        ] {
            let decision = chain.decide(&action, 1);
            assert!(!decision.rule.is_empty(), "each decision names its line");
        }
    }
}

/// Allowed signers, and a signature: no key of chance may sign.
pub fn allowed_signers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let signers = Signers::parse(&text);
    assert!(signers.len() + signers.unused.len() <= text.lines().count().max(1) + 1);
    assert!(signature::check(b"body", &text).is_err(), "nobody signed that");
    assert!(signers.check(b"body", &text, "a", 1).is_err());
}

/// Globs: what includes another matches all that the other matches.
pub fn globs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\n');
    let (outer, inner, path) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if let (Ok(outer), Ok(inner)) = (PathGlob::new(outer), PathGlob::new(inner))
        && outer.includes(&inner)
        && inner.matches(path)
    {
        assert!(outer.matches(path), "{outer} includes {inner}, and not {path}");
    }
    if let (Ok(outer), Ok(inner)) = (Word::new(outer), Word::new(inner))
        && outer.includes(&inner)
        && inner.matches(path)
    {
        assert!(outer.matches(path));
    }
    if let (Ok(outer), Ok(inner)) = (HostPattern::new(outer), HostPattern::new(inner))
        && outer.includes(&inner)
    {
        for target in targets(path) {
            assert!(
                !inner.allows(&target) || outer.allows(&target),
                "{outer} includes {inner}, and not {path}"
            );
        }
    }
}

fn targets(text: &str) -> Vec<crate::Target<'_>> {
    use crate::Protocol::{Tcp, Unix};
    let address = text.parse().ok();
    [1, 443]
        .into_iter()
        .flat_map(|port| {
            [
                crate::Target::new(Some(text), None, Some(port), Tcp),
                crate::Target::new(None, address, Some(port), Tcp),
                crate::Target::new(Some(text), address, Some(port), Tcp),
                crate::Target::new(Some(text), None, None, Unix),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const KEYS: [&str; 14] = [
        "muster = 1\nprincipal = \"a\"\nagent = \"*\"\ntask = \"t\"\nhost = \"*\"\nserial = \"1\"\nexpires = 2100-01-01T00:00:00Z\n",
        "[scope]\n",
        "read = [\"/**\"]\n",
        "execute = [\"/bin/git ** push **\"]\n",
        "connect = [\"*:*\", \"[::1]:80\"]\n",
        "[scope.deny]\nread = [\"~/x\"]\n",
        "[limits]\nmoney = \"1.5 USD\"\n",
        "[oversight]\nask = [\"tool *\"]\n",
        "[delegation]\ndepth = 9\n",
        "x = [[[[{{{{",
        "write = [\"/a/[b]\"]\n",
        "\"\\u0000\" = 1\n",
        "expires = 1979-05-27\n",
        "é",
    ];
    /// Few signs, so that they meet.
    const SIGNS: [&str; 14] =
        ["/", "a", "b", "*", "**", "?", ".", "\\", "~", "\n", "\n", "/a/", "/**", ":443"];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_mandate(pieces in prop::collection::vec(0usize..KEYS.len(), 0..16)) {
            let text: String = pieces.iter().filter_map(|at| KEYS.get(*at)).copied().collect();
            super::mandate(text.as_bytes());
            super::mandate(format!("{}{text}", KEYS[0]).as_bytes());
        }

        #[test]
        fn any_bytes_are_allowed_signers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::allowed_signers(&bytes);
            super::mandate(&bytes);
        }

        #[test]
        fn any_line_is_an_allowed_signer(line in "[a*!,\" =@-]{0,20}(valid-after=\"?[0-9Z]{0,16}|namespaces=\"?)?[ ,\"]{0,3}(ssh-ed25519 AAAA[a-zA-Z0-9]{0,60})?") {
            super::allowed_signers(line.as_bytes());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn what_includes_matches_more(pieces in prop::collection::vec(0usize..SIGNS.len(), 0..24)) {
            let text: String = pieces.iter().filter_map(|at| SIGNS.get(*at)).copied().collect();
            super::globs(text.as_bytes());
        }

        #[test]
        fn hosts_too(outer in "(\\*|\\*\\.a|a|b\\.a|10\\.0\\.0\\.0/[0-9]|0\\.0\\.0\\.0/0|localhost|127\\.0\\.0\\.1):(\\*|443|1-500)",
                     inner in "(\\*|\\*\\.b\\.a|a|b\\.a|10\\.1\\.0\\.0/16|169\\.254\\.0\\.0/16|0\\.0\\.0\\.0/[0-9]|localhost|127\\.0\\.0\\.1):(\\*|443|1-500)",
                     target in "(a|c\\.b\\.a|b\\.a|10\\.1\\.2\\.3|169\\.254\\.1\\.1|127\\.0\\.0\\.1|localhost|8\\.8\\.8\\.8|::1)") {
            super::globs(format!("{outer}\n{inner}\n{target}").as_bytes());
        }
    }
}
