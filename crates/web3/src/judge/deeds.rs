//! Who gains by the calls, whatever is said: strangers that get power, the one grant among takings-away, rules that fall.

use std::collections::BTreeSet;

use alloy_primitives::U256;

use super::Case;
use crate::effect::{Act, Effect, Power, Seen, without_limit};
use crate::{Party, Reason, Verdict};

const CHANNEL: &str = "effect";
/// Below it, a grant among revokes is no odd one out.
const COMPANY_MIN: usize = 3;
/// A delay shorter than an hour gives nobody time to leave.
const DELAY_SECONDS_MIN: u64 = 3_600;

pub fn reasons(case: &Case, into: &mut Vec<Reason>) {
    strangers(case, into);
    odd_one_out(case, into);
    rules(case, into);
    look_alikes(case, into);
    wrapped(case, into);
    setups(case, into);
    vanishing(case, into);
}

fn strangers(case: &Case, into: &mut Vec<Reason>) {
    let mut told: BTreeSet<(Act, &Party)> = BTreeSet::new();
    for effect in &case.effects {
        let Some(who) = effect.gains().filter(|who| case.is_stranger(who)) else { continue };
        let (code, verdict, text) = match effect.act {
            Act::Grant | Act::Own if effect.power == Power::Control => (
                "power-to-stranger",
                Verdict::Warning,
                "Power over the protocol goes to an address that nothing else in the proposal names.",
            ),
            Act::Upgrade => (
                "code-of-stranger",
                Verdict::Warning,
                "Code is exchanged for one that nothing else in the proposal names.",
            ),
            Act::Allow if effect.amount.is_some_and(without_limit) => (
                "unlimited-to-stranger",
                Verdict::Warning,
                "An address that nothing else in the proposal names may take without limit.",
            ),
            Act::Mint if effect.seen == Seen::Decoded => (
                "mint-to-stranger",
                Verdict::Warning,
                "New tokens go to an address that nothing else in the proposal names.",
            ),
            // Payees are named by their names, more often than not: by itself it says little.
            Act::Move | Act::Mint | Act::Allow if case.claims.names.is_empty() => (
                "payee-not-named",
                Verdict::Warning,
                "Money goes to an address that nothing in the proposal names, by address or by name.",
            ),
            Act::Move | Act::Allow => {
                ("payee-not-named", Verdict::Info, "Money goes to an address that the text does not give.")
            }
            _ => continue,
        };
        // What ran shows every transfer within the protocol; only calls say what was asked for.
        if effect.seen == Seen::Reported && matches!(effect.act, Act::Move | Act::Mint | Act::Allow) {
            continue;
        }
        let verdict = softened(case, effect, verdict);
        if told.insert((effect.act, who)) && told.len() <= 8 {
            into.push(
                Reason::new(code, CHANNEL, verdict, text)
                    .evidence(effect.line())
                    .refuted_by("the address is the protocol's or the payee's own (`known`)"),
            );
        }
    }
}

/// Where money is the whole point and the text says how much, a payee without an address is usual.
fn softened(case: &Case, effect: &Effect, verdict: Verdict) -> Verdict {
    let is_money = matches!(effect.act, Act::Move | Act::Allow) && !effect.amount.is_some_and(without_limit);
    let says = case.claims.says(crate::claim::Topic::Move) && !case.claims.amounts.is_empty();
    if is_money && says && case.proposal.text.is_some() { verdict.min(Verdict::Notice) } else { verdict }
}

fn odd_one_out(case: &Case, into: &mut Vec<Reason>) {
    let of = |act: Act| case.effects.iter().filter(move |effect| effect.act == act);
    let revokes = of(Act::Revoke).count();
    let grants: Vec<&Effect> =
        of(Act::Grant).chain(of(Act::Own)).filter(|effect| effect.power == Power::Control).collect();
    if let ([first, ..], true) =
        (grants.as_slice(), revokes >= COMPANY_MIN && grants.len() * COMPANY_MIN <= revokes)
        && first.who.as_ref().is_some_and(|who| !case.claims.names(who))
    {
        into.push(
            Reason::new(
                "grant-among-revokes",
                CHANNEL,
                Verdict::Warning,
                format!("Among {revokes} calls that take rights away, {} gives some.", grants.len()),
            )
            .evidence(first.line())
            .refuted_by("a text that names the grantee"),
        );
    }
}

