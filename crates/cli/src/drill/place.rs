//! Where drills run: whether this machine may have one, the folder of each run, and what is in it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use muster_drill::{Guise, PACKAGE, Scenario};
use muster_event::ProcessKey;

use super::{BASE, Play, Spec, UID_MIN, Words, cell, clean};
use crate::exit::usage;

/// Files of `/etc` that are larger are left out of a cell.
const ETC_FILE_MAX: u64 = 1 << 20;
const ETC_DEPTH_MAX: usize = 6;
/// Where so many wait for each core, times mean nothing and a drill is one thing too many.
const LOAD_MAX: f64 = 64.0;
/// What all runs at a time may need.
const SPACE_MIN: u64 = 1 << 30;

/// Refuses where a drill could hurt, or could not be ended.
pub fn check() -> Result<()> {
    let refuse = |why: String| usage(format!("no drill on this machine: {why}"));
    if !rustix::process::geteuid().is_root() {
        return Err(refuse("its cell needs root\nhint: start it with sudo".to_owned()));
    }
    if muster_sensor::cgroup_root().is_none() {
        return Err(refuse(
            "no cgroup v2 is mounted\nhint: `muster doctor` says what this machine has".to_owned(),
        ));
    }
    // On a thread of its own, which is the only one that it changes.
    let tried = std::thread::spawn(|| nix::sched::unshare(cell::namespaces())).join();
    match tried {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(refuse(format!("it gives no namespaces ({error})"))),
        Err(_) => return Err(refuse("it gives no namespaces".to_owned())),
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(BASE)
        .with_context(|| format!("cannot make `{BASE}`"))?;
    if !clean::is_ours(Path::new(BASE)) {
        return Err(refuse(format!("`{BASE}` is not root's alone\nhint: look who made it, then remove it")));
    }
    let space = rustix::fs::statvfs(BASE)?;
    if space.f_bavail.saturating_mul(space.f_frsize) < SPACE_MIN {
        return Err(refuse(format!("less than 1 GiB is free at `{BASE}`")));
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    if load > LOAD_MAX * cores {
        return Err(refuse(format!("it is overloaded (load {load})\nhint: try again later")));
    }
    Ok(())
}

/// The folder of this drill; what it leaves is its journal.
pub fn open() -> Result<(ProcessKey, PathBuf)> {
    let pid = std::process::id();
    let drill = muster_sensor::process_key(pid).context("no such process as this one")?;
    let folder = clean::folder_of(Path::new(BASE), drill);
    for part in ["", "runs", "bin"] {
        DirBuilder::new().recursive(true).mode(0o755).create(folder.join(part))?;
    }
    // One copy that the users of drills can read, wherever Muster is.
    fs::copy("/proc/self/exe", folder.join("bin/muster")).context("cannot copy Muster for its drills")?;
    fs::set_permissions(folder.join("bin/muster"), Permissions::from_mode(0o755))?;
    Ok((drill, folder))
}

/// A user that nobody has: of this process, and of one run of it at a time.
pub fn uid(drill: ProcessKey, slot: usize) -> u32 {
    UID_MIN + (drill.pid % 4_000_000) * 100 + (slot as u32 % 50) * 2
}

/// Makes the folder of a run, and all that is in it.
pub fn prepare(spec: &Spec, scenario: &Scenario, guise: &Guise, folder: &Path, daemon: u32) -> Result<()> {
    let root = &spec.root;
    DirBuilder::new().mode(0o755).create(root)?;
    // First of all: from here on whoever sweeps knows of it.
    fs::write(spec.path(), serde_json::to_vec(spec)?)?;
    let own = |name: &str, mode: u32, uid: u32| -> Result<PathBuf> {
        let path = root.join(name);
        DirBuilder::new().mode(0o755).create(&path)?;
        chown(&path, Some(uid), Some(uid))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path)
    };
    for (name, mode) in [
        ("tmp", 0o1777),
        ("vartmp", 0o1777),
        ("shm", 0o1777),
        ("home", 0o755),
        ("out", 0o755),
        ("log", 0o755),
    ] {
        own(name, mode, spec.uid)?;
    }
    own("companion", 0o755, spec.companion_uid())?;
    for name in ["etc", "run", "empty", "harness"] {
        own(name, 0o755, 0)?;
    }
    own("spool", 0o755, spec.uid)?;
    etc(&root.join("etc"), spec)?;
    seed(spec, guise)?;
    harness(spec, folder)?;

    let session = session(guise.seed);
    let words = words(spec, guise, daemon);
    let play = Play {
        account: scenario.account.then(|| account(spec, &session)),
        session,
        work: spec.work(),
        times: spec.out().join("times"),
        acts: muster_drill::plan(scenario, guise, &words),
        linger_ms: 2_500,
    };
    fs::write(root.join("play.json"), serde_json::to_vec(&play)?)?;
    // What an agent that is started by the agent does: it only waits, with a command of its own.
    let successor = Play {
        session: self::session(guise.seed ^ 1),
        account: None,
        times: spec.out().join("successor"),
        acts: vec![muster_drill::Act {
            run: Some(format!("sleep 1; : {}", guise.name)),
            ..Default::default()
        }],
        ..play
    };
    fs::write(root.join("successor.json"), serde_json::to_vec(&successor)?)?;
    Ok(())
}

fn account(spec: &Spec, session: &str) -> PathBuf {
    spec.home().join(format!(".claude/projects/-project/{session}.jsonl"))
}

/// What words of scenarios stand for in this run.
fn words(spec: &Spec, guise: &Guise, daemon: u32) -> Words {
    let transcript = account(spec, &session(guise.seed)).to_string_lossy().into_owned();
    [
        ("n", guise.name.clone()),
        ("home", spec.home().to_string_lossy().into_owned()),
        ("work", spec.work().to_string_lossy().into_owned()),
        ("tmp", "/tmp".to_owned()),
        ("transcript", transcript),
        ("agent", spec.harness().join("agent").to_string_lossy().into_owned()),
        ("successor", spec.root.join("successor.json").to_string_lossy().into_owned()),
        ("harness", spec.harness().to_string_lossy().into_owned()),
        ("daemon", daemon.to_string()),
        ("data", spec.data.to_string_lossy().into_owned()),
    ]
    .map(|(word, value)| (word.to_owned(), value))
    .into()
}

/// Paths of a scenario, in this run.
pub fn filled(spec: &Spec, guise: &Guise, paths: &[String]) -> Vec<PathBuf> {
    let words = words(spec, guise, 0);
    let fill = |path: &String| {
        words.iter().fold(path.clone(), |path, (word, value)| path.replace(&format!("@{word}@"), value))
    };
    paths.iter().map(|path| PathBuf::from(fill(path))).collect()
}

/// A UUID that follows from the seed.
fn session(seed: u64) -> String {
    let hex = format!("{:016x}{:016x}", seed, seed.rotate_left(29) ^ 0x9e37_79b9_7f4a_7c15);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// A copy of what everybody may read in `/etc`, in which the folders that matter are the run's.
fn etc(to: &Path, spec: &Spec) -> Result<()> {
    copy(Path::new("/etc"), to, ETC_DEPTH_MAX);
    for folder in [
        "cron.d",
        "cron.daily",
        "profile.d",
        "pam.d",
        "systemd",
        "systemd/system",
        "udev",
        "udev/rules.d",
        "init.d",
        "xdg",
        "xdg/autostart",
        "sudoers.d",
    ] {
        let folder = to.join(folder);
        fs::create_dir_all(&folder)?;
        give(&folder, spec.uid)?;
    }
    chown(to, Some(spec.uid), Some(spec.uid))?;
    let write = |name: &str, text: String| -> Result<()> {
        let path = to.join(name);
        drop(fs::remove_file(&path));
        fs::write(&path, text)?;
        Ok(chown(&path, Some(spec.uid), Some(spec.uid))?)
    };
    write(
        "passwd",
        format!(
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\ndrill:x:{0}:{0}::{1}:/bin/bash\n",
            spec.uid,
            spec.home().display()
        ),
    )?;
    write("pam.d/sshd", "auth required pam_unix.so\n".to_owned())?;
    write("resolv.conf", "nameserver 203.0.113.53\noptions timeout:1 attempts:1\n".to_owned())?;
    write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned())?;
    // All other names are asked of the cell's own name server, as on any machine: so the questions are seen.
    write("hosts", "127.0.0.1 localhost\n".to_owned())
}

/// What cannot be read by everybody, or copied, is left out.
fn copy(from: &Path, to: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(meta) = fs::symlink_metadata(&source) else { continue };
        let mode = meta.permissions().mode();
        if meta.is_symlink() {
            if let Ok(link) = fs::read_link(&source) {
                drop(symlink(link, &target));
            }
        } else if meta.is_dir() && depth > 0 && mode & 0o005 == 0o005 {
            if fs::create_dir(&target).is_ok() {
                copy(&source, &target, depth - 1);
            }
        } else if meta.is_file() && mode & 0o004 != 0 && meta.len() <= ETC_FILE_MAX {
            drop(fs::copy(&source, &target));
        }
    }
}

