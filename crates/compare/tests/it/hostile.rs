//! Torn and hostile files: a clear error each, in bounded time and memory.

use std::io::Cursor;

use muster_compare::read::{self, Ask, Notes, ReadError};
use muster_compare::set::{File, Set};
use muster_compare::{Run, analysis, plan::Plan};

use crate::packed::zip_with as zip;

fn collect(
    read: impl FnOnce(&mut Notes, read::Sink) -> Result<(), ReadError>,
) -> Result<(Vec<Run>, Notes), String> {
    let mut runs = Vec::new();
    let mut notes = Notes::default();
    let result = read(&mut notes, &mut |run| {
        runs.push(run);
        Ok(())
    });
    match result {
        Ok(()) => Ok((runs, notes)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
            Err(format!("{error}{cause}"))
        }
    }
}

fn json(text: &str) -> Result<(Vec<Run>, Notes), String> {
    collect(|notes, sink| read::json(text.as_bytes(), &Ask::default(), notes, sink))
}

fn eval(zip: Vec<u8>) -> Result<(Vec<Run>, Notes), String> {
    collect(|notes, sink| read::eval(&mut Cursor::new(zip), &Ask::default(), notes, sink))
}

#[track_caller]
fn refuses(result: Result<(Vec<Run>, Notes), String>, because: &str) {
    let error = result.expect_err("it was read");
    assert!(error.contains(because), "{error:?} does not say {because:?}");
}

const REAL: &[u8] = include_bytes!("../data/inspect/tested.eval");

#[test]
fn zips() {
    refuses(eval(Vec::new()), "torn");
    refuses(eval(REAL[..REAL.len() / 2].to_vec()), "torn: it has no directory at its end");
    let mut flipped = REAL.to_vec();
    for byte in &mut flipped[2_000..2_040] {
        *byte ^= 0xff;
    }
    assert!(eval(flipped).is_err());
    // Says that it unpacks to 4 GB.
    refuses(eval(zip(&[("samples/1.json", 8, &[0; 100], 4_000_000_000)])), "zip bomb");
    // Says that it is small, and is not.
    refuses(
        eval(zip(&[("samples/1.json", 0, b"{\"id\": 1, \"epoch\": 1}", 5)])),
        "longer than the directory says",
    );
    refuses(eval(zip(&[("samples/1.json", 12, b"BZh", 5)])), "method 12");
    refuses(eval(zip(&[("samples/1.json", 93, b"no zstd", 50)])), "zstd");
    // Members that share their bytes.
    let mut shared = zip(&[("samples/1.json", 0, b"{}", 2), ("samples/2.json", 0, b"{}", 2)]);
    let second = shared.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    shared[second + 42..second + 46].fill(0);
    refuses(eval(shared), "overlap");
    refuses(eval(zip(&[("samples/1.json", 0, b"{\"id\": 1, \"epo", 14)])), "torn");
    let (runs, notes) = eval(zip(&[("_journal/start.json", 0, b"{\"eval\":{\"task\":\"x\"}}", 21)])).unwrap();
    assert!(runs.is_empty());
    assert!(notes.lines.iter().any(|line| line.contains("no samples")), "{notes:?}");
}

#[test]
fn documents() {
    refuses(json(""), "torn");
    refuses(
        json("{\"eval\": {\"task\": \"x\"}, \"samples\": [{\"id\": 1"),
        "torn: the file ends in the middle",
    );
    refuses(json("[1, 2]"), "no JSON that an evaluation writes");
    refuses(json("{\"a\": 1}"), "neither `samples` (Inspect) nor `steps` (ATIF)");
    refuses(json(&format!("{{\"samples\": [{{\"id\": {}", "[".repeat(100_000))), "recursion");
    let name = "x".repeat(600);
    refuses(json(&format!("{{\"samples\": [{{\"id\": \"{name}\"}}]}}")), "a name has more than 512 bytes");
    // Python writes these; they are no values.
    let (runs, _) = json(
        "{\"samples\": [{\"id\": 1, \"epoch\": 1, \"scores\": {\"m\": {\"value\": NaN}}, \"metadata\": {\"difficulty\": -Infinity}},\
         {\"id\": \"NaN, Infinity\", \"epoch\": \"one\", \"scores\": {\"m\": {\"value\": -1.5}}}]}",
    )
    .unwrap();
    assert_eq!(runs[0].measure("success"), None);
    assert_eq!(runs[0].difficulty, None);
    assert_eq!((runs[1].task.as_str(), runs[1].measure("success")), ("NaN, Infinity", Some(-1.5)));
}

/// A string is never held whole when it is longer than what is looked at.
#[test]
fn long_strings() {
    let long = "y".repeat(10 << 20);
    let (runs, _) = json(&format!(
        "{{\"samples\": [{{\"id\": 1, \"epoch\": 1, \"messages\": [{{\"role\": \"assistant\", \"content\": \"{long}\"}}]}}]}}"
    ))
    .unwrap();
    assert_eq!(runs[0].measure("text_bytes"), Some((10 << 20) as f64));
    let endless = std::io::Read::chain(&b"{\"samples\": [{\"id\": \""[..], std::io::repeat(b'z'));
    refuses(
        collect(|notes, sink| read::json(endless, &Ask::default(), notes, sink)),
        "a string has more than",
    );
}

