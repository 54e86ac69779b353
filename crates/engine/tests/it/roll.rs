//! Who is on the roll, and who is not.

use muster_engine::Output;

use crate::rig::{Rig, check, check_roll};

#[test]
fn a_product_is_known_by_its_files_and_is_unmandated() {
    check(
        "exec 100 path=/opt/claude argv=claude|-p cwd=/w HOME=/h
         product 100 claude-code",
        "medium unmandated-agent: claude-code (pid 100) runs without a mandate: recognised by test",
    );
}

#[test]
fn a_process_that_only_has_an_agents_name_is_none() {
    check_roll(
        "exec 100 path=/tmp/claude argv=claude|1000
         stranger 100",
        "",
    );
}

#[test]
fn who_posts_to_a_model_api_on_loopback_is_an_agent() {
    check(
        "exec 100 path=/usr/bin/python3.11 argv=python3|agentx.py
         stranger 100
         http 100 POST /v1/chat/completions",
        "medium unmandated-agent: an agent of no known product (`python3`, pid 100) runs without a mandate: posted to `/v1/chat/completions` at `127.0.0.1:80`",
    );
}

#[test]
fn who_speaks_tls_to_a_provider_is_an_agent_and_a_browser_is_not() {
    check_roll(
        "exec 100 path=/usr/bin/python3.11 argv=python3|x.py
         exec 200 path=/usr/bin/chromium argv=chromium
         tls 100 api.openai.com
         tls 200 api.openai.com",
        "unknown 100 unmandated running processes=1",
    );
}

#[test]
fn a_browser_by_name_only_is_no_bystander() {
    check_roll(
        "exec 200 path=/tmp/chromium argv=chromium
         tls 200 api.openai.com",
        "unknown 200 unmandated running processes=1",
    );
}

#[test]
fn a_loop_of_curl_is_one_agent_the_script() {
    check_roll(
        "exec 100 path=/bin/bash argv=bash|agent.sh
         fork 100 101
         exec 101 path=/usr/bin/curl argv=curl|-d|x|http://127.0.0.1/v1/messages
         http 101 POST /v1/messages
         exit 101 0
         fork 100 102
         exec 102 path=/usr/bin/curl argv=curl|-d|x|http://127.0.0.1/v1/messages
         http 102 POST /v1/messages",
        "unknown 100 unmandated running processes=2",
    );
}

#[test]
fn muster_run_enrols() {
    check_roll(
        "enrol 100
         exec 100 path=/opt/claude argv=claude cwd=/w HOME=/h
         product 100 claude-code
         fork 100 101",
        "claude-code 100 mandated running processes=2",
    );
    check("enrol 100\nexec 100 path=/opt/claude argv=claude\nproduct 100 claude-code\nwait 5", "");
}

#[test]
fn a_shell_that_starts_the_enrolled_product_is_part_of_the_agent() {
    check_roll(
        "enrol 100
         exec 100 path=/bin/sh argv=sh|-c|claude
         fork 100 101
         exec 101 path=/opt/claude argv=claude
         product 101 claude-code",
        "claude-code 100 mandated running processes=2",
    );
}

#[test]
fn a_launcher_and_its_native_program_are_one_agent() {
    check_roll(
        "exec 100 path=/usr/bin/node argv=node|codex.js
         product 100 codex launcher
         fork 100 101
         exec 101 path=/opt/codex argv=codex
         product 101 codex",
        "codex 100 unmandated running processes=2",
    );
}

#[test]
fn an_agent_that_an_agents_tool_starts_is_an_agent_of_its_own() {
    check_roll(
        "enrol 100
         exec 100 path=/opt/claude argv=claude
         product 100 claude-code
         fork 100 101
         exec 101 path=/bin/bash argv=bash|-c|codex
         fork 101 102
         exec 102 path=/opt/codex argv=codex
         product 102 codex",
        "claude-code 100 mandated running processes=2
         codex 102 mandated running processes=1",
    );
}

#[test]
fn descent_survives_double_fork_and_the_end_of_the_root() {
    check_roll(
        "exec 100 path=/opt/claude argv=claude
         product 100 claude-code
         fork 100 101
         fork 101 102
         exit 101 0
         exec 102 path=/usr/bin/sleep argv=sleep|100 parent=1
         exit 100 0",
        "claude-code 100 unmandated running processes=1",
    );
}

#[test]
fn an_agent_found_late_brings_its_descendants() {
    check_roll(
        "scan 100 parent=1 path=/usr/bin/python3 argv=python3|x.py
         scan 101 parent=100 path=/bin/sh argv=sh|y.sh
         http 100 POST /api/chat",
        "unknown 100 unmandated running processes=2",
    );
}

#[test]
fn a_process_under_a_tmux_server_is_known_by_its_marker() {
    check_roll(
        "exec 100 path=/opt/claude argv=claude
         product 100 claude-code
         session 100 s1
         exec 300 path=/bin/bash argv=bash parent=1 CLAUDE_CODE_SESSION_ID=s1",
        "claude-code 100 unmandated running processes=2",
    );
}

#[test]
fn acts_against_the_daemon_are_findings() {
    check(
        "enrol 100
         exec 100 path=/opt/claude argv=claude
         kill 100 7
         open 100 /var/lib/muster/ledger/x",
        "critical monitor-tampering: sent signal 9 to Muster's daemon (pid 7)
         critical monitor-tampering: wrote to Muster's own file `/var/lib/muster/ledger/x`",
    );
}

/// What the engine keeps does not grow with the agents that were.
#[test]
fn agents_that_ended_are_forgotten() {
    let mut rig = Rig::new();
    for pid in 1000..1600 {
        rig.run(&format!(
            "exec {pid} path=/usr/bin/python3 argv=python3|x.py
             http {pid} POST /v1/messages
             exit {pid} 0"
        ));
    }
    rig.run("later 90");
    let forgotten = |rig: &Rig| rig.outputs.iter().filter(|o| matches!(o, Output::Forget { .. })).count();
    assert_eq!(forgotten(&rig), 600 - 512);
    rig.run("later 1800");
    assert_eq!(forgotten(&rig), 600);
}
