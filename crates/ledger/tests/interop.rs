//! Others' programs read our logs: `tlog_tiles` (crates.io) its tiles, proofs and checkpoints, `tlog-scales` (PyPI) the
//! whole folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use muster_ledger::{Head, Ledger, Options, Reader, tree};
use tlog_tiles::{Error, HashReader, Tile, TileHashReader, TileReader};

/// One of the tool, at a version that was looked at.
const TOOL: &str = "tlog-scales==0.0.3";

fn leaf(index: u64) -> Vec<u8> {
    index.to_le_bytes().repeat(index as usize % 5)
}

fn log(dir: &Path, count: u64) -> Head {
    let (mut ledger, _) = Ledger::open(dir, Options { segment_bytes: 20_000, block: 256 }).unwrap();
    for index in 0..count {
        ledger.append(&leaf(index)).unwrap();
    }
    let head = ledger.publish().unwrap();
    ledger.put_checkpoint(&checkpoint(&head)).unwrap();
    head
}

fn checkpoint(head: &Head) -> Vec<u8> {
    let signature = "aG9tZW1hZGUgYW5kIG5vIGdvb2Q=";
    format!("example.com/log\n{}\n\u{2014} example.com/log {signature}\n", head.lines()).into_bytes()
}

/// Reads our tiles for the other implementation, which checks them against the root.
struct Files<'a>(&'a Path);

impl TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            // That of C2SP leaves out the height.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            std::fs::read(self.0.join(path)).map_err(|_| Error::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn theirs(hashes: &[tree::Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(*hash)).collect()
}

#[test]
fn another_implementation_checks_tiles_and_proofs() {
    for count in [1u64, 2, 255, 256, 257, 700, 65_536, 70_000] {
        let dir = tempfile::tempdir().unwrap();
        let head = log(dir.path(), count);
        let root = tlog_tiles::Hash(head.root);
        let files = Files(dir.path());
        let their = TileHashReader::new(count, root, &files);
        assert_eq!(tlog_tiles::tree_hash(count, &their).unwrap().0, head.root);
        let reader = Reader::open(dir.path()).unwrap();
        let mut tiles = reader.tiles(count);
        for index in (0..count).step_by((count / 40).max(1) as usize).chain([count - 1]) {
            // Each leaf hash is read through tiles that lead to the root.
            let stored = tlog_tiles::stored_hash_index(0, index);
            let hash = their.read_hashes(&[stored]).unwrap()[0];
            assert_eq!(hash, tlog_tiles::record_hash(&leaf(index)));
            // Our proof, checked by them; and theirs, made of our tiles, by us.
            let path = tree::inclusion(&mut tiles, index, count).unwrap();
            tlog_tiles::check_record(&theirs(&path), count, root, index, hash).unwrap();
            let other = tlog_tiles::prove_record(count, index, &their).unwrap();
            assert_eq!(other, theirs(&path));
            let other: Vec<tree::Hash> = other.iter().map(|hash| hash.0).collect();
            tree::verify_inclusion(&hash.0, index, count, &head.root, &other).unwrap();
            // The tree up to here.
            let (old, was) = (index + 1, tree::root(&mut tiles, index + 1).unwrap());
            let proof = tree::consistency(&mut tiles, old, count).unwrap();
            tlog_tiles::check_tree(&theirs(&proof), count, root, old, tlog_tiles::Hash(was)).unwrap();
            let other = tlog_tiles::prove_tree(count, old, &their).unwrap();
            assert_eq!(other, theirs(&proof), "{old} of {count}");
        }
        let text = checkpoint(&head);
        let body = text.windows(2).position(|it| it == b"\n\n").unwrap() + 1;
        let parsed = tlog_tiles::Checkpoint::from_bytes(&text[..body]).unwrap();
        assert_eq!((parsed.size(), parsed.hash().0, parsed.origin()), (count, head.root, "example.com/log"));
    }
}

#[test]
fn another_implementation_does_not_believe_a_changed_tile() {
    let dir = tempfile::tempdir().unwrap();
    // At sizes whose right edge is of many subtrees `tlog_tiles` 0.2.0 compares full tiles with nothing.
    let head = log(dir.path(), 512);
    let path = dir.path().join("tile/0/001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let files = Files(dir.path());
    let their = TileHashReader::new(512, tlog_tiles::Hash(head.root), &files);
    their.read_hashes(&[tlog_tiles::stored_hash_index(0, 300)]).unwrap_err();
}

/// The program of the Python tool: each leaf, its proof, and the proofs of growth, all from the files.
const PROGRAM: &str = r"
import hashlib, sys
from pathlib import Path
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
reader = TilesReader(LocalBackend(Path(sys.argv[1])))
checkpoint = reader.get_checkpoint()
root = reader.calculate_root_hash()
assert root == checkpoint.root_hash, 'root'
checked = 0
for index in list(range(0, checkpoint.size, 97)) + [checkpoint.size - 1]:
    entry = reader.get_entry(index)
    assert entry == index.to_bytes(8, 'little') * (index % 5), index
    leaf = hashlib.sha256(b'\0' + entry).digest()
    reader.get_inclusion_proof(index, checkpoint.size).check(leaf, root)
    old = reader.mth(0, index + 1)
    reader.get_consistency_proof(index + 1, checkpoint.size).check(old, root)
    checked += 1
print(checkpoint.origin, checkpoint.size, root.hex(), checked)
";

/// A Python that has the tool: made once, below the target folder.
fn python() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
    let python = place.join("bin/python");
    let has_it = |python: &Path| {
        Command::new(python).args(["-c", "import tlog_scales"]).output().is_ok_and(|it| it.status.success())
    };
    if has_it(&python) {
        return Ok(python);
    }
    let run = |program: &Path, args: &[&str]| {
        let output = Command::new("timeout").arg("120").arg(program).args(args).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    run(Path::new("python3"), &["-m", "venv", place.to_str().unwrap()])?;
    run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", TOOL])?;
    if has_it(&python) { Ok(python) } else { Err(format!("{TOOL} cannot be imported")) }
}

#[test]
fn a_tool_from_pypi_reads_the_folder() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("SKIPPED: {TOOL} cannot be installed: {reason}");
            return;
        }
    };
    for count in [1u64, 300, 5000, 66_000] {
        let dir = tempfile::tempdir().unwrap();
        let head = log(dir.path(), count);
        let run = || Command::new(&python).args(["-c", PROGRAM]).arg(dir.path()).output().unwrap();
        let output = run();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let root: String = head.root.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(said.starts_with(&format!("example.com/log {count} {root} ")), "{said}");
        // And it is a judge, not a nodder.
        let bundle =
            if count < 256 { format!("tile/entries/000.p/{count}") } else { "tile/entries/000".into() };
        std::fs::write(dir.path().join(bundle), [0; 520]).unwrap();
        assert!(!run().status.success());
    }
}
