//! Whom a host name imitates. The brands are data (`data/brands.toml`); what honest names share with them is `common`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::fold::read_as_letters;
use super::name::Host;

/// A word inside a longer one must be this long: `etherscan` in `myetherscanlogin`, not `aave` in `haaven`.
const INSIDE_MIN: usize = 6;
/// One slip of the pen in words this long; two in much longer ones.
const TYPO_MIN: usize = 6;
const TYPO_TWO_MIN: usize = 11;

#[derive(Debug, Deserialize)]
pub struct Brand {
    pub name: String,
    words: Vec<String>,
    pub hosts: Vec<String>,
    #[serde(default)]
    common: bool,
}

/// How a name comes near a brand, the plainest trick last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The word inside another: `mymetamaskapp`.
    Inside,
    /// The word by itself among others: `metamask-help`, `metamask.example.com`.
    Word,
    /// The whole registered label, under another suffix: `metamask.site`.
    OtherSuffix,
    /// All but a letter or two: `metamaks`.
    Typo,
    /// The real name in front of another: `metamask.io.example.com`.
    RealInFront,
    /// Letters that only look like the brand's.
    LooksAlike,
}

#[derive(Clone, Copy, Debug)]
pub struct Near {
    pub brand: &'static Brand,
    pub how: How,
}

struct Brands {
    all: Vec<Brand>,
    /// Registered names that are really a brand's.
    real: HashMap<String, usize>,
    words: Vec<Word>,
}

struct Word {
    text: String,
    letters: u32,
    brand: usize,
}

#[derive(Deserialize)]
struct File {
    brand: Vec<Brand>,
}

fn brands() -> &'static Brands {
    static BRANDS: LazyLock<Brands> = LazyLock::new(|| {
        let all =
            toml::from_str::<File>(include_str!("../../data/brands.toml")).map_or(Vec::new(), |f| f.brand);
        let mut real = HashMap::new();
        let mut words = Vec::new();
        for (at, brand) in all.iter().enumerate() {
            real.extend(brand.hosts.iter().map(|h| (h.clone(), at)));
            words.extend(brand.words.iter().map(|w| Word {
                text: w.clone(),
                letters: letters(w.as_bytes()),
                brand: at,
            }));
        }
        Brands { all, real, words }
    });
    &BRANDS
}

/// The brand that this host is really of.
#[must_use]
pub fn real(host: &Host) -> Option<&'static Brand> {
    if host.looks_alike {
        return None;
    }
    let brands = brands();
    brands
        .real
        .get(&host.registered)
        .or_else(|| brands.real.get(&host.folded))
        .and_then(|at| brands.all.get(*at))
}

/// A brand that is named in a text's words: for senders and messages. Common words do not count.
#[must_use]
pub fn named(text: &str) -> Option<&'static Brand> {
    let folded = super::fold::fold(&text.to_lowercase());
    let words: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let brands = brands();
    let is = |word: &Word| {
        words.iter().any(|w| *w == word.text)
            || words.windows(2).any(|pair| matches!(pair, [a, b] if word.text.strip_prefix(*a) == Some(*b)))
    };
    brands.words.iter().filter_map(|word| brands.all.get(word.brand).filter(|b| !b.common && is(word))).next()
}

/// Every brand named in a sender's short name, common words too where they stand first: `Ledger Support`.
#[must_use]
pub fn named_as_sender(text: &str) -> Option<&'static Brand> {
    if let Some(brand) = named(text) {
        return Some(brand);
    }
    let folded = super::fold::fold(&text.to_lowercase());
    let mut words = folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    let (first, second) = (words.next()?, words.next());
    let follows = second.is_none_or(|w| ROLES.contains(&w));
    let brands = brands();
    let word = brands.words.iter().find(|w| w.text == first)?;
    follows.then(|| brands.all.get(word.brand)).flatten()
}

/// What stands behind a brand's name where a message says it comes from there.
const ROLES: &[&str] = &[
    "support",
    "security",
    "team",
    "wallet",
    "account",
    "service",
    "help",
    "live",
    "inc",
    "notification",
    "alert",
    "finance",
];

