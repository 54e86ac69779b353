//! A witness from outside: its codes, and that it never vouches for two histories.

use muster_ledger::note::{Key, KeyKind, Note, Signer};
use muster_ledger::witness::{Log, Refusal, Request, Seen, Sign, Verdict, decide};
use muster_ledger::{Checkpoint, Hash, Head, tree};
use proptest::prelude::*;

use crate::others::{Leaves, root};

const ORIGIN: &str = "example.com/log";

fn key(seed: u8) -> Key {
    Key::new(ORIGIN, KeyKind::Log, &[seed; 32]).unwrap()
}

fn log() -> Log {
    Log { origin: ORIGIN.to_owned(), keys: vec![key(1).verifier().clone()] }
}

/// A history: like others of it up to a point, its own from there on.
fn history(own_from: u64, own: u8) -> Leaves {
    let leaf = |index: u64| tree::leaf_hash(&[index as u8, if index < own_from { 0 } else { own }]);
    Leaves((0..64).map(leaf).collect())
}

fn head(history: &Leaves, size: u64) -> Head {
    Head { size, root: root(history, size) }
}

fn note(head: Head) -> Note {
    Checkpoint::new(ORIGIN, head).sign([&key(1) as &dyn Signer]).unwrap()
}

fn proof(history: &Leaves, old: u64, new: u64) -> Vec<Hash> {
    tree::consistency(&mut &*history, old, new).unwrap()
}

fn request(history: &Leaves, old: u64, new: u64) -> Request {
    Request { old, proof: proof(history, old, new), note: note(head(history, new)) }
}

fn at(history: &Leaves, size: u64) -> Seen {
    Seen::after(None, head(history, size), note(head(history, size)), 1)
}

#[track_caller]
fn check(seen: Option<&Seen>, request: &Request, status: u16, sign: Option<Sign>) -> Verdict {
    let verdict = decide(&log(), seen, request);
    let found = verdict.answer.as_ref().map_or_else(Refusal::status, |_| 200);
    assert_eq!((found, verdict.sign), (status, sign), "{:?}", verdict.answer);
    verdict
}

#[test]
fn each_code_of_the_specification() {
    let (ours, other) = (history(64, 0), history(3, 1));
    let seen = at(&ours, 5);
    // First sight, growth, the same again.
    check(None, &request(&ours, 0, 5), 200, None);
    check(None, &request(&ours, 0, 0), 200, None);
    check(Some(&seen), &request(&ours, 5, 9), 200, None);
    check(Some(&seen), &request(&ours, 5, 5), 200, None);
    check(Some(&at(&ours, 0)), &request(&ours, 0, 9), 200, None);
    check(Some(&at(&ours, 0)), &request(&ours, 0, 0), 200, None);
    // 404, 403, 400.
    let mut asked = request(&ours, 5, 9);
    asked.note = Checkpoint::new("other", head(&ours, 9)).sign([&key(1) as &dyn Signer]).unwrap();
    check(Some(&seen), &asked, 404, None);
    asked.note = Checkpoint::new(ORIGIN, head(&ours, 9)).sign([&key(2) as &dyn Signer]).unwrap();
    check(Some(&seen), &asked, 403, None);
    asked.note.sign(&key(1)).unwrap();
    check(Some(&seen), &asked, 200, None);
    asked.note.signatures[1].bytes[0] ^= 1;
    check(Some(&seen), &asked, 403, None);
    let wrong_root = Note::new(format!("{ORIGIN}\n9\nAAAA\n")).unwrap();
    asked.note = wrong_root;
    asked.note.sign(&key(1)).unwrap();
    check(Some(&seen), &asked, 400, None);
    let beyond = Request { old: 10, ..request(&ours, 5, 9) };
    check(Some(&seen), &beyond, 400, None);
    // 409: it knows another size.
    for old in [0, 4, 6, 9] {
        let verdict = check(Some(&seen), &request(&ours, old, 9), 409, None);
        assert_eq!(verdict.answer.unwrap_err().known(), Some(5));
    }
    check(None, &request(&ours, 5, 9), 409, None);
    // 409: another root for the same size.
    check(Some(&seen), &request(&other, 5, 5), 409, Some(Sign::Forked { size: 5 }));
    check(Some(&seen), &request(&other, 0, 5), 409, Some(Sign::Forked { size: 5 }));
    // 422.
    let longer = Request { proof: [proof(&ours, 5, 9), vec![[0; 32]]].concat(), ..request(&ours, 5, 9) };
    check(Some(&seen), &longer, 422, None);
    let mut wrong = request(&ours, 5, 9);
    wrong.proof[1][3] ^= 1;
    check(Some(&seen), &wrong, 422, Some(Sign::Rewritten { from: 5, to: 9 }));
    check(Some(&seen), &request(&other, 5, 9), 422, Some(Sign::Rewritten { from: 5, to: 9 }));
    let needless = Request { proof: vec![[0; 32]], ..request(&ours, 5, 5) };
    check(Some(&seen), &needless, 422, None);
    let needless = Request { proof: vec![[0; 32]], ..request(&ours, 0, 9) };
    check(None, &needless, 422, None);
    let nothing = Request { note: note(Head { size: 0, root: [1; 32] }), ..request(&ours, 0, 0) };
    check(None, &nothing, 422, None);
}

