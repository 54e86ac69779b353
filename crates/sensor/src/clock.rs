//! Two clocks: events carry `CLOCK_BOOTTIME`, which nobody sets; people read wall-clock time.

use muster_event::Nanos;
use rustix::time::{ClockId, clock_gettime};

/// Differences of the clocks below this are drift or a slow reading, not a step.
const STEP_NS: i64 = 100_000_000;

fn read(clock: ClockId) -> Nanos {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Wall-clock time, nanoseconds since the Unix epoch.
pub fn now_ns() -> Nanos {
    read(ClockId::Realtime)
}

/// The clocks, read one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub time_ns: Nanos,
    /// `CLOCK_BOOTTIME`, which no clock step moves.
    pub boot_ns: Nanos,
    /// How long of it the machine has slept: `CLOCK_MONOTONIC` stands still then.
    pub asleep_ns: Nanos,
}

pub fn clocks() -> Clocks {
    let awake_ns = read(ClockId::Monotonic);
    let boot_ns = boot_ns();
    Clocks { time_ns: now_ns(), boot_ns, asleep_ns: boot_ns.saturating_sub(awake_ns) }
}

pub(crate) fn boot_ns() -> Nanos {
    read(ClockId::Boottime)
}

/// How far wall-clock time is ahead of the time since boot.
pub(crate) struct Clock {
    offset: i64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { offset: offset() }
    }

    /// Reads both clocks again. `Some`: the wall clock was set, by so much.
    pub(crate) fn look(&mut self) -> Option<i64> {
        let offset = offset();
        let step = offset - self.offset;
        self.offset = offset;
        (step.abs() > STEP_NS).then_some(step)
    }

    pub(crate) fn wall(&self, boot_ns: Nanos) -> Nanos {
        boot_ns.saturating_add_signed(self.offset)
    }
}

/// Of some readings the one that was least held up: who is preempted between the two clocks is off by that.
fn offset() -> i64 {
    const READINGS: u32 = 3;
    let readings = (0..READINGS).map(|_| {
        let before = boot_ns();
        let wall = now_ns();
        let took = boot_ns().saturating_sub(before);
        let boot = i64::try_from(before.saturating_add(took / 2)).unwrap_or(0);
        (took, i64::try_from(wall).unwrap_or(i64::MAX) - boot)
    });
    readings.min().map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_once() {
        let mut clock = Clock::new();
        assert_eq!(clock.look(), None);
        for by in [5_000_000_000, -3_600_000_000_000] {
            // As if it had been set since the last look.
            clock.offset -= by;
            let step = clock.look().unwrap();
            assert!((step - by).abs() < STEP_NS, "{step}");
            assert_eq!(clock.look(), None);
        }
    }
}