#[test]
fn tables() {
    let csv = |text: &str| collect(|_, sink| read::csv(text.as_bytes(), sink));
    let jsonl = |text: &str| collect(|_, sink| read::jsonl(text.as_bytes(), sink));
    refuses(csv(""), "empty");
    refuses(csv("a,b\n1,2\n"), "no column `task`");
    refuses(csv("task,task\n1,2\n"), "there twice");
    refuses(csv("task,outcome\nt1,1\nt2\n"), "line 3: it has 1 fields, the first line 2");
    refuses(csv("task,outcome\nt1,nan\n"), "line 2: outcome `nan` is neither");
    refuses(csv("task,outcome\nt1,inf\n"), "line 2: outcome `inf`");
    refuses(csv("task,outcome,epoch\nt1,1,-3\n"), "epoch `-3` is no whole number");
    refuses(csv("task,outcome\n\"t1,1\n"), "line 2: a quote is not closed");
    refuses(
        csv(&format!("task,outcome\n{},1\n", "t".repeat(10 << 20))),
        "line 2: it has more than 1048576 bytes",
    );
    refuses(jsonl("{\"task\": \"a\", \"outcome\": 1}\n{\"task\": \"b\", \"out"), "line 2: it is torn");
    refuses(jsonl("{\"outcome\": 1}\n"), "line 1: it has no `task`");
    refuses(jsonl("nonsense\n"), "line 1");
    refuses(jsonl(&format!("{{\"task\": \"{}\"}}\n", "t".repeat(10 << 20))), "line 1: it has more than");
    let (runs, _) =
        csv("\u{feff}task,arm,epoch,outcome,cost\r\n\"a, \"\"b\"\"\",x,1,C,2.5\r\n\r\nc,x,1,,\r\n").unwrap();
    assert_eq!((runs[0].task.as_str(), runs[0].measure("success")), ("a, \"b\"", Some(1.0)));
    assert_eq!(runs[0].measure("cost"), Some(2.5));
    assert_eq!((runs.len(), runs[1].measure("success")), (2, None));
}

/// Runs that are there twice in one file are an error; in two files, they are further epochs.
#[test]
fn duplicates() {
    let mut set = Set::new("a");
    let run = |epoch| Run { task: "t".to_owned(), epoch, ..Run::default() };
    let mut file = File::default();
    set.push(&mut file, run(Some(1))).unwrap();
    let error = set.push(&mut file, run(Some(1))).unwrap_err();
    assert_eq!(error.to_string(), "task `t`, epoch 1 is there twice");
    set.push(&mut File::default(), run(Some(1))).unwrap();
    assert_eq!(set.runs.iter().map(|run| run.epoch).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(set.renumbered, 1);
    // Some count from 0, and some do not count.
    let mut set = Set::new("b");
    let mut file = File::default();
    for epoch in [Some(0), Some(1), None] {
        set.push(&mut file, run(epoch)).unwrap();
    }
    assert_eq!(set.runs.iter().map(|run| run.epoch).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(set.renumbered, 0, "nobody is told of another log");
    let error = set.push(&mut file, run(Some(0))).unwrap_err();
    assert_eq!(error.to_string(), "task `t`, epoch 0 is there twice");
}

/// Sides that share no task are compared without pairs, and it is said.
#[test]
fn mismatched_arms() {
    let side = |name: &str, tasks: std::ops::Range<u32>, wins: u32| {
        let mut set = Set::new(name);
        for task in tasks {
            let mut run = Run { task: format!("t{task}"), epoch: Some(1), ..Run::default() };
            run.measures.insert("success".to_owned(), f64::from(u8::from(task % 10 < wins)));
            set.push(&mut File::default(), run).unwrap();
        }
        set
    };
    let apart =
        analysis::compare(side("a", 0..30, 9), side("b", 100..130, 3), &Plan::default(), None, Vec::new());
    assert!(!apart.pairing.paired);
    assert_eq!(apart.answer.test, "boschloo");
    assert_eq!(apart.answer.verdict, analysis::Verdict::Difference);
    assert!(apart.cannot_conclude.iter().any(|line| line.contains("share fewer than two tasks")));
    let half =
        analysis::compare(side("a", 0..30, 9), side("b", 20..60, 9), &Plan::default(), None, Vec::new());
    assert_eq!((half.pairing.tasks_both, half.pairing.only_a, half.pairing.only_b), (10, 20, 30));
    assert!(half.notes.iter().any(|note| note.contains("20 tasks are in A only")), "{:?}", half.notes);
    let few = analysis::compare(side("a", 0..3, 9), side("b", 0..3, 0), &Plan::default(), None, Vec::new());
    assert_eq!(few.answer.verdict, analysis::Verdict::CannotConclude);
    let none = analysis::compare(Set::new("a"), side("b", 0..3, 0), &Plan::default(), None, Vec::new());
    assert_eq!(none.answer.verdict, analysis::Verdict::CannotConclude);
}
