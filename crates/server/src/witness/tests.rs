//! A witness with a folder, without its HTTP.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use muster_ledger::cosignature::cosigned;
use muster_ledger::note::{Key, KeyKind};
use muster_ledger::tree::{self, Subtrees};
use muster_ledger::{Checkpoint, Hash, Head};

use super::*;

const LIMITS: Limits =
    Limits { silent_after: Duration::from_secs(30), unchanged_after: Some(Duration::from_secs(60)) };
const ORIGIN: &str = "example.com/log";

/// A history of single hashes: leaf `n` is of `own` from `own_from` on.
#[derive(Clone, Copy)]
struct History {
    own_from: u64,
    own: u8,
}

const OURS: History = History { own_from: 64, own: 0 };

impl Subtrees for &History {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        if height == 0 {
            let own = if index < self.own_from { 0 } else { self.own };
            return Ok(tree::leaf_hash(&[index as u8, own]));
        }
        Ok(tree::node_hash(&self.subtree(height - 1, index * 2)?, &self.subtree(height - 1, index * 2 + 1)?))
    }
}

fn log_key() -> Key {
    Key::new(ORIGIN, KeyKind::Log, &[1; 32]).unwrap()
}

fn request(history: History, old: u64, new: u64) -> Vec<u8> {
    let head = Head { size: new, root: tree::root(&mut &history, new).unwrap() };
    let note = Checkpoint::new(ORIGIN, head).sign([&log_key() as &dyn Signer]).unwrap();
    Request { old, proof: tree::consistency(&mut &history, old, new).unwrap(), note }.to_bytes()
}

fn at(seconds: u64) -> Now {
    Now { time: 1_000_000 + seconds, since_start: Duration::from_secs(seconds) }
}

struct Rig {
    dir: tempfile::TempDir,
    witness: Option<Arc<Witness>>,
    alarms: Receiver<Alarm>,
}

impl Rig {
    fn new() -> Rig {
        let (_, alarms) = channel();
        let mut rig = Rig { dir: tempfile::tempdir().unwrap(), witness: None, alarms };
        rig.restart();
        rig
    }

    fn restart(&mut self) {
        self.witness = None;
        let (sender, alarms) = channel();
        self.alarms = alarms;
        let log = Log { origin: ORIGIN.to_owned(), keys: vec![log_key().verifier().clone()] };
        let key = Key::new("witness.example", KeyKind::Witness, &[2; 32]).unwrap();
        let alarm = move |alarm| drop(sender.send(alarm));
        let witness = Witness::open(self.dir.path(), vec![log], Box::new(key), LIMITS, alarm).unwrap();
        self.witness = Some(Arc::new(witness));
    }

    fn witness(&self) -> &Witness {
        self.witness.as_ref().unwrap()
    }

    #[track_caller]
    fn add(&self, history: History, old: u64, new: u64, seconds: u64, status: u16) -> Reply {
        let reply = self.witness().add(&request(history, old, new), at(seconds));
        assert_eq!(reply.status, status, "{}", reply.body);
        reply
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.try_iter().collect()
    }

    #[track_caller]
    fn told(&self, expected: &[&str]) -> Vec<Alarm> {
        let alarms = self.alarms();
        assert_eq!(alarms.iter().map(|alarm| alarm.alarm).collect::<Vec<_>>(), expected, "{alarms:?}");
        alarms
    }

    fn state(&self, seconds: u64) -> &'static str {
        self.witness().status(at(seconds)).logs[0].state
    }
}

#[test]
fn what_was_cosigned_is_remembered() {
    let mut rig = Rig::new();
    assert_eq!(rig.state(0), "never-seen");
    let reply = rig.add(OURS, 0, 5, 1, 200);
    let asked = Request::parse(&request(OURS, 0, 5)).unwrap();
    let note = Note::parse(format!("{}{}", asked.note, reply.body).as_bytes()).unwrap();
    let key = Key::new("witness.example", KeyKind::Witness, &[2; 32]).unwrap();
    assert_eq!(cosigned(&note, [key.verifier()]), [(key.verifier(), 1_000_001)]);
    rig.restart();
    let conflict = rig.add(OURS, 0, 9, 2, 409);
    assert_eq!((conflict.content_type, conflict.body.as_str()), (SIZE_TYPE, "5\n"));
    rig.add(OURS, 5, 9, 2, 200);
    // Again: the same head at another time. And the clock goes back: its word does not.
    rig.add(OURS, 9, 9, 7, 200);
    rig.add(OURS, 9, 9, 3, 200);
    let status = rig.witness().status(at(3));
    assert!(status.logs[0].checkpoint.as_ref().unwrap().contains("\u{2014} witness.example "));
    assert_eq!(status.logs[0].seen.as_deref(), Some(time(1_000_007).as_str()));
    assert_eq!(status.logs[0].grown.as_deref(), Some(time(1_000_002).as_str()));
    rig.told(&[]);
}

