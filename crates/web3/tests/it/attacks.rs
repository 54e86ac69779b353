//! Attacks of the known kinds, in shapes of their own, with Governor's arguments alone where these suffice.

use muster_web3::{Checked, Verdict, judge, proposal as read};
use serde_json::{Value, json};

use crate::calls::{A, B, C, TOKEN, call, carrying, proposal, role};

fn verdict(json: &Value) -> Checked {
    let all = read::read(json.to_string().as_bytes()).unwrap();
    let across = judge::across(&all).pop().unwrap();
    let last = all.last().unwrap();
    let mut reasons = judge::reasons(&judge::Case::new(last, &[]));
    reasons.extend(across);
    Checked::of("-", reasons)
}

#[track_caller]
fn check(json: &Value, at_least: Verdict, code: &str) {
    let answer = verdict(json);
    assert!(answer.verdict >= at_least, "{answer:#?}");
    assert!(answer.reasons.iter().any(|reason| reason.code == code), "no `{code}`: {answer:#?}");
}

const PROTOCOL: &str = "0x4f2083f5fbede34c2714affb3105539775f7fe64";

#[test]
fn a_grant_among_revokes() {
    let mut calls: Vec<(&str, String)> = (0..11)
        .map(|n| {
            let from = format!("0x{:040x}", 0x1234_5678_9abc_u64 * (n + 3));
            (PROTOCOL, call("revokeRole(bytes32,address)", &[&role("KEEPER_ROLE"), &from]))
        })
        .collect();
    calls.insert(7, (PROTOCOL, call("grantRole(bytes32,address)", &[&role("GOVERNOR_ROLE"), B])));
    let text = "SIP: Revoke Old V1 Roles and Cleanup for V1->V2 Finalization\nThis removes the roles that V1 contracts \
                still hold. It is maintenance, 12 calls on the access manager.";
    check(&proposal(text, &calls), Verdict::High, "opposite");
}

#[test]
fn other_code_than_said() {
    let text = format!("Upgrade the vault to the audited implementation {A}. The audit is linked below.");
    let swapped = proposal(&text, &[(PROTOCOL, call("upgradeTo(address)", &[B]))]);
    check(&swapped, Verdict::High, "other-code");
}

#[test]
fn a_look_alike_payee() {
    let twin = "0x91c3289300000000aaaaaaaaaaaaaaaaaaaad39b";
    let text = format!("Pay 5,000 USDC to the auditors at {A}");
    let wrong = proposal(&text, &[(TOKEN, call("transfer(address,uint256)", &[twin, "5000000000"]))]);
    check(&wrong, Verdict::High, "look-alike");
}

#[test]
fn rules_are_captured() {
    let calls = [
        (PROTOCOL, call("updateDelay(uint256)", &["0"])),
        (PROTOCOL, call("updateQuorumNumerator(uint256)", &["0"])),
        (PROTOCOL, call("setVotingPeriod(uint32)", &["1"])),
    ];
    check(
        &proposal("Fund the community call series\nWe ask to support our calls.", &calls),
        Verdict::High,
        "not-said",
    );
}

#[test]
fn a_drain_behind_a_bridge() {
    let drain = call("transfer(address,uint256)", &[B, "900000000000000000000000"]);
    let bridged = carrying("sendMessage(address,bytes,uint32)", &[C], &drain, &["200000"]);
    check(
        &proposal("Update the metadata of our documents", &[(PROTOCOL, bridged)]),
        Verdict::High,
        "not-said",
    );
    // In a timelock, in a Safe, in a call that nobody knows.
    let safe = carrying(
        "execTransactionFromModule(address,uint256,bytes,uint8)",
        &[C, "0"],
        &call("transferOwnership(address)", &[B]),
        &["0"],
    );
    let timelock = carrying("relay(address,uint256,bytes)", &[PROTOCOL, "0"], &safe, &[]);
    let hidden = carrying("nobodyKnows(uint256,bytes)", &["7"], &timelock, &[]);
    check(
        &proposal("Update the metadata of our documents", &[(PROTOCOL, hidden)]),
        Verdict::High,
        "not-said",
    );
}

#[test]
fn an_allowance_without_limit() {
    let all = format!("0x{}", "f".repeat(64));
    let data = call("approve(address,uint256)", &[B, &all]);
    check(&proposal("Renew the brand guidelines", &[(TOKEN, data)]), Verdict::High, "unlimited-to-stranger");
}

#[test]
fn a_mint() {
    let data = call("mint(address,uint256)", &[B, "1000000000000000000000000000"]);
    check(
        &proposal("Burn unused tokens to reduce the supply", &[(PROTOCOL, data.clone())]),
        Verdict::High,
        "opposite",
    );
    check(&proposal("Weekly report", &[(PROTOCOL, data)]), Verdict::High, "not-said");
}

