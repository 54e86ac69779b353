//! Against witnesses that really listen.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use muster_ledger::cosignature::cosigned;
use muster_ledger::note::{Key, Signer};
use muster_ledger::tree::{self, Subtrees};
use muster_ledger::witness::Log;
use muster_ledger::{Checkpoint, Head};
use muster_server::witness::{Limits, Witness, WitnessServer};

use super::*;

const ORIGIN: &str = "example.com/log";
const PATIENCE: Duration = Duration::from_secs(30);

/// A history: leaf `n` is of `own` from `own_from` on.
#[derive(Clone, Copy)]
struct History {
    own_from: u64,
    own: u8,
}

const OURS: History = History { own_from: 1 << 20, own: 0 };

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

fn note(history: History, size: u64) -> Note {
    let key = Key::new(ORIGIN, KeyKind::Log, &[1; 32]).unwrap();
    let head = Head { size, root: tree::root(&mut &history, size).unwrap() };
    Checkpoint::new(ORIGIN, head).sign([&key as &dyn Signer]).unwrap()
}

fn witness_key(seed: u8) -> Key {
    Key::new(&format!("witness.example/{seed}"), KeyKind::Witness, &[seed; 32]).unwrap()
}

fn witness(dir: &Path, seed: u8, listen: &str) -> WitnessServer {
    let key = Key::new(ORIGIN, KeyKind::Log, &[1; 32]).unwrap();
    let log = Log { origin: ORIGIN.to_owned(), keys: vec![key.verifier().clone()] };
    let limits = Limits { silent_after: Duration::from_secs(3600), unchanged_after: None };
    let witness = Witness::open(dir, vec![log], Box::new(witness_key(seed)), limits, |_| {}).unwrap();
    WitnessServer::start(witness, TcpListener::bind(listen).unwrap()).unwrap()
}

enum Told {
    Cosigned(Note),
    News(News),
}

struct Rig {
    outside: Outside,
    told: Receiver<Told>,
}

impl Rig {
    fn start(history: History, witnesses: &[(String, u8)], publish: &[String]) -> Rig {
        let options = OutsideOptions {
            witness: witnesses
                .iter()
                .flat_map(|(url, seed)| [url.clone(), witness_key(*seed).verifier().to_string()])
                .collect(),
            publish: publish.to_vec(),
        };
        let (sender, told): (Sender<Told>, _) = channel();
        let other = sender.clone();
        let callbacks = Callbacks {
            proof: Box::new(move |old, new| Ok(tree::consistency(&mut &history, old, new).unwrap())),
            cosigned: Box::new(move |note| drop(other.send(Told::Cosigned(note.clone())))),
            news: Box::new(move |news| drop(sender.send(Told::News(news)))),
        };
        Rig { outside: options.open().unwrap().start(callbacks).unwrap(), told }
    }

    /// Waits until these witnesses have cosigned a checkpoint of this size.
    #[track_caller]
    fn cosigned(&self, size: u64, seeds: &[u8]) -> Note {
        let keys: Vec<Key> = seeds.iter().map(|seed| witness_key(*seed)).collect();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Told::Cosigned(note)) = self.told.recv_timeout(PATIENCE)
                && Checkpoint::parse(&note.text).unwrap().head.size == size
                && cosigned(&note, keys.iter().map(Signer::verifier)).len() == keys.len()
            {
                return note;
            }
        }
        panic!("{size} is not cosigned");
    }

    #[track_caller]
    fn news(&self) -> News {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Told::News(news)) = self.told.recv_timeout(PATIENCE) {
                return news;
            }
        }
        panic!("no news");
    }

    fn rest(&self) -> Vec<News> {
        let news = |told| match told {
            Told::News(news) => Some(news),
            Told::Cosigned(_) => None,
        };
        self.told.try_iter().filter_map(news).collect()
    }
}

fn url(server: &WitnessServer) -> String {
    format!("http://{}", server.address())
}

#[test]
fn all_witnesses_cosign_one_text() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let servers = [witness(dirs[0].path(), 2, "127.0.0.1:0"), witness(dirs[1].path(), 3, "127.0.0.1:0")];
    let rig = Rig::start(OURS, &[(url(&servers[0]), 2), (url(&servers[1]), 3)], &[]);
    for size in 1..=40 {
        rig.outside.send(&note(OURS, size));
    }
    let last = rig.cosigned(40, &[2, 3]);
    assert_eq!(last.signatures.len(), 3, "{last}");
    // The same again: they say when they saw it, once each.
    rig.outside.send(&note(OURS, 40));
    assert_eq!(rig.cosigned(40, &[2, 3]).signatures.len(), 3);
    // A daemon that starts anew does not know what they know.
    let rig = Rig::start(OURS, &[(url(&servers[0]), 2), (url(&servers[1]), 3)], &[]);
    rig.outside.send(&note(OURS, 77));
    rig.cosigned(77, &[2, 3]);
    assert_eq!(rig.rest(), []);
}

