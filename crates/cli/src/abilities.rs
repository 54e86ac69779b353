//! What this kernel lets Muster refuse or hold, by doing it: each try is confined to a thread and a file of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// How long the opening of a file is held before it is given up.
const HELD_MAX: Duration = Duration::from_secs(2);

/// A thread forbids itself to read files, and tries one.
pub fn landlock() -> Result<String, String> {
    let abi = ABI::V1;
    on_a_thread(move || {
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(|error| error.to_string())?;
        match (status.ruleset, File::open("/proc/self/status")) {
            (RulesetStatus::FullyEnforced, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok("a thread that gave up reading files could read none".to_owned())
            }
            (_, opened) => Err(format!("a thread gave up reading files, and opening one gave {opened:?}")),
        }
    })
}

/// A thread gives itself a filter that refuses one harmless call, and makes it.
pub fn seccomp() -> Result<String, String> {
    const GETPRIORITY: i64 = 140;
    /// No kernel gives this for a priority.
    const REFUSED: u32 = 95;
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    on_a_thread(move || {
        let filter = SeccompFilter::new(
            [(GETPRIORITY, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(REFUSED),
            TargetArch::x86_64,
        )
        .map_err(|error| error.to_string())?;
        let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
        let answer = rustix::process::getpriority_process(None);
        if !answer.is_err_and(|e| e.raw_os_error() == REFUSED as i32) {
            return Err(format!("a filter that refuses a call did not: {answer:?}"));
        }
        if !actions.split_whitespace().any(|action| action == "user_notif") {
            return Err("filters work, but calls cannot be held for a decision".to_owned());
        }
        Ok("a filter refused a call of its thread; calls can be held".to_owned())
    })
}

/// Holds the opening of a file of its own, and lets it go.
pub fn fanotify() -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let group = Fanotify::init(InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC, EventFFlags::O_RDONLY)
        .map_err(|error| format!("fanotify_init: {error}"))?;
    group
        .mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_PERM, file.as_file(), Some(file.path()))
        .map_err(|error| format!("fanotify_mark: {error}"))?;
    let path = file.path().to_owned();
    let opener = thread::spawn(move || File::open(path).map(drop));
    let held = held(&group);
    // Closing the group lets go of whatever it still holds.
    drop(group);
    let opened = opener.join().map_err(|_| "the thread that opened the file ended badly".to_owned())?;
    held?;
    opened.map_err(|error| format!("the file could not be opened after it was let go: {error}"))?;
    Ok("the opening of a file was held until it was let go".to_owned())
}

fn held(group: &Fanotify) -> Result<(), String> {
    let timeout = PollTimeout::try_from(HELD_MAX).map_err(|error| error.to_string())?;
    let ready = poll(&mut [PollFd::new(group.as_fd(), PollFlags::POLLIN)], timeout);
    if ready != Ok(1) {
        return Err("nothing was held".to_owned());
    }
    let events = group.read_events().map_err(|error| format!("reading what is held: {error}"))?;
    for event in &events {
        if let Some(fd) = event.fd() {
            group
                .write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW))
                .map_err(|error| format!("letting go: {error}"))?;
        }
    }
    if events.is_empty() { Err("nothing was held".to_owned()) } else { Ok(()) }
}

/// What a thread does to itself ends with it.
fn on_a_thread(act: impl FnOnce() -> Result<String, String> + Send + 'static) -> Result<String, String> {
    thread::spawn(act).join().unwrap_or_else(|_| Err("the thread that tried it ended badly".to_owned()))
}
