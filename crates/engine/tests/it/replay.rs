//! The same inputs give the same outputs, byte for byte.

use muster_engine::{Engine, Products};

use crate::rig::Rig;

#[test]
fn a_replay_gives_the_same_outputs() {
    let mut rig = Rig::new();
    rig.run(
        "exec 100 path=/opt/claude argv=claude HOME=/h
         product 100 claude-code
         call 100 c1 Bash ls
         result 100 c1 ok
         fork 100 101
         exec 101 path=/usr/bin/curl argv=curl|x
         exit 101 0
         exec 200 path=/usr/bin/python3 argv=python3|x.py
         http 200 POST /v1/messages
         wait 20
         exit 100 0
         wait 5",
    );
    let mut again = Engine::with_rules(Products::built_in().unwrap(), muster_engine::Rules::none());
    let outputs: Vec<_> = rig.inputs.iter().cloned().flat_map(|input| again.step(input)).collect();
    assert_eq!(format!("{outputs:?}"), format!("{:?}", rig.outputs));
    assert!(!rig.findings().is_empty());
}
