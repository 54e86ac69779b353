//! What it would cost to capture a protocol's governance, what there is to be gained, and who could still stop it.

use serde_json::{Map, Value as Json};

use crate::proposal::float;
use crate::{Checked, Reason, Verdict};

/// Time that holders need to leave, or guardians to look.
const DELAY_HOURS_MIN: f64 = 24.0;
/// Wanted between proposal and snapshot: votes cannot be borrowed for it once it is known.
const VOTING_DELAY_HOURS_MIN: f64 = 48.0;
/// Fees and price impact: buying a quorum costs more than its price.
const IMPACT: f64 = 1.3;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("no JSON: {0}")]
    Json(String),
    #[error("no object with fields of a protocol (`quorum`, `token_price`, `treasury`, …)")]
    None,
}

/// One or more protocols: an object or an array of them.
pub fn check(name: &str, bytes: &[u8]) -> Result<Vec<Checked>, ProtocolError> {
    let json: Json = serde_json::from_slice(bytes).map_err(|error| ProtocolError::Json(error.to_string()))?;
    let objects: Vec<&Map<String, Json>> = match &json {
        Json::Array(list) => list.iter().filter_map(Json::as_object).take(10_000).collect(),
        Json::Object(object) => vec![object],
        _ => Vec::new(),
    };
    if objects.is_empty() {
        return Err(ProtocolError::None);
    }
    objects
        .into_iter()
        .map(|object| {
            let own = object.get("name").and_then(Json::as_str).unwrap_or(name);
            one(own, object).ok_or(ProtocolError::None)
        })
        .collect()
}

