//! Says that the daemon's loop stands still: a disk that does not answer holds it, and it could then tell nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// So long a round may take before it is told of: a busy disk takes a second now and then.
const LATE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(500);

/// The loop beats it each round.
#[derive(Clone)]
pub struct Pulse {
    begun: Instant,
    /// Milliseconds from `begun` to the last beat.
    last: Arc<AtomicU64>,
}

impl Pulse {
    pub fn beat(&self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(ms, Ordering::Relaxed);
    }

    fn silent(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Starts a thread that calls `tell` when the loop stands still, and with `None` when it goes on. Ends with the loop.
pub fn start(tell: impl Fn(Option<String>) + Send + 'static) -> std::io::Result<Pulse> {
    let pulse = Pulse { begun: Instant::now(), last: Arc::default() };
    let watched = Pulse::clone(&pulse);
    thread::Builder::new().name("pulse".to_owned()).spawn(move || {
        let mut told = false;
        // The loop holds the other one.
        while Arc::strong_count(&watched.last) > 1 {
            thread::sleep(LOOK);
            let late = watched.silent() > LATE;
            if late && !told {
                tell(Some(format!(
                    "MUSTER STANDS STILL: its loop has not gone on for {} s, most likely because the disk does not answer. \
                     What the sensor cannot hold meanwhile is lost, and counted.",
                    watched.silent().as_secs()
                )));
            } else if told && !late {
                tell(None);
            }
            told = late;
        }
    })?;
    Ok(pulse)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_told_of_once_and_its_going_on_too() {
        let (sender, told) = channel();
        let pulse = start(move |text| drop(sender.send(text))).unwrap();
        pulse.beat();
        let text = told.recv_timeout(LATE * 3).unwrap().unwrap();
        assert!(text.contains("STANDS STILL"), "{text}");
        pulse.beat();
        assert_eq!(told.recv_timeout(LATE * 3).unwrap(), None);
        pulse.beat();
        assert!(told.recv_timeout(LOOK * 2).is_err(), "nothing more");
        drop(pulse);
        // The thread ends, and with it the channel.
        assert!(told.recv_timeout(LATE).is_err());
    }
}
