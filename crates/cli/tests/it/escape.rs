//! Attempts to do what a mandate does not allow, under `muster run --enforce`: `escape/attempts.py`. What is not stopped must
//! be seen.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::rig::MUSTER;

const ATTEMPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/escape/attempts.py");
const WORLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/escape/world.py");
const PYTHON: &str = "/usr/bin/python3";

/// What is not stopped, and why that is known (`docs/gate.md`).
const KNOWN: &[&str] = &[];

pub fn mandate(t: &str) -> String {
    format!(
        r#"muster = 1
principal = "a@example.org"
agent = "test"
task = "get out"
host = "*"
serial = "1"
expires = 2036-01-01T00:00:00Z
[scope]
read = ["{t}/work/**", "{t}/attempts.py"]
write = ["{t}/work/**"]
execute = ["/usr/bin/**", "{t}/work/bin/**"]
connect = ["127.0.0.1:8443", "[::1]:8443", "allowed.example:8443", "rebind.example:8443", "unix:{t}/work/own.sock"]
[scope.deny]
read = ["{t}/work/denied.txt"]
write = ["{t}/work/.git/hooks/**"]
execute = ["/usr/bin/id"]
[oversight]
ask = ["write {t}/work/ask/**"]
"#
    )
}

struct World(Child);

impl Drop for World {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The listeners in a network namespace of their own, and the process id of one of theirs.
fn world(t: &str, name: &str) -> Option<(World, u32)> {
    let mut child = Command::new("unshare")
        .args(["-n", PYTHON, WORLD])
        .env("T", t)
        .env("ABSTRACT", name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    let pid = line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok());
    let world = World(child);
    Some((world, pid?))
}

fn furnish(t: &Path) {
    for folder in ["work/bin", "work/.git/hooks", "work/ask", "outside", "home/.claude"] {
        fs::create_dir_all(t.join(folder)).unwrap();
    }
    for (file, text) in [
        ("outside/secret.txt", "s3cret-of-the-test"),
        ("work/denied.txt", "s3cret-of-the-test"),
        ("outside/victim.txt", "v"),
        ("outside/program", "#!/bin/sh\necho i-ran\n"),
        ("work/bin/own", "#!/bin/sh\necho i-ran\n"),
        ("home/.bashrc", ""),
        ("home/.claude/settings.json", ""),
    ] {
        fs::write(t.join(file), text).unwrap();
        fs::set_permissions(t.join(file), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::copy("/bin/true", t.join("outside/elf")).unwrap();
    fs::copy(ATTEMPTS, t.join("attempts.py")).unwrap();
}

#[test]
fn nothing_gets_out() {
    if !rustix::process::geteuid().is_root() || !Path::new(PYTHON).exists() {
        eprintln!("skipped: the attempts need root and Python");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let t = folder.path().canonicalize().unwrap();
    furnish(&t);
    let text = t.to_str().unwrap();
    fs::write(t.join("mandate.toml"), mandate(text)).unwrap();
    let name = format!("muster-escape-{}", std::process::id());
    let Some((world, victim)) = world(text, &name) else {
        eprintln!("skipped: no network namespace can be made here");
        return;
    };
    let out = Command::new("nsenter")
        .args(["-n", "-t", &victim.to_string(), MUSTER, "run", "--enforce", "--ask-wait", "1"])
        .args(["--resolver", "127.0.0.1:5353", "--data", &format!("{text}/no-daemon")])
        .args(["--mandate", &format!("{text}/mandate.toml"), "--report", &format!("{text}/report.jsonl")])
        .args(["--", PYTHON, &format!("{text}/attempts.py")])
        .env("T", text)
        .env("HOME", t.join("home"))
        .env("ABSTRACT", &name)
        .env("VICTIM", victim.to_string())
        .output()
        .unwrap();
    drop(world);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    println!("{said}{errors}");
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split('\t').collect()).collect();
    let honest = lines.iter().find(|line| line.first() == Some(&"honest")).expect("the honest work");
    assert_eq!(honest.get(2), Some(&"through"), "{honest:?}\n{errors}");
    assert!(lines.len() > 80, "{} attempts", lines.len());
    let through: Vec<&str> = lines
        .iter()
        .filter(|line| line.first() != Some(&"honest") && line.get(2) != Some(&"stopped"))
        .filter_map(|line| line.get(1).copied())
        .filter(|name| !KNOWN.contains(name))
        .collect();
    assert!(through.is_empty(), "these got through: {through:?}\n{errors}");
    // What was refused by the supervisor is told to people.
    let report = fs::read_to_string(t.join("report.jsonl")).unwrap();
    for what in ["secret.txt", "docker.sock", "bpf", "io_uring_setup", "evil.example", "/usr/bin/id"] {
        assert!(report.contains(what), "{what} is not in the report:\n{report}");
    }
}
