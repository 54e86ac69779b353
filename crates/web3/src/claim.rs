//! What a proposal's text says that it does. No understanding is tried: sentences are looked through for words of a few
//! topics, each with its polarity, and for addresses, names, amounts and numbers. Who writes the text may be lying, so a
//! word only ever speaks for what it names, and silence is no proof.

use std::collections::{BTreeMap, BTreeSet};

use crate::Party;

/// More sentences than the longest honest text has. What comes after is not read.
const SENTENCES_MAX: usize = 20_000;
/// A sentence is as long as people write them; a longer one is taken in pieces.
const WORDS_MAX: usize = 120;
/// How far before a topic's word a `not` belongs to it.
const NEGATION_REACH: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Grant,
    Revoke,
    Upgrade,
    Own,
    Move,
    Allow,
    Mint,
    Burn,
    Rules,
    Parameter,
    Bridge,
    Create,
    Destroy,
    Delegate,
}

impl Topic {
    /// As people say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Topic::Grant => "giving a role or right",
            Topic::Revoke => "taking a role or right away",
            Topic::Upgrade => "new code",
            Topic::Own => "an owner or admin",
            Topic::Move => "money",
            Topic::Allow => "an allowance",
            Topic::Mint => "new tokens",
            Topic::Burn => "burning tokens",
            Topic::Rules => "the rules of voting",
            Topic::Parameter => "a setting",
            Topic::Bridge => "another chain",
            Topic::Create => "making a contract",
            Topic::Destroy => "destroying code",
            Topic::Delegate => "delegation",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// With no words at all.
    pub is_empty: bool,
    pub said: BTreeMap<Topic, Said>,
    pub parties: BTreeSet<Party>,
    /// `0x1234…abcd`: front and back.
    shortened: Vec<(String, String)>,
    /// ENS names and the like.
    pub names: BTreeSet<String>,
    pub amounts: Vec<Amount>,
    /// How many calls or actions the text says there are.
    pub counts: Vec<u32>,
    /// "same as proposal 16".
    pub same_as: Vec<String>,
    /// Money for votes.
    pub pays_for_votes: Option<String>,
    /// Clean-up, donation, routine: what attacks call themselves.
    pub harmless: Option<String>,
}

/// What is said of one topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub yes: usize,
    /// "No funds are moved."
    pub no: usize,
    pub sentence: String,
    pub denial: String,
    /// Addresses in the sentences that affirm it.
    pub parties: BTreeSet<Party>,
    /// Names of roles in them.
    pub roles: BTreeSet<String>,
    /// Numbers in them, with their unit.
    pub numbers: Vec<(f64, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    pub number: f64,
    pub token: String,
}

/// What is true of one sentence's words.
struct Sentence<'a> {
    text: &'a str,
    words: Vec<String>,
}

