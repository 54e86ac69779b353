//! Simulations: where there is no difference, tests hold their level; e-processes hold it under optional stopping; where
//! there is one, the planned number of tasks finds it as often as planned.

use muster_compare::stats::binary::{self, Two};
use muster_compare::stats::evidence::{Signs, TwoStreams};
use muster_compare::stats::power::Study;
use muster_compare::stats::{Lcg, paired, stratified};

const STREAMS: u64 = 2_000;

/// Level plus three standard errors.
fn bound(level: f64) -> f64 {
    level + 3.0 * (level * (1.0 - level) / STREAMS as f64).sqrt()
}

#[track_caller]
fn check(name: &str, rejected: u64, level: f64) {
    let share = rejected as f64 / STREAMS as f64;
    println!("{name}: {share} of {STREAMS} null studies rejected at {level}");
    assert!(share <= bound(level), "{name}: {share} above {level}");
}

/// Paired studies of tasks whose rates differ from one another, with no difference between arms.
#[test]
fn paired_tests_hold_their_level() {
    let mut chance = Lcg::new(7);
    let [mut flips, mut mcnemar, mut cmh] = [0; 3];
    for _ in 0..STREAMS {
        let mut differences = Vec::new();
        let mut strata = Vec::new();
        let (mut b, mut c) = (0, 0);
        for _ in 0..30 {
            let rate = 0.2 + 0.6 * chance.uniform();
            let mut run = || chance.uniform() < rate;
            let (first, second) = ([run(), run(), run()], [run(), run(), run()]);
            let count = |runs: [bool; 3]| runs.into_iter().filter(|r| *r).count() as f64;
            differences.push((count(first) - count(second)) / 3.0);
            strata.push([[count(first), 3.0 - count(first)], [count(second), 3.0 - count(second)]]);
            b += u64::from(first[0] && !second[0]);
            c += u64::from(!first[0] && second[0]);
        }
        flips += u64::from(paired::sign_flip(&differences).0 <= 0.05);
        mcnemar += u64::from(binary::mcnemar(b, c).exact_p <= 0.05);
        cmh += u64::from(stratified::cmh(&strata, 0.05).is_some_and(|c| c.p <= 0.05));
    }
    check("sign flip", flips, 0.05);
    check("McNemar exact", mcnemar, 0.05);
    check("CMH", cmh, 0.05);
}

#[test]
fn unpaired_tests_hold_their_level() {
    let mut chance = Lcg::new(11);
    let [mut fisher, mut boschloo, mut outside] = [0; 3];
    for study in 0..STREAMS {
        let rate = [0.1, 0.5, 0.9][(study % 3) as usize];
        let mut count = |n: u64| (0..n).filter(|_| chance.uniform() < rate).count() as u64;
        let two = Two { x1: count(25), n1: 25, x2: count(20), n2: 20 };
        fisher += u64::from(binary::fisher(two).two_sided <= 0.05);
        // It costs a hundred times the others: a tenth of the studies.
        if study % 10 == 0 {
            boschloo += u64::from(binary::boschloo(two).unwrap() <= 0.05);
        }
        outside += u64::from(!binary::newcombe(two, 0.05).holds(0.0));
    }
    check("Fisher", fisher, 0.05);
    assert!(boschloo <= 20, "Boschloo: {boschloo} of 200");
    // An approximation: near its level.
    check("Newcombe", outside, 0.06);
}

/// Whoever looks after each run, and stops at the first moment that suits, is still wrong in no more than 5 of 100.
#[test]
fn e_processes_hold_their_level_under_optional_stopping() {
    for rate in [0.1, 0.5, 0.9] {
        let mut chance = Lcg::new(13);
        let [mut signs_ever, mut sided_ever, mut streams_ever, mut left] = [0; 4];
        for _ in 0..STREAMS {
            let mut signs = Signs::default();
            let mut streams = TwoStreams::new(TwoStreams::GAMMA);
            let [mut signs_most, mut sided_most, mut streams_most] = [0.0_f64; 3];
            let mut out = false;
            for at in 0..300 {
                let (first, second) = (chance.uniform() < rate, chance.uniform() < rate);
                streams.push(first, second);
                streams_most = streams_most.max(streams.e());
                if first != second {
                    signs.push(first);
                    signs_most = signs_most.max(signs.e());
                    sided_most = sided_most.max(signs.e_one_sided());
                    if at % 25 == 0 {
                        out |= !signs.interval(0.05).holds(0.5);
                    }
                }
            }
            signs_ever += u64::from(signs_most >= 20.0);
            sided_ever += u64::from(sided_most >= 20.0);
            streams_ever += u64::from(streams_most >= 20.0);
            left += u64::from(out);
        }
        check("signs", signs_ever, 0.05);
        check("signs, one-sided", sided_ever, 0.05);
        check("two streams", streams_ever, 0.05);
        check("interval for all times", left, 0.05);
    }
}

/// What peeking does to a test that is made for one look: the reason for e-processes.
#[test]
fn a_test_for_one_look_does_not_survive_peeking() {
    let mut chance = Lcg::new(17);
    let fooled = (0..300)
        .filter(|_| {
            let (mut b, mut c) = (0, 0);
            (0..300).any(|_| {
                if chance.coin() {
                    b += 1
                } else {
                    c += 1
                }
                binary::mcnemar(b, c).mid_p <= 0.05
            })
        })
        .count();
    assert!(fooled > 75, "{fooled}");
}

#[test]
fn power_is_as_planned() {
    let plans = [
        Study { base: 0.7, effect: -0.15, epochs: 3, spread: 0.2, variation: 0.0, level: 0.05, power: 0.8 },
        Study { base: 0.5, effect: 0.2, epochs: 1, spread: 0.0, variation: 0.0, level: 0.05, power: 0.9 },
        Study { base: 0.6, effect: -0.1, epochs: 5, spread: 0.25, variation: 0.1, level: 0.05, power: 0.8 },
    ];
    for plan in plans {
        let tasks = plan.tasks().unwrap();
        let studies = 1_000;
        let power = plan.simulated_power(tasks, studies, 19);
        println!("{plan:?}: {tasks} tasks, power {power}");
        // Whole successes on a lattice cost a test some of its level, so a little less than planned is no fault.
        let error = 3.0 * (plan.power * (1.0 - plan.power) / studies as f64).sqrt();
        assert!((power - plan.power).abs() <= error + 0.02, "{plan:?}: {tasks} tasks have power {power}");
        let none = Study { effect: 0.0, ..plan }.simulated_power(tasks, studies, 23);
        assert!(
            none <= plan.level + 3.0 * (0.05 * 0.95 / studies as f64).sqrt(),
            "{plan:?}: {none} without effect"
        );
    }
}
