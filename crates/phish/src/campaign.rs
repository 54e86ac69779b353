//! Which messages of a stream are variants of one: near-duplicates by MinHash, or the same payee, or the same host with like
//! text. Bounded memory: what was not seen for long is forgotten first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_web3::{Reason, Verdict};

use crate::host::{self, brand};
use crate::message::Message;
use crate::reason;

/// Values of a sketch; bands of four find texts that share half of their shingles 7 times in 10, 70 % always.
const VALUES: usize = 48;
const ROWS: usize = 3;
/// Words of a shingle.
const SHINGLE: usize = 3;
/// Words of a message that count.
const WORDS_MAX: usize = 2_000;
/// Campaigns that are remembered.
const CAMPAIGNS_MAX: usize = 4_096;
/// Hosts, senders and payees of one that are counted one by one.
const NAMES_MAX: usize = 1_024;
/// Sketches of one that later ones are held against: the first, and the latest.
const SKETCHES_MAX: usize = 4;
/// Keys by which campaigns are found.
const KEYS_MAX: usize = CAMPAIGNS_MAX * 40;
/// Shared shingles from which two texts are one; with a host or payee in common, from which they are related.
const LIKE: f64 = 0.5;
const RELATED: f64 = 0.1;

type Sketch = [u32; VALUES];

/// The stream so far.
#[derive(Default)]
pub struct Campaigns {
    known: BTreeMap<u64, Campaign>,
    keys: HashMap<u64, u64>,
    next: u64,
    tick: u64,
    /// Campaigns forgotten for want of room.
    pub forgotten: u64,
}

struct Campaign {
    first: String,
    count: u64,
    seen: u64,
    hosts: BTreeSet<String>,
    senders: BTreeSet<String>,
    sketches: Vec<Sketch>,
    keys: Vec<u64>,
}

/// What a message has in common with earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub campaign: u64,
    /// The name of its first message.
    pub first: String,
    /// Which one this is, from 1.
    pub count: u64,
    pub by: &'static str,
    pub hosts: usize,
    pub senders: usize,
}

impl Joined {
    /// One sender with one host that writes often is a newsletter. The same text from many is none.
    pub(crate) fn reason(&self) -> Option<Reason> {
        if self.count < 2 {
            return None;
        }
        let many = self.hosts.max(self.senders);
        let verdict = match (self.count, many) {
            (5.., 3..) => Verdict::Warning,
            (3.., 2..) => Verdict::Notice,
            _ => Verdict::Info,
        };
        Some(reason(
            "campaign",
            "campaign",
            verdict,
            format!(
                "the {} variant of one message (the first: {}), by {}; so far {} senders and {} hosts",
                nth(self.count),
                self.first,
                self.by,
                self.senders,
                self.hosts
            ),
            Some(format!("campaign {}", self.campaign)),
            "one sender's own bulletin",
        ))
    }
}

