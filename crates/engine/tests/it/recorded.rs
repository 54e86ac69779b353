//! Records that others kept: what may be held against an agent by them, and what not.

use muster_engine::Output;

use crate::rig::{Rig, check};

const BEGIN: &str = "
    recorded
    fork 1 100
    exec 100 path=/x/claude argv=claude|-p cwd=/w
    product 100 claude-code
";

/// Nobody could enrol it where Muster was not; an act that no call explains is one all the same.
#[test]
fn an_agent_of_a_record_has_no_mandate_to_lack() {
    check(&format!("{BEGIN} wait 3"), "");
    check(
        &format!(
            "{BEGIN}
            call 100 c1 execute ls
            fork 100 101
            exec 101 path=/bin/bash argv=bash|-c|evil
            exit 101 0
            result 100 c1 ok
            say 100 done
            exit 100 0
            wait 9"
        ),
        "high unreported-action: ran `evil`, which no tool call in its account explains
         high phantom-action: its account shows `ls` with a result, but nothing of the kind happened",
    );
}

/// Of a command line that is cut nobody can say whether a call names it; nor of the call that may be it.
#[test]
fn a_cut_command_line_is_held_against_nobody() {
    check(
        &format!(
            "{BEGIN}
            call 100 c1 execute ls
            fork 100 101
            exec 101 path=/bin/bash argv=bash|-c|source cut=1
            exit 101 0
            result 100 c1 ok
            say 100 done
            exit 100 0
            wait 9"
        ),
        "",
    );
}

/// Where files were not traced, a write that is not there is none that is missing.
#[test]
fn what_is_blind_makes_no_phantom() {
    check(
        &format!(
            "recorded
            blind record:open
            {BEGIN}
            write 100 c1 /w/a.txt
            result 100 c1 ok
            say 100 done
            exit 100 0
            wait 9"
        ),
        "",
    );
}

/// There are no configuration files: what ran before the model asked for anything is the user's hook, later too.
#[test]
fn a_hook_is_known_by_having_run_before_the_model() {
    let hook = |pid: u32, text: &str| {
        format!("fork 100 {pid}\nexec {pid} path=/bin/bash argv=bash|-c|{text}\nexit {pid} 0\n")
    };
    let script = format!(
        "{BEGIN} {} wait 2
        call 100 c1 execute ls
        {} {}
        result 100 c1 ok
        {} say 100 done
        exit 100 0
        wait 9",
        hook(101, "my-hook"),
        hook(102, "ls"),
        hook(103, "my-hook"),
        hook(104, "not-my-hook"),
    );
    check(&script, "high unreported-action: ran `not-my-hook`, which no tool call in its account explains");
}

#[test]
fn where_it_is_from_stands_on_the_roll() {
    let mut rig = Rig::new();
    rig.run(BEGIN);
    let found = rig.outputs.iter().rev().find_map(|output| match output {
        Output::Agent(state) => Some(state.found_by.clone()),
        _ => None,
    });
    assert!(found.unwrap().ends_with(", in strace `x.log`"));
}
