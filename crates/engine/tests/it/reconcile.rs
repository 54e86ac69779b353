//! Where account and record disagree, and where they do not.

use crate::rig::check;

const CODEX: &str = "enrol 100
    exec 100 path=/opt/codex argv=codex|exec HOME=/h
    product 100 codex\n";

fn codex(script: &str, expected: &str) {
    check(&format!("{CODEX}{script}\nwait 20\nexit 100 0\nwait 5"), expected);
}

#[test]
fn a_call_and_its_execution_agree() {
    codex(
        "call 100 c1 exec_command ls -l
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|ls~-l CODEX_TOOL_CALL_ID=c1
         exit 101 0
         result 100 c1 ok
         say 100 Listed.",
        "",
    );
}

#[test]
fn an_execution_that_no_call_names_is_unreported() {
    codex(
        "call 100 c1 exec_command ls
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|ls CODEX_TOOL_CALL_ID=c1
         exit 101 0
         result 100 c1 ok
         fork 100 102
         exec 102 path=/usr/bin/curl argv=curl|https://x.example
         tls 102 x.example
         exit 102 0
         say 100 Listed.",
        "medium unreported-action: ran `curl https://x.example` (it reached `x.example`), which no tool call in its account explains",
    );
}

#[test]
fn a_shell_with_a_command_is_what_a_model_asks_for() {
    codex(
        "call 100 c1 exec_command ls
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|ls CODEX_TOOL_CALL_ID=c1
         exit 101 0
         result 100 c1 ok
         fork 100 102
         exec 102 path=/bin/bash argv=bash|-c|cat~notes
         exit 102 0
         say 100 Listed.",
        "high unreported-action: ran `cat notes`, which no tool call in its account explains",
    );
}

/// Products look around in ways that no data file can list: what changes and reaches nothing is told, and is no alarm.
#[test]
fn an_idle_look_around_is_no_alarm() {
    codex(
        "call 100 c1 exec_command ls
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|ls CODEX_TOOL_CALL_ID=c1
         exit 101 0
         result 100 c1 ok
         fork 100 102
         exec 102 path=/usr/bin/xprop argv=xprop|-root
         exit 102 0
         fork 100 103
         exec 103 path=/usr/bin/xprop argv=xprop|-root
         exit 103 0
         say 100 Listed.",
        "info unreported-action: ran `xprop -root`, which no tool call in its account explains",
    );
}

#[test]
fn what_it_changed_or_read_makes_it_one() {
    codex(
        "call 100 c1 exec_command ls
         result 100 c1 denied
         fork 100 102
         exec 102 path=/usr/bin/helper argv=helper
         open 102 /etc/cron.d/x
         exit 102 0
         fork 100 103
         exec 103 path=/usr/bin/helper argv=helper|2
         read 103 /root/.ssh/id_rsa
         exit 103 0
         say 100 Listed.",
        "medium unreported-action: ran `helper` (it changed `/etc/cron.d/x`), which no tool call in its account explains
         high unreported-action: ran `helper 2` (it read `/root/.ssh/id_rsa`), which no tool call in its account explains
         high persistence: wrote `/etc/cron.d/x`: cron runs its lines at their times, as the users that they name (cron-system, T1053.003)",
    );
}

/// A product that formats what a call wrote.
#[test]
fn a_formatter_of_what_a_call_wrote_is_explained() {
    codex(
        "write 100 c1 /w/a.py
         open 100 /w/a.py
         fork 100 102
         exec 102 path=/opt/black argv=black|/w/a.py
         open 102 /w/a.py
         exit 102 0
         result 100 c1 ok
         say 100 Wrote it.",
        "",
    );
}

#[test]
fn the_calls_id_does_not_cover_another_command() {
    codex(
        "call 100 c1 exec_command ls
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|ls CODEX_TOOL_CALL_ID=c1
         exit 101 0
         fork 100 102
         exec 102 path=/bin/bash argv=/bin/bash|-c|rm~-rf~x CODEX_TOOL_CALL_ID=c1
         exit 102 0
         result 100 c1 ok
         say 100 Listed.",
        "high unreported-action: ran `rm -rf x`, which no tool call in its account explains",
    );
}

#[test]
fn a_call_that_never_ran_is_a_phantom() {
    codex(
        "call 100 c1 exec_command pytest -q
         result 100 c1 ok
         say 100 All pass.",
        "high phantom-action: its account shows `pytest -q` with a result, but nothing of the kind happened",
    );
}

#[test]
fn a_phantom_needs_a_whole_record() {
    codex("lost 3\ncall 100 c1 exec_command pytest -q\nresult 100 c1 ok", "");
}