/// The brand that a host comes nearest to, and how.
#[must_use]
pub fn near(host: &Host) -> Option<Near> {
    let brands = brands();
    let stem = host.stem.as_str();
    let read = read_as_letters(stem);
    let mut best: Option<(How, usize, usize)> = None;
    let mut offer = |how, word: &Word| {
        let better = (how, word.text.len());
        if best.is_none_or(|(how, length, _)| better > (how, length)) {
            best = Some((how, word.text.len(), word.brand));
        }
    };
    let here = letters(stem.as_bytes()) | letters(read.as_bytes());
    let parts: Vec<(&str, u32)> = split(&read).map(|p| (p, letters(p.as_bytes()))).collect();
    for word in &brands.words {
        let Some(brand) = brands.all.get(word.brand) else { continue };
        let text = word.text.as_str();
        if word.letters & !here == 0 {
            if host.looks_alike
                && split(stem).any(|p| p == text || (text.len() >= INSIDE_MIN && p.contains(text)))
            {
                offer(How::LooksAlike, word);
            }
            if !brand.common || host.label == text {
                if host.label == text {
                    offer(How::OtherSuffix, word);
                } else if split(stem).any(|p| p == text) {
                    offer(How::Word, word);
                } else if text.len() >= INSIDE_MIN && stem.contains(text) && !brand.common {
                    offer(How::Inside, word);
                }
            }
        }
        if brand.common || text.len() < TYPO_MIN {
            continue;
        }
        let allowed = if text.len() >= TYPO_TWO_MIN { 2 } else { 1 };
        for (part, mask) in &parts {
            let apart = part.len().abs_diff(text.len());
            let differ = (mask ^ word.letters).count_ones();
            if apart <= allowed && differ as usize <= 2 * allowed && !stem.contains(text) {
                let slips = distance(part.as_bytes(), text.as_bytes());
                if slips <= allowed && *part != format!("{text}s") {
                    offer(How::Typo, word);
                }
            }
        }
    }
    // `metamask.io.example.com`, `metamask-io.example.com`.
    for brand in &brands.all {
        for real in &brand.hosts {
            let in_front = stem.strip_prefix(real.as_str()).is_some_and(|rest| rest.starts_with(['.', '-']))
                || stem.strip_suffix(real.as_str()).is_some_and(|before| before.ends_with(['.', '-']))
                || (stem.contains('-') && stem == real.replace('.', "-"));
            if in_front && real.len() > 5 {
                return Some(Near {
                    brand,
                    how: How::RealInFront.max(best.map_or(How::Inside, |(how, ..)| how)),
                });
            }
        }
    }
    let (how, _, at) = best?;
    Some(Near { brand: brands.all.get(at)?, how })
}

fn split(stem: &str) -> impl Iterator<Item = &str> {
    stem.split(['.', '-', '_']).filter(|p| !p.is_empty())
}

/// Which letters occur.
fn letters(text: &[u8]) -> u32 {
    text.iter().filter(|b| b.is_ascii_lowercase()).fold(0, |mask, b| mask | 1 << (b - b'a'))
}

/// Slips between two short words: a letter more, less, other, or two swapped. Words over 32 letters are far apart.
fn distance(a: &[u8], b: &[u8]) -> usize {
    const MAX: usize = 32;
    if a.len() > MAX || b.len() > MAX {
        return MAX;
    }
    let (mut before, mut last, mut now) = ([0usize; MAX + 1], [0usize; MAX + 1], [0usize; MAX + 1]);
    for (at, cell) in last.iter_mut().enumerate() {
        *cell = at;
    }
    let get = |row: &[usize; MAX + 1], at: usize| row.get(at).copied().unwrap_or(MAX);
    for (i, x) in a.iter().enumerate() {
        let set = |row: &mut [usize; MAX + 1], at: usize, value| {
            if let Some(cell) = row.get_mut(at) {
                *cell = value;
            }
        };
        set(&mut now, 0, i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut least =
                (get(&last, j) + usize::from(x != y)).min(get(&last, j + 1) + 1).min(get(&now, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped && x != y {
                least = least.min(get(&before, j - 1) + 1);
            }
            set(&mut now, j + 1, least);
        }
        (before, last) = (last, now);
    }
    get(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::host;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let host = host(name).unwrap();
        let said = match real(&host) {
            Some(brand) => format!("{} itself", brand.name),
            None => near(&host).map_or(String::new(), |n| format!("{} {:?}", n.brand.name, n.how)),
        };
        assert_eq!(said, expected, "{name}");
    }

    #[test]
    fn the_brand_is_named() {
        check("metamask.io", "MetaMask itself");
        check("docs.metamask.io", "MetaMask itself");
        check("metamask.site", "MetaMask OtherSuffix");
        check("metamaks.io", "MetaMask Typo");
        check("rnetamask.io", "MetaMask Typo");
        check("mėtamask.io", "MetaMask LooksAlike");
        check("metamask.io.example.com", "MetaMask RealInFront");
        check("opensea-io.web.app", "OpenSea RealInFront");
        check("help-uniswap.pages.dev", "Uniswap Word");
        check("myetherscanlogin.com", "Etherscan Inside");
        check("safe-travels.com", "");
        check("baseball.com", "");
        check("example.org", "");
        check("curvedental.com", "");
    }

    #[test]
    fn senders_are_named() {
        let name = |text| named_as_sender(text).map(|b| b.name.as_str());
        assert_eq!(name("MetaMask Support"), Some("MetaMask"));
        assert_eq!(name("Trust Wallet"), Some("Trust Wallet"));
        assert_eq!(name("Ledger Security"), Some("Ledger"));
        assert_eq!(name("Curve lovers' club"), None);
        assert_eq!(name("Anna Blur"), None);
    }
}
