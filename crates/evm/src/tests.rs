#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use muster_web3::effect::Act;
use muster_web3::{Checked, Verdict, judge, proposal};
use serde_json::json;

const TIMELOCK: &str = "0x1111111111111111111111111111111111111111";
const PAYLOAD: &str = "0x2222222222222222222222222222222222222222";
const PROXY: &str = "0x3333333333333333333333333333333333333333";
const THIEF: &str = "0x2f5e3c8dbb1a4c7790d2a85b6fca3e90d1c77a41";

fn run(code: &str, delegate: bool) -> super::Run {
    let json = json!({
        "description": "Renew the documentation",
        "actions": [{"target": PAYLOAD, "value": "0", "signature": "execute()", "callData": "0x", "withDelegateCall": delegate}],
        "executor": TIMELOCK,
        "state": {TIMELOCK: {"balance": "0xde0b6b3a7640000"}, PAYLOAD: {"code": code}, PROXY: {"code": "0x00"}}
    });
    let read = proposal::read(json.to_string().as_bytes()).unwrap();
    super::simulate(&read[0]).unwrap()
}

/// What the calls do not show: the payload sends the executor's coins away.
#[test]
fn a_payload_that_pays_a_thief() {
    let code = format!("0x600060006000600067016345785d8a000073{}5af100", &THIEF[2..]);
    let ran = run(&code, true);
    let moved: Vec<_> = ran.effects.iter().filter(|effect| effect.act == Act::Move).collect();
    assert_eq!(moved.len(), 1, "{ran:?}");
    assert_eq!(moved[0].who.as_ref().unwrap().as_str(), THIEF);
    let json = json!({"description": "Renew the documentation",
        "actions": [{"target": PAYLOAD, "signature": "execute()", "callData": "0x", "withDelegateCall": true}]});
    let read = proposal::read(json.to_string().as_bytes()).unwrap();
    let without = Checked::of("-", judge::reasons(&judge::Case::new(&read[0], &[])));
    let with = Checked::of("-", judge::reasons(&judge::Case::new(&read[0], &ran.effects)));
    assert!(without.verdict < Verdict::High && with.verdict == Verdict::High, "{without:#?} {with:#?}");
}

/// Endless loops, memory without end, deep calls, code that is none: an answer, and soon.
#[test]
fn hostile_code_ends() {
    for code in [
        "0x5b600056",
        "0x6000600019600052",
        "0x5b3d3d3d3d305af1600056",
        "0xfe",
        "0xef",
        "0x3d3d3d3d305af45b600956",
    ] {
        for delegate in [false, true] {
            let ran = run(code, delegate);
            assert!(ran.effects.iter().all(|effect| effect.act == Act::Delegatecall), "{code}: {ran:?}");
        }
    }
    let self_destruct = run(&format!("0x73{}ff", &THIEF[2..]), false);
    assert!(self_destruct.effects.iter().any(|effect| effect.act == Act::Destroy), "{self_destruct:?}");
}
