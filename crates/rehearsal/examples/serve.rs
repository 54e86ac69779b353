//! A scripted model on its own, for agents started by hand: `serve STEP…`; prints its address, then each request's path.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the test rig")]

use muster_rehearsal::{Model, Script, Step};

fn main() {
    let steps: Vec<Step> = std::env::args()
        .skip(1)
        .map(|text| match text.split_once(':').expect("KIND:TEXT") {
            ("say", rest) => Step::say(rest),
            ("sh", rest) => Step::shell(rest),
            ("bg", rest) => Step::background(rest),
            ("read", rest) => Step::read(rest),
            ("last", rest) => Step::last(rest),
            ("wait", rest) => Step::Wait(rest.parse().expect("milliseconds")),
            ("write", rest) => {
                let (path, content) = rest.split_once('=').expect("PATH=TEXT");
                Step::write(path, content)
            }
            (other, _) => panic!("no such step: {other}"),
        })
        .collect();
    let model = Model::start(Script::new(steps)).expect("a model");
    println!("{}", model.url());
    loop {
        std::thread::park();
    }
}
