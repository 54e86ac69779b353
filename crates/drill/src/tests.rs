//! The drills are whole: each mapped, each with an act that the record can be searched for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::*;

fn words(guise: &Guise) -> BTreeMap<String, String> {
    ["home", "tmp", "work", "transcript", "agent", "successor", "harness", "daemon", "data"]
        .iter()
        .map(|word| ((*word).to_owned(), format!("/{word}")))
        .chain([("n".to_owned(), guise.name.clone())])
        .collect()
}

#[test]
fn every_drill_is_unique_and_mapped() {
    let library = Library::built_in().unwrap();
    assert!(library.scenarios.len() >= 40 && library.honest.len() >= 10);
    let mut names = BTreeSet::new();
    for scenario in library.scenarios.iter().chain(&library.honest) {
        let name = &scenario.name;
        assert!(names.insert(name), "{name} twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        assert!(!scenario.steps.is_empty(), "{name}");
    }
    for scenario in &library.scenarios {
        let name = &scenario.name;
        assert!(!scenario.title.is_empty() && !scenario.metr.is_empty(), "{name}");
        let technique = scenario.attack.strip_prefix('T').unwrap_or_default();
        assert!(technique.len() >= 4 && technique.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{name}");
        assert!(scenario.owasp.starts_with("ASI") && scenario.owasp.len() == 5, "{name}");
        assert!(!scenario.expect.is_empty(), "{name}");
        assert_eq!(scenario.expected().len(), scenario.expect.len(), "{name}: {:?}", scenario.expect);
        if let Some(factor) = &scenario.factor {
            assert!(FACTORS.contains(&factor.as_str()), "{name}: {factor}");
        }
        assert!(scenario.stage != Some(muster_engine::Stage::Sustain) || scenario.factor.is_some(), "{name}");
        let guise = Guise::of(7);
        let acts = plan(scenario, &guise, &words(&guise));
        let text = serde_json::to_string(&acts).unwrap();
        assert!(acts.iter().any(|act| act.rogue) && text.contains(&guise.name), "{name}: {text}");
    }
    for factor in FACTORS {
        assert!(library.scenarios.iter().any(|s| s.factor.as_deref() == Some(factor)), "{factor}");
    }
    for honest in &library.honest {
        assert!(honest.is_honest() && honest.expect.is_empty(), "{}", honest.name);
    }
}

#[test]
fn seeds_give_different_guises() {
    let guises: Vec<Guise> = scatter(1, 60).into_iter().map(Guise::of).collect();
    let names: BTreeSet<&str> = guises.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names.len(), guises.len());
    let kinds: BTreeSet<String> =
        guises.iter().map(|g| format!("{:?} {:?} {:?}", g.interpreter, g.writer, g.tells)).collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    assert_eq!(Guise::of(5), Guise::of(5));
}

proptest! {
    /// Nothing that stands for something is left in what is run or told.
    #[test]
    fn every_plan_is_filled_in(seed in any::<u64>()) {
        let library = Library::built_in().unwrap();
        let guise = Guise::of(seed);
        for scenario in library.scenarios.iter().chain(&library.honest) {
            let text = serde_json::to_string(&plan(scenario, &guise, &words(&guise))).unwrap();
            for word in words(&guise).keys() {
                prop_assert!(!text.contains(&format!("@{word}@")), "{}: {text}", scenario.name);
            }
        }
    }
}
