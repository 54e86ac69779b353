//! Requests of wallets, honest ones and those of drainers.

use super::*;

const STRANGER: &str = "0x1234567890123456789012345678901234567890";
const MAX: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
const NOW: u64 = 1_795_000_000;

#[track_caller]
fn check(text: &str, verdict: Verdict, codes: &[&str]) {
    let context = Context { now: NOW, lists: Lists::default(), origin: None };
    let said = check_text("x", text, &context).unwrap();
    let said = said.first().unwrap();
    assert_eq!(said.verdict, verdict, "{said:#?}");
    for code in codes {
        assert!(said.reasons.iter().any(|r| r.code == *code), "{code}: {said:#?}");
    }
}

fn permit(spender: &str, value: &str, deadline: u64) -> String {
    format!(
        r#"{{"primaryType":"Permit","domain":{{"name":"USD Coin","chainId":1,"verifyingContract":"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"}},
        "message":{{"owner":"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045","spender":"{spender}","value":"{value}","nonce":0,"deadline":{deadline}}}}}"#
    )
}

fn call(to: &str, data: &str, value: &str) -> String {
    format!(
        r#"{{"method":"eth_sendTransaction","params":[{{"to":"{to}","data":"{data}","value":"{value}"}}]}}"#
    )
}

fn word(hex: &str) -> String {
    format!("{:0>64}", hex.trim_start_matches("0x").to_lowercase())
}

const TOKEN: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

#[test]
fn permissions() {
    check(&permit(STRANGER, "1000000", NOW + 1200), Verdict::Info, &["lets-stranger-spend"]);
    check(&permit(STRANGER, MAX, NOW + 1200), Verdict::Warning, &["unlimited-to-stranger"]);
    check(&permit(STRANGER, MAX, u64::MAX), Verdict::High, &["unlimited-to-stranger", "no-end"]);
    check(
        &permit("0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af", MAX, u64::MAX),
        Verdict::Info,
        &["lets-known-spend"],
    );
    check(
        &format!(
            r#"{{"primaryType":"PermitBatch","domain":{{}},"message":{{"spender":"{STRANGER}","sigDeadline":"{MAX}","details":[
            {{"token":"{TOKEN}","amount":"1461501637330902918203684832716283019655932542975","expiration":"281474976710655","nonce":0}},
            {{"token":"{STRANGER}","amount":"1461501637330902918203684832716283019655932542975","expiration":"281474976710655","nonce":0}}]}}}}"#
        ),
        Verdict::High,
        &["unlimited-to-stranger", "no-end"],
    );
    check(
        &format!(
            r#"{{"primaryType":"PermitTransferFrom","domain":{{}},"message":{{"spender":"{STRANGER}","deadline":"{MAX}",
            "permitted":{{"token":"{TOKEN}","amount":"{MAX}"}}}}}}"#
        ),
        Verdict::High,
        &[],
    );
}

