//! Lures, and honest messages that are worded like them.

use super::*;

#[track_caller]
fn check(text: &str, verdict: Verdict, brand: Option<&str>) {
    let said = super::check("m", &read(text.as_bytes()), &Lists::default(), None);
    assert_eq!((said.verdict, said.brand.as_deref()), (verdict, brand), "{said:#?}");
}

#[track_caller]
fn not_high(text: &str) {
    let said = super::check("m", &read(text.as_bytes()), &Lists::default(), None);
    assert!(said.verdict < Verdict::High, "{said:#?}");
}

#[test]
fn lures() {
    check(
        "From: MetaMask Support <security@mail-notice.example>\nTo: you@there.example\nSubject: Action needed\n\n\
         Your wallet will be restricted within 24 hours. Enter your recovery phrase at https://metamask-restore.pages.dev/",
        Verdict::High,
        Some("MetaMask"),
    );
    check(
        "From: Coinbase <no-reply@coinbase.com>\nTo: a@b.example\nSubject: Verify\nAuthentication-Results: mx; dmarc=fail\n\n\
         Unusual sign-in. Your account is locked, log in immediately to confirm your identity: https://coinbase.com.session.example/x",
        Verdict::High,
        Some("Coinbase"),
    );
    check(
        r#"{"from":"Metamаsk Admin","text":"validate your wallet here https://wallet-sync.pages.dev"}"#,
        Verdict::High,
        Some("MetaMask"),
    );
    check(
        "From: News <a@b.example>\nTo: you@there.example\nSubject: x\nContent-Type: text/html\n\n\
         <p>Enter your seed phrase here: <a href=\"https://www.google.com/url?q=https%3A%2F%2Fm\u{117}tamask.io\">ledger</a></p>",
        Verdict::High,
        Some("MetaMask"),
    );
}

/// Worded like lures, from who they say.
#[test]
fn honest_mail_is_not_high() {
    not_high(
        "From: Coinbase <no-reply@coinbase.com>\nTo: a@b.example\nSubject: New sign-in\nAuthentication-Results: mx; dmarc=pass\n\n\
         We noticed a new sign-in. If this was not you, lock your account immediately at https://www.coinbase.com/settings. \
         We will never ask for your recovery phrase.",
    );
    not_high(
        "From: MetaMask <hello@info.metamask.io>\nTo: a@b.example\nSubject: Protect your wallet\nAuthentication-Results: mx; dmarc=pass\n\n\
         Never share your Secret Recovery Phrase. Claim your reward tokens before Friday at https://portfolio.metamask.io. Connect your wallet.",
    );
    not_high(
        "From: Trezor via Zendesk <support@trezor.zendesk.com>\nTo: a@b.example\nSubject: Re: ticket\n\n\
         Thank you for writing. Please update the firmware with the app and enter your PIN on the device: https://trezor.io/start",
    );
    not_high(
        "From: Anna <anna@gmail.com>\nTo: a@b.example\nSubject: lunch\n\nCan you transfer 20 USDT to my wallet for lunch? \
         0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045",
    );
    not_high(
        "From: GitHub <noreply@github.com>\nTo: a@b.example\nSubject: [GitHub] Please verify your device\n\nVerify your account with the code 123456. https://github.com/login",
    );
    not_high(
        "From: DeFi Weekly <defiweekly@substack.com>\nTo: a@b.example\nSubject: Airdrop season\n\nStarknet opens claims today: \
         connect a wallet and claim your tokens before they expire. https://provisions.starknet.io https://defiweekly.substack.com/p/1",
    );
    not_high(
        "From: Shop <orders@shop.example>\nTo: a@b.example\nSubject: Your receipt\n\nThank you! You paid 12.00 EUR. Update your payment details within 24 hours if this is wrong: https://shop.example/a",
    );
    not_high(
        r#"{"from":"bob","text":"gm, did you see the Arbitrum vote? https://www.tally.xyz/gov/arbitrum"}"#,
    );
}

#[test]
fn bombs_take_no_long() {
    let nested: String =
        (0..20_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let mail = format!("From: a@b.example\nTo: c@d.example\nSubject: x\n{nested}");
    let message = read(mail.as_bytes());
    assert!(message.cut);
    let long = format!("From: a@b.example\nTo: c@d.example\nSubject: x\n\n{}", "<a href=x ".repeat(1 << 20));
    assert!(read(long.as_bytes()).cut);
    let _ = super::check("m", &read("<a href".repeat(500_000).as_bytes()), &Lists::default(), None);
}
