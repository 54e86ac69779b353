//! What joins a lineage without a fork: files that others run, services that were asked, two lineages on one process. Each
//! with its benign twin, which is at most listed.

use crate::rig::Rig;

/// An agent that works in `/home/u/project`, its shell 101; a person's terminal, cron, and systemd.
const BEGIN: &str = "
    scan 1 parent=0 path=/usr/lib/systemd/systemd argv=/sbin/init
    scan 20 parent=1 path=/usr/sbin/cron argv=/usr/sbin/cron|-f
    scan 30 parent=1 path=/usr/bin/bash argv=-bash cwd=/home/u
    scan 40 parent=1 path=/usr/bin/tmux argv=tmux|new|-d
    enrol 100
    exec 100 path=/opt/agent argv=agent cwd=/home/u/project HOME=/home/u
    fork 100 101
    exec 101 path=/usr/bin/bash argv=bash|-c|work cwd=/home/u/project
";

#[track_caller]
fn check(script: &str, expected: &str) -> Rig {
    let mut rig = Rig::new();
    rig.run(BEGIN).run(script).run("wait 8");
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert_eq!(rig.descents(), expected, "{script}");
    assert_eq!(rig.findings(), "");
    rig
}

#[track_caller]
fn check_members(script: &str, expected: &str, members: &[u32]) {
    let rig = check(script, expected);
    let mut all = vec![101];
    all.extend(members);
    assert_eq!(rig.members(100), all, "{script}");
}

#[test]
fn what_cron_runs_of_the_lineage_joins() {
    check_members(
        "open 101 /opt/x.sh
        fork 20 200
        fork 200 201
        exec 201 path=/usr/bin/dash argv=/bin/sh|-c|/opt/x.sh parent=200
        fork 201 202
        exec 202 path=/usr/bin/bash script=/opt/x.sh argv=/bin/bash|/opt/x.sh parent=201
        fork 202 203
        exec 203 path=/usr/bin/sleep argv=sleep|9",
        "certain 202 of 100 runs /opt/x.sh: started by cron",
        &[202, 203],
    );
}

#[test]
fn a_copy_by_any_way_is_the_lineages() {
    // Copied, renamed, linked, each by tools of the lineage; the interpreter is given the path as it pleases.
    for (how, run) in [
        ("open 101 /tmp/a\nrename 101 /tmp/a /opt/b", "/opt/b"),
        ("open 101 /tmp/a\nhardlink 101 /tmp/a /opt/b\nunlink 101 /tmp/a", "/opt/b"),
        ("open 101 /opt/real\nsymlink 101 real /opt/b", "/opt/b"),
        ("open 101 /opt/d/b\nrename 101 /opt/d /opt/e", "/opt/e/b"),
    ] {
        check_members(
            &format!(
                "{how}
                fork 20 200
                exec 200 path=/usr/bin/dash argv=/bin/sh|-c|x
                fork 200 201
                exec 201 path=/usr/bin/python3.11 argv=python3|-u|.{run} cwd=/"
            ),
            &format!("certain 201 of 100 runs {run}: started by cron"),
            &[201],
        );
    }
}

#[test]
fn the_users_own_run_is_at_most_likely() {
    // In the terminal: a project file, and one outside it.
    check_members(
        "open 101 /home/u/project/app.py
        open 101 /tmp/try.sh
        fork 30 200
        exec 200 path=/usr/bin/python3 argv=python3|app.py cwd=/home/u/project
        fork 30 201
        exec 201 path=/usr/bin/bash argv=bash|/tmp/try.sh
        fork 30 202
        exec 202 path=/usr/bin/python3 argv=python3|app.py cwd=/home/u/project",
        "likely 200 of 100 runs /home/u/project/app.py: it lies in the folder that the agent works in, where others run it too
        likely 201 of 100 runs /tmp/try.sh: a person's shell started it",
        &[],
    );
    // A task runner, an editor; a shell below a scheduler in which somebody types.
    check_members(
        "open 101 /opt/x
        fork 30 200
        exec 200 path=/usr/bin/make argv=make
        fork 200 201
        exec 201 path=/opt/x argv=/opt/x
        fork 1 300
        exec 300 path=/usr/share/code/code argv=code
        fork 300 301
        exec 301 path=/usr/bin/dash argv=sh|-c|/opt/x
        fork 301 302
        exec 302 path=/opt/x argv=/opt/x",
        "likely 201 of 100 runs /opt/x: `/usr/bin/make` started it",
        &[],
    );
    // A desktop has the user's service manager start what is clicked at.
    check_members(
        "scan 50 parent=1 path=/usr/lib/systemd/systemd argv=systemd|--user
        open 101 /home/u/Downloads/x.AppImage
        fork 50 200
        exec 200 path=/home/u/Downloads/x.AppImage argv=x",
        "likely 200 of 100 runs /home/u/Downloads/x.AppImage: `/usr/lib/systemd/systemd` started it",
        &[],
    );
}

