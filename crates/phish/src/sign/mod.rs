//! Wallet requests: what signing one would do, for whom, on what terms, and who asks.

mod effect;
mod request;
mod typed;

use std::collections::HashMap;
use std::sync::LazyLock;

use muster_web3::alloy_primitives::{Address, U256};
use muster_web3::{Checked, Reason, Verdict};

pub use effect::{Effect, effects, unlimited};
pub use request::{Asked, Request, read};

use crate::host::{self, Lists};
use crate::{checked, reason};

/// A permission that holds longer was not meant for one use: honest ones last for minutes, those of apps up to a month.
const LONG_S: u64 = 200 * 24 * 3600;

/// What whoever asks knows besides.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Seconds since 1970.
    pub now: u64,
    pub lists: Lists,
    /// The page that asks, where the request itself does not say.
    pub origin: Option<String>,
}

/// Who a spender is, where it is known.
#[must_use]
pub fn known_spender(address: Address) -> Option<&'static str> {
    static KNOWN: LazyLock<HashMap<Address, &str>> = LazyLock::new(|| {
        let each = |line: &'static str| {
            let (text, name) = line.split_once(' ')?;
            Some((request::address(text)?, name))
        };
        host::lines(include_str!("../../data/spenders.txt")).filter_map(each).collect()
    });
    KNOWN.get(&address).copied()
}

/// Every request of a text, checked.
pub fn check_text(name: &str, text: &str, context: &Context) -> Result<Vec<Checked>, String> {
    let requests = read(text)?;
    let many = requests.len() > 1;
    let each = requests.iter().enumerate().map(|(n, request)| {
        let name = if many { format!("{name}#{}", n + 1) } else { name.to_owned() };
        check(&name, request, context)
    });
    Ok(each.collect())
}

/// One request.
#[must_use]
pub fn check(name: &str, request: &Request, context: &Context) -> Checked {
    let mut reasons = Vec::new();
    let mut brand = None;
    let effects = effects(&request.asked);
    let mut worst: Vec<Reason> = effects.iter().flat_map(|effect| judge(effect, context)).collect();
    // Of many of one kind, the worst tells; how many there are is told with it.
    worst.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| a.code.cmp(&b.code)));
    let mut counted: HashMap<String, usize> = HashMap::new();
    for one in &worst {
        *counted.entry(one.code.clone()).or_default() += 1;
    }
    worst.dedup_by(|a, b| a.code == b.code && a.verdict == b.verdict);
    for mut one in worst {
        if let Some(n) = counted.remove(&one.code) {
            if n > 1 {
                one.text = format!("{} ({n} of the kind)", one.text);
            }
            reasons.push(one);
        }
    }
    let strange = reasons.iter().any(|r| r.verdict >= Verdict::Notice && r.channel == "effect");
    if request.spender_is_account && strange {
        reasons.push(reason(
            "spender-is-an-account",
            "party",
            Verdict::Warning,
            "who may spend is no contract but somebody's account".to_owned(),
            None,
            "code at that address",
        ));
    }
    let origin = request.origin.as_deref().or(context.origin.as_deref());
    if let Some(origin) = origin {
        brand = asks(origin, &mut reasons, context);
    }
    if let Asked::Message(bytes) = &request.asked {
        sign_in(bytes, origin, &mut reasons);
    }
    outcome(request, &mut reasons);
    let score = score(&reasons);
    checked(name, score, brand, reasons)
}

