//! The code that would run: whether it changed since it was proposed, can vanish, or is not there yet.

use super::Case;
use crate::bytecode::{Traits, traits};
use crate::effect::Act;
use crate::{Reason, Verdict};

pub fn reasons(case: &Case, into: &mut Vec<Reason>) {
    let context = &case.proposal.context;
    for (party, moments) in &context.code_hashes {
        let mut hashes: Vec<(&String, &String)> = moments.iter().collect();
        hashes.sort();
        let mut different = hashes.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>();
        different.sort_unstable();
        different.dedup();
        if different.len() > 1 {
            let shown: Vec<String> = hashes.iter().map(|(moment, hash)| format!("{moment} {hash}")).collect();
            into.push(
                Reason::new(
                    "code-changed",
                    "code-history",
                    Verdict::High,
                    format!("The code at {} is another than when it was proposed.", party.shown()),
                )
                .evidence(shown.join(", "))
                .refuted_by("a proxy whose upgrade is part of this proposal"),
            );
        }
    }
    let old_fork = context.fork.as_deref().is_some_and(|fork| {
        [
            "frontier",
            "homestead",
            "byzantium",
            "constantinople",
            "istanbul",
            "berlin",
            "london",
            "paris",
            "merge",
            "shanghai",
        ]
        .contains(&fork.to_lowercase().as_str())
    });
    for (party, code) in &context.code {
        // Only of what the calls run or name: a state may hold the code of a whole chain.
        let runs =
            case.own.contains(party) || case.effects.iter().any(|effect| effect.who.as_ref() == Some(party));
        if runs {
            of_code(case, party, code, old_fork, into);
        }
    }
    for (party, (by, how)) in &context.deployed {
        let by_factory =
            by.as_ref().and_then(|by| context.deployed.get(by)).is_some_and(|(_, how)| how == "create2");
        if how == "create2" || by_factory {
            let text = if by_factory {
                "was made by a contract that can itself be made again (CREATE2): other code can come to its address"
            } else {
                "was made with CREATE2: where it can vanish, other code can come to its address"
            };
            into.push(
                Reason::new(
                    "can-come-back",
                    "code-origin",
                    Verdict::Warning,
                    format!("{} {text}.", party.shown()),
                )
                .refuted_by("code that cannot vanish (no reachable `selfdestruct`), or a chain since Cancun"),
            );
        }
    }
}

fn of_code(case: &Case, party: &crate::Party, code: &[u8], old_fork: bool, into: &mut Vec<Reason>) {
    let Traits { destroys, creates, creates2, delegated, .. } = traits(code);
    let name = party.shown();
    if let Some(to) = delegated {
        into.push(
            Reason::new(
                "lent-code",
                "code",
                Verdict::Warning,
                format!("{name} is an account with one key that lends its code from {to} (EIP-7702)."),
            )
            .refuted_by("a wallet's own delegation that its owner made"),
        );
        return;
    }
    let is_payload = case.effects.iter().any(|effect| {
        matches!(effect.act, Act::Delegatecall | Act::Upgrade) && effect.who.as_ref() == Some(party)
    });
    if code.is_empty() {
        let called = case
            .proposal
            .calls
            .iter()
            .any(|call| call.to == *party && !(call.data.is_empty() && call.signature.is_empty()));
        if called || is_payload {
            into.push(
                Reason::new(
                    "no-code-yet",
                    "code",
                    Verdict::Warning,
                    format!("{name} is called and has no code: it may get some after the vote."),
                )
                .refuted_by("the code, before the vote"),
            );
        }
        return;
    }
    if destroys {
        let verdict = if is_payload || old_fork { Verdict::Warning } else { Verdict::Notice };
        into.push(
            Reason::new(
                "can-vanish",
                "code",
                verdict,
                format!("The code at {name} can reach `selfdestruct`."),
            )
            .refuted_by(
                "a chain since Cancun, on which only a contract's own transaction ends it (EIP-6780)",
            ),
        );
    }
    if creates2 && creates {
        into.push(
            Reason::new(
                "makes-and-makes-again",
                "code",
                Verdict::Notice,
                format!("The code at {name} makes contracts both ways (CREATE and CREATE2)."),
            )
            .refuted_by("a factory that is the protocol's own"),
        );
    }
}