#[test]
fn what_others_had_before_is_only_changed() {
    // Run before the agent touched it; opened to append; and then written by another lineage.
    check_members(
        "fork 20 200
        exec 200 path=/opt/backup argv=/opt/backup
        exit 200 0
        open 101 /opt/backup
        append 101 /opt/more
        fork 20 201
        exec 201 path=/opt/backup argv=/opt/backup
        fork 20 202
        exec 202 path=/opt/more argv=/opt/more
        open 101 /opt/both
        enrol 500
        exec 500 path=/opt/agent argv=agent cwd=/elsewhere/x
        open 500 /opt/both
        fork 20 203
        exec 203 path=/opt/both argv=/opt/both",
        "likely 201 of 100 runs /opt/backup: it was there before, and only changed
        likely 202 of 100 runs /opt/more: it was there before, and only changed
        likely 203 of 100 runs /opt/both: another lineage has written it since
        certain 203 of 500 runs /opt/both: started by cron",
        &[],
    );
}

#[test]
fn what_is_gone_or_never_was_the_lineages_says_nothing() {
    check_members(
        "open 101 /opt/x
        unlink 101 /opt/x
        rename 101 /opt/theirs /opt/y
        symlink 101 /usr/bin/python3 /opt/venv/python
        fork 20 200
        exec 200 path=/opt/x argv=/opt/x
        fork 20 201
        exec 201 path=/opt/y argv=/opt/y
        fork 20 202
        exec 202 path=/usr/bin/python3 argv=/opt/venv/python|/opt/z",
        "",
        &[],
    );
}

#[test]
fn an_unrelated_process_is_listed_and_not_followed() {
    check_members(
        "open 101 /tmp/x
        rename 101 /tmp/x /tmp/y
        fork 50 200
        exec 200 path=/usr/bin/setsid argv=setsid|/tmp/y parent=50
        exec 200 path=/usr/bin/dash script=/tmp/y argv=/bin/sh|/tmp/y parent=50",
        "likely 200 of 100 runs /tmp/y: who started it was not seen",
        &[],
    );
}

#[test]
fn tmux_is_asked() {
    check_members(
        "fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|new-window|-d|python3~/tmp/x.py
        fork 40 200
        exec 200 path=/usr/bin/bash argv=bash|-c|python3~/tmp/x.py
        fork 200 201
        exec 201 path=/usr/bin/python3 argv=python3|/tmp/x.py",
        "certain 200 of 100 asked tmux",
        &[110, 200, 201],
    );
    check_members(
        "fork 40 41
        exec 41 path=/usr/bin/bash argv=-bash
        fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|send-keys|-t|0|cd~/tmp;~./run~--all|Enter
        fork 41 200
        exec 200 path=/tmp/run argv=./run|--all",
        "certain 200 of 100 asked tmux",
        &[110, 200],
    );
}

#[test]
fn what_was_asked_once_is_answered_once() {
    // The user types the same a little later.
    check_members(
        "fork 40 41
        exec 41 path=/usr/bin/bash argv=-bash
        fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|send-keys|-t|0|make~test|Enter
        fork 41 200
        exec 200 path=/usr/bin/make argv=make|test
        fork 41 201
        exec 201 path=/usr/bin/make argv=make|test",
        "certain 200 of 100 asked tmux",
        &[110, 200],
    );
    // A loop goes on for as long as it is answered.
    check_members(
        "fork 40 41
        exec 41 path=/usr/bin/bash argv=-bash
        fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|send-keys|-t|0|while~true;~do~./x~1;~done|Enter
        fork 41 200
        exec 200 path=/tmp/x argv=./x|1
        wait 20
        fork 41 201
        exec 201 path=/tmp/x argv=./x|1
        wait 20
        fork 41 202
        exec 202 path=/tmp/x argv=./x|1",
        "certain 200 of 100 asked tmux
        certain 201 of 100 asked tmux
        certain 202 of 100 asked tmux",
        &[110, 200, 201, 202],
    );
}