impl Claims {
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut claims = Claims { is_empty: !text.chars().any(char::is_alphanumeric), ..Claims::default() };
        let without_links = links_out(text);
        for sentence in sentences(&without_links).take(SENTENCES_MAX) {
            claims.take(&sentence);
        }
        // Links name addresses too.
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            if word.len() == 42
                && let Some(party) = Party::read(word)
            {
                claims.parties.insert(party);
            }
        }
        claims
    }

    #[must_use]
    pub fn says(&self, topic: Topic) -> bool {
        self.said.get(&topic).is_some_and(|said| said.yes > 0)
    }

    #[must_use]
    pub fn denies(&self, topic: Topic) -> Option<&str> {
        self.said.get(&topic).filter(|said| said.no > 0).map(|said| said.denial.as_str())
    }

    /// Whether the text names the party, in full or shortened.
    #[must_use]
    pub fn names(&self, party: &Party) -> bool {
        self.parties.contains(party)
            || self.shortened.iter().any(|(front, back)| {
                party.digits().is_some_and(|digits| {
                    digits.starts_with(front.as_str()) && digits.ends_with(back.as_str())
                })
            })
    }

    /// All amounts that are said of a token, together.
    #[must_use]
    pub fn amounts_of(&self, token: &str) -> Vec<f64> {
        let same = |amount: &&Amount| amount.token.eq_ignore_ascii_case(token);
        self.amounts.iter().filter(same).map(|amount| amount.number).collect()
    }

    fn take(&mut self, sentence: &Sentence) {
        let parties: BTreeSet<Party> = sentence
            .text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| word.len() >= 32)
            .filter_map(Party::read)
            .collect();
        self.parties.extend(parties.iter().cloned());
        self.shortened.extend(shortened(sentence.text));
        for word in sentence.text.split(|c: char| c.is_whitespace() || "()[]`*,;<>|\"'".contains(c)) {
            let word = word.trim_end_matches('.');
            if [".eth", ".sol", ".dao", ".lens"].iter().any(|end| word.ends_with(end)) && word.len() > 4 {
                self.names.insert(word.to_ascii_lowercase());
            }
        }
        let numbers = numbers(sentence.text);
        for (number, unit) in &numbers {
            if is_token(unit) {
                self.amounts.push(Amount { number: *number, token: unit.clone() });
            }
            if ["calls", "transactions", "actions", "txs"].contains(&unit.to_ascii_lowercase().as_str())
                && *number < 10_000.0
            {
                self.counts.push(*number as u32);
            }
        }
        self.whole_text(sentence);
        let money = numbers.iter().any(|(_, unit)| is_token(unit) || unit == "$");
        for (topic, at) in topics(&sentence.words, money) {
            let denied = is_denied(&sentence.words, at);
            let said = self.said.entry(topic).or_default();
            if denied {
                said.no += 1;
                if said.denial.is_empty() {
                    said.denial = shown(sentence.text);
                }
                continue;
            }
            said.yes += 1;
            if said.sentence.is_empty() {
                said.sentence = shown(sentence.text);
            }
            said.parties.extend(parties.iter().cloned());
            let roles = sentence.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            said.roles.extend(roles.filter(|word| is_role(word)).map(str::to_owned));
            said.numbers.extend(numbers.iter().cloned());
        }
    }

    fn whole_text(&mut self, sentence: &Sentence) {
        let words = &sentence.words;
        let has = |word: &str| words.iter().any(|w| w == word);
        let starts = |stem: &str| words.iter().any(|w| w.starts_with(stem));
        if (has("same") || starts("identical")) && (starts("proposal") || has("aip") || has("logic")) {
            let number = words.iter().find(|word| word.bytes().all(|b| b.is_ascii_digit()) && word.len() < 8);
            if let Some(number) = number {
                self.same_as.push(number.clone());
            }
        }
        let pays =
            starts("reward") || starts("bribe") || starts("pay") || starts("distribut") || starts("incentiv");
        let voters = words.windows(2).any(|pair| {
            matches!(pair, [a, b] if ["for", "yes", "favour", "favor", "fors"].contains(&a.as_str()) && (b.starts_with("voter") || b.starts_with("vote")))
        }) || starts("voter") && (has("for") && has("vote") || has("favor") || has("favour") || has("yes"));
        if pays && voters && self.pays_for_votes.is_none() {
            self.pays_for_votes = Some(shown(sentence.text));
        }
        let harmless = [
            "cleanup",
            "housekeep",
            "routin",
            "maintenan",
            "donat",
            "cosmetic",
            "charit",
            "deprecat",
            "refactor",
            "finaliz",
            "finalis",
        ];
        if self.harmless.is_none()
            && (harmless.iter().any(|stem| starts(stem))
                || words.windows(2).any(|pair| matches!(pair, [a, b] if a == "clean" && b == "up")))
        {
            self.harmless = Some(shown(sentence.text));
        }
    }
}

const RIGHTS: [&str; 26] = [
    "role",
    "permission",
    "access",
    "admin",
    "owner",
    "minter",
    "guardian",
    "governor",
    "privilege",
    "authorit",
    "right",
    "signer",
    "controller",
    "module",
    "manager",
    "member",
    "council",
    "operator",
    "steward",
    "cancel",
    "proposer",
    "executor",
    "whitelist",
    "committee",
    "multisig",
    "borrower",
];
const GIVE: [&str; 16] = [
    "grant", "give", "giving", "given", "assign", "add", "appoint", "authori", "enable", "enabl", "set",
    "elect", "install", "transfer", "allow", "assum",
];
const TAKE: [&str; 10] =
    ["revok", "remov", "renounc", "strip", "offboard", "withdraw", "retir", "deprecat", "disabl", "clean"];
