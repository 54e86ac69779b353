//! Address poisoning: an address that looks like one that was paid before, put into the history by a transfer of nothing, of
//! dust, or of a token that only has a known one's name. The whole history of payees is held, not the latest hundred.

use std::collections::HashMap;

use muster_web3::{Checked, Reason, Verdict};
use serde_json::Value;

use crate::host::{fold::fold, name::cut};
use crate::{checked, reason};

/// Hexadecimal digits at the two ends together that are alike by chance once in 10^9 pairs.
pub const ALIKE_MIN: usize = 8;
/// Fewer, with a second sign.
const ALIKE_WITH_SIGN: usize = 6;
/// At either end so many for wallets that show only the ends.
const SHOWN: usize = 3;
/// Transfers of a history.
pub const TRANSFERS_MAX: usize = 2_000_000;
/// Below a thousandth of a unit of what has a value in money, nobody pays anything.
const DUST: f64 = 0.01;
/// What tokens that are faked are called.
const OFTEN_FAKED: &[&str] =
    &["usdt", "usdc", "eth", "weth", "dai", "wbtc", "usde", "bnb", "pol", "matic", "busd"];

/// One transfer of the account's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transfer {
    pub from: String,
    pub to: String,
    pub amount: Option<f64>,
    pub token: String,
    /// The token's contract, where it is told.
    pub contract: String,
}

/// Whom an account has had to do with.
#[derive(Default)]
pub struct History {
    /// By address, lower case.
    met: HashMap<[u8; 20], Met>,
    /// By the first, and by the last, three digits: an address that is alike in six or more over both ends has three at one.
    ends: HashMap<(bool, u16), Vec<[u8; 20]>>,
    /// Contracts per symbol, each with how often the account itself sent it.
    tokens: HashMap<String, HashMap<String, usize>>,
}

#[derive(Clone, Copy, Default)]
struct Met {
    /// Times that something of worth was sent there.
    paid: u32,
    /// Times that it appeared with nothing, dust or a false token.
    poison: u32,
}

/// The 20 bytes of an EVM address.
#[must_use]
pub fn parse(text: &str) -> Option<[u8; 20]> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    if digits.len() != 40 {
        return None;
    }
    muster_web3::abi::hex(text)?.try_into().ok()
}

impl History {
    /// From an array of objects, one object a line, or CSV with a heading. `own` is the account, where it is known; otherwise
    /// every transfer is taken as one of the account's.
    pub fn read(text: &str, own: Option<[u8; 20]>) -> Result<Self, String> {
        let transfers = transfers(text)?;
        let own = own.or_else(|| commonest(&transfers));
        let mut history = Self::default();
        for transfer in &transfers {
            let key = (fold(&transfer.token.to_lowercase()), transfer.contract.to_lowercase());
            let sends = own.is_none() || parse(&transfer.from) == own;
            if sends && transfer.amount.is_some_and(|a| a >= DUST) && !key.0.is_empty() && !key.1.is_empty() {
                *history.tokens.entry(key.0).or_default().entry(key.1).or_default() += 1;
            }
        }
        for transfer in &transfers {
            history.add(transfer, own);
        }
        Ok(history)
    }

    fn add(&mut self, transfer: &Transfer, own: Option<[u8; 20]>) {
        let (from, to) = (parse(&transfer.from), parse(&transfer.to));
        let sends = own.is_none() || from == own;
        let other = if sends { to } else { from };
        let Some(other) = other.filter(|o| Some(*o) != own) else { return };
        let nothing = transfer.amount.is_some_and(|a| a < DUST);
        let faked = self.false_token(transfer);
        if !self.met.contains_key(&other) {
            for (last, end) in ends(other) {
                self.ends.entry((last, end)).or_default().push(other);
            }
        }
        let met = self.met.entry(other).or_default();
        if nothing || faked {
            met.poison += 1;
        } else if sends {
            met.paid += 1;
        }
    }

