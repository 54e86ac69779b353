//! Who may answer a question, and under which name the answer is kept. Never a process of an agent's lineage: an agent that has
//! become root, or has found the operator's token, still approves nothing.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use muster_server::{Answerer, ApprovalView, Approve, ApproveRequest};

use crate::gate::approvals::Open;
use crate::gate::{Gate, words};

/// Processes that are looked through for the other end of a connection.
const PROCESSES_MAX: usize = 1 << 17;

pub struct People {
    pub gate: Gate,
}

impl Approve for People {
    fn open(&self) -> Vec<ApprovalView> {
        self.gate.open().iter().map(view).collect()
    }

    fn answer(&self, who: Answerer, request: ApproveRequest) -> Result<ApprovalView, String> {
        let by = self.name(who)?;
        let ApproveRequest { id, allow, pattern } = request;
        self.gate.answer(id.as_deref(), allow, pattern.as_deref(), &by).map(|open| view(&open))
    }
}

impl People {
    fn name(&self, who: Answerer) -> Result<String, String> {
        match who {
            Answerer::Peer(peer) => {
                if peer.uid != 0 {
                    return Err("only root may answer".to_owned());
                }
                self.refuse_agents(peer.pid)?;
                Ok(person(peer.pid, peer.uid))
            }
            Answerer::Token { from, to } => {
                if !from.ip().to_canonical().is_loopback() && from.ip() != to.ip() {
                    return Ok(format!("token from {}", from.ip()));
                }
                let pid = process_of(from, to, None).ok_or("it cannot be told which process answers")?;
                self.refuse_agents(pid)?;
                let uid = crate::gate::uid_of(pid).ok_or("the process that answers is gone")?;
                Ok(format!("{} (token)", person(pid, uid)))
            }
        }
    }

    fn refuse_agents(&self, pid: u32) -> Result<(), String> {
        match self.gate.agent_of(pid) {
            None => Ok(()),
            Some(agent) => {
                eprintln!("watch: pid {pid} of {agent} tried to answer a question: refused");
                Err(format!("it was answered by {agent}, which is on the roll: an agent approves nothing"))
            }
        }
    }
}

/// The user; and who logged in as somebody else first, as the kernel keeps it.
fn person(pid: u32, uid: u32) -> String {
    let login =
        fs::read_to_string(format!("/proc/{pid}/loginuid")).ok().and_then(|text| text.trim().parse().ok());
    match login {
        Some(login) if login != u32::MAX && login != uid => {
            let user = crate::daemon::principal(uid);
            let user = user.split('@').next().unwrap_or(&user);
            format!("{} as {user}", crate::daemon::principal(login))
        }
        Some(_) | None => crate::daemon::principal(uid),
    }
}

/// The process that holds the end `from` of a connection to `to` on this machine; `likely`: who held such ends before.
pub fn process_of(from: SocketAddr, to: SocketAddr, likely: Option<u32>) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|table| inode_in(&table, from, to))?;
    let wanted = format!("socket:[{inode}]");
    let holds = |pid: &u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|link| link.as_os_str() == wanted.as_str())
    };
    let all = fs::read_dir("/proc").ok()?.take(PROCESSES_MAX).flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    likely.into_iter().chain(pids).find(holds)
}

/// The inode of the socket with these ends.
fn inode_in(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let local = address(fields.nth(1)?)?;
        let remote = address(fields.next()?)?;
        let inode = fields.nth(6)?.parse().ok()?;
        (same(local, from) && same(remote, to) && inode != 0).then_some(inode)
    })
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// As the kernel writes it: words of the address in the machine's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0u8; 16];
            for (at, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn view(open: &Open) -> ApprovalView {
    let line = muster_mandate::line_for(&open.action)
        .map(|(kind, text)| format!("{} = [{}]", kind.key(), serde_json::Value::from(text)));
    ApprovalView {
        id: open.id.clone(),
        agent: open.agent.clone(),
        action: words::in_words(&open.action),
        detail: serde_json::to_value(&open.action).unwrap_or_default(),
        rule: open.decision.rule.clone(),
        reason: open.decision.reason.clone(),
        mandate: open.decision.mandate.clone(),
        said: open.said.clone(),
        asked: muster_server::views::time(open.asked_ns),
        until: muster_server::views::time(open.until_ns),
        count: open.count,
        pattern: words::suggestion(&open.action),
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, from) = listener.accept().unwrap();
        let to = server.local_addr().unwrap();
        assert_eq!(process_of(from, to, None), Some(std::process::id()));
        assert_eq!(process_of(from, to, Some(1)), Some(std::process::id()), "a guess is no more than that");
        drop(client);
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(address("00000000000000000000000001000000:0050"), Some("[::1]:80".parse().unwrap()));
        for text in ["", ":", "0100007F", "0100007F:x", "zz00007F:1F90", "éééé:1"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
