//! What a message asks for, sentence by sentence. The weakest of the channels: wording costs nothing, and honest notices are
//! worded like it.

use std::sync::LazyLock;

use muster_web3::{Reason, Verdict};
use serde::Deserialize;

use crate::host::{fold::fold, name::cut};

/// Sentences that are looked at: letters have under a hundred.
const SENTENCES_MAX: usize = 2_000;
/// Longest piece shown.
const SHOWN_MAX: usize = 200;

#[derive(Deserialize)]
struct Ask {
    code: String,
    verdict: String,
    text: String,
    warned: bool,
    all: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct File {
    ask: Vec<Ask>,
}

/// Words of whoever warns: `we will never ask for …`.
const WARNS: &[&str] = &[
    "never", " not ", "n't", "n’t", "no one", "nobody", "beware", "avoid ", "scam", "phishing", "refuse",
    "ignore", "without", "no need",
];

fn asks() -> &'static [Ask] {
    static ASKS: LazyLock<Vec<Ask>> = LazyLock::new(|| {
        toml::from_str::<File>(include_str!("../../data/asks.toml")).map_or(Vec::new(), |f| f.ask)
    });
    &ASKS
}

/// Every ask of a text, each once, with its sentence.
#[must_use]
pub fn read(text: &str) -> Vec<Reason> {
    let plain = normal(text);
    let mut found: Vec<Reason> = Vec::new();
    for sentence in plain.split(['.', '!', '?', '\n', ';']).filter(|s| s.len() > 8).take(SENTENCES_MAX) {
        let warns = WARNS.iter().any(|w| sentence.contains(w));
        for ask in asks() {
            let asked = !(ask.warned && warns)
                && ask.all.iter().all(|words| words.iter().any(|word| starts_word(sentence, word)))
                && !found.iter().any(|r| r.code == ask.code);
            if asked {
                let verdict = if ask.verdict == "warning" { Verdict::Warning } else { Verdict::Notice };
                found.push(crate::reason(
                    &ask.code,
                    "ask",
                    verdict,
                    ask.text.clone(),
                    Some(cut(sentence.trim(), SHOWN_MAX).to_owned()),
                    "it was expected, and comes from who it says",
                ));
            }
        }
    }
    found
}

/// The word at the beginning of one: `sol` is not in `consolidate`.
fn starts_word(sentence: &str, word: &str) -> bool {
    sentence.match_indices(word).any(|(at, _)| {
        let before = sentence.get(..at).and_then(|s| s.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric())
    })
}

/// Letters that only look like ASCII read as it; what cannot be seen taken out; wrapped lines joined.
pub(crate) fn normal(text: &str) -> String {
    let seen: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\r'))
        .map(|c| match c {
            '\u{2019}' | '\u{2018}' => '\'',
            '\u{2010}'..='\u{2015}' => '-',
            c => c,
        })
        .collect();
    let folded = if seen.is_ascii() { seen.to_lowercase() } else { fold(&seen.to_lowercase()) };
    let lines: Vec<&str> = folded.lines().map(str::trim).collect();
    let mut joined = String::with_capacity(folded.len());
    for line in lines {
        joined.push_str(if line.is_empty() { "\n" } else { line });
        joined.push(' ');
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let said: Vec<String> = read(text).into_iter().map(|r| r.code).collect();
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn asks_are_read() {
        check("Please enter your 12-word\nrecovery phrase to restore access.", &["asks-for-seed"]);
        check("Please e\u{200b}nter your sееd phrase.", &["asks-for-seed"]);
        check("We will never ask you to share your recovery phrase.", &[]);
        check("Don't enter your seed phrase anywhere.", &[]);
        check("Your wallet must be validated: validate your wallet now", &["asks-to-validate-wallet"]);
        check("Send 1 ETH and get back double.", &["promises-more-back", "asks-to-pay"]);
        check("Your account will be suspended within 24 hours", &["threatens"]);
        check("The meeting is on Thursday, bring the minutes.", &[]);
    }
}