#[test]
fn a_rollback_is_told_from_an_old_checkpoint_sent_again() {
    let (ours, other) = (history(64, 0), history(3, 1));
    let seen = Seen::after(Some(&at(&ours, 5)), head(&ours, 9), note(head(&ours, 9)), 2);
    let back = |to, again| Some(Sign::RolledBack { from: 9, to, again });
    check(Some(&seen), &request(&ours, 5, 5), 409, back(5, true));
    check(Some(&seen), &request(&ours, 0, 6), 409, back(6, false));
    check(Some(&seen), &request(&other, 0, 8), 409, back(8, false));
    check(Some(&seen), &request(&other, 0, 5), 409, Some(Sign::Forked { size: 5 }));
    // Who asks from where the witness is, although it is further than the log itself.
    let honest = Request { old: 9, ..request(&ours, 6, 6) };
    check(Some(&seen), &honest, 400, back(6, false));
}

#[test]
fn signatures_of_strangers_are_not_remembered() {
    let ours = history(64, 0);
    let mut asked = request(&ours, 0, 9);
    asked.note.sign(&key(7)).unwrap();
    let accepted = check(None, &asked, 200, None).answer.unwrap();
    assert_eq!(accepted.note, note(head(&ours, 9)));
}

/// What somebody does who has the log's key: signs any of three histories, at any size, with any proof.
#[derive(Clone, Debug)]
struct Try {
    history: usize,
    old: Option<u64>,
    proof_from: Option<u64>,
    size: u64,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (0usize..3, prop::option::of(0u64..64), prop::option::of(0u64..64), 0u64..64)
        .prop_map(|(history, old, proof_from, size)| Try { history, old, proof_from, size });
    prop::collection::vec(one, 1..40)
}

proptest! {
    /// Whatever the holder of the key tries: of what the witness cosigned, each begins with all that it cosigned before;
    /// and what begins so is not called a sign of anything.
    #[test]
    fn it_never_vouches_for_two_histories(tries in tries(), shared in 0u64..40) {
        let histories = [history(64, 0), history(shared, 1), history(shared / 2, 2)];
        let mut seen: Option<Seen> = None;
        let mut cosigned: Vec<Head> = Vec::new();
        for (time, one) in (0..).zip(tries) {
            let known = seen.as_ref().map_or(0, |seen| seen.head.size);
            let old = one.old.unwrap_or(known);
            let from = one.proof_from.unwrap_or(old);
            let history = &histories[one.history];
            let asked = Request { old, ..request(history, from.min(one.size), one.size) };
            let verdict = decide(&log(), seen.as_ref(), &asked);
            if let Ok(accepted) = verdict.answer {
                prop_assert!(verdict.sign.is_none());
                for before in &cosigned {
                    prop_assert!(before.size <= accepted.head.size);
                    prop_assert_eq!(root(history, before.size), before.root, "a history that it did not vouch for");
                }
                cosigned.push(accepted.head);
                seen = Some(Seen::after(seen.as_ref(), accepted.head, accepted.note, time));
                let again = Seen::parse(&seen.as_ref().unwrap().to_bytes()).unwrap();
                prop_assert_eq!(Some(&again), seen.as_ref());
            } else if old == from && known <= one.size {
                let honest = cosigned.iter().all(|before| root(history, before.size) == before.root);
                prop_assert!(!honest || verdict.sign.is_none(), "an honest log is accused: {:?}", verdict.sign);
            }
        }
    }
}
