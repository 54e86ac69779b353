//! What is to be thought of a host.

use std::collections::HashSet;
use std::sync::LazyLock;

use muster_web3::{Checked, Reason, Verdict};

use super::brand::{self, How, Near};
use super::model::Model;
use super::name::{Host, cut, host};

/// Longest piece of an input that an answer repeats.
const SHOWN_MAX: usize = 300;

/// Lists that whoever asks has: names known to be honest, names known to be bad. With each go all names below it.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    pub allow: HashSet<String>,
    pub block: HashSet<String>,
}

impl Lists {
    fn has<'a>(list: &'a HashSet<String>, host: &Host) -> Option<&'a str> {
        if list.is_empty() {
            return None;
        }
        let mut rest = host.ascii.as_str();
        loop {
            if let Some(found) = list.get(rest) {
                return Some(found);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// One name a line, `#` begins a comment; or a MetaMask `config.json`, of which `key` is taken.
    #[must_use]
    pub fn parse(text: &str, key: &str) -> HashSet<String> {
        if text.trim_start().starts_with('{') {
            let Ok(config) = serde_json::from_str::<serde_json::Value>(text) else { return HashSet::new() };
            let names = config.get(key).and_then(serde_json::Value::as_array);
            return names.into_iter().flatten().filter_map(|n| n.as_str()).map(str::to_lowercase).collect();
        }
        let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
        lines.filter(|l| !l.is_empty()).filter_map(|l| host(l).map(|h| h.ascii)).collect()
    }
}

/// Hosts where each path is somebody else's page.
const SHARED: &[&str] = &[
    "sites.google.com",
    "docs.google.com",
    "forms.gle",
    "drive.google.com",
    "telegra.ph",
    "linktr.ee",
    "ipfs.io",
    "dweb.link",
    "gateway.pinata.cloud",
    "cloudflare-ipfs.com",
    "storage.googleapis.com",
    "raw.githubusercontent.com",
    "s3.amazonaws.com",
];
/// Hosts that lead elsewhere.
const SHORTENERS: &[&str] = &[
    "bit.ly",
    "tinyurl.com",
    "t.co",
    "goo.gl",
    "rb.gy",
    "cutt.ly",
    "is.gd",
    "ow.ly",
    "shorturl.at",
    "t.ly",
    "s.id",
    "rebrand.ly",
    "buff.ly",
    "tiny.cc",
    "shorturl.asia",
    "urlz.fr",
    "lnk.ink",
];

/// The model that is shipped.
pub(crate) fn model() -> Option<&'static Model> {
    static MODEL: LazyLock<Option<Model>> =
        LazyLock::new(|| Model::from_bytes(include_bytes!("../../data/hosts.weights")));
    MODEL.as_ref()
}

/// Whether a host only leads on to another.
#[must_use]
pub fn shortens(host: &Host) -> bool {
    SHORTENERS.contains(&host.registered.as_str())
}

/// The check of one URL or host name. Nothing where there is no host in it.
#[must_use]
pub fn check_url(given: &str, lists: &Lists) -> Option<Checked> {
    host(given).map(|host| check(&host, given, lists))
}

/// The check of a host.
#[must_use]
pub fn check(host: &Host, given: &str, lists: &Lists) -> Checked {
    let mut reasons = Vec::new();
    let mut named = None;
    let mut score = 0.0;
    structure(host, &mut reasons);
    let listed = Lists::has(&lists.block, host);
    if let Some(found) = listed {
        reasons.push(reason(
            "listed",
            "list",
            Verdict::Warning,
            format!("`{found}` is on the list of bad hosts that was given"),
            None,
            "it was taken off that list since",
        ));
        score = 1.0;
    }
    if let Some(allowed) = Lists::has(&lists.allow, host).filter(|_| listed.is_none()) {
        reasons.push(reason(
            "known-host",
            "list",
            Verdict::Info,
            format!("`{allowed}` is on the list of honest hosts that was given"),
            None,
            "the name changed hands",
        ));
    } else if let Some(brand) = brand::real(host) {
        reasons.push(reason(
            "real-host",
            "identity",
            Verdict::Info,
            format!("{} is {}'s own name", host.registered, brand.name),
            None,
            "the name changed hands",
        ));
        named = shared(host, &mut reasons);
    } else if !host.ip {
        let said = model().map(|m| m.say(host));
        let near = brand::near(host);
        let (over, strong) = said.map_or((false, false), |s| (s.over, s.strong));
        score = said.map_or(score, |s| s.score.max(score));
        if let Some(Near { brand, how }) = near {
            named = Some(brand.name.clone());
            let verdict = identity(how, over, strong);
            if how >= How::RealInFront {
                score = 1.0 - (1.0 - score) * 0.2;
            }
            reasons.push(reason(
                code(how),
                "identity",
                verdict,
                says(how, brand, host),
                Some(host.stem.clone()),
                &format!("{} says that the name is theirs, or it means something else", brand.name),
            ));
        }
        if over {
            reasons.push(reason(
                "worded-like-phishing",
                "wording",
                Verdict::Warning,
                format!(
                    "the name is built like names that phishing used{}; of honest names, {} in 1,000 are",
                    if host.free { " on free hosting" } else { "" },
                    if strong { "about 1" } else { "up to 10" }
                ),
                Some(host.folded.clone()),
                "who runs it is known, or it has been there for years",
            ));
        }
        named = named.or_else(|| shared(host, &mut reasons));
    }
    finish(given, score, named, reasons)
}

