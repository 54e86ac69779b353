//! What an execution changed or reached: tells a harness's idle look around from an act that matters.

use std::net::IpAddr;

use muster_event::{Address, Event, Kind, SignalTarget};

use crate::engine::Engine;
use crate::process::Role;

/// Effects remembered per action: enough to explain a finding; the ledger has them all.
const EFFECTS_MAX: usize = 8;

/// Files that anything may write without a trace that lasts: what is written there and run later shows as its own act.
const PASSING: [&str; 8] =
    ["/dev/", "/proc/", "/tmp/", "/var/tmp/", "/run/user/", "/dev/shm/", "/sys/fs/cgroup/", "/var/cache/"];
/// Folders of caches, anywhere.
const CACHES: [&str; 4] = ["/.cache/", "/__pycache__/", "/node_modules/.cache/", "/.npm/"];
/// Sockets through which somebody else acts for the caller.
const SERVICES: [&str; 7] = [
    "docker.sock",
    "podman.sock",
    "containerd.sock",
    "crio.sock",
    "/run/systemd/private",
    "system_bus_socket",
    "/run/dbus/",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub what: What,
    pub seq: u64,
    /// In words, for the summary.
    pub detail: String,
}

/// Ordered by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Write,
    Network,
    /// Of these none is a harness's daily business.
    Service,
    Secret,
    Signal,
    Privilege,
    Memory,
}

impl What {
    pub(crate) fn is_grave(self) -> bool {
        self >= What::Service
    }
}

/// The effects of one action, bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    seen: Vec<Effect>,
    /// More writes than are remembered: some of them cannot be explained any more.
    pub more_writes: bool,
}

impl Effects {
    fn add(&mut self, effect: Effect) {
        if self.seen.iter().any(|e| e.what == effect.what && e.detail == effect.detail) {
            return;
        }
        let grave = effect.what.is_grave();
        if self.seen.len() < EFFECTS_MAX {
            self.seen.push(effect);
        } else if grave && let Some(slot) = self.seen.iter_mut().find(|e| !e.what.is_grave()) {
            // A flood of small effects must not hide the one that counts.
            self.more_writes |= slot.what == What::Write;
            *slot = effect;
        } else {
            self.more_writes |= effect.what == What::Write;
        }
    }