#[test]
fn approvals() {
    let approve =
        |who: &str, amount: &str| call(TOKEN, &format!("0x095ea7b3{}{}", word(who), word(amount)), "0x0");
    check(&approve(STRANGER, "5f5e100"), Verdict::Info, &["lets-stranger-spend"]);
    check(&approve(STRANGER, &"f".repeat(64)), Verdict::Warning, &["unlimited-to-stranger"]);
    check(
        &approve("000000000022D473030F116dDEE9F6B43aC78BA3", &"f".repeat(64)),
        Verdict::Info,
        &["lets-known-spend"],
    );
    check(&approve(STRANGER, "0"), Verdict::Info, &["takes-back"]);
    let all = |who: &str, yes: &str| call(TOKEN, &format!("0xa22cb465{}{}", word(who), word(yes)), "0x0");
    check(&all(STRANGER, "1"), Verdict::Warning, &["collection-to-stranger"]);
    check(&all("1E0049783F008A0085193E00003D00cd54003c71", "1"), Verdict::Info, &["collection-to-known"]);
    check(&all(STRANGER, "0"), Verdict::Info, &[]);
    check(
        &call(TOKEN, &format!("0x39509351{}{}", word(STRANGER), "f".repeat(64)), "0x0"),
        Verdict::Warning,
        &["unlimited-to-stranger"],
    );
    let origin =
        format!(r#"{{"origin":"https://metamask.io.claim.example","request":{}}}"#, all(STRANGER, "1"));
    check(&origin, Verdict::High, &["origin", "collection-to-stranger"]);
}

#[test]
fn within_a_multicall() {
    let inner = format!("095ea7b3{}{}", word(STRANGER), "f".repeat(64));
    let data =
        format!("0xac9650d8{}{}{}{}{inner}{}", word("20"), word("1"), word("20"), word("44"), "0".repeat(56));
    check(&call(TOKEN, &data, "0x0"), Verdict::Warning, &["unlimited-to-stranger"]);
}

#[test]
fn orders() {
    let order = |consideration: &str| {
        format!(
            r#"{{"primaryType":"OrderComponents","domain":{{"name":"Seaport"}},"message":{{"offerer":"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045",
        "offer":[{{"itemType":2,"token":"{TOKEN}","identifierOrCriteria":"1","startAmount":"1","endAmount":"1"}}],"consideration":[{consideration}]}}}}"#
        )
    };
    check(&order(""), Verdict::High, &["nothing-in-return"]);
    check(
        &order(&format!(r#"{{"itemType":0,"startAmount":"1","endAmount":"1","recipient":"{STRANGER}"}}"#)),
        Verdict::High,
        &[],
    );
    check(
        &order(
            r#"{"itemType":0,"startAmount":"1000000000000000000","endAmount":"1000000000000000000","recipient":"0xd8da6bf26964af9d7eed9e03e53415d37aa96045"}"#,
        ),
        Verdict::Info,
        &["order"],
    );
}

#[test]
fn accounts_and_hashes() {
    let hash = "f".repeat(64);
    check(
        &format!(r#"{{"method":"eth_sign","params":["{TOKEN}","0x{hash}"]}}"#),
        Verdict::Warning,
        &["blind"],
    );
    check(
        &format!(r#"{{"method":"personal_sign","params":["0x{hash}","{TOKEN}"]}}"#),
        Verdict::Warning,
        &["blind"],
    );
    check(
        &format!(r#"{{"method":"personal_sign","params":["0x48656c6c6f","{TOKEN}"]}}"#),
        Verdict::Info,
        &[],
    );
    let delegate = |to: &str, chain: u8| {
        format!(
            r#"{{"to":"{TOKEN}","authorizationList":[{{"chainId":{chain},"address":"{to}","nonce":1}}]}}"#
        )
    };
    check(&delegate(STRANGER, 0), Verdict::High, &["account-runs-strange-code", "on-every-chain"]);
    check(&delegate(STRANGER, 1), Verdict::Warning, &[]);
    check(&delegate("0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B", 1), Verdict::Info, &[]);
    check(&call(STRANGER, "0x5fba79f5", "0x16345785d8a0000"), Verdict::Warning, &["pays-to-claim"]);
    check(&call(STRANGER, "0x4e71d92d", "0x0"), Verdict::Info, &[]);
    check(&call(STRANGER, "0xd0e30db0", "0x16345785d8a0000"), Verdict::Info, &[]);
}

#[test]
fn sign_in_is_for_who_asks() {
    let text = "app.uniswap.org wants you to sign in with your Ethereum account:\\n0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045";
    let ask = |origin: &str| {
        format!(r#"{{"origin":"{origin}","method":"personal_sign","params":["{text}","{TOKEN}"]}}"#)
    };
    check(&ask("https://app.uniswap.org"), Verdict::Info, &[]);
    check(&ask("https://swap.example"), Verdict::Warning, &["signs-in-elsewhere"]);
}

#[test]
fn known_addresses_are_written_as_their_checksum_has_it() {
    for line in host::lines(include_str!("../../data/spenders.txt")) {
        let (text, name) = line.split_once(' ').unwrap();
        assert!(Address::parse_checksummed(text, None).is_ok(), "{text} {name}");
    }
}
