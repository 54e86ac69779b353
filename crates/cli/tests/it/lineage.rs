//! Lineage without a fork, on the real kernel: what a tmux server of the user's starts for an agent, files that others run,
//! and a process of two lineages. With each the twin that is the user's own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::rig::{Daemon, MUSTER, text};

/// Ends the server with all that it runs.
struct Tmux(String);

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.0, "kill-server"]).stderr(Stdio::null()).status();
    }
}

fn agent(daemon: &Daemon, label: &str, dir: &Path, script: &str) -> String {
    let ran = Command::new(MUSTER)
        .args(["run", "--label", label, "--data"])
        .arg(daemon.data.path())
        .args(["--", "/bin/sh", "-c", script])
        .current_dir(dir)
        .status()
        .unwrap();
    assert!(ran.success(), "{script}");
    let found = daemon.wait(label, || daemon.roll().into_iter().find(|agent| text(agent, "label") == label));
    text(&found, "agent")
}

fn lineage(daemon: &Daemon, agent: &str) -> Value {
    daemon.list(&["lineage", agent]).remove(0)
}

/// Certainty and last path or service of each descent, and what the process ran then.
fn descents(daemon: &Daemon, agent: &str) -> Vec<String> {
    let found = lineage(daemon, agent);
    let all = found["descents"].as_array().unwrap().iter().map(|descent| {
        let what = descent["service"].as_str().or_else(|| descent["path"].as_str()?.rsplit('/').next());
        format!("{} {}", text(descent, "certainty"), what.unwrap_or_default())
    });
    all.collect()
}

#[track_caller]
fn shows(daemon: &Daemon, agent: &str, expected: &[&str]) {
    daemon.wait(&format!("{expected:?} of {agent}"), || (descents(daemon, agent) == expected).then_some(()));
}

fn commands(daemon: &Daemon, agent: &str) -> Vec<String> {
    let execs = daemon.list(&["events", "--agent", agent, "--kind", "exec"]);
    let line = |event: &Value| {
        let words = event["argv"].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    execs.iter().map(line).collect()
}

#[test]
fn what_a_tmux_server_was_asked_to_start_joins_and_the_users_windows_do_not() {
    if Command::new("tmux").arg("-V").output().is_err() {
        eprintln!("skipped: there is no tmux");
        return;
    }
    let Some(daemon) = Daemon::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Tmux(dir.path().join("socket").display().to_string());
    let socket = &server.0;
    let tmux = |arguments: &[&str]| {
        let ran = Command::new("tmux")
            .args(["-S", socket, "-f", "/dev/null"])
            .args(arguments)
            .env("SHELL", "/bin/sh")
            .status()
            .unwrap();
        assert!(ran.success());
    };
    // The user's server, with a shell that the user types into.
    tmux(&["new-session", "-d", "-s", "users", "/bin/sh"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let one = agent(
        &daemon,
        "one",
        dir.path(),
        &format!(
            "tmux -S {socket} new-window -d 'sleep 41.5'; tmux -S {socket} send-keys -t users:0 'sleep 42.5 && true' Enter; sleep 1"
        ),
    );
    tmux(&["new-window", "-d", "sleep 43.5"]);
    shows(&daemon, &one, &["certain tmux", "certain tmux"]);
    let run = commands(&daemon, &one);
    assert!(run.iter().any(|line| line.contains("sleep 41.5")), "{run:#?}");
    assert!(run.iter().any(|line| line == "sleep 42.5"), "{run:#?}");
    assert!(!run.iter().any(|line| line.ends_with("sleep 43.5")), "{run:#?}");
    // Its root has ended; what it had started lives, with a shell around it or without.
    daemon.wait("an agent that lives on in the server", || {
        let found = daemon.roll().into_iter().find(|agent| text(agent, "agent") == one)?;
        (found["state"] == "running" && matches!(found["processes"].as_u64(), Some(2 | 3))).then_some(())
    });
    // A second agent asks as well, for a window of its own server's: then one that belongs to both.
    let own = Tmux(dir.path().join("own").display().to_string());
    let two = agent(
        &daemon,
        "two",
        dir.path(),
        &format!("SHELL=/bin/sh tmux -S {} -f /dev/null new-session -d 'sleep 44.5'; sleep 0.3", own.0),
    );
    let three = agent(
        &daemon,
        "three",
        dir.path(),
        &format!("tmux -S {} new-window -d 'sleep 45.5 1'; sleep 1", own.0),
    );
    shows(&daemon, &three, &["certain tmux"]);
    for id in [&two, &three] {
        let run = commands(&daemon, id);
        assert!(run.iter().any(|line| line.ends_with("sleep 45.5 1")), "{id}: {run:#?}");
    }
    assert!(!commands(&daemon, &three).iter().any(|line| line.contains("44.5")));
    drop((server, own));
    daemon.wait("the end of all", || {
        let ended = |id: &String| {
            daemon
                .roll()
                .iter()
                .any(|a| text(a, "agent") == *id && a["state"] == "ended" && a["processes"] == 0)
        };
        [&one, &two, &three].into_iter().all(ended).then_some(())
    });
    let tree = String::from_utf8(daemon.muster(&["lineage", &one]).stdout).unwrap();
    assert!(tree.contains("certain  process") && tree.contains("asked of tmux"), "{tree}");
    for id in [&one, &two, &three] {
        assert_eq!(daemon.codes(id), [""; 0]);
    }
}

#[test]
fn files_keep_their_lineage_and_who_runs_them_decides() {
    let Some(daemon) = Daemon::start() else { return };
    let (dir, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().display().to_string();
    let one = agent(
        &daemon,
        "one",
        project.path(),
        &format!(
            "printf '#!/bin/sh\\nsleep 0.1\\nsleep 0.2\\n' | tee app.sh >/dev/null
            cp app.sh {out}/a; mv {out}/a {out}/b; ln {out}/b {out}/c; chmod +x {out}/c
            tar cf {out}/x.tar app.sh; mkdir {out}/d; tar xf {out}/x.tar -C {out}/d; mv {out}/d {out}/e"
        ),
    );
    let run = |program: &str, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).current_dir(project.path()).status().unwrap();
        assert!(ran.success(), "{program} {arguments:?}");
    };
    // Somebody's own runs: of the project, and of what lies elsewhere.
    run("sh", &["app.sh"]);
    run("setsid", &["-w", &format!("{out}/c")]);
    shows(&daemon, &one, &["likely app.sh", "likely c"]);
    assert!(!commands(&daemon, &one).iter().any(|line| line.starts_with("sleep")));
    // A cron, in a mount namespace of its own: known by where it lies and whose it is.
    let cron = format!(
        "mount -t tmpfs cron /usr/local/sbin && cp /bin/sh /usr/local/sbin/cron &&
        exec /usr/local/sbin/cron -c '/bin/sh -c \"sh {out}/e/app.sh; true\"; true'"
    );
    run("unshare", &["-m", "sh", "-c", &cron]);
    shows(&daemon, &one, &["likely app.sh", "likely c", "certain app.sh"]);
    daemon.wait("what it started", || {
        commands(&daemon, &one).iter().any(|line| line == "sleep 0.2").then_some(())
    });
    daemon.wait("its end", || {
        daemon
            .roll()
            .iter()
            .any(|agent| text(agent, "agent") == one && agent["state"] == "ended")
            .then_some(())
    });
    assert_eq!(daemon.codes(&one), [""; 0]);
    let answer = daemon.get(&format!("/api/v1/agents/{one}/lineage"));
    assert!(answer.contains("\"via\":\"content\""), "{answer}");
}
