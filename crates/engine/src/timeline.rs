//! The engine's own time, which goes on evenly. Every wait and every order in time rests on it; if it were the wall clock,
//! whoever sets that back could make the engine wait as long, or put an act before what it followed. Until the clock is
//! set, both are the same.

use muster_event::Nanos;

use crate::{Input, Output};

/// Times that the clock was set which are remembered, the last ones.
const STEPS_MAX: usize = 256;
/// An account's own time may be so much after the time at which it was read.
const AHEAD_NS: Nanos = 1_000_000_000;

#[derive(Default)]
pub(crate) struct Timeline {
    /// Own time of each step, and how far the wall clock is ahead from then on. In order.
    steps: Vec<(Nanos, i64)>,
}

impl Timeline {
    fn ahead(&self) -> i64 {
        self.steps.last().map_or(0, |(_, ahead)| *ahead)
    }

    /// Of a wall-clock time that is now.
    fn own(&self, wall_ns: Nanos) -> Nanos {
        wall_ns.saturating_add_signed(self.ahead().saturating_neg())
    }

    /// Own time as the wall clock was then.
    pub(crate) fn wall(&self, own_ns: Nanos) -> Nanos {
        let step = self.steps.iter().rev().find(|(at, _)| *at <= own_ns);
        own_ns.saturating_add_signed(step.map_or(0, |(_, ahead)| *ahead))
    }

    /// Of a wall-clock time that somebody wrote down before own time `read_ns`: of the moments that it may be, the last.
    fn written(&self, wall_ns: Nanos, read_ns: Nanos) -> Nanos {
        let ahead = self.steps.iter().map(|(_, ahead)| *ahead).chain([0]);
        let may_be = ahead.map(|ahead| wall_ns.saturating_add_signed(ahead.saturating_neg()));
        let latest = read_ns.saturating_add(AHEAD_NS);
        may_be.filter(|own| *own <= latest).max().unwrap_or_else(|| self.own(wall_ns))
    }

    /// The wall clock, which now reads `wall_ns`, was set. Gives own time.
    pub(crate) fn step(&mut self, wall_ns: Nanos, by_ns: i64) -> Nanos {
        let ahead = self.ahead().saturating_add(by_ns);
        let own = wall_ns.saturating_add_signed(ahead.saturating_neg());
        if self.steps.len() >= STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push((own, ahead));
        own
    }

    /// Was the clock set between these own times?
    pub(crate) fn was_set(&self, from_ns: Nanos, to_ns: Nanos) -> bool {
        self.steps.iter().any(|(at, _)| from_ns <= *at && *at <= to_ns)
    }

    /// An input with its times made own time.
    pub(crate) fn inward(&self, mut input: Input) -> Input {
        if self.steps.is_empty() {
            return input;
        }
        let own = |ns: &mut Nanos| *ns = self.own(*ns);
        match &mut input {
            Input::Event(event) => own(&mut event.time_ns),
            Input::Lost(lost) => {
                own(&mut lost.to_ns);
                lost.from_ns = self.written(lost.from_ns, lost.to_ns);
            }
            Input::Enrol(enrol) => own(&mut enrol.time_ns),
            Input::Account(record) => {
                own(&mut record.time_ns);
                for ns in record.items.iter_mut().filter_map(|item| item.time_ns.as_mut()) {
                    *ns = self.written(*ns, record.time_ns);
                }
            }
            Input::Opinion(opinions) => own(&mut opinions.time_ns),
            Input::ArtefactRead(read) => own(&mut read.time_ns),
            Input::Containment(step) => own(&mut step.time_ns),
            Input::Mandate(note) => own(&mut note.time_ns),
            Input::Gate(note) => own(&mut note.time_ns),
            Input::Approval(note) => own(&mut note.time_ns),
            Input::Review(review) => own(&mut review.time_ns),
            Input::Hooks(read) => own(&mut read.time_ns),
            Input::Canaries(canaries) => own(&mut canaries.time_ns),
            Input::Remembered(it) => own(&mut it.time_ns),
            Input::Probe { time_ns, .. }
            | Input::AccountState { time_ns, .. }
            | Input::Tick { time_ns, .. }
            | Input::Stop { time_ns } => own(time_ns),
            // These begin a time of their own, or tell of the clock itself, or have no time.
            Input::Start(_)
            | Input::Snapshot(_)
            | Input::Identified { .. }
            | Input::ClockStep { .. }
            | Input::Configured { .. }
            | Input::Imported(_)
            | Input::Recorded { .. } => {}
        }
        input
    }

    /// Outputs with their times made wall-clock time.
    pub(crate) fn outward(&self, outputs: &mut [Output]) {
        if self.steps.is_empty() {
            return;
        }
        let wall = |ns: &mut Nanos| *ns = self.wall(*ns);
        for output in outputs {
            match output {
                Output::Agent(state) => {
                    wall(&mut state.started_ns);
                    wall(&mut state.last_ns);
                    state.ended_ns.as_mut().map(wall);
                    state.coverage.record_from_ns.as_mut().map(wall);
                }
                Output::Finding(finding) => wall(&mut finding.time_ns),
                Output::Claim(claim) => wall(&mut claim.time_ns),
                Output::Opinion(opinions) => wall(&mut opinions.time_ns),
                Output::Descent(descent) => wall(&mut descent.time_ns),
                Output::Artefact(artefact) => wall(&mut artefact.time_ns),
                Output::FollowAccount { since_ns, .. } | Output::ReadArtefact { since_ns, .. } => wall(since_ns),
                Output::Identify { .. }
                | Output::Follow { .. }
                | Output::Harness { .. }
                | Output::ReadConfiguration { .. }
                | Output::ReadHooks { .. }
                | Output::Forget { .. }
                | Output::Member(_)
                | Output::Join(_)
                // Is told in wall-clock time.
                | Output::Gap(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    #[test]
    fn own_time_goes_on_whatever_the_clock_says() {
        let mut timeline = Timeline::default();
        assert_eq!((timeline.own(9000), timeline.wall(9000)), (9000, 9000));
        assert_eq!(timeline.step(10_000 - 3600, -HOUR), 10_000);
        assert_eq!((timeline.own(6401), timeline.wall(10_001), timeline.wall(9_999)), (10_001, 6401, 9_999));
        assert_eq!(timeline.step(6500 + 7200, 2 * HOUR), 10_100);
        assert_eq!((timeline.own(13_701), timeline.wall(10_101)), (10_101, 13_701));
        assert!(timeline.was_set(9000, 10_000) && !timeline.was_set(10_001, 10_099));
    }

    #[test]
    fn what_was_written_is_of_the_last_moment_that_it_may_be() {
        const S: u64 = 1_000_000_000;
        let mut back = Timeline::default();
        back.step(6400 * S, -HOUR * S as i64);
        // Before the step, and after it, by accounts that are read after it.
        assert_eq!(back.written(9_999 * S, 10_002 * S), 9_999 * S);
        assert_eq!(back.written(6_401 * S, 10_002 * S), 10_001 * S);
        let mut forward = Timeline::default();
        forward.step(13_600 * S, HOUR * S as i64);
        assert_eq!(forward.written(9_999 * S, 10_002 * S), 9_999 * S);
        assert_eq!(forward.written(13_601 * S, 10_002 * S), 10_001 * S);
        // No moment fits: an account may say what it likes.
        assert_eq!(forward.written(99_999 * S, 10_002 * S), 96_399 * S);
    }
}