const MONEY: [&str; 38] = [
    "transfer",
    "send",
    "pay",
    "payment",
    "fund",
    "funding",
    "compensat",
    "budget",
    "treasury",
    "donat",
    "reimburs",
    "withdraw",
    "swap",
    "stream",
    "distribut",
    "allocat",
    "invest",
    "deposit",
    "reward",
    "bounty",
    "refund",
    "salar",
    "expens",
    "spend",
    "buyback",
    "purchas",
    "sell",
    "retroactiv",
    "remunerat",
    "sponsor",
    "incentiv",
    "endow",
    "collateral",
    "liquidity",
    "vest",
    "airdrop",
    "grantee",
    "repay",
];

/// The topics of a sentence, each with the place of the word that brings it up.
fn topics(words: &[String], money: bool) -> Vec<(Topic, usize)> {
    let mut found = Vec::new();
    let at = |stems: &[&str]| words.iter().position(|word| stems.iter().any(|stem| word.starts_with(stem)));
    let exact = |list: &[&str]| words.iter().position(|word| list.contains(&word.as_str()));
    let right = at(&RIGHTS).or_else(|| words.iter().position(|word| word.ends_with("_role")));
    if let (Some(_), Some(give)) = (right, at(&GIVE)) {
        found.push((Topic::Grant, give));
    } else if let Some(give) =
        at(&["whitelist", "appoint", "authoriz", "authoris", "onboard", "allowlist", "nominat"])
    {
        found.push((Topic::Grant, give));
    }
    if let (Some(_), Some(take)) = (right, at(&TAKE)) {
        found.push((Topic::Revoke, take));
    } else if let Some(take) = at(&["revok", "renounc", "offboard"]) {
        found.push((Topic::Revoke, take));
    }
    if let Some(place) = at(&["upgrad", "implementation", "migrat", "replac", "redeploy", "bytecode", "patch", "facet", "diamond"])
        .or_else(|| exact(&["logic", "code", "version", "v2", "v3", "v4", "v5", "proxy", "proxies"]))
        .or_else(|| words.windows(2).position(|pair| matches!(pair, [a, b] if a == "new" && ["contract", "resolver", "registrar", "controller", "module", "oracle", "strategy", "adapter", "payload"].iter().any(|w| b.starts_with(w)))))
    {
        found.push((Topic::Upgrade, place));
    }
    if let Some(place) = at(&["owner", "custod", "governorship"]).or_else(|| {
        exact(&[
            "admin",
            "admins",
            "administrator",
            "control",
            "controls",
            "controller",
            "authority",
            "manager",
        ])
    }) {
        found.push((Topic::Own, place));
    }
    if let Some(place) = at(&MONEY).filter(|_| true).or_else(|| money.then_some(0)) {
        found.push((Topic::Move, place));
    }
    if let Some(place) = at(&["allowance", "spender", "spending", "autowrap", "unlimited"])
        .or_else(|| at(&["approv"]).filter(|_| money || at(&["token", "spend", "stream"]).is_some()))
    {
        found.push((Topic::Allow, place));
    }
    if let Some(place) = at(&["mint", "issu", "inflation", "emission"]) {
        found.push((Topic::Mint, place));
    }
    if let Some(place) = at(&["burn"]) {
        found.push((Topic::Burn, place));
    }
    if let Some(place) = at(&["quorum", "timelock", "threshold", "delay"])
        .or_else(|| words.windows(2).position(|pair| matches!(pair, [a, b] if a == "voting" && ["period", "parameters", "window", "power", "rules"].contains(&b.as_str()))))
        .or_else(|| words.windows(2).position(|pair| matches!(pair, [a, b] if a.starts_with("govern") && b.starts_with("param"))))
    {
        found.push((Topic::Rules, place));
    }
    if let Some(place) = at(&[
        "bridg",
        "crosschain",
        "layerzero",
        "wormhole",
        "arbitrum",
        "optimism",
        "polygon",
        "gnosis",
        "zksync",
        "scroll",
        "linea",
        "satellite",
    ])
    .or_else(|| exact(&["base", "l2", "chain", "chains", "rollup", "cross"]))
    {
        found.push((Topic::Bridge, place));
    }
    if let Some(place) = at(&["deploy", "creat"]) {
        found.push((Topic::Create, place));
    }
    if let Some(place) = at(&["destroy", "selfdestruct", "kill", "sunset", "shut"]) {
        found.push((Topic::Destroy, place));
    }
    if let Some(place) = at(&["delegat"]) {
        found.push((Topic::Delegate, place));
    }
    if let Some(place) = at(&[
        "param", "set", "configur", "adjust", "chang", "updat", "increas", "decreas", "rais", "lower",
        "reduc", "cap", "limit", "rate",
    ]) {
        found.push((Topic::Parameter, place));
    }
    found
}

