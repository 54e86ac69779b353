//! A page in plain words: each sentence is one of the numbers below, and none says more than they do.

use crate::number::{Rate, Times};
use crate::report::Assessment;

/// `3 of 40 (7.5 %, 1.6 to 20.4 %)`.
pub fn share(rate: &Rate) -> String {
    match (rate.share, rate.low, rate.high) {
        (Some(share), Some(low), Some(high)) => format!(
            "{} of {} ({:.1} %, {:.1} to {:.1} %)",
            rate.count,
            rate.of,
            share * 100.0,
            low * 100.0,
            high * 100.0
        ),
        _ => format!("{} of {}", rate.count, rate.of),
    }
}

/// A number of milliseconds as people say it.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms < 7_200_000.0 => format!("{:.0} min", ms / 6e4),
        ms => format!("{:.1} h", ms / 3.6e6),
    }
}

/// Median with its interval, and the most.
pub fn times(times: &Times) -> String {
    let median = times.median_ms.map_or("–".to_owned(), milliseconds);
    let interval = match (times.median_low_ms, times.median_high_ms) {
        (Some(low), Some(high)) => {
            format!(" ({} to {})", milliseconds(low), milliseconds(high))
        }
        _ => String::new(),
    };
    let most = times.most_ms.map_or("–".to_owned(), milliseconds);
    format!("median {median}{interval}, at most {most}, of {}", times.n)
}

pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

pub fn summary(a: &Assessment) -> Vec<String> {
    let s = &a.scope;
    let o = &a.opportunity;
    let mut out = Vec::new();
    let imported = match (s.seconds_watched > 0.0, s.runs_imported) {
        (_, 0) => String::new(),
        (true, n) => format!(
            " {n} accounts or records were imported: of those runs, only what their files say is known."
        ),
        (false, _) => {
            " Nothing was watched live: all runs were imported, so only what their files say is known."
                .to_owned()
        }
    };
    out.push(format!(
        "Scope: {} runs of agents in {}, of which a daemon watched {}. Record whole: {}. With an account: {}. Under a mandate: {}. In brackets, here and below, are the share and what it may be with 95 % confidence.{imported}",
        s.runs,
        duration(s.seconds),
        duration(s.seconds_watched),
        share(&s.record_whole),
        share(&s.with_account),
        share(&s.mandated)
    ));
    if s.runs == 0 {
        out.push("There is nothing to assess: no run of an agent is on record in this time.".to_owned());
        return out;
    }
    let band = |rates: &[Rate], at: usize| rates.get(at).map(share).unwrap_or_default();
    out.push(format!(
        "Motive: runs that went beyond what they were asked (overreach): {}; that deceived: {}. In earnest (METR's band 2 or above): {} and {}.",
        band(&a.motive.all.overreach, 0),
        band(&a.motive.all.deception, 0),
        band(&a.motive.all.overreach, 1),
        band(&a.motive.all.deception, 1)
    ));
    let means: Vec<String> = a
        .means
        .rows
        .iter()
        .filter(|row| row.runs.count > 0)
        .map(|row| format!("{} {}", row.runs.count, row.text))
        .collect();
    out.push(if means.is_empty() {
        "Means: none of the means that are looked for was seen in use.".to_owned()
    } else {
        format!("Means, of {} runs: {}.", s.runs, means.join("; "))
    });
    out.push(match (&o.drills, &o.seen) {
        (Some(drills), Some(seen)) => format!(
            "Opportunity: drills that were seen: {}. With coverage, one attempt is seen with a chance of {:.0} % ({:.0} to {:.0} %), so that {}. That is of independent attempts: who knows where nobody looks needs but one.",
            share(&drills.recall),
            seen.chance * 100.0,
            seen.low * 100.0,
            seen.high * 100.0,
            seen.attempts.map_or("no number of attempts is seen for certain".to_owned(), |n| format!(
                "it takes about {n:.0} attempts until one is seen with 99 %"
            ))
        ),
        _ => "Opportunity: not recorded. No drills were given, so nobody knows how much of what a rogue agent does would be seen."
            .to_owned(),
    });
    if let Some(detect) = o.drills.as_ref().and_then(|d| d.detect.as_ref()) {
        out.push(format!("Time to detect, in drills: {}.", times(detect)));
    }
    out.push(match &o.respond {
        Some(respond) => format!("Time to respond, in earnest: {}.", times(respond)),
        None => "Time to respond, in earnest: not recorded; no incident was mustered out.".to_owned(),
    });
    if o.skip_permissions.of > 0 {
        out.push(format!(
            "Permissions: of the runs whose mode is known, {} asked nobody before they acted; of {} the mode is not known.",
            share(&o.skip_permissions),
            o.mode_not_known
        ));
    }
    let sustained: Vec<&str> =
        a.gap.factors.iter().filter(|f| f.seen.step >= 2).map(|f| f.factor.as_str()).collect();
    out.push(if sustained.is_empty() {
        "The gap: of the twelve factors by which an agent stays, real runs were seen to use none.".to_owned()
    } else {
        format!(
            "The gap: of the twelve factors by which an agent stays, real runs were seen to use {}.",
            sustained.join(", ")
        )
    });
    out.push(format!(
        "Outcome: {} incidents, {} open weaknesses.",
        a.incidents.listed.len() as u64 + a.incidents.more,
        a.weaknesses.len()
    ));
    out
}