fn judge(effect: &Effect, context: &Context) -> Vec<Reason> {
    let stranger = "the spender is a contract of the application that is used";
    match effect {
        Effect::Allow { spender, amount, until, offline, .. } => {
            if amount.is_zero() {
                return vec![reason(
                    "takes-back",
                    "effect",
                    Verdict::Info,
                    "takes a permission back".to_owned(),
                    None,
                    "nothing",
                )];
            }
            let all = unlimited(*amount);
            let how_much = if all { "without limit" } else { "a stated amount" };
            if let Some(known) = known_spender(*spender) {
                return vec![reason(
                    "lets-known-spend",
                    "effect",
                    Verdict::Info,
                    format!("lets {known} take tokens, {how_much}"),
                    Some(spender.to_string()),
                    "another contract",
                )];
            }
            let verdict = match (all, offline) {
                (true, _) => Verdict::Warning,
                (false, true) => Verdict::Info,
                (false, false) => Verdict::Info,
            };
            let mut found = vec![reason(
                if all { "unlimited-to-stranger" } else { "lets-stranger-spend" },
                "effect",
                verdict,
                format!(
                    "lets {spender}, which is not known, take tokens {how_much}{}",
                    if *offline {
                        "; signed, nothing of it shows on the chain until they are gone"
                    } else {
                        ""
                    }
                ),
                Some(spender.to_string()),
                stranger,
            )];
            if let Some(until) = until.filter(|_| all && *offline) {
                let long = until > U256::from(context.now.saturating_add(LONG_S));
                if long && context.now > 0 {
                    found.push(reason(
                        "no-end", "terms", Verdict::Warning,
                        "the permission is for all there is and practically for ever: honest ones last for minutes or weeks"
                            .to_owned(),
                        Some(format!("deadline {until}")), "a deadline within months",
                    ));
                }
            }
            found
        }
        Effect::AllowAll { spender } => match known_spender(*spender) {
            Some(known) => vec![reason(
                "collection-to-known",
                "effect",
                Verdict::Info,
                format!("lets {known} move a whole collection"),
                Some(spender.to_string()),
                "another contract",
            )],
            None => vec![reason(
                "collection-to-stranger",
                "effect",
                Verdict::Warning,
                format!(
                    "lets {spender}, which is no marketplace that is known, take every piece of a collection"
                ),
                Some(spender.to_string()),
                "it is the contract of a marketplace",
            )],
        },
        Effect::Order { gives, returns: false, to } => vec![
            reason(
                "order-gives",
                "effect",
                Verdict::Warning,
                format!("an order that gives {gives} item(s) away"),
                None,
                "a gift that is meant",
            ),
            reason(
                "nothing-in-return",
                "terms",
                Verdict::Warning,
                "who signs gets nothing for it".to_owned(),
                (!to.is_zero()).then(|| to.to_string()),
                "a payment to who signs",
            ),
        ],
        Effect::Order { gives, .. } => vec![reason(
            "order",
            "effect",
            Verdict::Info,
            format!("an order that sells {gives} item(s)"),
            None,
            "its terms",
        )],
        Effect::Become { code, everywhere } => {
            if let Some(known) = known_spender(*code).filter(|_| !everywhere) {
                return vec![reason(
                    "account-runs-known-code",
                    "effect",
                    Verdict::Info,
                    format!("the account runs the code of {known}"),
                    Some(code.to_string()),
                    "other code",
                )];
            }
            let mut found = vec![reason(
                "account-runs-strange-code",
                "effect",
                Verdict::Warning,
                format!(
                    "the account would run the code at {code}: it can move all that is there, at once and later"
                ),
                Some(code.to_string()),
                "it is the code of a wallet that is known",
            )];
            if *everywhere {
                found.push(reason(
                    "on-every-chain",
                    "terms",
                    Verdict::Warning,
                    "the authorisation holds on every chain (chain 0)".to_owned(),
                    None,
                    "a chain of its own",
                ));
            }
            found
        }
        Effect::PaysToClaim { name, value } => vec![reason(
            "pays-to-claim",
            "effect",
            Verdict::Warning,
            format!("pays {value} wei to a function that is called `{name}` and takes no arguments"),
            None,
            "the contract's code is known and says what is paid for",
        )],
        Effect::Blind => vec![reason(
            "blind",
            "effect",
            Verdict::Warning,
            "signs a bare hash: it may be a transaction, and nobody can see which".to_owned(),
            None,
            "what was hashed is shown and gives this hash",
        )],
        Effect::Move { from, to } => vec![reason(
            "moves",
            "effect",
            Verdict::Info,
            format!("moves tokens to {to}{}", from.map_or(String::new(), |f| format!(" from {f}"))),
            Some(to.to_string()),
            "nothing",
        )],
    }
}

/// The page that asks.
fn asks(origin: &str, reasons: &mut Vec<Reason>, context: &Context) -> Option<String> {
    let said = host::check_url(origin, &context.lists)?;
    if said.verdict >= Verdict::Notice {
        let first = said.reasons.first();
        reasons.push(reason(
            "origin",
            "origin",
            said.verdict.min(Verdict::Warning),
            format!("the page that asks: {}", first.map_or("", |r| r.text.as_str())),
            Some(said.input),
            "the page is its application's own",
        ));
    }
    said.brand
}

/// ERC-4361 says for whom one signs in; it must be who asks.
fn sign_in(bytes: &[u8], origin: Option<&str>, reasons: &mut Vec<Reason>) {
    let text = String::from_utf8_lossy(bytes);
    let Some((named, _)) = text.split_once(" wants you to sign in with your Ethereum account") else {
        return;
    };
    let (Some(named), Some(asking)) = (host::host(named), origin.and_then(host::host)) else { return };
    if named.registered != asking.registered {
        reasons.push(reason(
            "signs-in-elsewhere",
            "effect",
            Verdict::Warning,
            format!("{} asks for a sign-in to {}", asking.ascii, named.ascii),
            None,
            "both belong to one application",
        ));
    }
}

/// What a simulation said: things go and nothing comes.
fn outcome(request: &Request, reasons: &mut Vec<Reason>) {
    let pays = matches!(&request.asked, Asked::Transaction(tx) if tx.only_pays());
    let gone = request.outcome.iter().filter(|c| !c.gains).count();
    if gone == 0 || pays || request.outcome.iter().any(|c| c.gains) {
        return;
    }
    let assets: Vec<&str> = request.outcome.iter().take(5).map(|c| c.asset.as_str()).collect();
    let verdict = if gone > 1 { Verdict::Warning } else { Verdict::Notice };
    reasons.push(reason(
        "only-losses",
        "outcome",
        verdict,
        format!("simulated, {gone} asset(s) go and nothing comes"),
        Some(assets.join(", ")),
        "another simulation",
    ));
}

fn score(reasons: &[Reason]) -> f64 {
    let left: f64 = reasons
        .iter()
        .map(|r| match r.verdict {
            Verdict::Info => 1.0,
            Verdict::Notice => 0.8,
            Verdict::Warning | Verdict::High => 0.4,
        })
        .product();
    ((1.0 - left) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
