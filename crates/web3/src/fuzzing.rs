//! What must hold of proposals and votes whatever their bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::panic, reason = "a property fails by panicking")]

use crate::{Checked, Verdict, judge, proposal, unwrap, votes};

/// Any file: an error, or proposals each with an answer that is bounded and the same the second time.
pub fn proposal_file(bytes: &[u8]) {
    let Ok(read) = proposal::read(bytes) else { return };
    let across = judge::across(&read);
    assert_eq!(across.len(), read.len());
    for one in &read {
        let answer = judge::proposal("x", one, &[]);
        holds(&answer);
        assert_eq!(judge::proposal("x", one, &[]), answer, "read again, it differs");
    }
}

/// Any calldata: no more calls than are allowed, whatever points to whatever.
pub fn calldata(bytes: &[u8]) {
    let call = unwrap::Call {
        to: crate::Party::coin(),
        value: alloy_primitives::U256::ZERO,
        data: bytes.to_vec(),
        signature: String::new(),
        delegate: false,
        chain: None,
    };
    let found = unwrap::unwrap(&[call]);
    assert!(found.calls <= unwrap::CALLS_MAX);
    let traits = crate::bytecode::traits(bytes);
    assert_eq!(crate::bytecode::traits(bytes), traits);
}

/// Any table: an error with its line, or one answer for each voter and one for all.
pub fn votes_file(bytes: &[u8]) {
    let Ok(read) = votes::read(bytes) else { return };
    let answers = votes::check("x", &read);
    assert_eq!(answers.len(), read.voters.len() + 1);
    answers.iter().for_each(holds);
}

fn holds(answer: &Checked) {
    assert!((0.0..=1.0).contains(&answer.score), "{}", answer.score);
    let strong: std::collections::BTreeSet<&str> = answer
        .reasons
        .iter()
        .filter(|reason| reason.verdict >= Verdict::Warning)
        .map(|reason| reason.channel.as_str())
        .collect();
    assert!(answer.verdict < Verdict::High || strong.len() >= 2, "high by one channel");
    assert!(answer.reasons.len() < 10_000);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SELECTORS: [&str; 8] =
        ["7d5e81e2", "8d80ff0a", "ac9650d8", "82ad56cb", "1f931c1c", "6a761202", "01d5062a", "4f1ef286"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_proposal(text in ".{0,200}", data in prop::collection::vec(any::<u8>(), 0..300), n in 0usize..4) {
            let data = crate::abi::to_hex(&data);
            let to = "0x91c32893216de3ea0a55abb9851f581d4503d39b";
            let json = serde_json::json!({"description": text, "targets": vec![to; n], "values": vec![1; n], "calldatas": vec![data; n]});
            super::proposal_file(json.to_string().as_bytes());
            super::proposal_file(text.as_bytes());
        }

        #[test]
        fn any_calldata(selector in 0usize..8, words in prop::collection::vec(prop_oneof![0u64..400, any::<u64>()], 0..60)) {
            let mut data = crate::abi::hex(SELECTORS.get(selector).copied().unwrap_or_default()).unwrap_or_default();
            for word in words {
                data.extend([0; 24]);
                data.extend(word.to_be_bytes());
            }
            super::calldata(&data);
        }

        #[test]
        fn any_votes(rows in prop::collection::vec((0u8..6, 0u8..8, 0u8..3, any::<u32>()), 0..60)) {
            let mut text = "proposal,voter,choice,weight,time\n".to_owned();
            for (proposal, voter, choice, time) in rows {
                text.push_str(&format!("{proposal},{voter},{choice},1,{time}\n"));
            }
            super::votes_file(text.as_bytes());
        }
    }
}