    /// A known name on a contract that the account never used, when it used another under that name; or in look-alike letters.
    fn false_token(&self, transfer: &Transfer) -> bool {
        let lower = transfer.token.to_lowercase();
        let name = fold(&lower);
        let disguised = name != lower && OFTEN_FAKED.contains(&name.as_str());
        let contract = transfer.contract.to_lowercase();
        let used = self.tokens.get(&name);
        let other = OFTEN_FAKED.contains(&name.as_str())
            && !contract.is_empty()
            && used.is_some_and(|used| {
                let most = used.values().max().copied().unwrap_or_default();
                used.get(&contract).copied().unwrap_or_default() * 3 <= most && !used.contains_key(&contract)
            });
        disguised || other
    }

    /// Whom the account met.
    #[must_use]
    pub fn len(&self) -> usize {
        self.met.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// The check of an address that is about to be paid.
    #[must_use]
    pub fn check(&self, given: &str) -> Option<Checked> {
        let address = parse(given)?;
        let known = self.met.get(&address).copied().unwrap_or_default();
        let mut reasons: Vec<Reason> = Vec::new();
        let mut best: Option<([u8; 20], usize, usize)> = None;
        let candidates = ends(address).into_iter().filter_map(|end| self.ends.get(&end)).flatten();
        for other in candidates.filter(|other| **other != address) {
            let paid = self.met.get(other).map_or(0, |m| m.paid);
            let (front, back) = alike(address, *other);
            let better = best.is_none_or(|(_, f, b)| f + b < front + back);
            // The one that is imitated was paid; the imitation was not, or less.
            if paid > 0 && paid >= known.paid && better {
                best = Some((*other, front, back));
            }
        }
        if let Some((other, front, back)) = best {
            let both = front + back;
            let enough = both >= ALIKE_MIN;
            let with_sign = both >= ALIKE_WITH_SIGN && front.min(back) >= SHOWN && known.poison > 0;
            let shown = muster_web3::abi::to_hex(&other);
            if (enough || with_sign) && (known.paid == 0 || known.poison > 0) {
                reasons.push(reason(
                    "looks-like-payee", "likeness", Verdict::Warning,
                    format!(
                        "is not {shown}, which was paid before, but begins with {front} and ends with {back} of the same digits"
                    ),
                    Some(format!("{both} of 40 digits at the ends")),
                    "both are one owner's: an address made to begin or end so",
                ));
            }
        }
        if known.poison > 0 && known.paid == 0 {
            let alike = !reasons.is_empty();
            reasons.push(reason(
                "came-with-nothing", "history", if alike { Verdict::Warning } else { Verdict::Notice },
                format!(
                    "came into the history by {} transfer(s) of nothing, of dust or of a false token, and was never paid",
                    known.poison
                ),
                None, "a transfer of worth to it",
            ));
        } else if known.paid > 0 && reasons.is_empty() {
            reasons.push(reason(
                "paid-before",
                "history",
                Verdict::Info,
                format!("was paid {} time(s) before", known.paid),
                None,
                "another history",
            ));
        } else if reasons.is_empty() && !self.is_empty() {
            reasons.push(reason(
                "new-payee",
                "history",
                Verdict::Info,
                format!("is not among the {} addresses of the history, and like none of them", self.len()),
                None,
                "a longer history",
            ));
        }
        let score = match reasons.iter().filter(|r| r.verdict >= Verdict::Warning).count() {
            0 => {
                if reasons.iter().any(|r| r.verdict == Verdict::Notice) {
                    0.3
                } else {
                    0.0
                }
            }
            1 => 0.8,
            _ => 0.97,
        };
        Some(checked(cut(given.trim(), 80), score, None, reasons))
    }

    /// Every address of the history that is to be warned of, worst first: the poisoning is told before anybody pays.
    #[must_use]
    pub fn poisoned(&self) -> Vec<Checked> {
        let mut all: Vec<[u8; 20]> =
            self.met.iter().filter(|(_, m)| m.poison > 0 || m.paid == 0).map(|(a, _)| *a).collect();
        all.sort_unstable();
        let mut found: Vec<Checked> = all
            .into_iter()
            .filter_map(|a| self.check(&muster_web3::abi::to_hex(&a)))
            .filter(|c| c.verdict >= Verdict::Warning)
            .collect();
        found.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| a.input.cmp(&b.input)));
        found
    }
}

