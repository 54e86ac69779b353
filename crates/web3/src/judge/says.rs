//! What is said against what is done. The direction counts: an effect that nobody would expect from the text, or that it
//! denies. What the text leaves out is no alarm by itself: most honest proposals leave something out.

use alloy_primitives::U256;

use super::Case;
use crate::claim::Topic;
use crate::effect::{Act, Effect, Power, Seen, without_limit};
use crate::{Reason, Verdict, known};

const CHANNEL: &str = "text";
/// Amounts in texts are rounded, and fees come on top.
const MORE_THAN_SAID: f64 = 1.5;
/// So much more that no rounding or exchange rate explains it.
const FAR_MORE_THAN_SAID: f64 = 10.0;
/// A text that speaks of this many topics is about everything; what it says nothing of is still weighed.
const REASONS_MAX: usize = 12;

pub fn reasons(case: &Case, into: &mut Vec<Reason>) {
    if case.proposal.text.is_none() {
        return;
    }
    let before = into.len();
    empty(case, into);
    for effect in &case.effects {
        if into.len() - before >= REASONS_MAX {
            break;
        }
        if let Some(reason) = of_effect(case, effect) {
            let same = |other: &Reason| other.code == reason.code && other.text == reason.text;
            if !into.iter().any(same) {
                into.push(reason);
            }
        }
    }
    amounts(case, into);
    same_as(case, into);
    counts(case, into);
    if let Some(sentence) = &case.claims.pays_for_votes {
        into.push(
            Reason::new(
                "votes-paid",
                "bribery",
                Verdict::Warning,
                "The text offers money to those who vote one way.",
            )
            .evidence(sentence.clone())
            .refuted_by("rewards that are paid whatever the vote"),
        );
    }
}

fn empty(case: &Case, into: &mut Vec<Reason>) {
    if case.claims.is_empty && !case.effects.is_empty() {
        let strong = case.effects.iter().any(|effect| effect.power >= Power::Value);
        let verdict = if strong { Verdict::High } else { Verdict::Warning };
        into.push(
            Reason::new("no-text", CHANNEL, verdict, "It has calls and says nothing of them.")
                .refuted_by("a description elsewhere that is bound to it by hash"),
        );
    }
}

/// Which topics speak for an act.
fn topics(effect: &Effect) -> &'static [Topic] {
    match effect.act {
        Act::Grant => &[Topic::Grant, Topic::Own],
        Act::Revoke => &[Topic::Revoke, Topic::Own, Topic::Grant],
        Act::Upgrade => &[Topic::Upgrade],
        Act::Own => &[Topic::Own, Topic::Grant, Topic::Upgrade],
        Act::Move => &[Topic::Move],
        Act::Allow => &[Topic::Allow, Topic::Move],
        Act::Mint => &[Topic::Mint, Topic::Move],
        Act::Burn => &[Topic::Burn],
        Act::Parameter if effect.power == Power::Rules => &[Topic::Rules],
        Act::Parameter => &[Topic::Parameter],
        Act::Destroy => &[Topic::Destroy],
        Act::Delegate => &[Topic::Delegate],
        Act::Delegatecall | Act::Create | Act::Bridge | Act::Call => &[],
    }
}