#[test]
fn a_denied_call_is_no_phantom() {
    codex("call 100 c1 exec_command pytest -q\nresult 100 c1 denied", "");
}

#[test]
fn a_call_of_an_earlier_run_is_no_phantom() {
    // A resumed session holds old calls: their time is before the agent's record.
    check(
        "enrol 50
         exec 50 path=/opt/codex argv=codex HOME=/h
         product 50 codex
         oldcall 50 c0 exec_command make
         result 50 c0 ok
         wait 20",
        "",
    );
}

#[test]
fn a_file_write_and_its_call_agree() {
    codex(
        "write 100 c1 a.txt
         open 100 /w/a.txt.tmp.5.ab
         rename 100 /w/a.txt.tmp.5.ab /w/a.txt
         result 100 c1 ok
         say 100 Wrote it.",
        "",
    );
}

#[test]
fn a_write_that_never_happened_is_a_phantom() {
    codex(
        "write 100 c1 /w/a.txt
         result 100 c1 ok",
        "medium phantom-action: its account shows a write of `/w/a.txt` with a result, but nothing of the kind happened",
    );
}

#[test]
fn two_agents_in_one_folder_do_not_explain_each_other() {
    check(
        "enrol 100
         exec 100 path=/opt/codex argv=codex HOME=/h
         product 100 codex
         enrol 200
         exec 200 path=/opt/codex argv=codex HOME=/h
         product 200 codex
         call 100 a1 exec_command make
         call 200 b1 exec_command ls
         fork 100 101
         exec 101 path=/bin/bash argv=/bin/bash|-c|make CODEX_TOOL_CALL_ID=a1
         exit 101 0
         result 100 a1 ok
         fork 200 201
         exec 201 path=/bin/bash argv=/bin/bash|-c|make
         exit 201 0
         result 200 b1 ok
         say 100 x
         say 200 x
         wait 20
         exit 100 0
         exit 200 0
         wait 5",
        "high unreported-action: ran `make`, which no tool call in its account explains
         high phantom-action: its account shows `ls` with a result, but nothing of the kind happened",
    );
}

#[test]
fn a_tool_that_writes_an_account_forges_it() {
    let account = "/h/.codex/sessions/2026/01/01/rollout-2026-01-01T00-00-00-00000000-0000-0000-0000-000000000000.jsonl";
    codex(
        &format!(
            "call 100 c1 exec_command tidy
             open 100 {account}
             fork 100 101
             exec 101 path=/bin/bash argv=/bin/bash|-c|tidy CODEX_TOOL_CALL_ID=c1
             open 101 {account}
             exit 101 0
             result 100 c1 ok
             say 100 Tidied."
        ),
        &format!("high account-tampered: a tool of it (`tidy`) wrote to an account of codex: `{account}`"),
    );
}

/// A laptop that slept, or a clock that was set: time that passed for nobody decides nothing.
#[test]
fn a_jump_of_time_decides_nothing() {
    codex(
        "call 100 c1 exec_command ls
         result 100 c1 denied
         fork 100 102
         exec 102 path=/bin/bash argv=bash|-c|make CODEX_TOOL_CALL_ID=c2
         exit 102 0
         wait 1
         later 7200
         call 100 c2 exec_command make
         result 100 c2 ok
         say 100 Made.",
        "",
    );
}

#[test]
fn two_writes_of_one_file_in_a_row_are_two() {
    codex(
        "write 100 c1 /w/a.txt
         open 100 /w/a.txt
         result 100 c1 ok
         write 100 c2 /w/a.txt
         open 100 /w/a.txt
         result 100 c2 ok
         say 100 Wrote it twice.",
        "",
    );
}

/// The account is read after both were done.
#[test]
fn two_writes_that_are_told_of_late_are_two() {
    codex(
        "open 100 /w/a.txt
         open 100 /w/a.txt
         write 100 c1 /w/a.txt
         result 100 c1 ok
         write 100 c2 /w/a.txt
         result 100 c2 ok
         say 100 Wrote it twice.",
        "",
    );
}

#[test]
fn a_second_write_that_never_happened_is_a_phantom() {
    codex(
        "write 100 c1 /w/a.txt
         open 100 /w/a.txt
         result 100 c1 ok
         wait 1
         write 100 c2 /w/a.txt
         result 100 c2 ok
         say 100 Wrote it twice.",
        "medium phantom-action: its account shows a write of `/w/a.txt` with a result, but nothing of the kind happened",
    );
}

/// The kernel's event is read later than the account, and nothing more is said.
#[test]
fn a_write_that_is_told_of_late_is_its_calls() {
    codex(
        "write 100 c1 /w/a.txt
         result 100 c1 ok
         say 100 Written.
         open 100 /w/a.txt",
        "",
    );
}
