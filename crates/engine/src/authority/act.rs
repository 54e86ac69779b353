//! Events of the record in the words of mandates.

use muster_event::{Address, Event, Kind};
use muster_mandate::{Action, Operation, Protocol};

/// Paths that this act changed.
pub(super) fn changed_paths(kind: &Kind) -> Vec<&str> {
    match kind {
        Kind::Open { path, access, result } if access.write && *result >= 0 => vec![path],
        Kind::Rename { from, to, result } if *result >= 0 => vec![from, to],
        Kind::Link { to: path, result, .. }
        | Kind::Symlink { path, result, .. }
        | Kind::Unlink { path, result, .. }
        | Kind::Mkdir { path, result }
        | Kind::Truncate { path, result, .. }
        | Kind::Chmod { path, result, .. }
        | Kind::Chown { path, result, .. }
            if *result >= 0 =>
        {
            vec![path]
        }
        Kind::IoUring { path: Some(path), operation, flags }
            if operation.starts_with("open") && flags & 0o3 != 0 =>
        {
            vec![path]
        }
        _ => Vec::new(),
    }
}

/// What the event is in the words of mandates. `muster mandate suggest` goes by the same.
pub fn actions_of(event: &Event) -> Vec<Action> {
    let privileged = |operation, detail: String| vec![Action::Privileged { operation, detail }];
    match &event.kind {
        // Of files that are only read, the sensor tells of those that may hold secrets.
        Kind::Open { path, access, result } if !access.write && *result >= 0 && is_file(path) => {
            let mut actions = vec![Action::Read { path: path.clone() }];
            if let Some(what) = credential(path) {
                actions.push(Action::Credential { what: what.to_owned(), path: Some(path.clone()) });
            }
            actions
        }
        Kind::Exec { path, script, argv, anonymous: false, .. } => {
            let files = std::iter::once(path).chain(script.as_ref());
            files.map(|path| Action::Execute { path: path.clone(), argv: argv.clone() }).collect()
        }
        // -EINPROGRESS: the usual answer to a connection that does not wait. Port 0 only asks which way it would go.
        Kind::Connect { address: Address::Ip { ip, port }, result }
            if (*result >= 0 || *result == -115) && *port != 0 =>
        {
            vec![connect(None, Some(*ip), Some(*port))]
        }
        Kind::Send { address: Address::Ip { ip, port }, result } if *result >= 0 && *port != 0 => {
            vec![connect(None, Some(*ip), Some(*port))]
        }
        Kind::Tls { name, address: Address::Ip { ip, port } } => {
            vec![connect(Some(name.clone()), Some(*ip), Some(*port))]
        }
        Kind::Connect { address: Address::Unix { path }, result: 0 } if is_service(path) => {
            vec![Action::Connect {
                host: Some(path.clone()),
                address: None,
                port: None,
                protocol: Protocol::Unix,
            }]
        }
        Kind::Ptrace { request, target, result } if *request != 0 && *result >= 0 => {
            privileged(Operation::Ptrace, format!("of {target}"))
        }
        Kind::Bpf { result, .. } if *result >= 0 => privileged(Operation::Bpf, String::new()),
        Kind::LoadModule { name, .. } => privileged(Operation::Module, name.clone()),
        Kind::Mount { call, target, result: 0, .. } => {
            privileged(Operation::Mount, format!("{call} {target}"))
        }
        kind => changed_paths(kind)
            .into_iter()
            .filter(|path| is_file(path))
            .map(|path| Action::Write { path: path.to_owned() })
            .collect(),
    }
}

/// Not a pipe, a socket or a file in memory, which have no place.
fn is_file(path: &str) -> bool {
    // `O_TMPFILE`: shown as its folder and number, and gone with its process.
    let unnamed = ["/tmp/#", "/var/tmp/#", "/dev/shm/#"]
        .iter()
        .any(|start| path.strip_prefix(start).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())));
    !unnamed && path.starts_with('/') && !path.starts_with("/memfd:") && !path.starts_with("/dev/shm/sem.")
}

fn connect(host: Option<String>, address: Option<std::net::IpAddr>, port: Option<u16>) -> Action {
    Action::Connect { host, address, port, protocol: Protocol::Tcp }
}