#[test]
fn two_witnesses_never_share_a_memory() {
    let rig = Rig::new();
    let key = Key::new("witness.example", KeyKind::Witness, &[2; 32]).unwrap();
    let second = Witness::open(rig.dir.path(), Vec::new(), Box::new(key), LIMITS, |_| {});
    assert!(matches!(second, Err(WitnessError::Locked { .. })));
}

#[test]
fn a_damaged_memory_is_not_begun_anew() {
    let rig = Rig::new();
    rig.add(OURS, 0, 5, 1, 200);
    let dir = rig.dir.path().to_owned();
    let file = std::fs::read_dir(dir.join("logs")).unwrap().next().unwrap().unwrap().path();
    let Rig { witness, dir: _dir, .. } = rig;
    drop(witness);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let log = Log { origin: ORIGIN.to_owned(), keys: Vec::new() };
    let key = Key::new("witness.example", KeyKind::Witness, &[2; 32]).unwrap();
    let opened = Witness::open(&dir, vec![log], Box::new(key), LIMITS, |_| {});
    assert!(matches!(opened, Err(WitnessError::Damaged { .. })));
}

#[test]
fn each_thing_that_a_log_may_do_is_told_once_and_proven() {
    let other = History { own_from: 3, own: 1 };
    for (history, old, new, status, name) in [
        (other, 9, 9, 409, "fork"),
        (other, 0, 9, 409, "fork"),
        (OURS, 0, 7, 409, "rollback"),
        (OURS, 9, 7, 400, "rollback"),
        (other, 9, 12, 422, "rewrite"),
    ] {
        let mut rig = Rig::new();
        rig.add(OURS, 0, 5, 1, 200);
        rig.add(OURS, 5, 9, 2, 200);
        let asked =
            Request { old, ..Request::parse(&request(history, old.min(new), new)).unwrap() }.to_bytes();
        assert_eq!(rig.witness().add(&asked, at(3)).status, status);
        assert_eq!(rig.witness().add(&asked, at(4)).status, status);
        let alarms = rig.told(&[name]);
        let evidence = alarms[0].evidence.as_ref().unwrap();
        let read = |name: &str| std::fs::read(evidence.join(name)).unwrap();
        let refused = Note::parse(&read("refused")).unwrap();
        let kept = Note::parse(&read("cosigned")).unwrap();
        for note in [&refused, &kept] {
            note.verify([log_key().verifier()]).unwrap();
        }
        assert_eq!(Checkpoint::parse(&kept.text).unwrap().head.size, 9);
        assert_eq!(Checkpoint::parse(&refused.text).unwrap().head.size, new);
        assert_eq!(kept.signatures.len(), 2, "the witness's own word is missing");
        assert_eq!(read("request"), asked);
        assert!(String::from_utf8(read("about")).unwrap().starts_with(&alarms[0].text));
        assert_eq!(rig.state(4), name);
        // In order again, and the very same once more: told, kept and counted before.
        rig.add(OURS, 9, 10, 5, 200);
        rig.told(&["back"]);
        assert_eq!(rig.state(5), "ok");
        let status = rig.witness().add(&asked, at(6)).status;
        assert!((400..500).contains(&status));
        rig.told(&[]);
        rig.restart();
        assert_eq!(rig.witness().status(at(0)).logs[0].evidence.len(), 1);
        assert_eq!(rig.witness().accused()[0].2, 1);
    }
}

#[test]
fn a_wrong_proof_is_told_from_a_changed_past_when_the_right_one_comes() {
    let rig = Rig::new();
    rig.add(OURS, 0, 5, 1, 200);
    let mut wrong = Request::parse(&request(OURS, 5, 9)).unwrap();
    wrong.proof[0][0] ^= 1;
    assert_eq!(rig.witness().add(&wrong.to_bytes(), at(2)).status, 422);
    rig.told(&["rewrite"]);
    rig.add(OURS, 5, 9, 3, 200);
    let back = rig.told(&["back"]);
    assert!(back[0].text.contains("wrong proof") && !back[0].text.contains("stays true"), "{}", back[0].text);
    // One without a proof at all shows nothing.
    wrong.proof.clear();
    wrong.old = 9;
    wrong.note = Request::parse(&request(OURS, 9, 12)).unwrap().note;
    assert_eq!(rig.witness().add(&wrong.to_bytes(), at(4)).status, 422);
    rig.told(&[]);
}