    /// The gravest, and the first of its kind.
    pub(crate) fn gravest(&self) -> Option<&Effect> {
        self.seen.iter().max_by_key(|e| (e.what, std::cmp::Reverse(e.seq)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.seen.iter()
    }
}

impl Engine {
    /// Keeps what an unexplained action did.
    pub(crate) fn note_effect(&mut self, event: &Event) {
        if matches!(event.kind, Kind::Fork { .. } | Kind::Exit { .. }) {
            return;
        }
        let Some(member) = self.processes.get(event.process).and_then(|p| p.member.as_ref()) else { return };
        let Role::Action(index) = member.role else { return };
        let id = member.agent.clone();
        let Some(agent) = self.agents.get(&id) else { return };
        let Some(action) = agent.actions.get(&index) else { return };
        if action.call.is_some() || action.decided {
            return;
        }
        let Some((what, detail, path)) = self.effect_of(event, &id) else { return };
        let product = self.products.get(&agent.state.product);
        if let Some(path) = path
            && (is_passing(path) && !agent.works_in(path)
                || product.is_some_and(|p| p.is_own_file(path, agent.home.as_deref())))
        {
            return;
        }
        let effect = Effect { what, seq: event.seq, detail };
        if let Some(action) = self.agents.get_mut(&id).and_then(|a| a.actions.get_mut(&index)) {
            action.effects.add(effect);
        }
    }

    /// The effect of an act, in words, and the file that it is on.
    fn effect_of<'e>(&self, event: &'e Event, agent: &str) -> Option<(What, String, Option<&'e str>)> {
        let write = |path: &'e String| Some((What::Write, path.clone(), Some(path.as_str())));
        let plain = |what, detail: String| Some((what, detail, None));
        match &event.kind {
            Kind::Open { path, access, result } if *result >= 0 => {
                if access.write {
                    return write(path);
                }
                // Of files that are only read, the sensor tells of the sensitive ones.
                Some((What::Secret, path.clone(), Some(path)))
            }
            Kind::Rename { to: path, result, .. }
            | Kind::Link { to: path, result, .. }
            | Kind::Symlink { path, result, .. }
            | Kind::Unlink { path, result, .. }
            | Kind::Truncate { path, result, .. }
            | Kind::Chmod { path, result, .. }
            | Kind::Chown { path, result, .. }
                if *result >= 0 =>
            {
                write(path)
            }
            Kind::IoUring { path: Some(path), flags, .. } if flags & 0o3 != 0 => write(path),
            // -EINPROGRESS: the usual answer to a connection that does not wait.
            Kind::Connect { address, result } if *result >= 0 || *result == -115 => reached(address),
            Kind::Send { address, result } if *result >= 0 => reached(address),
            Kind::Dns { name, .. } => plain(What::Network, format!("the name `{name}`")),
            Kind::Tls { name, .. } => plain(What::Network, format!("`{name}`")),
            Kind::Signal { target, signal, result: 0 } if *signal != 0 => {
                let stranger = match target {
                    SignalTarget::Process(pid) => {
                        let member = self.processes.by_pid(*pid).and_then(|p| p.member.as_ref());
                        member.is_none_or(|m| m.agent != agent)
                    }
                    SignalTarget::Group(_) => false,
                    SignalTarget::Everyone => true,
                };
                stranger.then(|| (What::Signal, format!("signal {signal} to {target:?}"), None))
            }
            Kind::Ptrace { target, result: 0, .. } => plain(What::Privilege, format!("ptrace of {target}")),
            Kind::ProcessMemory { target, .. } => plain(What::Privilege, format!("the memory of {target}")),
            Kind::Bpf { result, .. } if *result >= 0 => plain(What::Privilege, "bpf".to_owned()),
            Kind::LoadModule { name, .. } => plain(What::Privilege, format!("the kernel module `{name}`")),
            Kind::Mount { call, target, result: 0, .. } => {
                plain(What::Privilege, format!("{call} of `{target}`"))
            }
            Kind::Root { call, path, result: 0 } => plain(What::Privilege, format!("{call} to `{path}`")),
            Kind::Exec { anonymous: true, path, .. } => {
                plain(What::Memory, format!("a program that is in no file (`{path}`)"))
            }
            _ => None,
        }
    }
}

fn reached(address: &Address) -> Option<(What, String, Option<&'static str>)> {
    match address {
        Address::Ip { ip, .. } if is_local(ip) => None,
        Address::Ip { .. } => Some((What::Network, address.to_string(), None)),
        Address::Unix { path } if SERVICES.iter().any(|service| path.contains(service)) => {
            Some((What::Service, path.clone(), None))
        }
        Address::Unix { .. } | Address::Other { .. } => None,
    }
}

fn is_local(ip: &IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

pub(crate) fn is_passing(path: &str) -> bool {
    PASSING.iter().any(|folder| path.starts_with(folder)) || CACHES.iter().any(|folder| path.contains(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_small_effects_does_not_hide_a_grave_one() {
        let mut effects = Effects::default();
        for seq in 0..100 {
            effects.add(Effect { what: What::Write, seq, detail: format!("/w/{seq}") });
        }
        effects.add(Effect { what: What::Secret, seq: 100, detail: "/etc/shadow".into() });
        assert_eq!(effects.gravest().unwrap().what, What::Secret);
        assert!(effects.more_writes && effects.iter().count() == EFFECTS_MAX);
    }

    #[test]
    fn what_passes() {
        assert!(is_passing("/dev/null") && is_passing("/root/.cache/x/y"));
        assert!(!is_passing("/etc/cron.d/x") && !is_passing("/w/a.txt"));
    }
}