/// Digits alike at the front and at the back.
fn alike(a: [u8; 20], b: [u8; 20]) -> (usize, usize) {
    let digit = |x: [u8; 20], n: usize| {
        x.get(n / 2).map_or(0, |byte| if n.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
    };
    let front = (0..40).take_while(|n| digit(a, *n) == digit(b, *n)).count();
    let back = (0..40 - front).take_while(|n| digit(a, 39 - n) == digit(b, 39 - n)).count();
    (front, back)
}

fn ends(a: [u8; 20]) -> [(bool, u16); 2] {
    let [first, second, .., before, last] = a;
    let front = u16::from(first) << 4 | u16::from(second >> 4);
    let back = u16::from(before & 15) << 8 | u16::from(last);
    [(false, front), (true, back)]
}

/// The account itself: who is in most of the transfers, when it is in nearly all.
fn commonest(transfers: &[Transfer]) -> Option<[u8; 20]> {
    let mut counts: HashMap<[u8; 20], usize> = HashMap::new();
    for transfer in transfers {
        for one in [parse(&transfer.from), parse(&transfer.to)].into_iter().flatten() {
            *counts.entry(one).or_default() += 1;
        }
    }
    let (who, count) = counts.into_iter().max_by_key(|(who, n)| (*n, *who))?;
    (transfers.len() > 1 && count * 10 >= transfers.len() * 9).then_some(who)
}

const FROM: &[&str] = &["from", "sender", "from_address"];
const TO: &[&str] = &["to", "recipient", "payee", "to_address", "address", "receiver"];
const AMOUNT: &[&str] = &["amount", "value", "tokenvalue", "quantity", "value_in(eth)"];
const TOKEN: &[&str] = &["token", "symbol", "asset", "tokensymbol", "token_symbol"];
const CONTRACT: &[&str] =
    &["contract", "contractaddress", "token_address", "contract_address", "tokenaddress"];

fn transfers(text: &str) -> Result<Vec<Transfer>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let mut found = Vec::new();
    if text.starts_with('[') || text.starts_with('{') {
        let values: Vec<Value> = match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(all)) => all,
            Ok(Value::Object(mut object)) => {
                let inner =
                    ["history", "transfers", "result", "transactions"].iter().find_map(|k| object.remove(*k));
                match inner {
                    Some(Value::Array(all)) => all,
                    _ => vec![Value::Object(object)],
                }
            }
            _ => text
                .lines()
                .filter(|l| !l.trim().is_empty())
                .map(serde_json::from_str)
                .collect::<Result<_, _>>()
                .map_err(|e| format!("neither JSON nor JSON lines: {e}"))?,
        };
        for value in values.iter().take(TRANSFERS_MAX) {
            found.push(match value {
                Value::String(to) => Transfer { to: to.clone(), ..Transfer::default() },
                _ => from_object(value),
            });
        }
        return Ok(found);
    }
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    let Some(first) = lines.next() else { return Ok(found) };
    let heading: Vec<String> = cells(first).iter().map(|c| c.to_lowercase()).collect();
    let place = |names: &[&str]| heading.iter().position(|h| names.contains(&h.as_str()));
    let (from, to, amount, token, contract) =
        (place(FROM), place(TO), place(AMOUNT), place(TOKEN), place(CONTRACT));
    if to.is_none() {
        // No heading: an address in each line.
        for line in std::iter::once(first).chain(lines).take(TRANSFERS_MAX) {
            let to = cells(line).into_iter().find(|c| parse(c).is_some());
            found.extend(to.map(|to| Transfer { to, ..Transfer::default() }));
        }
        return if found.is_empty() {
            Err("no column called `to`, and no address".to_owned())
        } else {
            Ok(found)
        };
    }
    for line in lines.take(TRANSFERS_MAX) {
        let cells = cells(line);
        let get = |at: Option<usize>| at.and_then(|at| cells.get(at)).cloned().unwrap_or_default();
        found.push(Transfer {
            from: get(from),
            to: get(to),
            amount: get(amount).replace(',', "").split_whitespace().next().and_then(|a| a.parse().ok()),
            token: get(token),
            contract: get(contract),
        });
    }
    Ok(found)
}