fn rules(case: &Case, into: &mut Vec<Reason>) {
    let rules: Vec<&Effect> = case
        .effects
        .iter()
        .filter(|effect| effect.act == Act::Parameter && effect.power == Power::Rules)
        .collect();
    for effect in &rules {
        let Some(amount) = effect.amount else { continue };
        let name = effect.what.to_lowercase();
        let timelock = matches!(name.as_str(), "updatedelay" | "setdelay" | "changedelay" | "updatemindelay");
        let weak = if timelock {
            amount < U256::from(DELAY_SECONDS_MIN)
        } else if name.contains("votingperiod") {
            // Blocks or seconds: less than an hour in either.
            amount < U256::from(300)
        } else {
            amount.is_zero() && !name.contains("threshold") && !name.contains("votingdelay")
        };
        let far = name.contains("threshold") && amount.bit_len() > 110;
        if weak || far {
            into.push(
                Reason::new(
                    "rule-disarmed",
                    CHANNEL,
                    Verdict::Warning,
                    format!(
                        "`{}` is set to {amount}: what it guards against is no longer guarded against.",
                        effect.what
                    ),
                )
                .evidence(effect.line())
                .refuted_by("a test network, or another rule that takes its place"),
            );
        }
    }
    let kinds: BTreeSet<&str> = rules.iter().map(|effect| effect.what.as_str()).collect();
    if kinds.len() >= 2 {
        let names: Vec<&str> = kinds.iter().copied().collect();
        into.push(
            Reason::new(
                "several-rules",
                CHANNEL,
                Verdict::Warning,
                format!("{} rules by which is decided change at once.", kinds.len()),
            )
            .evidence(names.join(", "))
            .refuted_by("a text that gives the reason for each"),
        );
    }
}

fn look_alikes(case: &Case, into: &mut Vec<Reason>) {
    let mut told = BTreeSet::new();
    for effect in &case.effects {
        let Some(who) = effect.who.as_ref().filter(|who| !case.claims.names(who)) else { continue };
        if case.proposal.context.known.contains_key(who) || !told.insert(who) || told.len() > 1_000 {
            continue;
        }
        if let Some((twin, same)) = case.twin(who) {
            into.push(
                Reason::new(
                    "look-alike",
                    "look-alike",
                    Verdict::High,
                    format!(
                        "{} looks like {}, and is another: {same} digits at the ends agree.",
                        who.shown(),
                        twin.shown()
                    ),
                )
                .evidence(effect.line())
                .refuted_by("both addresses belong to one party that chose them so"),
            );
            if case.claims.names(twin) {
                into.push(
                    Reason::new(
                        "other-payee",
                        "text",
                        Verdict::Warning,
                        format!("The text names {}; the calls serve another.", twin.shown()),
                    )
                    .evidence(effect.line()),
                );
            }
        }
    }
}

/// A gain that is only to be seen behind a bridge or in several wrappers, and of which the text has no word.
fn wrapped(case: &Case, into: &mut Vec<Reason>) {
    for effect in &case.effects {
        let depth = effect.path.matches(" > ").count();
        let hidden = effect.path.contains("inside 0x");
        let bridged = effect.chain.is_some() && !case.claims.says(crate::claim::Topic::Bridge);
        let stranger = effect.gains().is_some_and(|who| case.is_stranger(who));
        if effect.power >= Power::Value
            && stranger
            && effect.seen == Seen::Decoded
            && (hidden || bridged && depth > 0)
        {
            let text = if hidden {
                "A call that nobody knows carries another whose effect is known.".to_owned()
            } else {
                let chain = effect.chain.as_deref().unwrap_or("another chain");
                format!("It happens on {chain}, of which the text has no word.")
            };
            into.push(
                Reason::new("wrapped", "wrapping", Verdict::Warning, text)
                    .evidence(effect.line())
                    .refuted_by("the outer contract's source"),
            );
            return;
        }
    }
}

/// Setting up a proxy that runs already is how Audius was taken.
fn setups(case: &Case, into: &mut Vec<Reason>) {
    for effect in case.effects.iter().filter(|effect| effect.what.starts_with("initialize")) {
        let fresh = case.effects.iter().any(|other| {
            matches!(other.act, Act::Create | Act::Upgrade)
                && (other.on == effect.on || other.act == Act::Create)
        });
        if !fresh {
            into.push(
                Reason::new(
                    "set-up-again",
                    CHANNEL,
                    Verdict::Warning,
                    "A contract is set up (`initialize`) that this proposal neither makes nor upgrades.",
                )
                .evidence(effect.line())
                .refuted_by("the contract was never set up before"),
            );
            return;
        }
    }
}

/// The text is harmless by its own word, and something changes hands.
fn vanishing(case: &Case, into: &mut Vec<Reason>) {
    let Some(sentence) = &case.claims.harmless else { return };
    let gain = case.effects.iter().find(|effect| {
        effect.power == Power::Control
            && effect.seen == Seen::Decoded
            && effect.gains().is_some_and(|who| case.is_stranger(who))
    });
    if let Some(effect) = gain {
        into.push(
            Reason::new(
                "harmless-by-its-word",
                "text",
                Verdict::Warning,
                "The text calls itself tidying, routine or charity; the calls change who has power.",
            )
            .evidence(format!("\u{201c}{sentence}\u{201d}; {}", effect.line())),
        );
    }
}
