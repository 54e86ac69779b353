//! What others make of the same bytes: Cloudflare's `signed_note` and `tlog_tiles` are implementations of the same
//! specifications that share nothing with ours but the cipher.

use muster_ledger::note::{Key, KeyKind, Note, NoteError, SignatureLine, Signer, Verifier};
use muster_ledger::{Checkpoint, Head};
use proptest::prelude::*;
use signed_note::{Signer as _, StandardSigner, StandardVerifier, Verifier as _, VerifierList};

fn theirs(keys: &[&Verifier]) -> VerifierList {
    let boxed = |key: &&Verifier| -> Box<dyn signed_note::Verifier> {
        Box::new(StandardVerifier::new(&key.to_string()).unwrap())
    };
    VerifierList::new(keys.iter().map(boxed).collect())
}

fn key(seed: u8) -> Key {
    Key::new(&format!("example.com/{}", seed % 2), KeyKind::Log, &[seed; 32]).unwrap()
}

#[test]
fn keys_are_the_same_keys() {
    for seed in 0..50 {
        let ours = key(seed);
        let their_signer = StandardSigner::new(&ours.to_secret()).unwrap();
        let their_verifier = StandardVerifier::new(&ours.verifier().to_string()).unwrap();
        assert_eq!(their_signer.name(), ours.verifier().name());
        assert_eq!(their_verifier.key_id().to_be_bytes(), ours.verifier().id());
        let message = [seed; 99];
        // Ed25519 has one signature for a message.
        assert_eq!(their_signer.sign(&message).unwrap(), ours.sign(&message).unwrap());
        assert!(their_verifier.verify(&message, &ours.sign(&message).unwrap()));
    }
}

/// Line breaks and other things of which notes are made, often enough.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-z+/ ]{0,6}",
        4 => Just("\n".to_owned()),
        2 => Just("\u{2014} ".to_owned()),
        1 => "\\PC{0,3}",
        1 => "[\\x00-\\x20]",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is a note to one is one to the other, and says the same.
    #[test]
    fn notes_are_the_same_notes(
        text in text(),
        signers in prop::collection::vec(0u8..6, 0..4),
        noise in prop::collection::vec(("[a-z+\u{a0} ]{0,4}", prop::collection::vec(any::<u8>(), 0..8)), 0..3),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut note = Note { text, signatures: Vec::new() };
        for seed in signers {
            note.sign(&key(seed)).unwrap();
        }
        for (name, bytes) in noise {
            note.signatures.push(SignatureLine { name, id: [9; 4], bytes });
        }
        let mut bytes = note.to_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let ours = Note::parse(&bytes);
        let their = signed_note::Note::from_bytes(&bytes);
        prop_assert_eq!(ours.is_ok(), their.is_ok(), "{:?} {:?} {:?}", ours, their, bytes);
        if let (Ok(ours), Ok(their)) = (ours, their) {
            prop_assert_eq!(ours.text.as_bytes(), their.text());
            prop_assert_eq!(ours.to_bytes(), their.to_bytes());
            let keys = [key(0), key(1), key(2)];
            let keys = keys.each_ref().map(Key::verifier);
            let verdict = their.verify(&theirs(&keys));
            match ours.verify(keys) {
                Ok(_) => prop_assert!(verdict.is_ok()),
                Err(NoteError::Unsigned) => {
                    prop_assert!(matches!(verdict, Err(signed_note::NoteError::UnverifiedNote)));
                }
                // A second signature by one key they do not look at.
                Err(_) => {}
            }
        }
    }

    #[test]
    fn checkpoints_are_the_same_checkpoints(
        origin in "[a-z/+ ]{0,5}",
        size in prop_oneof![any::<u64>().prop_map(|size| size.to_string()), "[0-9+-]{0,21}".prop_map(|s| s)],
        root in prop_oneof![
            8 => "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=",
            1 => "[A-Za-z0-9+/]{43}=",
            1 => "[A-Za-z0-9+/=]{0,50}",
        ],
        more in "(\n[a-z]{0,3}){0,3}",
        end in "\n{0,2}",
    ) {
        let text = format!("{origin}\n{size}\n{root}{more}{end}");
        let ours = Checkpoint::parse(&text);
        let their = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        match (&ours, &their) {
            (Ok(ours), Ok(their)) => {
                prop_assert_eq!((ours.origin.as_str(), ours.head.size), (their.origin(), their.size()));
                prop_assert_eq!(ours.head.root, their.hash().0);
                prop_assert_eq!(ours.text().into_bytes(), their.to_bytes());
            }
            _ => prop_assert_eq!(ours.is_ok(), their.is_ok(), "{:?} {:?} {:?}", ours, their, text),
        }
    }

    /// Consistency of any two trees of up to some hundred leaves: they take the proofs that we make, and refuse those that
    /// we refuse.
    #[test]
    fn a_changed_proof_is_refused_by_both(
        old in 1u64..200,
        more in 0u64..200,
        change in prop::option::of((any::<prop::sample::Index>(), 0usize..32, 1u8..)),
        cut in any::<bool>(),
    ) {
        let leaves = Leaves((0..old + more).map(|leaf| muster_ledger::tree::leaf_hash(&leaf.to_be_bytes())).collect());
        let new = old + more;
        let heads = [old, new].map(|size| root(&leaves, size));
        let mut proof = muster_ledger::tree::consistency(&mut &leaves, old, new).unwrap();
        if let (Some((at, byte, by)), false) = (change, proof.is_empty()) {
            let at = at.index(proof.len());
            proof[at][byte] ^= by;
            if cut {
                proof.truncate(at);
            }
        }
        let ours = muster_ledger::tree::verify_consistency(old, &heads[0], new, &heads[1], &proof);
        let hash = |hash: &muster_ledger::Hash| tlog_tiles::Hash(*hash);
        let their_proof = proof.iter().map(hash).collect();
        let their = tlog_tiles::check_tree(&their_proof, new, hash(&heads[1]), old, hash(&heads[0]));
        prop_assert_eq!(ours.is_ok(), their.is_ok(), "{:?} {:?}", ours, their);
        if change.is_none() {
            prop_assert!(ours.is_ok());
        }
    }
}

pub struct Leaves(pub Vec<muster_ledger::Hash>);

impl muster_ledger::tree::Subtrees for &Leaves {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, height: u32, index: u64) -> Result<muster_ledger::Hash, Self::Error> {
        if height == 0 {
            return Ok(self.0[index as usize]);
        }
        let left = self.subtree(height - 1, index * 2)?;
        let right = self.subtree(height - 1, index * 2 + 1)?;
        Ok(muster_ledger::tree::node_hash(&left, &right))
    }
}

pub fn root(leaves: &Leaves, size: u64) -> muster_ledger::Hash {
    muster_ledger::tree::root(&mut &*leaves, size).unwrap()
}

#[test]
fn the_specifications_own_examples_read() {
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let parsed = Note::parse(note.as_bytes()).unwrap();
    assert_eq!(parsed.to_string(), note);
    let checkpoint = Checkpoint::parse(&parsed.text).unwrap();
    assert_eq!(
        (checkpoint.origin.as_str(), checkpoint.head.size),
        ("example.com/behind-the-sofa", 20_852_163)
    );
    // Time first: 1679315147, as the specification says below it.
    let (time, _) = parsed.signatures[1].bytes.split_first_chunk::<8>().unwrap();
    assert_eq!(u64::from_be_bytes(*time), 1_679_315_147);
    let again = Checkpoint::new(&checkpoint.origin, Head { ..checkpoint.head });
    assert_eq!(again, checkpoint);
}
