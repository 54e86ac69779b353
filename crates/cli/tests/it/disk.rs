//! Disks that are full, that do not answer, that let nothing be written any more.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hostile::enrolled;
use crate::rig::{Daemon, MUSTER, text};

#[test]
fn a_full_disk_is_said_and_recorded() {
    let mount = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(mount.path())
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let unmount = Unmount(mount.path());
    fs::create_dir(mount.path().join("data")).unwrap();
    let Some(daemon) = Daemon::start_at(&mount.path().join("data"), &[]) else { return };
    let balloon = mount.path().join("balloon");
    let mut file = fs::File::create(&balloon).unwrap();
    while file.write_all(&[0; 1 << 16]).is_ok() {}
    enrolled(&daemon, "for i in $(seq 30000); do : > /tmp/muster-full-disk; done; rm /tmp/muster-full-disk");
    daemon.wait("word of the full disk", || daemon.said().contains("cannot write the record").then_some(()));
    assert!(daemon.said().contains("make room"), "a hint: {}", daemon.said());
    drop(file);
    fs::remove_file(&balloon).unwrap();
    daemon
        .wait("word that it goes on", || daemon.said().contains("the record is written again").then_some(()));
    enrolled(&daemon, "echo after");
    let agent = daemon.wait("agent after the gap", || {
        daemon
            .roll()
            .into_iter()
            .find(|a| text(a, "coverage") == "partial" || a["coverage_detail"]["lost"].as_u64() > Some(0))
    });
    assert!(agent["coverage_detail"]["lost"].as_u64().unwrap() > 0, "the gap lowers coverage: {agent}");
    drop(daemon);
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0).status();
    }
}

/// An ext4 file system of its own on a loop device; unfrozen and unmounted whatever happens.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a line that says so, where none can be made.
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk { folder };
        let image = disk.folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
        fs::create_dir(disk.mount()).unwrap();
        let did = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
        if !did(Command::new("mkfs.ext4").arg("-q").arg(&image))
            || !did(Command::new("mount")
                .args(["-o", "loop,errors=remount-ro"])
                .arg(&image)
                .arg(disk.mount()))
        {
            eprintln!("skipped: no ext4 can be made and mounted here");
            return None;
        }
        fs::create_dir(disk.data()).unwrap();
        Some(disk)
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn data(&self) -> PathBuf {
        self.mount().join("data")
    }

    /// Writes wait until the answer is dropped.
    fn freeze(&self) -> Frozen {
        let mount = self.mount();
        assert!(Command::new("fsfreeze").arg("-f").arg(&mount).status().unwrap().success());
        Frozen(mount)
    }
}

struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.mount()).output();
    }
}

#[test]
fn a_disk_that_does_not_answer_is_said_and_nothing_is_lost() {
    let Some(disk) = Disk::make() else { return };
    let Some(daemon) = Daemon::start_at(&disk.data(), &[]) else { return };
    let frozen = disk.freeze();
    daemon.wait("word of the disk", || daemon.said().contains("STANDS STILL").then_some(()));
    // On every channel: the API answers though the loop does not.
    let health = daemon.answer("/api/v1/health");
    drop(frozen);
    assert!(health.contains("STANDS STILL"), "{health}");
    daemon.wait("word that it goes on", || daemon.said().contains("it goes on").then_some(()));
    enrolled(&daemon, "echo after");
    let agent = daemon.wait("agent", || daemon.roll().into_iter().find(|a| text(a, "state") == "ended"));
    assert_eq!(agent["coverage_detail"]["lost"], 0, "what was held was written: {agent}");
    let data = disk.data();
    drop(daemon);
    verified(&data);
}

#[test]
fn a_disk_that_becomes_read_only_is_said_and_what_was_signed_stays() {
    let Some(disk) = Disk::make() else { return };
    let Some(daemon) = Daemon::start_at(&disk.data(), &[]) else { return };
    enrolled(&daemon, "echo before");
    // As after an error of the disk: writing fails, also to files that are open.
    let status = Command::new("mount").args(["-o", "remount,abort"]).arg(disk.mount()).status().unwrap();
    assert!(status.success());
    daemon.wait("word of it", || daemon.said().contains("cannot write the record").then_some(()));
    let health =
        daemon.wait("notice", || Some(daemon.get("/api/v1/health")).filter(|h| h.contains("NOT WRITTEN")));
    assert!(health.contains("read-only") || health.contains("Read-only"), "the reason: {health}");
    let data = disk.data();
    drop(daemon);
    verified(&data);
}

/// A daemon that cannot begin its record says so, and ends.
#[test]
fn a_folder_on_a_read_only_disk_is_an_error_with_a_name() {
    let Some(disk) = Disk::make() else { return };
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.mount()).status().unwrap();
    assert!(status.success());
    let out = Command::new(MUSTER)
        .args(["watch", "--no-kernel", "--listen", "127.0.0.1:0", "--data"])
        .arg(disk.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains(disk.data().to_str().unwrap()), "{said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

#[track_caller]
fn verified(data: &Path) {
    let out = Command::new(MUSTER).arg("verify").arg(data.join("ledger")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{said}");
}
