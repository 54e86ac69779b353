//! Opinions of models stand beside the findings, and never in their place.

use muster_engine::{
    Cited, Engine, Evidence, Imported, Input, Label, Opinion, Opinions, Output, Products, Severity, Stage,
};

use crate::rig::{Rig, T0};

fn opinion(about: Option<&str>, quote: &str) -> Opinion {
    let cited = |item: &str, evidence| Cited { item: item.to_owned(), text: quote.to_owned(), evidence };
    Opinion {
        about: about.map(str::to_owned),
        label: Label::MisleadingClaim,
        confidence: 90,
        cited: vec![cited("E1", Some(Evidence::Event { seq: 1 })), cited("F1", None)],
        quote: quote.to_owned(),
        rationale: "It says one thing and does another.".to_owned(),
    }
}

fn input(agent: &str, opinions: Vec<Opinion>) -> Input {
    Input::Opinion(Opinions {
        agent: agent.to_owned(),
        time_ns: T0,
        model: "m".to_owned(),
        endpoint: "127.0.0.1:1".to_owned(),
        skeleton: [7; 32],
        opinions,
        dropped: 1,
    })
}

/// An engine that knows one agent, and its name.
fn engine() -> (Engine, String) {
    let mut engine = Engine::new(Products::built_in().unwrap());
    let imported = Imported {
        time_ns: T0,
        product: "codex".to_owned(),
        path: "/h/a.jsonl".to_owned(),
        session: Some("s".to_owned()),
    };
    engine.step(Input::Imported(imported));
    let agent = engine.imported_agent("codex", "/h/a.jsonl", Some("s"));
    (engine, agent)
}

/// Kept opinions, and findings raised.
fn kinds(outputs: &[Output]) -> (usize, usize) {
    let count = |wanted: fn(&Output) -> bool| outputs.iter().filter(|output| wanted(output)).count();
    (count(|o| matches!(o, Output::Opinion(_))), count(|o| matches!(o, Output::Finding(_))))
}

#[test]
fn one_that_is_about_a_finding_is_kept_and_raises_none() {
    let (mut engine, agent) = engine();
    let outputs = engine.step(input(&agent, vec![opinion(Some("f-1"), "exit=1")]));
    assert_eq!(kinds(&outputs), (1, 0), "{outputs:?}");
}

#[test]
fn one_that_asks_for_a_look_is_a_finding_of_no_weight_once() {
    let (mut engine, agent) = engine();
    let outputs = engine.step(input(&agent, vec![opinion(None, "exit=1")]));
    assert_eq!(kinds(&outputs), (1, 1), "{outputs:?}");
    for output in &outputs {
        match output {
            Output::Finding(finding) => {
                assert_eq!((finding.severity, finding.stage), (Severity::Info, Stage::Initiate));
                assert_eq!((finding.overreach, finding.deception), (0, 0));
                assert_eq!(finding.evidence, [Evidence::Event { seq: 1 }]);
                assert!(finding.summary.contains("in the opinion of the model"), "{}", finding.summary);
            }
            Output::Agent(state) => assert_eq!(state.stage, None, "an opinion is no stage"),
            _ => {}
        }
    }
    let again = engine.step(input(&agent, vec![opinion(None, "exit=1")]));
    assert_eq!(kinds(&again), (1, 0), "{again:?}");
}

#[test]
fn a_model_cannot_bury_the_findings_of_the_record() {
    let (mut engine, agent) = engine();
    let mut raised = 0;
    for n in 0..10 {
        let many = (0..20).map(|m| opinion(None, &format!("quote {n} {m}"))).collect();
        raised += kinds(&engine.step(input(&agent, many))).1;
    }
    assert_eq!(raised, 8);
    assert_eq!(kinds(&engine.step(input("nobody-1", vec![opinion(None, "exit=1")]))), (1, 0));
}

/// Muster's own question to a model is none of an agent.
#[test]
fn the_daemon_that_asks_is_no_agent() {
    let mut rig = Rig::new();
    rig.run("scan 7 path=/usr/local/bin/muster argv=muster|watch\nhttp 7 POST /v1/chat/completions");
    rig.run(
        "scan 300 parent=1 path=/usr/local/bin/muster argv=muster|import\nhttp 300 POST /v1/chat/completions",
    );
    assert_eq!(rig.findings(), "");
    rig.run("scan 301 parent=1 path=/tmp/muster argv=muster|import\nhttp 301 POST /v1/chat/completions");
    assert!(rig.findings().contains("unmandated-agent"), "{}", rig.findings());
}