#[test]
fn the_users_own_tmux_is_the_users() {
    // A window that the user opens, a command that the user types, the agent only looks, and what comes too late.
    check_members(
        "fork 40 41
        exec 41 path=/usr/bin/bash argv=-bash
        fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|list-windows
        fork 40 42
        exec 42 path=/usr/bin/bash argv=-bash
        fork 101 111
        exec 111 path=/usr/bin/tmux argv=tmux|send-keys|-t|0|make~test|Enter
        fork 41 200
        exec 200 path=/usr/bin/make argv=make|lint
        wait 60
        fork 41 201
        exec 201 path=/usr/bin/make argv=make|test",
        "",
        &[110, 111],
    );
    // A program that calls itself tmux is not the server; nor is somebody else's.
    check_members(
        "fork 30 45
        exec 45 path=/home/u/tmux argv=tmux
        fork 101 110
        exec 110 path=/usr/bin/tmux argv=tmux|new|-d|/opt/x~1
        fork 45 200
        exec 200 path=/opt/x argv=/opt/x|1",
        "",
        &[110],
    );
}

#[test]
fn where_only_the_time_fits_it_is_likely() {
    check_members(
        "fork 101 110
        exec 110 path=/usr/bin/systemctl argv=systemctl|start|x.service
        fork 1 200
        exec 200 path=/usr/sbin/nginx argv=nginx
        fork 1 201
        exec 201 path=/usr/sbin/other argv=other",
        "likely 200 of 100 asked systemd: only the time fits",
        &[110],
    );
    // A socket of the service, spoken to directly.
    check_members(
        "scan 60 parent=1 path=/usr/bin/containerd-shim-runc-v2 argv=shim
        fork 101 110
        exec 110 path=/usr/bin/curl argv=curl|--unix-socket|/run/docker.sock
        socket 110 /run/docker.sock
        fork 60 200
        exec 200 path=/usr/sbin/nginx argv=nginx",
        "likely 200 of 100 asked docker: only the time fits",
        &[110],
    );
}

#[test]
fn services_run_what_they_were_asked() {
    check_members(
        "fork 101 110
        exec 110 path=/usr/bin/systemd-run argv=systemd-run|--unit=u|/bin/sh|-c|sleep~300
        fork 1 200
        exec 200 path=/usr/lib/systemd/systemd-executor argv=systemd-executor|--log
        exec 200 path=/usr/bin/dash argv=/bin/sh|-c|sleep~300
        fork 200 201
        exec 201 path=/usr/bin/sleep argv=sleep|300",
        "certain 200 of 100 asked systemd",
        &[110, 200, 201],
    );
    check_members(
        "scan 61 parent=1 path=/usr/sbin/sshd argv=sshd
        fork 101 110
        exec 110 path=/usr/bin/ssh argv=ssh|-p|2222|u@127.0.0.1|nohup~/tmp/x~1
        fork 61 200
        exec 200 path=/usr/sbin/sshd argv=sshd|-R
        fork 200 201
        exec 201 path=/usr/bin/bash argv=bash|-c|nohup~/tmp/x~1",
        "certain 201 of 100 asked ssh",
        &[110, 201],
    );
}

#[test]
fn two_lineages_share_a_process() {
    // The second has the tmux server of the first start something.
    let mut rig = Rig::new();
    rig.run(BEGIN).run(
        "fork 101 102
        exec 102 path=/usr/bin/tmux argv=tmux|-L|own|new|-d
        fork 102 103
        enrol 500
        exec 500 path=/opt/agent argv=agent cwd=/elsewhere/x
        fork 500 501
        exec 501 path=/usr/bin/tmux argv=tmux|-L|own|new-window|/tmp/x~1
        fork 103 200
        exec 200 path=/usr/bin/bash argv=bash|-c|/tmp/x~1
        fork 200 201
        exec 201 path=/tmp/x argv=/tmp/x|1
        wait 1",
    );
    assert_eq!(rig.descents(), "certain 200 of 500 asked tmux\n");
    assert_eq!(rig.members(100), [101, 102, 103, 200, 201]);
    assert_eq!(rig.members(500), [200, 201, 501]);
    rig.run("exit 501 0\nexit 500 0\nwait 1");
    assert!(rig.roll().contains("unknown 500 mandated running processes=2"), "{}", rig.roll());
    rig.run("exit 201 0\nexit 200 0\nwait 1");
    assert!(rig.roll().contains("unknown 500 mandated ended processes=0"), "{}", rig.roll());
    assert!(rig.roll().contains("unknown 100 mandated running processes=4"), "{}", rig.roll());
}

#[test]
fn an_agent_that_was_forgotten_comes_back_with_its_file() {
    let mut rig = check(
        "open 101 /opt/x
        exit 101 0
        exit 100 0
        later 7200
        fork 20 200
        exec 200 path=/opt/x argv=/opt/x",
        "certain 200 of 100 runs /opt/x: started by cron",
    );
    assert!(rig.roll().contains("unknown 100 mandated running processes=1"), "{}", rig.roll());
    rig.run("exit 200 0\nwait 60");
    assert!(rig.roll().contains("unknown 100 mandated ended processes=0"), "{}", rig.roll());
    assert_eq!(rig.findings(), "");
}