fn nth(n: u64) -> String {
    let end = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

impl Campaigns {
    /// Puts a message where it belongs, and says where that is.
    pub fn join(&mut self, name: &str, message: &Message) -> Joined {
        self.tick += 1;
        let text = format!("{} {}", message.subject, message.text);
        let sketch = sketch(&text);
        let hosts: BTreeSet<String> = message
            .links
            .iter()
            .filter_map(|l| host::host(&l.target))
            .filter(|h| brand::real(h).is_none() && !host::shortens(h) && !h.ip)
            .map(|h| h.registered)
            .take(32)
            .collect();
        let payees: BTreeSet<String> = payees(&text);
        let mut found: Option<(u64, &'static str)> = None;
        if let Some(sketch) = &sketch {
            found = self.nearest(bands(sketch), sketch, LIKE).map(|id| (id, "like text"));
        }
        if found.is_none() {
            found =
                payees.iter().find_map(|p| self.keys.get(&key("payee", p))).map(|id| (*id, "the same payee"));
        }
        if found.is_none() {
            let keys: Vec<u64> = hosts.iter().map(|h| key("host", h)).collect();
            let near = match &sketch {
                Some(sketch) => self.nearest(keys, sketch, RELATED),
                None => keys.iter().find_map(|k| self.keys.get(k)).copied(),
            };
            found = near.map(|id| (id, "the same host and related text"));
        }
        let (id, by) = found.unwrap_or_else(|| {
            self.next += 1;
            (self.next, "itself")
        });
        let tick = self.tick;
        let campaign = self.known.entry(id).or_insert_with(|| Campaign {
            first: host::name::cut(name, 120).to_owned(),
            count: 0,
            seen: tick,
            hosts: BTreeSet::new(),
            senders: BTreeSet::new(),
            sketches: Vec::new(),
            keys: Vec::new(),
        });
        campaign.count += 1;
        campaign.seen = tick;
        let mut new: Vec<u64> = hosts.iter().map(|h| key("host", h)).collect();
        new.extend(payees.iter().map(|p| key("payee", p)));
        add(&mut campaign.hosts, hosts);
        let sender = if message.from_host.is_empty() { &message.from_name } else { &message.from_host };
        add(&mut campaign.senders, (!sender.is_empty()).then(|| sender.clone()));
        if let Some(sketch) = sketch {
            if campaign.sketches.len() >= SKETCHES_MAX {
                campaign.sketches.remove(1);
            }
            campaign.sketches.push(sketch);
            new.extend(bands(&sketch));
        }
        for key in new {
            if campaign.keys.len() < NAMES_MAX && self.keys.insert(key, id).is_none() {
                campaign.keys.push(key);
            }
        }
        let joined = Joined {
            campaign: id,
            first: campaign.first.clone(),
            count: campaign.count,
            by,
            hosts: campaign.hosts.len(),
            senders: campaign.senders.len(),
        };
        self.forget();
        joined
    }

    /// How many campaigns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn nearest(&self, keys: Vec<u64>, sketch: &Sketch, least: f64) -> Option<u64> {
        let ids: BTreeSet<u64> = keys.iter().filter_map(|k| self.keys.get(k).copied()).collect();
        let near = ids.into_iter().filter_map(|id| {
            let campaign = self.known.get(&id)?;
            let like = campaign.sketches.iter().map(|s| likeness(s, sketch)).fold(0.0, f64::max);
            (like >= least).then_some((id, like))
        });
        near.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(id, _)| id)
    }

    fn forget(&mut self) {
        while self.known.len() > CAMPAIGNS_MAX || self.keys.len() > KEYS_MAX {
            let Some(oldest) = self.known.iter().min_by_key(|(_, c)| c.seen).map(|(id, _)| *id) else {
                return;
            };
            if let Some(campaign) = self.known.remove(&oldest) {
                for key in campaign.keys {
                    if self.keys.get(&key) == Some(&oldest) {
                        self.keys.remove(&key);
                    }
                }
            }
            self.forgotten += 1;
        }
    }
}

fn add(set: &mut BTreeSet<String>, more: impl IntoIterator<Item = String>) {
    for one in more {
        if set.len() < NAMES_MAX {
            set.insert(one);
        }
    }
}

/// Addresses of wallets in a text.
fn payees(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| {
            let hex =
                w.len() == 42 && w.starts_with("0x") && w.bytes().skip(2).all(|b| b.is_ascii_hexdigit());
            let bitcoin = (w.starts_with("bc1") && w.len() >= 42 && w.len() <= 62)
                || (w.len() >= 32
                    && w.len() <= 44
                    && w.bytes().any(|b| b.is_ascii_digit())
                    && w.bytes().any(|b| b.is_ascii_uppercase())
                    && w.bytes().any(|b| b.is_ascii_lowercase()));
            hex || bitcoin
        })
        .map(|w| if w.starts_with("0x") { w.to_lowercase() } else { w.to_owned() })
        .take(16)
        .collect()
}

/// Words with what varies taken out: numbers, hosts and addresses are other things.
fn words(text: &str) -> Vec<String> {
    let plain = crate::message::normal(text);
    plain
        .split_whitespace()
        .filter(|w| !w.contains("://") && w.len() < 40)
        .map(|w| w.chars().filter(|c| c.is_alphabetic()).collect::<String>())
        .filter(|w| !w.is_empty())
        .take(WORDS_MAX)
        .collect()
}

