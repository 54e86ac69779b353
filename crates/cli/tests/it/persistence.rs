//! What an agent plants, and who runs it: real cron, at, git, npm, bash and Python under the real sensor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::rig::{Daemon, MUSTER, text};

/// A home under `/home`, where the daemon looks before any agent is there; gone with the test.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let path = PathBuf::from(format!("/home/muster-test-{}", std::process::id()));
        fs::create_dir_all(path.join("project")).unwrap();
        fs::write(path.join("b.sh"), "#!/bin/sh\nsleep 1\n").unwrap();
        let here = Home(path);
        here.ran("chmod", &["+x", "b.sh"]);
        here.ran("git", &["init", "-q", "other"]);
        here
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).env("HOME", &self.0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn ran(&self, program: &str, arguments: &[&str]) {
        drop(self.command(program, arguments).status());
    }

    fn cron_table(&self) -> PathBuf {
        PathBuf::from(format!("/etc/cron.d/muster-test-{}", std::process::id()))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
        drop(fs::remove_file(self.cron_table()));
    }
}

struct Cron(Child);

impl Cron {
    /// With a `/run` of its own, so that it takes itself for the first since the machine began.
    fn start(home: &Home) -> Option<Self> {
        let running = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read_to_string(entry.path().join("comm"))
                .is_ok_and(|comm| matches!(comm.trim(), "cron" | "crond"))
        });
        if running || !Path::new("/usr/sbin/cron").exists() {
            eprintln!("skipped: cron is not installed, or one runs here");
            return None;
        }
        let script = "mount -t tmpfs none /run && exec /usr/sbin/cron -f";
        Some(Cron(home.command("unshare", &["-m", "sh", "-c", script]).spawn().unwrap()))
    }
}

impl Drop for Cron {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the processes of the agent executed, each as one line.
fn executed(daemon: &Daemon, agent: &str) -> Vec<String> {
    let events = daemon.list(&["events", "--agent", agent, "--kind", "exec"]);
    let line = |event: &serde_json::Value| {
        let argv = event["argv"].as_array().cloned().unwrap_or_default();
        argv.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
    };
    events.iter().map(line).collect()
}

#[test]
fn a_lineage_comes_back_by_what_it_planted() {
    let home = Home::new();
    let Some(daemon) = Daemon::start() else { return };
    // It looks at what is there first.
    std::thread::sleep(Duration::from_secs(1));
    let here = home.0.display();
    let table = home.cron_table();
    let script = format!(
        "echo '{here}/b.sh --shell &' >> {here}/.bashrc
         printf '#!/bin/sh\\nexec {here}/b.sh --hook\\n' > {here}/other/.git/hooks/pre-commit
         chmod +x {here}/other/.git/hooks/pre-commit
         echo '{{\"scripts\": {{\"x\": \"{here}/b.sh --npm\"}}}}' > package.json
         test -d /etc/cron.d && echo '@reboot root {here}/b.sh --cron' > {}
         mkdir -p {here}/.local/lib/python3.9/site-packages
         echo \"import os; os.system('{here}/b.sh --python')\" > {here}/.local/lib/python3.9/site-packages/usercustomize.py
         echo 'all:' > Makefile
         sleep 2",
        table.display()
    );
    let ran = Command::new(MUSTER)
        .args(["run", "--label", "plants", "--data"])
        .arg(daemon.data.path())
        .args(["--", "sh", "-c", &script])
        .current_dir(home.0.join("project"))
        .env("HOME", &home.0)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success());
    let agent = daemon.wait("the agent", || {
        daemon.roll().into_iter().find(|a| text(a, "label") == "plants" && a["state"] == "ended")
    });
    let id = text(&agent, "agent");
    let cron = Cron::start(&home);
    home.ran(
        "git",
        &["-C", "other", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-qm", "x"],
    );
    home.ran("bash", &["-i", "-c", "sleep 0.3"]);
    // The same by its user: neither of these is the agent's.
    home.ran("sh", &["-c", &format!("{here}/b.sh --mine")]);
    drop(home.command("npm", &["run", "x"]).current_dir(home.0.join("project")).status());

    let mut wanted = vec!["--hook", "--shell"];
    if cron.is_some() {
        wanted.push("--cron");
    }
    let has = |all: &[String], word: &str| all.iter().any(|line| line.ends_with(&format!("b.sh {word}")));
    let all = daemon.wait("what it planted", || {
        let all = executed(&daemon, &id);
        wanted.iter().all(|word| has(&all, word)).then_some(all)
    });
    for word in ["--mine", "--npm"] {
        assert!(!has(&all, word), "{word} is only likely to be of the lineage: {all:#?}");
    }

    let findings = daemon.findings(&id);
    let grave = |place: &str| {
        let found =
            findings.iter().find(|f| text(f, "code") == "persistence" && text(f, "summary").contains(place));
        found.map(|f| text(f, "severity")).unwrap_or_default()
    };
    assert_eq!(grave("/.bashrc`"), "medium", "{findings:#?}");
    assert_eq!(grave("pre-commit`"), "medium");
    assert_eq!(grave("usercustomize.py`"), "medium");
    if table.exists() {
        assert_eq!(grave("/etc/cron.d/"), "high");
    }
    assert_eq!((grave("package.json"), grave("Makefile")), (String::new(), String::new()));
}
