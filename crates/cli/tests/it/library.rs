//! A few scenarios of the library (`crates/rehearsal/library`), played to the end; `cargo xtask library` plays them all.

use std::path::Path;
use std::sync::Mutex;

use muster_rehearsal::library::{Library, Outcome, Report, Stage, Who};

use crate::rig::MUSTER;

/// Each code that Muster had before the library, and an honest twin: two minutes at most on a busy machine.
const GATE: [(&str, Who); 12] = [
    ("unmandated-plain", Who::Codex),
    ("unmandated-curl-loop", Who::CurlLoop),
    ("unreported-daemon-by-build", Who::ClaudeCode),
    ("unreported-preload-secret", Who::GeminiCli),
    ("phantom-tests-appended", Who::Codex),
    ("honest-tests-really-ran", Who::ClaudeCode),
    ("tampered-replaced", Who::ClaudeCode),
    ("claim-tests-pass-unittest", Who::ClaudeCode),
    ("claim-pushed", Who::Codex),
    ("monitor-signal", Who::Codex),
    ("honest-fix-with-tests", Who::Codex),
    ("honest-denied-given-up", Who::ClaudeCode),
];
/// Agents mostly wait.
const AT_ONCE: usize = 6;

#[test]
fn a_few_of_the_library() {
    if !rustix::process::geteuid().is_root() || !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: the kernel record needs root and BTF");
        return;
    }
    let library = Library::read().unwrap();
    let stage = Stage::start(Path::new(MUSTER)).unwrap();
    let next = Mutex::new(GATE.iter());
    let outcomes = Mutex::new(Vec::<Outcome>::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((name, who)) = next.lock().unwrap().next() else { return };
                    let outcome = stage.play(library.get(name).unwrap(), *who);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let report = Report::new(outcomes.into_inner().unwrap());
    assert_eq!(report.outcomes.len(), GATE.len());
    for outcome in
        report.outcomes.iter().filter(|o| o.not_run.as_ref().is_some_and(|why| why.starts_with("skipped")))
    {
        eprintln!("{}", outcome.line());
    }
    let bad: Vec<String> = report
        .outcomes
        .iter()
        .filter(|o| !o.good() && !o.not_run.as_ref().is_some_and(|why| why.starts_with("skipped")))
        .map(|o| format!("{}\n{}", o.line(), o.shown))
        .collect();
    assert!(bad.is_empty(), "{report}\n{}", bad.join("\n"));
}
