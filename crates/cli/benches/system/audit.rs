//! The same work under auditd with rules for `execve`, `open`, `openat` and `connect`: what Linux itself offers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Mode;
use crate::daemon::folder;
use crate::figures::{head, row};
use crate::overhead::{base, shown};
use crate::workload::{Figure, jobs};

struct Auditd {
    child: Child,
    dir: TempDir,
}

fn auditctl(arguments: &[&str]) -> bool {
    Command::new("auditctl")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Once audit was on, new processes pay for it even when it is off again, until this rule exempts them.
fn off() {
    auditctl(&["-D"]);
    auditctl(&["-e", "0"]);
    auditctl(&["-a", "never,task"]);
}

impl Auditd {
    fn start() -> Self {
        let dir = folder();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let log = dir.path().join("audit.log");
        let text = format!(
            "log_file = {}\nlog_format = RAW\nlog_group = root\nflush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 512\n\
             num_logs = 2\nmax_log_file_action = ROTATE\nspace_left = 75\nspace_left_action = SYSLOG\n\
             admin_space_left = 50\nadmin_space_left_action = SUSPEND\ndisk_full_action = SUSPEND\n\
             disk_error_action = SUSPEND\nq_depth = 2000\n",
            log.display()
        );
        let config = dir.path().join("auditd.conf");
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
        let child = Command::new("auditd")
            .arg("-n")
            .arg("-c")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(500));
        auditctl(&["-D"]);
        let rule = ["-a", "always,exit", "-F", "arch=b64", "-S", "execve,open,openat,connect", "-k", "bench"];
        assert!(
            auditctl(&["-b", "8192"]) && auditctl(&rule) && auditctl(&["-e", "1"]),
            "audit does not take the rules"
        );
        Self { child, dir }
    }

    /// Records in its log, and what the kernel says that it lost.
    fn stop(mut self) -> (u64, u64) {
        let out = Command::new("auditctl").arg("-s").output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let lost = said.lines().find_map(|l| l.strip_prefix("lost ")?.trim().parse().ok()).unwrap_or(0);
        off();
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.child.wait().unwrap();
        let log = fs::read(self.dir.path().join("audit.log")).unwrap_or_default();
        (log.iter().filter(|b| **b == b'\n').count() as u64, lost)
    }
}

pub fn run(mode: Mode) {
    let version = Command::new("auditd").arg("-v").output();
    if version.is_err() || !auditctl(&["-s"]) {
        println!("skipped: auditd is not installed, or this kernel has no audit");
        return;
    }
    let dir = folder();
    let jobs = jobs(dir.path(), mode);
    let mut figures: Vec<[Vec<Figure>; 2]> = jobs.iter().map(|_| Default::default()).collect();
    off();
    for job in &jobs {
        job.measure(dir.path(), None);
    }
    let (mut records, mut lost) = (0, 0);
    let halves = mode.pick(2, 10);
    for half in 0..halves {
        for audited in if half % 2 == 0 { [false, true] } else { [true, false] } {
            let auditd = audited.then(Auditd::start);
            for (job, figures) in jobs.iter().zip(&mut figures) {
                figures[usize::from(audited)].push(job.measure(dir.path(), None));
            }
            if let Some(auditd) = auditd {
                let counted = auditd.stop();
                records += counted.0;
                lost = counted.1;
            }
        }
    }
    head(&["work", "no audit", "auditd: execve, open, openat, connect", "its processor time"]);
    for (job, [none, audited]) in jobs.iter().zip(&figures) {
        let cpu = if job.single { "–".to_owned() } else { shown(none, audited, |f| f.cpu.max(0.01)) };
        row(&[job.name.to_owned(), base(job, none), shown(none, audited, |f| f.wall), cpu]);
    }
    println!(
        "\n{halves} pairs each, ABBA; {records} lines in the logs, {lost} records lost since the machine started"
    );
}
