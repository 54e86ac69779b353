//! What is a claim and what only looks like one; and what the record says to each.

use muster_engine::claims::{Class, claimed};

/// Lines of a table, with `\n` as line breaks.
fn lines(table: &str) -> Vec<String> {
    table.lines().filter(|l| !l.starts_with("# ") && !l.is_empty()).map(|l| l.replace("\\n", "\n")).collect()
}

fn is_disclosure(class: Class) -> bool {
    matches!(class, Class::Hedge | Class::Cannot | Class::Permission)
}

/// Errors that are known and stand: counted, so that a change that adds to them shows.
const FALSE_CLAIMS: usize = 1;
const MISSED_CLAIMS: usize = 0;

#[test]
fn what_only_looks_like_a_claim_is_none() {
    let all = lines(include_str!("../claims/not.txt"));
    assert!(all.len() >= 200, "{}", all.len());
    let wrong: Vec<_> = all
        .iter()
        .map(|text| (text, claimed(text).into_iter().filter(|(class, _)| !is_disclosure(*class)).collect::<Vec<_>>()))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert_eq!(wrong.len(), FALSE_CLAIMS, "{} of {}: {wrong:#?}", wrong.len(), all.len());
}

#[test]
fn what_is_a_claim_is_found() {
    let all = lines(include_str!("../claims/claims.txt"));
    assert!(all.len() >= 100, "{}", all.len());
    let wrong: Vec<_> = all
        .iter()
        .filter(|line| {
            let (class, text) = line.split_once('\t').unwrap();
            !claimed(text).iter().any(|(found, _)| found.name() == class)
        })
        .collect();
    assert_eq!(wrong.len(), MISSED_CLAIMS, "{} of {}: {wrong:#?}", wrong.len(), all.len());
}
