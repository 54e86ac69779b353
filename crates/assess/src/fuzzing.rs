//! What must hold of the readers whatever the bytes: each property is driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use crate::facts::Facts;
use crate::report::{About, Assessment, assess};

fn shown(report: &Assessment) {
    let page = crate::html(report);
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    let text = crate::text(report, 100);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

/// Runs of drills.
pub fn drill_runs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match crate::drills::parse(&text) {
        Ok(drills) => shown(&assess(&Facts::default(), Some(&drills), &About::default(), None, &[])),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Another assessment: to compare with, and to show beside.
pub fn other_assessment(bytes: &[u8]) {
    if let Ok(other) = Assessment::parse(bytes) {
        shown(&other);
        let others = [other];
        let [other] = &others;
        shown(&assess(&Facts::default(), None, &About::default(), Some(other), &others));
    }
}

#[cfg(test)]
mod driven_by_proptest {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("{\"drill\":\"a\",\"played\":true,\"seen\":true,\"stage\":\"sustain\",\"factor\":\"money\",\"acts\":2,\"agents\":[\"x\"]}\n".to_owned()),
            Just("{\"format\":\"muster-assess/1\",\"entity\":\"<script>\\u001b\",\"scope\":{\"mandated\":{\"count\":9,\"of\":3,\"share\":1e300}}}".to_owned()),
            Just("\n".to_owned()),
            Just("}".to_owned()),
            Just("18446744073709551615".to_owned()),
            "\\PC{0,8}",
        ];
        vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn any_drill_runs(like in pieces(), bytes in vec(any::<u8>(), 0..200)) {
            drill_runs(&like);
            drill_runs(&bytes);
        }

        #[test]
        fn any_other_assessment(like in pieces(), bytes in vec(any::<u8>(), 0..200)) {
            other_assessment(&like);
            other_assessment(&bytes);
        }
    }
}
