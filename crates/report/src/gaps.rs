//! Gaps as lines: when, for how long, what could not be seen, and why.

use muster_engine::{Gap, GapCause};

use crate::cell::{Colour, Style, cut, fit, safe, wrap};
use crate::time;

/// Width of two moments and the time between them.
const WHEN: usize = 52;

pub fn gaps(list: &[Gap], style: &Style) -> String {
    if list.is_empty() {
        return "no gap is known. What left no trace in the kernel's record was not seen\n".to_owned();
    }
    list.iter().map(|gap| lines(gap, style)).collect()
}

fn lines(gap: &Gap, style: &Style) -> String {
    let whom = gap.agent.as_deref().map(|agent| format!(" of {}", safe(agent))).unwrap_or_default();
    let head = format!("{}{whom}", what(gap.cause));
    let subject = if gap.subject.is_empty() { String::new() } else { format!(" `{}`", safe(&gap.subject)) };
    let count = gap.count.map(|count| format!(", {count} known to be missing")).unwrap_or_default();
    let head = format!("{head}{subject}{count}");
    let mut out = fit(&when(gap), WHEN);
    out.push_str(&style.paint(&cut(&head, style.width.saturating_sub(WHEN)), colour(gap.cause)));
    out.push('\n');
    if !gap.detail.is_empty() {
        for line in wrap(&safe(&gap.detail), style.width.saturating_sub(4)) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    out
}

fn when(gap: &Gap) -> String {
    let from = time::full(gap.from_ns);
    let Some(to) = gap.to_ns else { return format!("{from} – goes on") };
    // The clock since boot tells how long it was, whoever set the other.
    let boot = gap.boot_from_ns.zip(gap.boot_to_ns).filter(|_| gap.boot_id_before.is_none());
    let long = match boot {
        Some((from, to)) => to.saturating_sub(from),
        None => to.saturating_sub(gap.from_ns),
    };
    format!("{from} – {} ({})", time::full(to), time::span(long))
}

/// What a cause means, in words.
pub(crate) fn what(cause: GapCause) -> &'static str {
    match cause {
        GapCause::DaemonDown => "nobody watched",
        GapCause::Lost => "events were lost",
        GapCause::ProbeBlind => "a probe saw nothing:",
        GapCause::ClockStep => "the wall clock was set",
        GapCause::Asleep => "the machine slept: nothing ran",
        GapCause::Stalled => "the daemon was held up: it looked late",
        GapCause::AccountUnreadable => "an account could not be read",
    }
}

fn colour(cause: GapCause) -> Colour {
    match cause {
        GapCause::Asleep | GapCause::Stalled => Colour::Plain,
        GapCause::DaemonDown
        | GapCause::Lost
        | GapCause::ProbeBlind
        | GapCause::ClockStep
        | GapCause::AccountUnreadable => Colour::Yellow,
    }
}