fn one(name: &str, object: &Map<String, Json>) -> Option<Checked> {
    let number = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(float));
    let yes = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(Json::as_bool));
    let quorum = number(&["quorum", "quorum_votes"])
        .or_else(|| Some(number(&["quorum_percent"])? / 100.0 * number(&["total_supply", "supply"])?));
    let price = number(&["token_price", "price"]);
    let treasury = number(&["treasury", "treasury_usd"]);
    let tvl = number(&["tvl", "tvl_usd"]);
    let turnout = number(&["usual_votes", "turnout_votes", "average_votes"]);
    let lendable = number(&["flash_loanable", "flash_loanable_votes", "borrowable", "lendable"]);
    let liquid = number(&["liquid", "market_depth", "buyable"]);
    let timelock =
        number(&["timelock_hours"]).or_else(|| Some(number(&["timelock_seconds", "timelock"])? / 3_600.0));
    let voting_delay = number(&["voting_delay_hours"])
        .or_else(|| Some(number(&["voting_delay_seconds", "voting_delay"])? / 3_600.0));
    let snapshot = yes(&["snapshot", "votes_checkpointed", "checkpointed"]);
    let guardian = yes(&["guardian", "veto", "security_council"]);
    let emergency = yes(&["emergency_execution", "emergency_commit"]);
    let known =
        [quorum, price, treasury, tvl, turnout, lendable, timelock, voting_delay].iter().flatten().count();
    if known == 0 && snapshot.is_none() && guardian.is_none() {
        return None;
    }
    let mut reasons = Vec::new();
    let votes = match (quorum, turnout) {
        // Against the usual voters it takes more than them, and never less than the quorum.
        (Some(quorum), Some(turnout)) => Some(quorum.max(turnout)),
        (quorum, turnout) => quorum.or(turnout),
    };
    let prize = [treasury, tvl].into_iter().flatten().reduce(f64::max);
    if let (Some(votes), Some(price), Some(prize)) = (votes, price, prize) {
        let cost = votes * price * IMPACT;
        let verdict = if cost < prize {
            Verdict::High
        } else if cost < prize * 2.0 {
            Verdict::Warning
        } else {
            Verdict::Info
        };
        let ratio = if prize > 0.0 { cost / prize } else { f64::INFINITY };
        reasons.push(
            Reason::new(
                "cost-of-capture",
                "price",
                verdict,
                format!("Enough votes cost some {cost:.0}; what they decide on is worth {prize:.0} ({ratio:.2} times)."),
            )
            .refuted_by("tokens that are not for sale, or money that votes cannot move"),
        );
    }
    if let (Some(votes), Some(lendable)) = (votes, lendable)
        && votes > 0.0
        && lendable > 0.0
    {
        let enough = lendable >= votes;
        let verdict = match (enough, snapshot) {
            (true, Some(true)) => Verdict::Notice,
            (true, _) => Verdict::High,
            (false, Some(false)) if lendable * 2.0 >= votes => Verdict::Warning,
            _ => Verdict::Info,
        };
        let when = if snapshot == Some(true) { "before the snapshot" } else { "for one transaction" };
        reasons.push(
            Reason::new(
                "loanable-votes",
                "loan",
                verdict,
                format!("{lendable:.0} votes can be borrowed {when}; {votes:.0} decide."),
            )
            .refuted_by("votes that are counted at a block before the proposal"),
        );
    }
    if let (Some(liquid), Some(votes)) = (liquid, votes)
        && liquid >= votes
    {
        reasons.push(Reason::new(
            "buyable-votes",
            "loan",
            Verdict::Warning,
            format!("The market holds {liquid:.0} votes; {votes:.0} decide."),
        ));
    }
    let mut time = |code: &str, verdict, text: String| {
        reasons.push(
            Reason::new(code, "time", verdict, text).refuted_by("another delay that all calls go through"),
        );
    };
    match timelock {
        Some(hours) if hours <= 0.0 => {
            time(
                "no-timelock",
                Verdict::High,
                "What is voted takes effect at once: nobody can leave before.".to_owned(),
            );
        }
        Some(hours) if hours < DELAY_HOURS_MIN => {
            time("short-timelock", Verdict::Warning, format!("The timelock is {hours:.1} hours."));
        }
        _ => {}
    }
    if let Some(hours) = voting_delay.filter(|hours| *hours < VOTING_DELAY_HOURS_MIN) {
        let verdict = if hours <= 0.0 { Verdict::Warning } else { Verdict::Notice };
        time(
            "short-voting-delay",
            verdict,
            format!("Votes are counted {hours:.1} hours after a proposal is known."),
        );
    }
    if emergency == Some(true) {
        time("emergency-path", Verdict::High, "There is a way to execute before the usual time.".to_owned());
    }
    if guardian == Some(false) {
        reasons.push(
            Reason::new(
                "nobody-stops-it",
                "guard",
                Verdict::Warning,
                "Nobody can stop a proposal that was voted.",
            )
            .refuted_by("a guardian, council or veto"),
        );
    }
    if reasons.is_empty() {
        reasons.push(Reason::new(
            "nothing-exposed",
            "price",
            Verdict::Info,
            "Nothing of what was given is exposed.",
        ));
    }
    Some(Checked::of(name, reasons))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[track_caller]
    fn verdict(json: &str, expected: Verdict) {
        let answers = check("-", json.as_bytes()).unwrap();
        assert_eq!(answers.first().unwrap().verdict, expected, "{answers:#?}");
    }

    #[test]
    fn beanstalk_indexed_and_a_sound_one() {
        verdict(r#"{"quorum": 400000, "price": 0.01, "treasury": 100000, "guardian": false}"#, Verdict::High);
        verdict(
            r#"{"quorum": 2e7, "price": 1, "tvl": 1.8e8, "flash_loanable": 7e7, "snapshot": false, "timelock": 0, "emergency_commit": true}"#,
            Verdict::High,
        );
        verdict(
            r#"{"quorum": 1e6, "price": 20, "treasury": 5e6, "timelock": 172800, "voting_delay": 172800, "snapshot": true, "guardian": true}"#,
            Verdict::Info,
        );
        assert!(check("-", b"[]").is_err() && check("-", b"{}").is_err() && check("-", b"x").is_err());
    }
}
