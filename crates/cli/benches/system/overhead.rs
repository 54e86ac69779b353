//! What supervision costs: the same work without a daemon, with one that has nobody to watch, beside a lineage, and
//! within one. The order of the four is turned round from one half of a round to the next (ABBA).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Mode;
use crate::daemon::{Daemon, folder};
use crate::figures::{head, median, percentile, row};
use crate::workload::{Figure, Job, jobs};

/// The daemon takes the costly probes off when nobody was followed for 5 seconds.
const DETACH_MAX: Duration = Duration::from_secs(15);

/// Probes that watch every process: three of processes, five of the network.
const WITHOUT_LINEAGE: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    NoDaemon,
    NobodyOnTheRoll,
    OutsideALineage,
    InsideALineage,
}

const WHERE: [Where; 4] =
    [Where::NoDaemon, Where::NobodyOnTheRoll, Where::OutsideALineage, Where::InsideALineage];

/// The daemon and a lineage that does nothing, as each place needs them.
#[derive(Default)]
struct Stage {
    daemon: Option<Daemon>,
    lineage: Option<Child>,
    links: usize,
    /// Measurements during which an agent of somebody else was on the roll.
    disturbed: u32,
    daemon_cpu: f64,
}

impl Stage {
    fn set(&mut self, place: Where) {
        if place == Where::NoDaemon {
            self.end_lineage();
            self.daemon = None;
            return;
        }
        if place == Where::NobodyOnTheRoll {
            // A new daemon: to wait until this one takes its probes off would put seconds between what is compared.
            if self.lineage.is_some() {
                self.end_lineage();
                self.daemon = None;
            }
            let daemon = self.daemon.get_or_insert_with(Daemon::start);
            self.disturbed += u32::from(daemon.links() > WITHOUT_LINEAGE);
            return;
        }
        let daemon = self.daemon.get_or_insert_with(Daemon::start);
        if self.lineage.is_none() {
            let child = daemon.supervised().args(["sleep", "3600"]).stdin(Stdio::null()).spawn().unwrap();
            let begun = Instant::now();
            while daemon.links() <= WITHOUT_LINEAGE && begun.elapsed() < DETACH_MAX {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.links = daemon.links();
            self.lineage = Some(child);
        }
    }

    fn end_lineage(&mut self) {
        let Some(mut child) = self.lineage.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How long the probes stay on after the last lineage. `None`: an agent of somebody else keeps them on.
    fn detach(&mut self) -> Option<f64> {
        self.set(Where::OutsideALineage);
        self.end_lineage();
        let begun = Instant::now();
        let daemon = self.daemon.as_ref()?;
        while daemon.links() > WITHOUT_LINEAGE {
            if begun.elapsed() > DETACH_MAX {
                assert!(daemon.running() > 0, "the probes stay attached with nobody on the roll");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(begun.elapsed().as_secs_f64())
    }

    fn measure(&mut self, job: &Job, place: Where, dir: &std::path::Path) -> Figure {
        let supervised: Option<Command> = match (place, &self.daemon) {
            (Where::InsideALineage, Some(daemon)) => Some(daemon.supervised()),
            _ => None,
        };
        let before = self.daemon.as_ref().map(Daemon::cpu);
        let figure = job.measure(dir, supervised);
        if let (Where::InsideALineage, Some(before), Some(daemon)) = (place, before, &self.daemon) {
            self.daemon_cpu += (daemon.cpu() - before).as_secs_f64();
        }
        figure
    }
}

pub fn run(mode: Mode) {
    let dir = folder();
    let jobs = jobs(dir.path(), mode);
    let mut stage = Stage::default();
    let mut figures: Vec<[Vec<Figure>; 4]> = jobs.iter().map(|_| Default::default()).collect();
    // Once without being counted: caches fill.
    for job in &jobs {
        job.measure(dir.path(), None);
    }
    let halves = mode.pick(2, 12);
    for half in 0..halves {
        eprintln!("overhead: {half} of {halves}");
        for (job, figures) in jobs.iter().zip(&mut figures) {
            let mut order = WHERE;
            if half % 2 == 1 {
                order.reverse();
            }
            for place in order {
                stage.set(place);
                figures[place as usize].push(stage.measure(job, place, dir.path()));
            }
            stage.set(Where::NoDaemon);
        }
    }
    report(&jobs, &figures);
    let detached = stage
        .detach()
        .map_or("not, as an agent of somebody else was there".to_owned(), |s| format!("{s:.1} s"));
    println!(
        "\n{halves} pairs each, ABBA. Ratios: the median of the pairs' ratios (first to third quarter; best of all against \
         best of all, which other work on the machine disturbs least). Probes attached: {} while a lineage lives, \
         {WITHOUT_LINEAGE} else (in {} of the measurements with nobody on the roll an agent of somebody else kept them \
         on); taken off after the last lineage's end: {detached}. The daemon itself used {:.1} s of processor time while \
         the work inside lineages went on.",
        stage.links, stage.disturbed, stage.daemon_cpu
    );
}

/// Median, quarters, and the ratio of the lowest values.
pub fn shown(base: &[Figure], other: &[Figure], of: impl Fn(&Figure) -> f64) -> String {
    let ratios: Vec<f64> = base.iter().zip(other).map(|(a, b)| of(b) / of(a)).collect();
    let best = |figures: &[Figure]| figures.iter().map(&of).fold(f64::INFINITY, f64::min);
    format!(
        "{:.3} ({:.3} to {:.3}; best {:.3})",
        median(&ratios),
        percentile(&ratios, 25.0),
        percentile(&ratios, 75.0),
        best(other) / best(base)
    )
}

pub fn base(job: &Job, figures: &[Figure]) -> String {
    let wall = median(&figures.iter().map(|f| f.wall).collect::<Vec<_>>());
    if job.single { format!("{wall:.0} ns") } else { format!("{wall:.2} s") }
}

fn report(jobs: &[Job], figures: &[[Vec<Figure>; 4]]) {
    head(&["work", "no daemon", "daemon, nobody on the roll", "outside a lineage", "inside a lineage"]);
    for (job, figures) in jobs.iter().zip(figures) {
        let [none, rest @ ..] = figures;
        let mut cells = vec![job.name.to_owned(), base(job, none)];
        cells.extend(rest.iter().map(|other| shown(none, other, |f| f.wall)));
        row(&cells);
        if !job.single {
            let cpu = median(&none.iter().map(|f| f.cpu).collect::<Vec<_>>());
            let mut cells = vec!["… its processor time".to_owned(), format!("{cpu:.2} s")];
            cells.extend(rest.iter().map(|other| shown(none, other, |f| f.cpu.max(0.01))));
            row(&cells);
        }
    }
}