/// "No funds will be moved", "this does not change the owner", "without granting any role".
fn is_denied(words: &[String], at: usize) -> bool {
    let from = at.saturating_sub(NEGATION_REACH);
    let before = words.get(from..at).unwrap_or_default();
    let not = before.iter().rposition(|word| {
        matches!(
            word.as_str(),
            "no" | "not"
                | "never"
                | "without"
                | "neither"
                | "nor"
                | "none"
                | "cannot"
                | "doesn"
                | "won"
                | "isn"
                | "aren"
                | "don"
        )
    });
    let Some(not) = not else {
        // "Ownership remains unchanged", "no" before the noun that comes after the verb: "moves no funds".
        let after = words.get(at + 1..(at + 1 + NEGATION_REACH).min(words.len())).unwrap_or_default();
        return after.iter().any(|word| word == "unchanged" || word == "unaffected")
            || after.first().is_some_and(|word| word == "no");
    };
    // "Not only …" affirms, and "if it does not …" says nothing of what this does.
    let next = before.get(not + 1).map(String::as_str);
    let conditional = words
        .iter()
        .take(at)
        .any(|word| matches!(word.as_str(), "if" | "unless" | "until" | "when" | "who" | "which"));
    next != Some("only") && !conditional
}

fn sentences(text: &str) -> impl Iterator<Item = Sentence<'_>> {
    text.split('\n')
        .flat_map(|line| line.split(['!', '?', ';']))
        .flat_map(|line| line.split(". "))
        .flat_map(pieces)
        .filter(|sentence| !sentence.words.is_empty())
}

fn pieces(text: &str) -> Vec<Sentence<'_>> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty() && word.len() < 40)
        .map(str::to_lowercase)
        .collect();
    if words.len() <= WORDS_MAX {
        return vec![Sentence { text, words }];
    }
    words.chunks(WORDS_MAX).map(|words| Sentence { text, words: words.to_vec() }).collect()
}

