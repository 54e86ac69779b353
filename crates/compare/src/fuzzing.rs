//! What must hold of the readers whatever the bytes: each property is driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property fails by panicking"
)]

use std::io::Cursor;

mod packed;

pub use packed::zip_of;

use crate::plan::{Plan, registered, registration};
use crate::read::{self, Ask, Notes, ReadError};
use crate::run::{NAME_MAX, Run};
use crate::set::{File, Set};

/// What is read is bounded and finite; and what was read can be compared.
fn holds(read: impl FnOnce(&mut Notes, read::Sink) -> Result<(), ReadError>) {
    let mut notes = Notes::default();
    let mut runs: Vec<Run> = Vec::new();
    let result = read(&mut notes, &mut |run| {
        runs.push(run);
        Ok(())
    });
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    let mut sides = [Set::new("a"), Set::new("b")];
    let mut files = [File::default(), File::default()];
    for (at, run) in runs.into_iter().enumerate() {
        assert!(run.task.len() <= NAME_MAX);
        assert!(run.measures.values().all(|value| value.is_finite()), "{run:?}");
        drop(sides[at % 2].push(&mut files[at % 2], run));
    }
    let [a, b] = sides;
    let comparison = crate::analysis::compare(a, b, &Plan::default(), None, notes.lines);
    let text = crate::report::text(&comparison, 100);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let page = crate::report::html(&comparison);
    assert!(!page.contains("<script"));
    assert!(crate::report::json(&comparison).is_object());
}

/// An Inspect log or an ATIF trajectory.
pub fn evaluation_json(bytes: &[u8]) {
    holds(|notes, sink| read::json(bytes, &Ask::default(), notes, sink));
}

/// A ZIP file with samples. Two bytes in a row say what becomes of it: the first, whether the rest is the ZIP itself.
pub fn evaluation_zip(bytes: &[u8]) {
    let (control, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let zip = if control % 2 == 0 { rest.to_vec() } else { zip_of(&[("samples/1_epoch_1.json", rest)]) };
    holds(|notes, sink| read::eval(&mut Cursor::new(zip), &Ask::default(), notes, sink));
}

pub fn run_csv(bytes: &[u8]) {
    holds(|_, sink| read::csv(bytes, sink));
}

pub fn run_jsonl(bytes: &[u8]) {
    holds(|_, sink| read::jsonl(bytes, sink));
}

/// A plan, and its registration.
pub fn comparison_plan(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(plan) = Plan::parse(&text) {
        assert!(plan.check().is_ok());
        assert!(plan.deviations(&plan).is_empty());
    }
    let whole = registration("2026-01-02T03:04:05Z", &text);
    let (time, plan) = registered(&whole).unwrap();
    assert_eq!(time, "2026-01-02T03:04:05Z");
    assert_eq!(plan.trim_end_matches('\n'), text.trim_end_matches('\n'));
    drop(registered(&text));
}

#[cfg(test)]
mod driven_by_proptest {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// JSON that looks like a log here and there.
    fn json_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("{\"samples\":[".to_owned()),
            Just("{\"id\":1,\"epoch\":1,\"scores\":{\"m\":{\"value\":\"C\"}},\"messages\":[{\"role\":\"assistant\",\"content\":\"I am being tested\",\"tool_calls\":[{\"function\":\"bash\",\"arguments\":{\"cmd\":\"pytest\"}}]}]}".to_owned()),
            Just("{\"schema_version\":\"ATIF-v1.4\",\"steps\":[{\"source\":\"agent\",\"message\":\"x\"}]}".to_owned()),
            Just("\"events\":[{\"event\":\"tool\",\"function\":\"bash\",\"timestamp\":\"2026-01-01T00:00:00Z\"}]".to_owned()),
            Just(",".to_owned()), Just("]".to_owned()), Just("}".to_owned()), Just(":".to_owned()),
            Just("NaN".to_owned()), Just("-Infinity".to_owned()), Just("null".to_owned()), Just("1e999".to_owned()),
            "\\PC{0,8}",
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn table_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("task,arm,epoch,outcome\n".to_owned()),
            Just("t1,a,1,1\nt2,a,1,0\nt3,b,1,1\n".to_owned()),
            Just("{\"task\":\"t\",\"arm\":\"a\",\"outcome\":1}\n".to_owned()),
            Just("\"".to_owned()),
            Just(",".to_owned()),
            Just("\r\n".to_owned()),
            Just("nan".to_owned()),
            Just("inf".to_owned()),
            "\\PC{0,8}",
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_evaluation_json(like in json_like(), bytes in vec(any::<u8>(), 0..200)) {
            evaluation_json(&like);
            evaluation_json(&bytes);
        }

        #[test]
        fn any_evaluation_zip(like in json_like(), bytes in vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            evaluation_zip(&[&[1], like.as_slice()].concat());
            evaluation_zip(&bytes);
            // A ZIP with one wrong byte, and one that is cut off.
            let mut zip = [&[0], zip_of(&[("header.json", b"{}"), ("samples/a.json", &like)]).as_slice()].concat();
            let place = at.index(zip.len());
            evaluation_zip(&zip[..place]);
            zip[place] = byte;
            evaluation_zip(&zip);
        }

        #[test]
        fn any_run_csv(like in table_like(), bytes in vec(any::<u8>(), 0..200)) {
            run_csv(&like);
            run_csv(&bytes);
        }

        #[test]
        fn any_run_jsonl(like in table_like(), bytes in vec(any::<u8>(), 0..200)) {
            run_jsonl(&like);
            run_jsonl(&bytes);
        }

        #[test]
        fn any_comparison_plan(text in "\\PC{0,60}", bytes in vec(any::<u8>(), 0..200)) {
            comparison_plan(text.as_bytes());
            comparison_plan(&bytes);
            comparison_plan(b"metric = \"success\"\nlevel = 0.01\nexclude_tasks = [\"a\"]\n");
        }
    }
}
