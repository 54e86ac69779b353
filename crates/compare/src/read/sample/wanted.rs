//! What of a table of metadata matters: whose run it is, and how hard; and how outcomes and times are written.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::loose::Loose;

/// What of a table of metadata matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub task: Option<String>,
    pub arm: Option<String>,
    pub epoch: Option<u64>,
    pub outcome: Option<f64>,
    pub difficulty: Option<f64>,
    pub chance: Option<f64>,
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WantedVisitor;
        impl<'de> Visitor<'de> for WantedVisitor {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Wanted, E> {
                Ok(Wanted::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
                let mut wanted = Wanted::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "task" | "task_id" | "task_name" => {
                            wanted.task = Some(map.next_value::<Loose>()?.text)
                        }
                        "arm" | "condition" => wanted.arm = Some(map.next_value::<Loose>()?.text),
                        "epoch" => wanted.epoch = whole(&map.next_value::<Loose>()?),
                        "outcome" | "reward" | "success" => {
                            wanted.outcome = score(&map.next_value::<Loose>()?)
                        }
                        "difficulty" => wanted.difficulty = difficulty(&map.next_value::<Loose>()?),
                        "chance" => wanted.chance = map.next_value::<Loose>()?.number,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(wanted)
            }
        }
        deserializer.deserialize_any(WantedVisitor)
    }
}

pub fn whole(value: &Loose) -> Option<u64> {
    value.number.filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 1e15).map(|n| n as u64)
}

fn difficulty(value: &Loose) -> Option<f64> {
    value.number.or_else(|| {
        let words = ["trivial", "easy", "medium", "hard", "very hard"];
        words.iter().position(|word| value.text.eq_ignore_ascii_case(word)).map(|at| at as f64)
    })
}

/// Inspect's letters, yes and no, or a number.
pub fn score(value: &Loose) -> Option<f64> {
    value.number.or_else(|| match value.text.trim() {
        "C" | "c" | "yes" | "Yes" | "true" | "True" | "pass" | "PASS" => Some(1.0),
        "P" | "p" => Some(0.5),
        "I" | "i" | "N" | "n" | "no" | "No" | "false" | "False" | "fail" | "FAIL" => Some(0.0),
        other => other.parse().ok().filter(|n: &f64| n.is_finite()),
    })
}

/// `2026-01-02T03:04:05.25Z` in seconds; only differences of these are used.
pub fn seconds(text: &str) -> Option<f64> {
    let (date, rest) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let clock = |text: &str| {
        let mut parts = text.splitn(3, ':').map(|part| part.parse::<f64>().ok());
        let (h, m) = (parts.next()??, parts.next()??);
        let s = parts.next().unwrap_or(Some(0.0))?;
        Some(h * 3600.0 + m * 60.0 + s)
    };
    let offset = match zone.chars().next() {
        Some('+') => clock(zone.get(1..)?)?,
        Some('-') => -clock(zone.get(1..)?)?,
        _ => 0.0,
    };
    // Days since 0000-03-01, as Howard Hinnant counts them.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1;
    Some(days as f64 * 86_400.0 + clock(time)? - offset)
}
