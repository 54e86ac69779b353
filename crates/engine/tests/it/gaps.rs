//! What could not be seen is told, with its interval, and nothing is held against an agent across it.

use muster_engine::Before;

use crate::rig::{BOOT_NS, Rig, T0, check};

const SECOND: u64 = 1_000_000_000;
const CODEX: &str = "enrol 100
    exec 100 path=/opt/codex argv=codex|exec HOME=/h
    product 100 codex
    say 100 Hello.
    wait 1\n";
const PHANTOM: &str = "call 100 c1 exec_command pytest -q
    result 100 c1 ok
    say 100 All pass.\n";
const IS_PHANTOM: &str =
    "high phantom-action: its account shows `pytest -q` with a result, but nothing of the kind happened";

/// Runs it with an agent; gaps and then the agent's coverage.
#[track_caller]
fn gaps(script: &str, expected: &[&str]) {
    let mut rig = Rig::new();
    rig.run(CODEX).run(script).run("wait 1");
    let found = format!("{}{}", rig.gaps(), rig.coverage(100));
    assert_eq!(found, expected.join("\n"));
}

/// A phantom after this, and whether it is told.
#[track_caller]
fn phantom(script: &str, told: bool) {
    check(
        &format!("{CODEX}{script}\n{PHANTOM}wait 20\nexit 100 0\nwait 5"),
        if told { IS_PHANTOM } else { "" },
    );
}

#[test]
fn nothing_missing_is_no_gap() {
    gaps("wait 60", &["whole []"]);
    phantom("wait 60", true);
}

#[test]
fn losses_are_one_gap_while_they_go_on() {
    gaps(
        "lost 3\nlost 4\nwait 2\nlost 5\nwait 9\nlost 1",
        &["lost lineage 1–3 boot 1–3 (12): ", "lost lineage 12–12 boot 12–12 (1): ", "partial [lost, lost]"],
    );
    phantom("lost 3\nwait 60", false);
}

#[test]
fn a_probe_is_blind_until_it_sees() {
    gaps(
        "wait 3\nblind sys_exit\nwait 4\nblind sys_exit\nwait 4\nsees sys_exit\nwait 2\nsees sys_exit",
        &["probe_blind sys_exit 0–12 boot 0–12: not traced", "partial [probe_blind]"],
    );
    gaps("blind sys_exit", &["probe_blind sys_exit 0–… boot 0–?: not traced", "partial [probe_blind]"]);
    phantom("blind sys_exit\nwait 9\nsees sys_exit", false);
}

#[test]
fn an_agent_that_comes_after_it_is_whole() {
    let mut rig = Rig::new();
    rig.run("blind sys_exit\nwait 9\nsees sys_exit\nwait 1").run(CODEX);
    assert_eq!(rig.coverage(100), "whole []");
    let mut rig = Rig::new();
    rig.run("blind sys_exit\nwait 9").run(CODEX);
    assert_eq!(rig.coverage(100), "partial [probe_blind]");
}

#[test]
fn a_machine_that_slept_saw_nothing_and_nothing_was() {
    gaps("later 3600", &["asleep 1–3601 boot 1–3601: the machine slept for 3600 s", "whole [asleep]"]);
    phantom("later 3600\nwait 9", true);
}

#[test]
fn a_daemon_that_stood_still_looked_late() {
    gaps("stall 4", &["whole []"]);
    gaps("stall 8", &["stalled 1–9 boot 1–9: the daemon was held up for 8 s", "whole [stalled]"]);
}

#[test]
fn a_clock_that_was_set_is_told_on_the_clock_that_was_not() {
    gaps(
        "wait 9\nset 3600\nwait 2",
        &[
            "clock_step 10–3610 boot 10–10: the wall clock was set 3600.0 s forward: these times never were",
            "whole [clock_step]",
        ],
    );
    gaps(
        "wait 9\nset -3600\nwait 2",
        &[
            "clock_step -3589–10 boot 10–10: the wall clock was set 3600.0 s back: these times were twice",
            "whole [clock_step]",
        ],
    );
    // Which call was when, nobody knows; long after, all is well again.
    phantom("wait 9\nset 3600\nwait 2", false);
    phantom("wait 9\nset -3600\nwait 2", false);
    phantom("wait 9\nset 3600\nwait 60", true);
    phantom("wait 9\nset -3600\nwait 60", true);
}

