//! Honest proposals are no alarm, also where they leave much out.

use muster_web3::{Checked, Verdict, judge, proposal as read};
use serde_json::Value;

use crate::calls::{A, B, C, TOKEN, call, carrying, proposal, role};

#[track_caller]
fn check(json: &Value, at_most: Verdict) {
    let all = read::read(json.to_string().as_bytes()).unwrap();
    let answer = Checked::of("-", judge::reasons(&judge::Case::new(&all[0], &[])));
    assert!(answer.verdict <= at_most, "{answer:#?}");
}

const PROTOCOL: &str = "0x4f2083f5fbede34c2714affb3105539775f7fe64";

#[test]
fn what_is_said_is_done() {
    let grant = call("grantRole(bytes32,address)", &[&role("MINTER_ROLE"), A]);
    check(
        &proposal(&format!("Grant MINTER_ROLE to the bridge at {A}"), &[(PROTOCOL, grant.clone())]),
        Verdict::Notice,
    );
    check(&proposal("Give the new bridge the minter role", &[(PROTOCOL, grant.clone())]), Verdict::Warning);
    let revoke = call("revokeRole(bytes32,address)", &[&role("MINTER_ROLE"), B]);
    let text = format!("Revoke the minter role of the old bridge {B} and grant it to the new one, {A}");
    check(&proposal(&text, &[(PROTOCOL, revoke), (PROTOCOL, grant)]), Verdict::Notice);
    let pay = call("transfer(address,uint256)", &[A, "5000000000"]);
    check(&proposal("Pay 5,000 USDC to the auditors (auditors.eth)", &[(TOKEN, pay)]), Verdict::Info);
    let upgrade = call("upgradeTo(address)", &[A]);
    check(&proposal("Upgrade the vault to version 2", &[(PROTOCOL, upgrade.clone())]), Verdict::Warning);
    check(
        &proposal(&format!("Upgrade the vault's implementation to {A}"), &[(PROTOCOL, upgrade)]),
        Verdict::Notice,
    );
}

#[test]
fn rules_that_are_said() {
    let quorum = call("updateQuorumNumerator(uint256)", &["3"]);
    check(&proposal("Lower the quorum from 4% to 3%", &[(PROTOCOL, quorum)]), Verdict::Notice);
    let period = call("setVotingPeriod(uint32)", &["36000"]);
    check(&proposal("Extend the voting period to 5 days", &[(PROTOCOL, period)]), Verdict::Notice);
    let delay = call("updateDelay(uint256)", &["172800"]);
    check(&proposal("Set the timelock delay to 48 hours", &[(PROTOCOL, delay)]), Verdict::Notice);
}

#[test]
fn wrapped_and_said() {
    let own = call("transferOwnership(address)", &[A]);
    let bridged = carrying("sendMessage(address,bytes,uint32)", &[C], &own, &["200000"]);
    let text = format!("Hand the ownership of our contract on Optimism to the committee's Safe {A}");
    check(&proposal(&text, &[(PROTOCOL, bridged)]), Verdict::Notice);
}

#[test]
fn polls() {
    check(
        &serde_json::json!({"title": "Temperature check", "body": "Should we?", "choices": ["yes", "no"]}),
        Verdict::Info,
    );
}