/// Sockets through which somebody else acts for the caller; those of programs with each other are nobody's business.
fn is_service(path: &str) -> bool {
    const SERVICES: [&str; 10] = [
        "docker",
        "podman",
        "containerd",
        "crio",
        "/run/systemd/private",
        "system_bus_socket",
        "/run/dbus/",
        "libvirt",
        "ssh-agent",
        "/ssh-",
    ];
    SERVICES.iter().any(|service| path.contains(service))
}

/// What kind of authority elsewhere this file holds.
pub fn credential(path: &str) -> Option<&'static str> {
    const PLACES: [(&str, &str); 17] = [
        ("/.ssh/id_", "ssh"),
        ("/etc/ssh/ssh_host_", "ssh"),
        ("/.aws/credentials", "aws"),
        ("/.azure/", "azure"),
        ("/.config/gcloud/", "gcp"),
        ("/.kube/config", "kubernetes"),
        ("/serviceaccount/token", "kubernetes"),
        ("/.docker/config.json", "docker"),
        ("/.git-credentials", "git"),
        ("/.config/gh/hosts.yml", "git"),
        ("/.netrc", "netrc"),
        ("/.gnupg/", "gnupg"),
        ("/keyrings/", "keyring"),
        ("/Login Data", "browser"),
        ("/logins.json", "browser"),
        ("/wallet.dat", "wallet"),
        ("/keystore/", "wallet"),
    ];
    if path.ends_with(".pub") {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == ".env" || name.starts_with(".env.") && !name.ends_with(".example") {
        return Some("env-file");
    }
    PLACES.iter().find(|(place, _)| path.contains(place)).map(|(_, what)| *what)
}

/// The folders of the program of a product: its package, or where its executable lies, unless that is a folder of others.
pub fn install_folders(path: &str, script: Option<&str>, cwd: &str) -> Vec<String> {
    const OF_ALL: [&str; 9] = [
        "/usr/bin",
        "/bin",
        "/usr/local/bin",
        "/usr/sbin",
        "/sbin",
        "/usr/local/sbin",
        "/opt",
        "/tmp",
        "/root",
    ];
    let folder = |path: &str| {
        let (before, inside) = match path.rfind("/node_modules/") {
            Some(at) => path.split_at_checked(at + "/node_modules/".len())?,
            None => {
                let folder = path.rsplit_once('/')?.0;
                let depth = folder.matches('/').count();
                let own =
                    depth >= 2 && !OF_ALL.contains(&folder) && folder != cwd && !folder.ends_with("/bin");
                // `…/x/bin/x` is `x`'s.
                let shared = OF_ALL.contains(&folder);
                let up = folder
                    .strip_suffix("/bin")
                    .filter(|_| !shared)
                    .filter(|up| up.matches('/').count() >= 2 && !OF_ALL.contains(up));
                let home = up.is_some_and(|up| up.ends_with("/.local"));
                return if own { Some(folder.to_owned()) } else { up.filter(|_| !home).map(str::to_owned) };
            }
        };
        let words = if inside.starts_with('@') { 2 } else { 1 };
        Some(format!("{before}{}", inside.split('/').take(words).collect::<Vec<_>>().join("/")))
    };
    let mut folders: Vec<String> = [Some(path), script].into_iter().flatten().filter_map(folder).collect();
    folders.sort();
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_product_lies() {
        for (path, script, expected) in [
            (
                "/usr/bin/node",
                Some("/usr/lib/node_modules/@openai/codex/bin/codex.js"),
                vec!["/usr/lib/node_modules/@openai/codex"],
            ),
            (
                "/usr/bin/node",
                Some("/a/node_modules/x/node_modules/y/c.js"),
                vec!["/a/node_modules/x/node_modules/y"],
            ),
            ("/root/.local/share/claude/versions/2.1", None, vec!["/root/.local/share/claude/versions"]),
            ("/usr/local/bin/claude", None, vec![]),
            ("/root/.local/bin/claude", None, vec![]),
            ("/opt/tools/codex/bin/codex", None, vec!["/opt/tools/codex"]),
            ("/x/run", None, vec![]),
        ] {
            assert_eq!(install_folders(path, script, "/w"), expected, "{path}");
        }
    }

    #[test]
    fn what_gives_authority_elsewhere() {
        for (path, expected) in [
            ("/root/.ssh/id_ed25519", Some("ssh")),
            ("/root/.ssh/id_ed25519.pub", None),
            ("/p/.env.production", Some("env-file")),
            ("/p/.env.example", None),
            ("/p/src/main.rs", None),
        ] {
            assert_eq!(credential(path), expected, "{path}");
        }
    }
}