#[test]
fn an_act_whose_call_was_in_the_time_that_was_twice_is_not_unreported() {
    let act = "fork 100 101
        exec 101 path=/bin/bash argv=/bin/bash|-c|make~all
        exit 101 0";
    let unreported = "high unreported-action: ran `make all`, which no tool call in its account explains";
    let run = |script: &str, expected: &str| {
        check(
            &format!(
                "{CODEX}call 100 c0 exec_command ls\nresult 100 c0 denied\n{script}\nsay 100 Done.\nwait 120\nexit 100 0\nwait 5"
            ),
            expected,
        );
    };
    run(act, unreported);
    // To set the clock is no way to hide an act.
    run(&format!("wait 9\nset -3600\n{act}"), unreported);
    run(&format!("call 100 c1 exec_command make all\nset -3600\n{act}"), "");
}

#[test]
fn an_account_is_unreadable_until_it_is_read() {
    gaps(
        "wait 9\nunreadable 100 /h/x no~room\nwait 3\nunreadable 100 /h/x no~room\nwait 4\nreadable 100 /h/x",
        &["account_unreadable /h/x of one 0–17 boot 0–17: no room", "whole [account_unreadable]"],
    );
    gaps(
        "unreadable 100 /h/x no~room",
        &["account_unreadable /h/x of one 0–… boot 0–?: no room", "whole [account_unreadable]"],
    );
}

#[test]
fn an_act_is_not_unreported_where_the_report_could_not_be_read() {
    let script = "call 100 c0 exec_command ls
        result 100 c0 denied
        unreadable 100 /h/x no~room
        fork 100 101
        exec 101 path=/bin/bash argv=/bin/bash|-c|make~all
        exit 101 0
        wait 40
        exit 100 0
        wait 5";
    check(&format!("{CODEX}{script}"), "");
}

#[track_caller]
fn down(before: Before, expected: &str) -> Rig {
    let mut rig = Rig::after(Some(before));
    // One that was there before, and one that came after.
    rig.run("scan 9 parent=1 path=/opt/codex argv=codex|exec HOME=/h\nproduct 9 codex");
    rig.run("enrol 100\nexec 100 path=/opt/codex argv=codex|exec HOME=/h\nproduct 100 codex\nwait 1");
    assert_eq!(rig.gaps(), format!("{expected}\n"));
    rig
}

fn before(seconds: u64, boot_id: &str, stopped: bool) -> Before {
    let ns = seconds * SECOND;
    Before { time_ns: T0 - ns, boot_ns: BOOT_NS - ns, boot_id: boot_id.to_owned(), stopped }
}

#[test]
fn a_daemon_that_was_not_there_saw_nothing() {
    let rig =
        down(before(90, "boot", true), "daemon_down -90–0 boot -90–0: the daemon was stopped in good order");
    assert_eq!(rig.coverage(9), "partial [daemon_down]");
    assert_eq!(rig.coverage(100), "record only []");
    down(
        before(90, "boot", false),
        "daemon_down -90–0 boot -90–0: the daemon ended without a word: it was killed, or the machine was",
    );
    down(
        before(90, "another", false),
        "daemon_down -90–0 boot -90–0: the daemon ended without a word: it was killed, or the machine was; \
         the machine was started anew",
    );
    // By the clock that nobody sets, it was longer.
    let set = Before { boot_ns: BOOT_NS - 3600 * SECOND, ..before(90, "boot", true) };
    down(
        set,
        "daemon_down -90–0 boot -3600–0: the daemon was stopped in good order; the wall clock was set by -3510 s \
         meanwhile",
    );
}

#[test]
fn an_agent_of_before_is_not_held_to_what_nobody_saw() {
    let mut rig = Rig::after(Some(before(90, "boot", false)));
    // Its enrolment outlives the daemon.
    rig.run("enrol 9\nscan 9 parent=1 path=/opt/codex argv=codex|exec HOME=/h\nproduct 9 codex\nwait 1");
    rig.run(&PHANTOM.replace("100", "9")).run("wait 20\nexit 9 0\nwait 5");
    assert_eq!(rig.findings().lines().filter(|line| line.contains("phantom")).count(), 0);
}
