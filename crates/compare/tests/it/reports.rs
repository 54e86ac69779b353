//! What a report says, and what it never says.

use muster_compare::plan::{Plan, PlanView};
use muster_compare::set::{File, Set};
use muster_compare::stats::malingering;
use muster_compare::{Run, analysis, report};

fn side(name: &str, rate: u64, tasks: u64, epochs: u64) -> Set {
    let mut set = Set::new(name);
    for task in 0..tasks {
        for epoch in 1..=epochs {
            let mut run = Run {
                task: format!("t{task}"),
                epoch: Some(epoch),
                difficulty: Some(task as f64),
                chance: Some(0.25),
                ..Run::default()
            };
            run.measures
                .insert("success".to_owned(), f64::from(u8::from((task * 7 + epoch * 3) % 10 < rate)));
            run.measures.insert("tool_calls".to_owned(), (task % 4 + rate) as f64);
            set.push(&mut File::default(), run).unwrap();
        }
    }
    set
}

fn comparison(a: &str, b: &str) -> analysis::Comparison {
    analysis::compare(side(a, 3, 20, 3), side(b, 8, 20, 3), &Plan::default(), None, Vec::new())
}

#[test]
fn it_opens_with_the_answer() {
    let c = comparison("tested", "deployed");
    let text = report::text(&c, 100);
    assert!(text.starts_with("There is a behavioural difference in `success`: A (tested)"), "{text}");
    let order = [
        "A − B =",
        "interval",
        "pre-registered: nothing",
        "cannot be concluded:",
        "tests of the primary measure",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    for test in report::json(&c)["tests"].as_array().unwrap() {
        for field in ["name", "metric", "statistic", "p", "estimate", "interval"] {
            assert!(test.get(field).is_some(), "{field}: {test}");
        }
    }
}

/// The words: a behavioural difference, never what nobody can see.
#[test]
fn it_never_says_sandbagging_detected() {
    for c in [
        comparison("a", "b"),
        analysis::compare(side("a", 5, 20, 1), side("b", 5, 20, 1), &Plan::default(), None, vec![]),
    ] {
        for text in [report::text(&c, 100), report::html(&c), report::json(&c).to_string()] {
            let text = text.to_lowercase();
            assert!(!text.contains("sandbag") && !text.contains("detected"), "{text}");
            assert!(text.contains("behavioural difference"));
        }
    }
}

#[test]
fn logs_cannot_speak_to_the_reader() {
    let evil = "<script>alert(1)</script>\u{1b}[31m\u{202e}";
    let mut c = comparison(evil, "b");
    c.notes.push(evil.to_owned());
    c.tasks[0].task = evil.to_owned();
    let page = report::html(&c);
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere");
    let text = report::text(&c, 80);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn deviations_are_shown() {
    let planned = Plan { tasks: 25, ..Plan::default() };
    let done = Plan { level: 0.1, metric: "tool_calls".to_owned(), tasks: 25, ..Plan::default() };
    let view = PlanView {
        title: String::new(),
        metric: planned.metric.clone(),
        level: planned.level,
        test: String::new(),
        registered: Some("2026-01-02T03:04:05Z".to_owned()),
        place: "signed".to_owned(),
        deviations: planned.deviations(&done),
    };
    let c = analysis::compare(side("a", 3, 20, 3), side("b", 8, 20, 3), &done, Some(view), Vec::new());
    let text = report::text(&c, 100).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "deviation: primary metric: planned `success`, done `tool_calls`",
        "deviation: level: planned `0.05`, done `0.1`",
        "deviation: tasks in both arms: planned `25`, done `20`",
        "registered 2026-01-02T03:04:05Z",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn patterns_are_told_as_patterns() {
    let c = comparison("a", "b");
    let names: Vec<&str> = c.patterns.iter().map(|p| p.name.as_str()).collect();
    // All tasks are passed by the majority of their runs, or none: no pair says anything of Guttman errors.
    assert_eq!(names, ["below-chance", "difficulty", "below-chance", "difficulty"]);
    assert_eq!(malingering::guttman(&[(1.0, false), (2.0, true), (3.0, true), (4.0, false)]), Some((2, 0.5)));
}

#[test]
fn same_runs_same_report() {
    let (one, two) = (comparison("a", "b"), comparison("a", "b"));
    assert_eq!(report::html(&one), report::html(&two));
    assert_eq!(report::json(&one).to_string(), report::json(&two).to_string());
}