/// The verdict of a name's likeness. A brand's word alone says little: fan pages, tools, reviews have it too.
fn identity(how: How, over: bool, strong: bool) -> Verdict {
    match how {
        How::LooksAlike | How::RealInFront => Verdict::Warning,
        How::Typo | How::OtherSuffix if strong => Verdict::Warning,
        How::Typo | How::OtherSuffix => Verdict::Notice,
        How::Word | How::Inside if over => Verdict::Notice,
        How::Word | How::Inside => Verdict::Info,
    }
}

fn code(how: How) -> &'static str {
    match how {
        How::LooksAlike => "look-alike-letters",
        How::RealInFront => "real-name-in-front",
        How::Typo => "near-miss",
        How::OtherSuffix => "other-suffix",
        How::Word | How::Inside => "brand-in-name",
    }
}

fn says(how: How, brand: &brand::Brand, host: &Host) -> String {
    let (name, real) = (&brand.name, brand.hosts.first().map_or("", String::as_str));
    match how {
        How::LooksAlike => {
            format!("reads like {name} in letters that only look like it ({} in the DNS)", host.ascii)
        }
        How::RealInFront => {
            format!("has {name}'s real name in front, but belongs to whoever has {}", host.registered)
        }
        How::Typo => format!("is a letter or two from {name} ({real})"),
        How::OtherSuffix => format!("has {name}'s name under another suffix than its own ({real})"),
        How::Word | How::Inside => format!("has {name}'s name in it and is not {real}"),
    }
}

/// What the form of a URL hides.
fn structure(host: &Host, reasons: &mut Vec<Reason>) {
    if let Some(user) = host.user.as_deref().filter(|u| u.contains('.') && !u.contains('@')) {
        reasons.push(reason(
            "host-before-at",
            "structure",
            Verdict::Warning,
            format!("what looks like the host is a user name: the link leads to {}", host.ascii),
            Some(cut(user, 80).to_owned()),
            "a tool that puts its user's name there",
        ));
    }
    if host.ip {
        reasons.push(reason(
            "number-for-host",
            "structure",
            Verdict::Notice,
            "a number instead of a name".to_owned(),
            None,
            "a machine of one's own network",
        ));
    }
    if shortens(host) {
        reasons.push(reason(
            "leads-elsewhere",
            "structure",
            Verdict::Info,
            "a shortener: it does not say where it leads".to_owned(),
            None,
            "where it leads is known",
        ));
    }
}

/// A brand in the path of a host where anybody has pages.
fn shared(host: &Host, reasons: &mut Vec<Reason>) -> Option<String> {
    let is = SHARED.contains(&host.folded.as_str()) || host.free;
    let brand = brand::named(cut(&host.path, 400)).filter(|_| is)?;
    if brand::real(host).is_some_and(|own| own.name == brand.name) {
        return None;
    }
    reasons.push(reason(
        "brand-on-shared-host",
        "structure",
        Verdict::Notice,
        format!("a page about {} on a host where anybody has pages", brand.name),
        Some(cut(&host.path, 80).to_owned()),
        "its author is known",
    ));
    Some(brand.name.clone())
}

fn reason(
    code: &str,
    channel: &str,
    verdict: Verdict,
    text: String,
    evidence: Option<String>,
    refuted: &str,
) -> Reason {
    crate::reason(code, channel, verdict, text, evidence, refuted)
}

fn finish(given: &str, score: f64, brand: Option<String>, reasons: Vec<Reason>) -> Checked {
    crate::checked(cut(given, SHOWN_MAX), score, brand, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, verdict: Verdict, brand: Option<&str>, code: &str) {
        let said = check_url(url, &Lists::default()).unwrap();
        assert_eq!((said.verdict, said.brand.as_deref()), (verdict, brand), "{url}: {said:#?}");
        assert!(code.is_empty() || said.reasons.iter().any(|r| r.code == code), "{url}: {said:#?}");
    }

    #[test]
    fn hosts_are_judged() {
        check("https://metamask.io/download", Verdict::Info, None, "real-host");
        check("https://app.uniswap.org", Verdict::Info, None, "real-host");
        check("https://mėtamask.io", Verdict::High, Some("MetaMask"), "look-alike-letters");
        check("https://metamask.io@evil.example/x", Verdict::Warning, None, "host-before-at");
        check(
            "https://sites.google.com/view/metamask-login",
            Verdict::Notice,
            Some("MetaMask"),
            "brand-on-shared-host",
        );
        check("https://www.debian.org/", Verdict::Info, None, "");
        check("https://en.wikipedia.org/wiki/MetaMask", Verdict::Info, None, "");
        check("https://bit.ly/3xYz", Verdict::Info, None, "leads-elsewhere");
    }

    #[test]
    fn lists_are_asked_for_all_that_is_below_a_name() {
        let lists = Lists {
            allow: Lists::parse("metamask.site\n", ""),
            block: Lists::parse(r#"{"blacklist": ["evil.example"]}"#, "blacklist"),
        };
        let verdict = |url| check_url(url, &lists).unwrap().verdict;
        assert_eq!(verdict("https://a.metamask.site"), Verdict::Info);
        assert_eq!(verdict("https://a.evil.example"), Verdict::Warning);
        assert_eq!(verdict("https://metamask.io@a.evil.example"), Verdict::High);
        assert_eq!(verdict("https://notevil.example"), Verdict::Info);
    }
}