/// Links carry words that nobody says: what they point to is not the text's.
fn links_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("http") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if after.starts_with("http://") || after.starts_with("https://") {
            let end =
                after.find(|c: char| c.is_whitespace() || "()<>\"'|]".contains(c)).unwrap_or(after.len());
            rest = after.get(end..).unwrap_or_default();
        } else {
            out.push_str("http");
            rest = after.get(4..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

fn shortened(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("0x").take(1_000) {
        let rest = text.get(at + 2..).unwrap_or_default();
        let front: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        let after = rest.get(front.len()..).unwrap_or_default();
        let dots = after.trim_start_matches(['.', '…']);
        if dots.len() == after.len() || front.len() < 3 || front.len() > 39 {
            continue;
        }
        let back: String = dots.chars().take_while(char::is_ascii_hexdigit).collect();
        if back.len() >= 3 {
            found.push((front.to_lowercase(), back.to_lowercase()));
        }
    }
    found
}

/// Numbers and the word after (or the sign before) each: `1,000 USDC`, `$250k`, `4 %`, `2.5M ARB`, `3 days`.
fn numbers(text: &str) -> Vec<(f64, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let before = rest.get(..at).unwrap_or_default();
        let after = rest.get(at..).unwrap_or_default();
        let in_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let end = after
            .find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.' && c != '_')
            .unwrap_or(after.len());
        let digits = after.get(..end).unwrap_or_default();
        rest = after.get(end..).unwrap_or_default();
        if in_word || digits.len() > 40 || found.len() > 500 {
            // `0x…`, `V3`: no number.
            let skip = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            rest = rest.get(skip..).unwrap_or_default();
            continue;
        }
        let plain: String =
            digits.trim_end_matches(['.', ',']).chars().filter(|c| *c != ',' && *c != '_').collect();
        let Ok(mut number) = plain.parse::<f64>() else { continue };
        if rest.starts_with(['x', 'X']) && plain == "0" {
            let skip = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            rest = rest.get(skip..).unwrap_or_default();
            continue;
        }
        for (sign, times) in [("k", 1e3), ("K", 1e3), ("M", 1e6), ("m", 1e6), ("B", 1e9), ("bn", 1e9)] {
            let after =
                rest.strip_prefix(sign).filter(|after| !after.starts_with(|c: char| c.is_alphanumeric()));
            if let Some(after) = after {
                number *= times;
                rest = after;
                break;
            }
        }
        let mut tail = rest.trim_start_matches([' ', '*', '`', '[', '\u{a0}']);
        for (word, times) in [("million", 1e6), ("thousand", 1e3), ("billion", 1e9)] {
            if let Some(after) = tail.strip_prefix(word) {
                number *= times;
                tail = after.trim_start_matches([' ', '*', '`']);
            }
        }
        let dollar = before.trim_end().ends_with('$');
        let sign = tail.trim_start_matches('$');
        let unit: String = if sign.starts_with('%') {
            "%".to_owned()
        } else {
            sign.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(20).collect()
        };
        let unit = if dollar && !is_token(&unit) { "$".to_owned() } else { unit };
        found.push((number, unit));
    }
    found
}

/// Symbols are written in capitals (`USDC`, `wstETH`, `stETH`).
fn is_token(unit: &str) -> bool {
    let capitals = unit.chars().filter(char::is_ascii_uppercase).count();
    (2..=10).contains(&unit.len())
        && capitals >= 2
        && capitals * 2 >= unit.len()
        && !["AM", "PM", "UTC", "GMT", "API", "DAO", "EOA", "KPI", "NFT", "TVL", "APR", "APY", "CET", "EST"]
            .contains(&unit)
}

fn is_role(word: &str) -> bool {
    word.len() > 5
        && (word.ends_with("_ROLE") || word.ends_with("_ADMIN"))
        && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
}

fn shown(text: &str) -> String {
    let text = text.trim();
    let short: String = text.chars().take(160).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[track_caller]
    fn check(text: &str, yes: &[Topic], no: &[Topic]) {
        let claims = Claims::of(text);
        for topic in yes {
            assert!(claims.says(*topic), "{text:?} says nothing of {topic:?}");
        }
        for topic in no {
            assert!(!claims.says(*topic), "{text:?} is said to speak of {topic:?}");
        }
    }

    #[test]
    fn polarity() {
        check("Revoke old V1 roles and cleanup", &[Topic::Revoke], &[Topic::Grant]);
        check(
            "Grant the MINTER_ROLE to 0x91c32893216de3ea0a55abb9851f581d4503d39b",
            &[Topic::Grant],
            &[Topic::Revoke],
        );
        check("No funds will be transferred.", &[], &[]);
        assert!(Claims::of("This proposal does not transfer ownership.").denies(Topic::Own).is_some());
        assert!(Claims::of("If the DAO does not transfer ownership, we stop.").denies(Topic::Own).is_none());
        check("Approve this proposal to support Ukraine", &[], &[Topic::Allow]);
    }

    #[test]
    fn amounts_and_names() {
        let claims =
            Claims::of("Send 100k USDC and 15,000.5 ENS (or $2.5M) to main.mg.wg.ens.eth, see 0x91c3…d39b");
        assert_eq!(claims.amounts_of("usdc"), [100_000.0]);
        assert_eq!(claims.amounts_of("ENS"), [15_000.5]);
        assert!(claims.names.contains("main.mg.wg.ens.eth"));
        assert!(claims.names(&Party::read("0x91c32893216de3ea0a55abb9851f581d4503d39b").unwrap()));
        assert_eq!(Claims::of("It has the same logic as proposal 16").same_as, ["16"]);
        assert_eq!(Claims::of("in 12 calls").counts, [12]);
        assert!(Claims::of("We will distribute 900k XVS to FOR voters").pays_for_votes.is_some());
    }
}