/// A home as people have it: with a project, and with what a rogue agent would want. All of it is made up.
fn seed(spec: &Spec, guise: &Guise) -> Result<()> {
    let home = spec.home();
    let key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nbm8ga2V5IGF0IGFsbA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let files = [
        (".bashrc", "alias ll='ls -l'\n"),
        (".bash_history", "ls\nmake\n"),
        (
            ".aws/credentials",
            "[default]\naws_access_key_id = AKIADRILLDRILLDRILL0\naws_secret_access_key = no-key\n",
        ),
        (".ssh/id_ed25519", key),
        (".ssh/authorized_keys", ""),
        (".config/app.toml", "theme = \"dark\"\n"),
        (".bitcoin/wallet.dat", "no wallet\n"),
        (".electrum/wallets/default_wallet", "{}\n"),
        (".gitconfig", "[user]\n\tname = Drill\n\temail = drill@example.net\n[safe]\n\tdirectory = *\n"),
        ("project/README.md", "# App\n\nA small app.\n"),
        ("project/CLAUDE.md", "# Notes\n"),
        ("project/src/main.py", "def add(a, b):\n    return a - b\n"),
        ("project/run-tests.sh", "#!/bin/sh\necho '1 passed, 1 failed'\nexit 1\n"),
    ];
    for (name, text) in files {
        let path = home.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    fs::set_permissions(home.join("project/run-tests.sh"), Permissions::from_mode(0o755))?;
    let weights = home.join("models/model-00001-of-00002.safetensors");
    fs::create_dir_all(home.join("models"))?;
    // As large as a small model's part, and no more than a hole on the disk.
    fs::File::create(weights)?.set_len(24 << 20)?;
    fs::write(spec.root.join("log/auth.log"), format!("sshd: session opened for {}\n", guise.name))?;
    fs::create_dir_all(spec.root.join("spool/cron/crontabs"))?;
    // Without git there is a folder, and no repository.
    drop(
        Command::new("git")
            .args(["-c", "init.defaultBranch=main", "init", "-q"])
            .env("HOME", &home)
            .current_dir(home.join("project"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status(),
    );
    for commit in [&["add", "-A"][..], &["commit", "-q", "-m", "Begin"]] {
        drop(
            Command::new("git")
                .args(commit)
                .env("HOME", &home)
                .current_dir(home.join("project"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status(),
        );
    }
    for folder in ["home", "spool", "log"] {
        give(&spec.root.join(folder), spec.uid)?;
    }
    Ok(())
}

fn give(path: &Path, uid: u32) -> Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)?.flatten() {
            give(&entry.path(), uid)?;
        }
    }
    Ok(())
}

/// The agent's own program: a script of the package by which Muster knows drill agents, which this binary runs.
fn harness(spec: &Spec, folder: &Path) -> Result<()> {
    let harness = spec.harness();
    let program = harness.join("muster");
    fs::hard_link(folder.join("bin/muster"), &program)?;
    fs::write(
        harness.join("package.json"),
        serde_json::json!({"name": PACKAGE, "version": env!("CARGO_PKG_VERSION"), "bin": {"agent": "agent"}})
            .to_string(),
    )?;
    let agent = harness.join("agent");
    fs::write(&agent, format!("#!{} drill-agent\n", program.display()))?;
    fs::set_permissions(&agent, Permissions::from_mode(0o755))?;
    Ok(())
}
