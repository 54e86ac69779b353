//! Hosts by name: which names an agent has asked for, and which addresses it was told. Its questions go through a resolver
//! of Muster's own: what the mandate does not name is not asked (a question carries data out, too), and an address counts
//! as a name's only if the configured resolver said so to Muster.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{Packet, PacketFlag, RCODE};

/// Addresses that are remembered: what an agent that walks through names can make Muster keep.
const ADDRESSES_MAX: usize = 16_384;
/// Names of one address: content networks serve thousands, an agent asks for few.
const NAMES_MAX: usize = 64;
/// An address stays a name's for at least so long: programs keep connections and answers beyond a record's time.
const KEPT: Duration = Duration::from_secs(3600);
/// Questions at once.
const ASKED_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGE_MAX: usize = 65_535;
pub const DNS: u16 = 53;

#[derive(Default)]
pub struct Names {
    known: Mutex<BTreeMap<IpAddr, Vec<(String, Instant)>>>,
}

impl Names {
    /// With what the machine's own table of hosts says.
    pub fn with_table(hosts: &str) -> Self {
        let names = Self::default();
        for line in hosts.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            for name in words {
                names.add(address, name, Duration::MAX);
            }
        }
        names
    }

    pub fn add(&self, address: IpAddr, name: &str, keep: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // A century for what never ends.
        let until = now.checked_add(keep.max(KEPT)).unwrap_or(now + Duration::from_secs(3_000_000_000));
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            known.retain(|_, names| names.iter().any(|(_, until)| *until > now));
            if known.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let names = known.entry(address).or_default();
        names.retain(|(known, until)| known != name && *until > now);
        if names.len() < NAMES_MAX {
            names.push((name.to_ascii_lowercase(), until));
        }
    }

    pub fn of(&self, address: IpAddr) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let names = known.get(&address).map(Vec::as_slice).unwrap_or_default();
        names.iter().filter(|(_, until)| *until > now).map(|(name, _)| name.clone()).collect()
    }
}

/// The machine's resolvers, by its configuration.
pub fn resolvers(configuration: &str) -> Vec<IpAddr> {
    let servers = configuration.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.split('%').next()?.parse().ok())?
    });
    // As many as the library takes.
    let found: Vec<IpAddr> = servers.take(3).collect();
    if found.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { found }
}

/// Asked before a name is looked up; told which addresses were its.
pub trait Admit: Send + Sync {
    fn admits(&self, name: &str) -> bool;
    fn answered(&self, name: &str, addresses: &[IpAddr]);
}

/// Answers an agent's questions on this machine's own address.
pub struct Resolver {
    pub port: u16,
}

struct Shared {
    upstream: Vec<SocketAddr>,
    names: Arc<Names>,
    admit: Arc<dyn Admit>,
    asked: AtomicUsize,
}

impl Resolver {
    /// Serves until the process ends, on one port for datagrams and streams.
    pub fn start(upstream: Vec<SocketAddr>, names: Arc<Names>, admit: Arc<dyn Admit>) -> io::Result<Self> {
        let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = streams.local_addr()?.port();
        let datagrams = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?);
        let shared = Arc::new(Shared { upstream, names, admit, asked: AtomicUsize::new(0) });
        let of_datagrams = Arc::clone(&shared);
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let mut buffer = vec![0; MESSAGE_MAX];
            while let Ok((len, from)) = datagrams.recv_from(&mut buffer) {
                let question = buffer.get(..len).unwrap_or_default().to_vec();
                let socket = Arc::clone(&datagrams);
                of_datagrams.spawn(move |shared| {
                    if let Some(answer) = shared.answer(&question, false) {
                        drop(socket.send_to(&answer, from));
                    }
                });
            }
        })?;
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            for stream in streams.incoming().flatten() {
                shared.spawn(move |shared| drop(shared.serve(stream)));
            }
        })?;
        Ok(Self { port })
    }
}

impl Shared {
    /// On a thread of its own, unless too many are at it.
    fn spawn(self: &Arc<Self>, work: impl FnOnce(&Shared) + Send + 'static) {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= ASKED_MAX {
            self.asked.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let shared = Arc::clone(self);
        let started = thread::Builder::new().spawn(move || {
            work(&shared);
            shared.asked.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            self.asked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        loop {
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut question)?;
            let Some(answer) = self.answer(&question, true) else { return Ok(()) };
            let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&len.to_be_bytes()[..], &answer].concat())?;
        }
    }

    fn answer(&self, question: &[u8], by_stream: bool) -> Option<Vec<u8>> {
        let packet = Packet::parse(question).ok()?;
        if packet.has_flags(PacketFlag::RESPONSE) {
            return None;
        }
        let [asked] = packet.questions.as_slice() else { return refuse(&packet, RCODE::FormatError) };
        let name = asked.qname.to_string();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if !self.admit.admits(&name) {
            return refuse(&packet, RCODE::NameError);
        }
        let answer = self.upstream.iter().find_map(|server| {
            if by_stream { by_tcp(*server, question) } else { by_udp(*server, question) }.ok()
        });
        let Some(answer) = answer else { return refuse(&packet, RCODE::ServerFailure) };
        let (keep, addresses) = addresses(&answer, packet.id())?;
        for address in &addresses {
            self.names.add(*address, &name, keep);
        }
        self.admit.answered(&name, &addresses);
        Some(answer)
    }
}

pub(crate) fn refuse(question: &Packet<'_>, code: RCODE) -> Option<Vec<u8>> {
    let mut answer = Packet::new_reply(question.id());
    *answer.rcode_mut() = code;
    answer.questions.clone_from(&question.questions);
    answer.build_bytes_vec().ok()
}

/// Addresses in an answer, and how long it holds; `None`: it is none to this question.
pub(crate) fn addresses(answer: &[u8], id: u16) -> Option<(Duration, Vec<IpAddr>)> {
    let packet = Packet::parse(answer).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let mut keep = 0;
    let mut found = Vec::new();
    for record in &packet.answers {
        let address: IpAddr = match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).into(),
            RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).into(),
            _ => continue,
        };
        keep = keep.max(record.ttl);
        found.push(address.to_canonical());
    }
    found.truncate(NAMES_MAX);
    Some((Duration::from_secs(keep.into()), found))
}

fn by_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let own: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(question)?;
    let mut answer = vec![0; MESSAGE_MAX];
    loop {
        let len = socket.recv(&mut answer)?;
        // Somebody else's answer, or an old one.
        if answer.get(..2) == question.get(..2) {
            answer.truncate(len);
            return Ok(answer);
        }
    }
}

fn by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let len = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], question].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_machine() {
        let found = resolvers("# x\nsearch a b\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions y\n");
        assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(resolvers(""), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        let names = Names::with_table("127.0.0.1 localhost # me\n192.0.2.9 Build build.example\n");
        assert_eq!(names.of("192.0.2.9".parse().unwrap()), ["build", "build.example"]);
        assert!(names.of("192.0.2.8".parse().unwrap()).is_empty());
    }

    #[test]
    fn an_address_has_few_names_and_there_are_few_addresses() {
        let names = Names::default();
        for number in 0..200 {
            names.add("192.0.2.1".parse().unwrap(), &format!("n{number}.example"), Duration::ZERO);
        }
        assert_eq!(names.of("192.0.2.1".parse().unwrap()).len(), NAMES_MAX);
        for number in 0..20_000_u32 {
            names.add(Ipv4Addr::from(number).into(), "a.example", Duration::ZERO);
        }
        assert!(names.known.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