fn of_effect(case: &Case, effect: &Effect) -> Option<Reason> {
    if effect.power < Power::Value || case.claims.is_empty {
        return None;
    }
    // Receipt tokens are minted and moved by every deposit; what runs shows them all.
    if effect.seen != Seen::Decoded && matches!(effect.act, Act::Mint | Act::Move | Act::Allow) {
        let stranger = effect.who.as_ref().is_some_and(|who| case.is_stranger(who));
        if !stranger {
            return None;
        }
    }
    let claims = &case.claims;
    let about = topics(effect);
    let line = effect.line();
    let first = *about.first()?;
    let make = |code: &str, verdict, text: String| {
        Some(Reason::new(code, CHANNEL, verdict, text).evidence(line.clone()))
    };
    let named = effect.who.as_ref().is_some_and(|who| claims.names(who));
    let said = about.iter().any(|topic| claims.says(*topic));

    // It says that it does not.
    if let Some(denial) = about.iter().find_map(|topic| claims.denies(*topic))
        && !named
        && (!said || effect.act == Act::Move && denies_money(denial))
    {
        return make(
            "denied",
            Verdict::High,
            format!("The text says \u{201c}{denial}\u{201d}, and the calls {} all the same.", verb(effect)),
        )
        .map(|reason| reason.refuted_by("the sentence speaks of something else"));
    }
    // It says the opposite.
    let opposite = match effect.act {
        Act::Grant | Act::Own => claims.says(Topic::Revoke) && !claims.says(Topic::Grant),
        Act::Mint => claims.says(Topic::Burn) && !claims.says(Topic::Mint),
        _ => false,
    };
    let takes_over = effect.act == Act::Own && claims.says(Topic::Own);
    if opposite && !named && !takes_over {
        let other = if effect.act == Act::Mint { "burning tokens" } else { "taking rights away" };
        return make(
            "opposite",
            Verdict::High,
            format!("The text speaks of {other}, and the calls {}.", verb(effect)),
        )
        .map(|reason| reason.refuted_by("a text that says who gets it"));
    }
    // It gives this role to that one, and says others.
    if effect.act == Act::Grant && effect.power == Power::Control && said && !named {
        let told = claims.said.get(&Topic::Grant);
        let other_roles =
            told.is_some_and(|told| !told.roles.is_empty() && !told.roles.contains(&effect.what));
        let other_parties = told.is_some_and(|told| !told.parties.is_empty());
        let stranger = effect.who.as_ref().is_some_and(|who| case.is_stranger(who));
        if stranger && other_parties {
            let verdict = if other_roles { Verdict::High } else { Verdict::Warning };
            return make(
                "other-grantee",
                verdict,
                "The text says who gets rights; the calls give some to another.".to_owned(),
            )
            .map(|reason| reason.refuted_by("a text that names this grantee"));
        }
    }
    // New code, another than the one that is named.
    if effect.act == Act::Upgrade && !named {
        let told = claims.said.get(&Topic::Upgrade);
        let codes = told.map(|told| told.parties.iter().filter(|party| !case.own.contains(*party)).count());
        let used = |party: &crate::Party| case.effects.iter().any(|other| other.who.as_ref() == Some(party));
        let named_unused = told
            .is_some_and(|told| told.parties.iter().any(|party| !case.own.contains(party) && !used(party)));
        if codes.is_some_and(|n| n > 0) && named_unused && effect.who.is_some() {
            return make(
                "other-code",
                Verdict::High,
                "The text names the new code; the calls put other code in its place.".to_owned(),
            )
            .map(|reason| {
                reason.refuted_by("the named address turns out to be the proxy, or part of the new code")
            });
        }
    }
    if let Some(reason) = other_value(case, effect) {
        return Some(reason);
    }
    if said {
        return None;
    }
    // It says nothing of the kind.
    let verdict = match effect.act {
        Act::Grant | Act::Own | Act::Upgrade | Act::Destroy if named => Verdict::Warning,
        Act::Grant | Act::Own | Act::Upgrade | Act::Destroy => Verdict::High,
        Act::Mint if !named => Verdict::High,
        Act::Move | Act::Allow if named => Verdict::Notice,
        Act::Move | Act::Allow => Verdict::High,
        Act::Parameter if effect.power >= Power::Rules => Verdict::High,
        _ => Verdict::Notice,
    };
    make(
        "not-said",
        verdict,
        format!("The text has no word of {}, and the calls {}.", first.words(), verb(effect)),
    )
    .map(|reason| reason.refuted_by("a text that says so"))
}