#[test]
fn a_witness_that_is_gone_is_told_of_once_and_holds_up_nobody() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let here = witness(dirs[0].path(), 2, "127.0.0.1:0");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let rig = Rig::start(OURS, &[(url(&here), 2), (format!("http://{address}"), 3)], &[]);
    for size in 1..=20 {
        rig.outside.send(&note(OURS, size));
        rig.cosigned(size, &[2]);
    }
    let news = rig.news();
    assert_eq!((news.who.as_str(), news.what), ("witness witness.example/3", What::Unreachable));
    assert!(news.text.starts_with("not reachable since 20"), "{}", news.text);
    let _back = witness(dirs[1].path(), 3, &address);
    // It is sent the newest by itself, without another `send`.
    rig.cosigned(20, &[2, 3]);
    let news = rig.news();
    assert_eq!((news.who.as_str(), news.what), ("witness witness.example/3", What::Back));
    assert_eq!(rig.rest(), []);
}

#[test]
fn what_a_witness_knows_better_is_told() {
    for (history, size, what) in [
        (OURS, 30, What::RolledBack),
        (History { own_from: 20, own: 1 }, 40, What::Forked),
        (History { own_from: 20, own: 1 }, 50, What::Rewritten),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = witness(dir.path(), 2, "127.0.0.1:0");
        let before = Rig::start(OURS, &[(url(&server), 2)], &[]);
        before.outside.send(&note(OURS, 40));
        before.cosigned(40, &[2]);
        let rig = Rig::start(history, &[(url(&server), 2)], &[]);
        rig.outside.send(&note(history, size));
        let news = rig.news();
        assert_eq!(news.what, what, "{news:?}");
        assert!(news.what.is_tampering());
        // Within the retries that follow: not again.
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(rig.rest(), []);
        // The witness has kept what it was sent.
        assert_eq!(std::fs::read_dir(dir.path().join("refused")).unwrap().count(), 1);
    }
}

#[test]
fn whose_key_it_is_not_and_whose_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = witness(dir.path(), 2, "127.0.0.1:0");
    // Named with another key than it has.
    let rig = Rig::start(OURS, &[(url(&server), 9)], &[]);
    rig.outside.send(&note(OURS, 5));
    assert_eq!(rig.news().what, What::Refused);
    // Another log's checkpoint.
    let key = Key::new("example.com/other", KeyKind::Log, &[1; 32]).unwrap();
    let head = Head { size: 1, root: [1; 32] };
    let rig = Rig::start(OURS, &[(url(&server), 2)], &[]);
    rig.outside.send(&Checkpoint::new("example.com/other", head).sign([&key as &dyn Signer]).unwrap());
    let news = rig.news();
    assert_eq!(news.what, What::Refused);
    assert!(news.text.contains("does not vouch"), "{}", news.text);
}

/// One that speaks HTTP and nonsense: what it says reaches nobody unescaped, and it holds up nobody for long.
#[test]
fn a_mad_server_does_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mad = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 2048];
            drop(stream.read(&mut head));
            let body = match number % 4 {
                0 => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\x1b[2Jx".to_owned(),
                1 => format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", "x".repeat(200_000)),
                2 => "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    .to_owned(),
                _ => "\x00\x1b nonsense".to_owned(),
            };
            drop(stream.write_all(body.as_bytes()));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let server = witness(dir.path(), 2, "127.0.0.1:0");
    let rig = Rig::start(OURS, &[(mad.clone(), 3), (url(&server), 2)], &[mad]);
    for size in 1..=10 {
        rig.outside.send(&note(OURS, size));
        rig.cosigned(size, &[2]);
    }
    let news = rig.news();
    assert!(!news.text.contains('\x1b') && news.text.len() < 2000, "{news:?}");
}

#[test]
fn places_are_told_each_checkpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}/checkpoints", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let rig = Rig::start(OURS, &[], &[there, format!("file:{}", file.display())]);
    let sent = note(OURS, 7);
    rig.outside.send(&sent);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(sent.to_string().as_bytes()) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&buffer[..count]);
    }
    assert!(request.starts_with(b"POST /checkpoints HTTP/1.1\r\n"));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let begun = Instant::now();
    while std::fs::read_to_string(&file).unwrap_or_default() != format!("{sent}\n") {
        assert!(begun.elapsed() < PATIENCE, "the file has not grown");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn options_that_make_no_sense() {
    let key = witness_key(2).verifier().to_string();
    let log = Key::new(ORIGIN, KeyKind::Log, &[1; 32]).unwrap().verifier().to_string();
    let check = |witness: &[&str], publish: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        OutsideOptions { witness: owned(witness), publish: owned(publish) }.open()
    };
    assert!(check(&[], &[]).unwrap().is_empty());
    assert_eq!(check(&["http://h", &key], &[]).unwrap().witnesses().count(), 1);
    for (witness, publish) in [
        (vec!["http://h", log.as_str()], vec![]),
        (vec!["http://h", "x"], vec![]),
        (vec!["h", key.as_str()], vec![]),
        (vec!["http://h"], vec![]),
        (vec![], vec!["nowhere"]),
        (vec![], vec!["file:/x"; CARRIERS_MAX + 1]),
    ] {
        assert!(check(&witness, &publish).is_err(), "{witness:?} {publish:?}");
    }
}
