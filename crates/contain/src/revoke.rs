//! Takes the power of credentials that the lineage touched: what the configuration says for each.

use std::time::Duration;

use crate::out::Outside;
use crate::{Revocation, Target, run};

/// Longest that the configuration may ask for: mustering out waits for it.
const SECONDS_MAX: u64 = 30;

/// What each came to.
pub(crate) fn revoke(target: &Target, outside: &dyn Outside) -> Vec<(String, Result<(), String>)> {
    // At the same time: a service that hangs holds up nobody else.
    std::thread::scope(|scope| {
        let threads: Vec<_> = target
            .revocations
            .iter()
            .map(|revocation| {
                (revocation.name.clone(), scope.spawn(move || one(target, revocation, outside)))
            })
            .collect();
        threads
            .into_iter()
            .map(|(name, thread)| (name, thread.join().unwrap_or_else(|_| Err("it failed".to_owned()))))
            .collect()
    })
}

fn one(target: &Target, revocation: &Revocation, outside: &dyn Outside) -> Result<(), String> {
    let limit = Duration::from_secs(revocation.seconds.clamp(1, SECONDS_MAX));
    if !revocation.command.is_empty() {
        run::run(&revocation.command, &[("MUSTER_OUT_AGENT", &target.agent)], limit)?;
    }
    match &revocation.url {
        Some(url) => outside.post(url, &target.agent, &revocation.name, limit),
        None => Ok(()),
    }
}