fn sketch(text: &str) -> Option<Sketch> {
    let words = words(text);
    if words.len() < 2 * SHINGLE {
        return None;
    }
    let mut sketch = [u32::MAX; VALUES];
    for shingle in words.windows(SHINGLE) {
        let mut hash = shingle.iter().fold(0xcbf2_9ce4_8422_2325, |h, w| w.bytes().fold(h ^ 0x1f, step));
        for value in &mut sketch {
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ (hash >> 17);
            let new = (hash >> 32) as u32;
            *value = (*value).min(new);
        }
    }
    Some(sketch)
}

fn step(h: u64, byte: u8) -> u64 {
    (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

fn likeness(a: &Sketch, b: &Sketch) -> f64 {
    let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
    same as f64 / VALUES as f64
}

fn bands(sketch: &Sketch) -> Vec<u64> {
    let band = |(n, rows): (usize, &[u32])| {
        rows.iter().flat_map(|v| v.to_le_bytes()).fold(0x84_2223_2500 ^ n as u64, step)
    };
    sketch.chunks(ROWS).enumerate().map(band).collect()
}

fn key(kind: &str, text: &str) -> u64 {
    kind.bytes().chain([0]).chain(text.bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::read;

    fn lure(host: &str, who: &str, word: &str) -> Message {
        read(
            format!(
                "From: Team <a@{who}.example>\nTo: you@there.example\nSubject: Rewards {word}\n\nDear {word}, your allocation of \
                 tokens from the spring season is ready for you. Please visit https://{host}/claim and connect the wallet that \
                 took part in it before the end of the week to receive it in full. Thank you for being with us, {word}."
            )
            .as_bytes(),
        )
    }

    #[test]
    fn variants_are_one_campaign() {
        let mut stream = Campaigns::default();
        for n in 0..312 {
            let message = lure(&format!("drop-{n}.example"), &format!("s{n}"), ["Ann", "Bob", "Eve"][n % 3]);
            let joined = stream.join(&format!("m{n}"), &message);
            assert_eq!((joined.campaign, joined.count), (1, n as u64 + 1));
        }
        let last = stream.join("last", &lure("drop.example", "s", "Ann"));
        let reason = last.reason().unwrap();
        assert_eq!(reason.verdict, Verdict::Warning);
        assert!(
            reason.text.starts_with("the 313th variant of one message (the first: m0)"),
            "{}",
            reason.text
        );
        let other = read(b"The minutes of yesterday's meeting are on the shared drive, please add what is missing by Friday.");
        assert_eq!(stream.join("other", &other).count, 1);
    }

    #[test]
    fn a_bulletin_is_no_campaign_of_phishing() {
        let mut stream = Campaigns::default();
        for n in 0..9 {
            let joined = stream.join(&format!("m{n}"), &lure("news.example", "news", "Ann"));
            assert!(joined.reason().is_none_or(|r| r.verdict == Verdict::Info), "{joined:?}");
        }
    }

    #[test]
    fn one_payee_joins_other_words() {
        let mut stream = Campaigns::default();
        let payee = "0x1234567890123456789012345678901234567890";
        stream.join(
            "a",
            &read(
                format!("Send what you owe for the boat to {payee} as we agreed last week please").as_bytes(),
            ),
        );
        let joined = stream.join(
            "b",
            &read(format!("Double your coins now! Only today: {payee} is where to put them all").as_bytes()),
        );
        assert_eq!((joined.count, joined.by), (2, "the same payee"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut stream = Campaigns::default();
        for n in 0..CAMPAIGNS_MAX + 200 {
            let w = |k: usize| {
                ((n * 31 + k * 7919) % 99_991).to_string().replace(|c: char| c.is_ascii_digit(), "x")
                    + &"abcdefghij".chars().skip(k % 7).collect::<String>()
            };
            let text: Vec<String> =
                (0..12).map(|k| format!("{}{}", w(k), char::from(b'a' + ((n >> k) % 26) as u8))).collect();
            stream.join("m", &read(text.join(" ").as_bytes()));
        }
        assert!(stream.len() <= CAMPAIGNS_MAX);
    }
}