fn from_object(value: &Value) -> Transfer {
    let lower: HashMap<String, &Value> =
        value.as_object().into_iter().flatten().map(|(k, v)| (k.to_lowercase(), v)).collect();
    let get = |names: &[&str]| {
        names
            .iter()
            .find_map(|n| lower.get(*n))
            .map_or(String::new(), |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
    };
    let amount: Option<f64> = get(AMOUNT).parse().ok();
    let decimals: Option<i32> =
        get(&["decimals", "tokendecimal"]).parse().ok().filter(|d| (0..=36).contains(d));
    Transfer {
        from: get(FROM),
        to: get(TO),
        amount: amount.map(|a| decimals.map_or(a, |d| a / 10f64.powi(d))),
        token: get(TOKEN),
        contract: get(CONTRACT),
    }
}

/// The cells of a line of CSV, quotes off.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' | ';' | '\t' if !quoted => cells.push(String::new()),
            c => {
                if let Some(last) = cells.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    cells.iter().map(|c| c.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "0x1111111111111111111111111111111111111111";
    const PAID: &str = "0xabcdef0123456789abcdef0123456789abcdef01";

    fn history(more: &str) -> String {
        format!(
            "from,to,amount,token,contract\n{OWN},{PAID},250,USDT,0xdac17f958d2ee523a2206206994597c13d831ec7\n{more}"
        )
    }

    #[track_caller]
    fn check(more: &str, address: &str, verdict: Verdict, codes: &[&str]) {
        let history = History::read(&history(more), None).unwrap();
        let said = history.check(address).unwrap();
        assert_eq!(said.verdict, verdict, "{said:#?}");
        let found: Vec<&str> = said.reasons.iter().map(|r| r.code.as_str()).collect();
        assert_eq!(found, codes, "{said:#?}");
    }

    #[test]
    fn poisoning() {
        let four = "0xabcd000000000000000000000000000000 00ef01".replace(' ', "");
        check("", &four, Verdict::Warning, &["looks-like-payee"]);
        check(
            &format!("{OWN},{four},0,USDT,\n"),
            &four,
            Verdict::High,
            &["came-with-nothing", "looks-like-payee"],
        );
        let front = "0xabcdef01ffffffffffffffffffffffffffffffff";
        check("", front, Verdict::Warning, &["looks-like-payee"]);
        let back = "0xffffffffffffffffffffffffffffffffabcdef01";
        check("", back, Verdict::Warning, &["looks-like-payee"]);
        let three = "0xabcfffffffffffffffffffffffffffffffffff01".replace("ff01", "ef01");
        check("", &three, Verdict::Info, &["new-payee"]);
        check(
            &format!("{three},{OWN},0.0001,USDT,\n"),
            &three,
            Verdict::High,
            &["came-with-nothing", "looks-like-payee"],
        );
        check("", PAID, Verdict::Info, &["paid-before"]);
        check("", "0x2222222222222222222222222222222222222222", Verdict::Info, &["new-payee"]);
        // A false token under a known name.
        check(
            &format!("{OWN},{four},250,USDT,0x9999999999999999999999999999999999999999\n"),
            PAID,
            Verdict::Info,
            &["paid-before"],
        );
    }

    #[test]
    fn all_forms_are_read() {
        for text in [
            format!(
                r#"[{{"from":"{OWN}","to":"{PAID}","value":"250000000","tokenDecimal":"6","tokenSymbol":"USDT"}}]"#
            ),
            format!(r#"{{"history":["{PAID}"]}}"#),
            format!("{PAID}\n"),
            format!("{{\"to\":\"{PAID}\",\"amount\":1}}\n{{\"to\":\"{OWN}\",\"amount\":1}}\n"),
        ] {
            let history = History::read(&text, None).unwrap();
            let said = history.check(PAID).unwrap();
            assert!(said.reasons.iter().any(|r| r.code == "paid-before"), "{text}: {said:?}");
        }
        assert!(History::read("to;nothing\n", None).unwrap().is_empty());
        assert!(History::read("{", None).is_err());
    }
}