fn denies_money(denial: &str) -> bool {
    let lower = denial.to_lowercase();
    [
        "no funds",
        "no treasury",
        "no tokens",
        "no money",
        "not move",
        "not transfer",
        "without moving",
        "no transfer",
        "no financial",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

fn verb(effect: &Effect) -> String {
    match effect.act {
        Act::Grant => format!("give `{}`", effect.what),
        Act::Revoke => format!("take `{}`", effect.what),
        Act::Upgrade => "exchange code".to_owned(),
        Act::Own => "change who owns".to_owned(),
        Act::Move => "move money".to_owned(),
        Act::Allow if effect.amount.is_some_and(without_limit) => {
            "let somebody take without limit".to_owned()
        }
        Act::Allow => "let somebody take".to_owned(),
        Act::Mint => "make tokens".to_owned(),
        Act::Parameter => format!("set `{}`", effect.what),
        Act::Destroy => "destroy code".to_owned(),
        _ => format!("do `{}`", effect.act.name()),
    }
}

/// A number in the text, of the parameter that is set, and another in the call.
fn other_value(case: &Case, effect: &Effect) -> Option<Reason> {
    if effect.act != Act::Parameter || effect.power != Power::Rules {
        return None;
    }
    let value = f64::from(effect.amount?);
    let told = case.claims.said.get(&Topic::Rules)?;
    let words = effect.what.to_lowercase();
    let kind = ["quorum", "threshold", "delay", "period"].into_iter().find(|kind| words.contains(kind))?;
    // Only where the text speaks of one rule: with several, which number is whose is a guess.
    if !told.sentence.to_lowercase().contains(kind) {
        return None;
    }
    let numbers: Vec<&(f64, String)> = told.numbers.iter().filter(|(_, unit)| is_measure(unit)).collect();
    if numbers.is_empty() || numbers.iter().any(|(number, unit)| may_be(value, *number, unit)) {
        return None;
    }
    let said: Vec<String> = numbers.iter().take(4).map(|(number, unit)| format!("{number} {unit}")).collect();
    Some(
        Reason::new(
            "other-value",
            CHANNEL,
            Verdict::High,
            format!(
                "The text says {}; the call sets `{}` to {}.",
                said.join(", "),
                effect.what,
                effect.amount?
            ),
        )
        .evidence(effect.line())
        .refuted_by("a unit in which the two are one"),
    )
}

fn is_measure(unit: &str) -> bool {
    let unit = unit.to_lowercase();
    unit == "%"
        || ["day", "hour", "minute", "week", "second", "block", "percent", "token", "vote"]
            .iter()
            .any(|word| unit.starts_with(word))
        || unit.len() >= 2 && unit.chars().all(|c| c.is_ascii_alphabetic())
}

/// In any unit that contracts count in: seconds, blocks of 12, 13 or 15 seconds, hundredths, eighteen decimals.
fn may_be(value: f64, number: f64, unit: &str) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 0.03 * b.abs().max(1e-9);
    let unit = unit.to_lowercase();
    let seconds =
        [("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0), ("week", 604_800.0), ("second", 1.0)]
            .into_iter()
            .find(|(word, _)| unit.starts_with(word))
            .map(|(_, seconds)| seconds * number);
    if let Some(seconds) = seconds {
        return [1.0, 12.0, 13.0, 13.3, 14.0, 15.0, 2.0, 0.25]
            .iter()
            .any(|block| near(value, seconds / block));
    }
    (-4..=27).any(|power| near(value, number * 10f64.powi(power)))
}

/// What moves altogether, against the amounts of the text.
fn amounts(case: &Case, into: &mut Vec<Reason>) {
    for act in [Act::Move, Act::Allow, Act::Mint] {
        let mut tokens: std::collections::BTreeMap<&crate::Party, (f64, &Effect)> =
            std::collections::BTreeMap::new();
        for effect in case.effects.iter().filter(|effect| effect.act == act && effect.seen == Seen::Decoded) {
            let Some(amount) = effect.amount.filter(|amount| *amount < U256::from(1u8) << 200) else {
                continue;
            };
            let entry = tokens.entry(&effect.on).or_insert((0.0, effect));
            entry.0 += f64::from(amount);
        }
        for (token, (raw, effect)) in tokens {
            let (symbol, decimals) = known::token(token).map_or((None, 18), |(s, d)| (Some(s), d));
            let said = match symbol {
                Some(symbol) => case.claims.amounts_of(symbol),
                None => case.claims.amounts.iter().map(|amount| amount.number).collect(),
            };
            if said.is_empty() {
                continue;
            }
            let limit = said.iter().sum::<f64>();
            // Of a token that is not known, the reading that is kindest.
            let scales: &[i32] = if symbol.is_some() { &[] } else { &[6, 8, 18] };
            let moved = raw / 10f64.powi(i32::from(decimals));
            let near = |moved: f64| said.iter().any(|number| moved <= number * MORE_THAN_SAID);
            if near(moved)
                || scales.iter().any(|d| {
                    let m = raw / 10f64.powi(*d);
                    said.iter().any(|n| (m - n).abs() <= 0.01 * n)
                })
            {
                continue;
            }
            let times = moved / limit.max(f64::MIN_POSITIVE);
            if times <= MORE_THAN_SAID {
                continue;
            }
            let verdict = match (times > FAR_MORE_THAN_SAID, symbol.is_some()) {
                (true, _) => Verdict::High,
                (false, true) => Verdict::Warning,
                (false, false) => Verdict::Notice,
            };
            let name = symbol.map_or_else(|| token.shown(), str::to_owned);
            into.push(
                Reason::new(
                    "more-than-said",
                    CHANNEL,
                    verdict,
                    format!(
                        "The text speaks of {limit} {name} altogether; the calls {} {moved:.2}.",
                        verb(effect)
                    ),
                )
                .evidence(effect.line())
                .refuted_by("an amount that the text gives in another token or in dollars"),
            );
        }
    }
}

fn same_as(case: &Case, into: &mut Vec<Reason>) {
    for number in &case.claims.same_as {
        let earlier =
            case.proposal.context.previous.iter().find(|earlier| earlier.id.as_ref() == Some(number));
        match earlier {
            None if case.effects.iter().any(|effect| effect.power > Power::None) => into.push(
                Reason::new(
                    "same-as-unchecked",
                    CHANNEL,
                    Verdict::Notice,
                    format!("The text says that it is like proposal {number}, which was not given: that is not checked."),
                )
                .refuted_by("the earlier proposal, as `previous`, or its code"),
            ),
            Some(earlier) if !same_calls(case.proposal, earlier) => into.push(
                Reason::new(
                    "not-the-same",
                    CHANNEL,
                    Verdict::High,
                    format!("The text says that it is like proposal {number}; its calls or their code differ from that one's."),
                )
                .refuted_by("a comparison of both payloads' source"),
            ),
            _ => {}
        }
    }
}

/// Alike but for the address of the payload itself, and its code the same where it is known.
pub fn same_calls(one: &crate::proposal::Proposal, other: &crate::proposal::Proposal) -> bool {
    one.calls.len() == other.calls.len()
        && one.calls.iter().zip(&other.calls).all(|(a, b)| {
            let code =
                |proposal: &crate::proposal::Proposal, party| proposal.context.code.get(party).cloned();
            let same_code = match (code(one, &a.to), code(other, &b.to)) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            a.value == b.value && a.data == b.data && a.signature == b.signature && same_code
        })
}

fn counts(case: &Case, into: &mut Vec<Reason>) {
    let calls = case.proposal.calls.len();
    let leaves = case.unwrapped.calls;
    let wrong = case.claims.counts.iter().find(|n| {
        let n = usize::try_from(**n).unwrap_or(usize::MAX);
        n > 1 && n != calls && n != leaves && n < leaves.max(calls)
    });
    if let Some(wrong) = wrong
        && case.claims.counts.len() == 1
    {
        into.push(
            Reason::new(
                "more-calls",
                CHANNEL,
                Verdict::Notice,
                format!("The text counts {wrong} calls; there are {calls}, {leaves} with those within."),
            )
            .refuted_by("a count of something else"),
        );
    }
}