#[test]
fn no_text_at_all() {
    let data = call("transferOwnership(address)", &[B]);
    check(&proposal("", &[(PROTOCOL, data)]), Verdict::High, "no-text");
}

#[test]
fn what_the_text_denies() {
    let text = "Rename the forum categories. No funds are moved by this proposal.";
    let data = call("transfer(address,uint256)", &[B, "5000000000000"]);
    check(&proposal(text, &[(TOKEN, data)]), Verdict::High, "denied");
}

#[test]
fn far_more_than_said() {
    let text = "Donate 250,000 USDC to the relief fund.";
    let data = call("transfer(address,uint256)", &[B, "76000000000000"]);
    check(&proposal(text, &[(TOKEN, data)]), Verdict::Warning, "more-than-said");
}

#[test]
fn borrowed_votes_and_a_fresh_proposer() {
    let mut one =
        proposal("Adjust the incentives budget", &[(TOKEN, call("transfer(address,uint256)", &[B, "5"]))]);
    one["proposer"] = json!({"address": C, "age_hours": 30, "funded_by": "Tornado.Cash"});
    one["votes"] = json!([
        {"voter": C, "support": 1, "weight": 9e8, "held_hours": 0.0},
        {"voter": A, "support": 0, "weight": 1e7, "held_hours": 9000}
    ]);
    check(&one, Verdict::High, "borrowed-votes");
    one["votes"] = json!([{"voter": C, "support": true, "weight": 1e13}]);
    one["supply"] = json!("1000000000");
    check(&one, Verdict::High, "more-votes-than-tokens");
}

#[test]
fn code_that_changed_and_can_vanish() {
    let mut one = proposal("Same logic as proposal 16, with a fixed list", &[(B, call("execute()", &[]))]);
    one["code_hash"] = json!({B: {"propose": "0xaa", "execute": "0xbb"}});
    one["code"] = json!({B: "0x33ff"});
    one["deployed"] = json!({B: {"by": C, "how": "create"}, C: {"by": A, "how": "create2"}});
    check(&one, Verdict::High, "code-changed");
}

#[test]
fn a_sibling_tries_again_and_decoys() {
    let pays = [(TOKEN, call("transfer(address,uint256)", &[B, "230000000000"]))];
    let mut first = proposal("Community payment", &pays);
    first["proposer"] = json!({"address": A, "funded_by": "0xpurse"});
    let mut again = proposal("Payment for the community", &pays);
    again["proposer"] = json!({"address": C, "funded_by": "0xpurse"});
    check(&json!([first, again]), Verdict::High, "same-by-another");
    let empty = json!({"description": "Treasury housekeeping, part", "targets": [], "values": [], "calldatas": [], "proposer": A});
    let mut tenth = proposal("Treasury housekeeping, part", &pays);
    tenth["proposer"] = json!(A);
    check(&json!([empty, empty, empty, empty, tenth]), Verdict::Warning, "among-decoys");
}

#[test]
fn signatures_of_bravo_count_as_calls() {
    let mut one = json!({
        "description": "Add market parameters for the new collateral",
        "targets": [PROTOCOL], "values": [0], "signatures": ["_setPendingAdmin(address)"],
        "calldatas": [format!("0x{}{}", "0".repeat(24), &B[2..])],
    });
    check(&one, Verdict::High, "not-said");
    one["signatures"] = json!(["_somethingOfTheirOwn(address)"]);
    assert!(verdict(&one).verdict <= Verdict::Notice);
}

#[test]
fn other_chains() {
    let solana = json!({
        "name": "Housekeeping", "description": "Nothing of weight",
        "options": [{"instructions": [{"programId": "BPFLoaderUpgradeab1e11111111111111111111111",
            "accounts": [{"pubkey": "Prog1111111111111111111111111111111111111111"}, {"pubkey": "x1"}, {"pubkey": "Evi1AuthorityAuthorityAuthorityAuthority1111"}],
            "data": [4, 0, 0, 0]}]}]
    });
    check(&solana, Verdict::High, "not-said");
    let opengov = json!({
        "title": "Tip for a translator", "track": 30,
        "proposal": {"section": "utility", "method": "batchAll", "args": {"calls": [
            {"section": "system", "method": "setCode", "args": {"code": "0x00"}},
            {"section": "treasury", "method": "spendLocal", "args": {"amount": "10", "beneficiary": {"Id": "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"}}}
        ]}}
    });
    check(&opengov, Verdict::Warning, "not-said");
    let missing = json!({"title": "x", "track": 1, "proposal": {"Lookup": {"hash": "0x12", "len": 4}}});
    check(&missing, Verdict::Notice, "not-all-seen");
}
