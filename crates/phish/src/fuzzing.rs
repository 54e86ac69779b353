//! What must hold of every parser whatever its bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::panic, reason = "a property fails by panicking")]

use muster_web3::{Checked, Verdict};

use crate::{address, campaign, host, message, sign};

fn sound(checked: &Checked) {
    assert!((0.0..=1.0).contains(&checked.score), "{checked:?}");
    let channels: std::collections::BTreeSet<_> =
        checked.reasons.iter().filter(|r| r.verdict >= Verdict::Warning).map(|r| &r.channel).collect();
    assert_eq!(checked.verdict == Verdict::High, channels.len() >= 2, "high takes two channels: {checked:?}");
}

pub fn host_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(checked) = host::check_url(&text, &host::Lists::default()) {
        sound(&checked);
    }
}

pub fn lure_message(bytes: &[u8]) {
    let read = message::read(bytes);
    assert!(read.links.len() <= message::LINKS_MAX + 1);
    let mut stream = campaign::Campaigns::default();
    let joined = stream.join("a", &read);
    sound(&message::check("m", &read, &host::Lists::default(), Some(&joined)));
    assert_eq!(stream.join("b", &read).campaign == joined.campaign, stream.len() == 1);
}

pub fn wallet_request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let context = sign::Context { now: 1_795_000_000, lists: host::Lists::default(), origin: None };
    for checked in sign::check_text("x", &text, &context).unwrap_or_default() {
        sound(&checked);
    }
}

pub fn payee_history(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(history) = address::History::read(&text, None) {
        history.poisoned().iter().for_each(sound);
        if let Some(checked) = history.check("0xabcdef0123456789abcdef0123456789abcdef01") {
            sound(&checked);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "(https?://|hxxp://)?([a-z.]{0,9}@)?(metamask|unіswap|xn--[a-z0-9-]{0,9}|[a-zé0-9-]{1,12})([.-](io|com|pages\\.dev|[a-z]{1,9})){0,4}(:[0-9]{1,5})?(/[ -~]{0,12})?";
    const MAIL: &str = "(From: \"?(MetaMask|[a-z ]{0,6})\"? <[a-z]{1,4}@[a-z.]{1,9}>\\n)?(To: a@b.de\\n)?(Subject: [a-z ]{0,9}\\n)?(Content-Type: (text/html|multipart/mixed; boundary=x)\\n)?\\n?((--x\\n|<a href=\"?https://[a-z.]{1,12}\"?>|enter your seed phrase\\.|never |<style>|é|[ -~]{0,20}) ?){0,12}";
    const ASKED: &str = "\\{(\"(method|to|data|value|primaryType|domain|message|params|origin|rawTx|authorizationList|tests)\":(\"(eth_sendTransaction|eth_signTypedData_v4|Permit|personal_sign|OrderComponents|0x[0-9a-f]{0,80})\"|[0-9]{1,40}|\\{\"(spender|to|offer)\":\"0x[0-9a-f]{40}\"\\}|\\[\\]|\\[\\{\"data\":\"0xac9650d8[0-9a-f]{0,64}\"\\}\\]),?){0,5}\\}";
    const LINE: &str = "((from|to|amount|token),){1,4}\\n|(0x[0-9a-f]{40},){1,2}([0-9.]{1,5},)?(USDT|é)?\\n|\\{\"to\":\"0x[0-9a-f]{40}\"\\}\\n";

    proptest! {
        #[test]
        fn any_host(url in URL, bytes: Vec<u8>) {
            host_name(url.as_bytes());
            host_name(&bytes);
        }

        #[test]
        fn any_message(mail in MAIL, bytes: Vec<u8>) {
            lure_message(mail.as_bytes());
            lure_message(&bytes);
        }

        #[test]
        fn any_request(text in ASKED, bytes: Vec<u8>) {
            wallet_request(text.as_bytes());
            wallet_request(&bytes);
        }

        #[test]
        fn any_history(lines in proptest::collection::vec(LINE, 0..12), bytes: Vec<u8>) {
            payee_history(lines.concat().as_bytes());
            payee_history(&bytes);
        }
    }
}
