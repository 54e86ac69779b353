//! Times as people read them.

use jiff::Timestamp;
use muster_event::Nanos;

fn stamp(ns: Nanos) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `12:03:04.123`, in UTC: the same on every machine that looks.
pub(crate) fn of_day(ns: Nanos) -> String {
    stamp(ns).strftime("%H:%M:%S%.3f").to_string()
}

/// `2026-01-02 12:03:04`, in UTC.
pub(crate) fn full(ns: Nanos) -> String {
    stamp(ns).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago, or for how long: `12s`, `3m`, `2h 5m`, `4d`.
pub(crate) fn span(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}