#[test]
fn a_copy_of_an_old_checkpoint_is_no_rollback_until_it_comes_again_and_again() {
    let rig = Rig::new();
    rig.add(OURS, 0, 5, 1, 200);
    rig.add(OURS, 5, 9, 2, 200);
    for second in 0..20 {
        rig.add(OURS, 0, 5, 3 + second, 409);
        rig.add(OURS, 9, 9, 3 + second, 200);
    }
    rig.told(&[]);
    for _ in 0..AGAIN_MAX {
        rig.add(OURS, 0, 5, 30, 409);
    }
    assert!(rig.told(&["rollback"])[0].text.contains("again and again"));
    // A sign of life it is not.
    rig.witness().look(at(90));
    rig.told(&["silent"]);
}

#[test]
fn silence_is_told_once_and_its_end_too() {
    let mut rig = Rig::new();
    // A log that never came is not missed.
    rig.witness().look(at(100));
    rig.told(&[]);
    rig.add(OURS, 0, 5, 100, 200);
    rig.witness().look(at(129));
    rig.told(&[]);
    for second in 130..140 {
        rig.witness().look(at(second));
    }
    let alarms = rig.told(&["silent"]);
    assert_eq!(alarms[0].size, Some(5));
    assert_eq!(rig.state(140), "silent");
    assert_eq!(rig.witness().status(at(140)).logs[0].silent_s, Some(40));
    // What is refused is no sign of life.
    rig.add(OURS, 0, 9, 141, 409);
    assert_eq!(rig.state(141), "silent");
    rig.add(OURS, 5, 5, 150, 200);
    assert!(rig.told(&["back"])[0].text.contains("50 s"));
    assert_eq!(rig.state(150), "ok");
    // A witness that was away itself gives them time.
    rig.restart();
    rig.witness().look(at(29));
    rig.told(&[]);
    rig.witness().look(at(30));
    rig.told(&["silent"]);
}

/// A log that was stopped, and whose last checkpoint somebody keeps sending.
#[test]
fn the_last_checkpoint_again_and_again_is_no_life() {
    let mut rig = Rig::new();
    rig.add(OURS, 0, 5, 1, 200);
    for second in 2..61 {
        rig.add(OURS, 5, 5, second, 200);
        rig.witness().look(at(second));
    }
    rig.told(&[]);
    for second in 61..80 {
        rig.add(OURS, 5, 5, second, 200);
        rig.witness().look(at(second));
    }
    assert!(rig.told(&["unchanged"])[0].text.contains("60 s"));
    assert_eq!(rig.state(80), "unchanged");
    rig.add(OURS, 5, 6, 81, 200);
    assert!(rig.told(&["back"])[0].text.contains("grows again"));
    assert_eq!(rig.state(81), "ok");
    // Who is silent altogether is called that.
    rig.witness().look(at(200));
    rig.told(&["silent"]);
    rig.restart();
    rig.add(OURS, 6, 6, 1, 200);
    rig.witness().look(at(29));
    rig.told(&[]);
}

#[test]
fn what_cannot_be_written_down_is_not_cosigned() {
    let rig = Rig::new();
    rig.add(OURS, 0, 5, 1, 200);
    let logs = rig.dir.path().join("logs");
    std::fs::rename(&logs, rig.dir.path().join("away")).unwrap();
    std::fs::write(&logs, "in the way").unwrap();
    let reply = rig.add(OURS, 5, 9, 2, 500);
    assert!(!reply.body.contains('\u{2014}'), "{}", reply.body);
    rig.add(OURS, 5, 9, 2, 500);
    rig.told(&["cannot-write"]);
    std::fs::remove_file(&logs).unwrap();
    std::fs::rename(rig.dir.path().join("away"), &logs).unwrap();
    rig.add(OURS, 5, 9, 3, 200);
    rig.told(&["back"]);
}

#[test]
fn many_at_once_are_served_one_after_the_other() {
    let rig = Rig::new();
    rig.add(OURS, 0, 1, 1, 200);
    // All ask from 1, for two histories: one may win.
    let other = History { own_from: 1, own: 1 };
    let threads: Vec<_> = (0..16u64)
        .map(|n| {
            let witness = Arc::clone(rig.witness.as_ref().unwrap());
            let history = if n % 2 == 0 { OURS } else { other };
            std::thread::spawn(move || witness.add(&request(history, 1, 2 + n), at(2)).status)
        })
        .collect();
    let statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
}
