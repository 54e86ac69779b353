//! Patterns of hosts and ports, as `api.example.org:443`, `*.example.org:*`, `10.0.0.0/8:5000-5010`, `[::1]:80`,
//! `unix:/run/x.sock`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Protocol;
use crate::glob::{PathGlob, Word};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// Lower case, no dot at its end.
    Name(String),
    /// `*.name`: at least one label before it.
    Below(String),
    Net {
        address: IpAddr,
        bits: u8,
    },
    /// The machine itself, by name or address.
    Local,
    Socket(PathGlob),
    /// A name without a file: `unix:@name`.
    Abstract(Word),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
    host: Host,
    ports: (u16, u16),
}

impl HostPattern {
    pub fn new(text: &str) -> Result<HostPattern, String> {
        if text.len() > 512 {
            return Err("longer than 512 bytes".to_owned());
        }
        let whole = |host| Ok(HostPattern { text: text.to_owned(), host, ports: (0, u16::MAX) });
        if let Some(socket) = text.strip_prefix("unix:") {
            return match socket.strip_prefix('@') {
                Some(name) => whole(Host::Abstract(Word::new(name)?)),
                None => whole(Host::Socket(PathGlob::new(socket)?)),
            };
        }
        let no_port = "names no port\nhint: `name:443`, a range `name:8000-8010`, or `name:*` for any";
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("`[` without `]`")?;
                (host, port.strip_prefix(':').ok_or(no_port)?)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or(no_port)?;
                if host.contains(':') {
                    return Err("an IPv6 address stands in brackets: `[2001:db8::1]:443`".to_owned());
                }
                (host, port)
            }
        };
        Ok(HostPattern { text: text.to_owned(), host: parse_host(host)?, ports: parse_ports(port)? })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hosts that are names, with their ports: what DNS answers make addresses of. `None` for others.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) | Host::Below(name) => Some(name),
            _ => None,
        }
    }

    /// Addresses that it names itself: net, bits.
    pub fn net(&self) -> Option<(IpAddr, u8)> {
        match &self.host {
            Host::Net { address, bits } => Some((*address, *bits)),
            _ => None,
        }
    }

    pub fn is_any(&self) -> bool {
        self.host == Host::Any
    }

    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    pub fn at_home(&self, home: &str) -> Result<HostPattern, String> {
        let mut whole = self.clone();
        if let Host::Socket(glob) = &self.host {
            whole.host = Host::Socket(glob.at_home(home)?);
        }
        Ok(whole)
    }

    pub fn of_home(&self) -> bool {
        matches!(&self.host, Host::Socket(glob) if glob.of_home())
    }

    /// Lines that allow: a name's answer that is the machine itself, or link-local (where clouds keep credentials), is
    /// covered by a line that says so, not by one that names the host: else who owns the name opens these.
    pub fn allows(&self, target: &Target<'_>) -> bool {
        match &self.host {
            Host::Name(_) | Host::Below(_) if target.address.is_some_and(is_of_machine) => false,
            Host::Any if target.address.is_some_and(is_link_local) => false,
            _ => self.matches(target),
        }
    }

    pub fn matches(&self, target: &Target<'_>) -> bool {
        if target.protocol == Protocol::Unix {
            let Some(path) = target.host.as_deref() else { return false };
            return match &self.host {
                Host::Socket(glob) => glob.matches(path),
                Host::Abstract(word) => path.strip_prefix('@').is_some_and(|name| word.matches(name)),
                _ => false,
            };
        }
        let (from, to) = self.ports;
        let port = match target.port {
            Some(port) => (from..=to).contains(&port),
            None => (from, to) == (0, u16::MAX),
        };
        port && match &self.host {
            Host::Any => true,
            Host::Name(name) => target.host.as_deref() == Some(name),
            Host::Below(name) => target.host.as_deref().is_some_and(|host| is_below(host, name)),
            Host::Net { address, bits } => target.address.is_some_and(|it| in_net(it, *address, *bits)),
            Host::Local => match target.address {
                Some(address) => address.is_loopback(),
                None => target.host.as_deref() == Some("localhost"),
            },
            Host::Socket(_) | Host::Abstract(_) => false,
        }
    }

    /// All that the other matches is matched by this one. `false` where that cannot be shown.
    pub fn includes(&self, other: &HostPattern) -> bool {
        let ports = self.ports.0 <= other.ports.0 && other.ports.1 <= self.ports.1;
        ports
            && match (&self.host, &other.host) {
                (Host::Socket(outer), Host::Socket(inner)) => outer.includes(inner),
                (Host::Abstract(outer), Host::Abstract(inner)) => outer.includes(inner),
                (_, Host::Socket(_) | Host::Abstract(_)) => false,
                (Host::Any, Host::Net { address, bits }) => {
                    let reaches = |special: IpAddr| in_net(special, *address, *bits);
                    !is_link_local(*address) && !LINK_LOCAL.into_iter().any(reaches)
                }
                (Host::Any, _) => true,
                (Host::Name(outer), Host::Name(inner)) => outer == inner,
                (Host::Below(outer), Host::Name(inner)) => is_below(inner, outer),
                (Host::Below(outer), Host::Below(inner)) => outer == inner || is_below(inner, outer),
                (Host::Net { address: outer, bits }, Host::Net { address, bits: inner }) => {
                    bits <= inner && in_net(*address, *outer, *bits)
                }
                (Host::Local, Host::Local) => true,
                (Host::Local, Host::Net { address: IpAddr::V4(address), bits }) => {
                    address.is_loopback() && *bits >= 8
                }
                (Host::Local, Host::Net { address: IpAddr::V6(address), bits }) => {
                    address.is_loopback() && *bits == 128
                }
                _ => false,
            }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whom a connection is to, made comparable once for all patterns.
pub struct Target<'a> {
    host: Option<std::borrow::Cow<'a, str>>,
    address: Option<IpAddr>,
    port: Option<u16>,
    protocol: Protocol,
}

impl<'a> Target<'a> {
    pub fn new(
        host: Option<&'a str>,
        address: Option<IpAddr>,
        port: Option<u16>,
        protocol: Protocol,
    ) -> Self {
        let mut host = host.map(std::borrow::Cow::from);
        let mut address = address.map(unmapped);
        if protocol != Protocol::Unix
            && let Some(name) = &host
        {
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            match bare.parse::<IpAddr>() {
                Ok(literal) => {
                    address = address.or(Some(unmapped(literal)));
                    host = None;
                }
                Err(_) => host = Some(plain_name(name).into()),
            }
        }
        Target { host, address, port, protocol }
    }
}

/// The machine itself under the other family's form is the machine itself.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// One address of each kind that `is_link_local` knows: a net that is wider holds them.
const LINK_LOCAL: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

fn is_link_local(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(four) => four.is_link_local(),
        // The metadata address of clouds in IPv6, and link-local ones.
        IpAddr::V6(six) => {
            six.is_unicast_link_local() || six.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

fn is_of_machine(address: IpAddr) -> bool {
    let address = unmapped(address);
    address.is_loopback() || address.is_unspecified() || is_link_local(address)
}

fn plain_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
}

fn in_net(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    let (a, b, width) = match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32u32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    let shift = width.saturating_sub(u32::from(bits));
    shift >= 128 || a >> shift == b >> shift
}

fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    if text == "*" {
        return Ok((0, u16::MAX));
    }
    let number = |text: &str| {
        if text.starts_with('+') {
            return Err("a port is a number".to_owned());
        }
        text.parse::<u16>()
            .map_err(|_| format!("`{text}` is no port\nhint: a number, a range `8000-8010`, or `*`"))
    };
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(text)?, number(text)?),
    };
    if from > to {
        return Err(format!("`{text}` is an empty range"));
    }
    Ok((from, to))
}

fn parse_host(text: &str) -> Result<Host, String> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Host::Local);
    }
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no address"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 =
            bits.parse().ok().filter(|bits| *bits <= width).ok_or(format!("`/{bits}` is no prefix"))?;
        return net(address, bits);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return net(address, if address.is_ipv4() { 32 } else { 128 });
    }
    let (name, below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let name = plain_name(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if !name.split('.').all(is_label) {
        return Err(format!(
            "`{text}` is no host\nhint: a name (international ones as `xn--…`), `*.name`, an address, a net `10.0.0.0/8`, or `*`"
        ));
    }
    // `127.1`, `0x7f.1`: some programs read these as addresses.
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("`{text}` looks like an address, and is none"));
    }
    Ok(if below { Host::Below(name) } else { Host::Name(name) })
}

fn net(address: IpAddr, bits: u8) -> Result<Host, String> {
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => Err(format!(
            "write `{}`, without `::ffff:`",
            six.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED)
        )),
        address => Ok(Host::Net { address, bits }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (pattern, host, address, port, expected) in [
            ("api.x.org:443", "api.x.org", "", 443, true),
            ("api.x.org:443", "API.x.org.", "1.2.3.4", 443, true),
            ("api.x.org:443", "api.x.org", "", 80, false),
            ("api.x.org:443", "evilapi.x.org", "", 443, false),
            ("*.x.org:443", "a.b.x.org", "", 443, true),
            ("*.x.org:443", "x.org", "", 443, false),
            ("*.x.org:443", "ax.org", "", 443, false),
            ("*:443", "", "1.2.3.4", 443, true),
            ("*:*", "", "169.254.169.254", 80, false),
            ("169.254.169.254:80", "", "169.254.169.254", 80, true),
            ("api.x.org:443", "api.x.org", "127.0.0.1", 443, false),
            ("api.x.org:443", "api.x.org", "::ffff:169.254.169.254", 443, false),
            ("10.0.0.0/8:*", "", "10.9.9.9", 1, true),
            ("10.0.0.0/8:*", "", "::ffff:10.9.9.9", 1, true),
            ("10.0.0.0/8:*", "", "11.0.0.0", 1, false),
            ("10.0.0.0/8:*", "10.1.1.1", "", 1, true),
            ("0.0.0.0/0:*", "", "8.8.8.8", 1, true),
            ("[::1]:80", "", "::1", 80, true),
            ("[2001:db8::/32]:80", "", "2001:db8::5", 80, true),
            ("localhost:8000-8010", "localhost", "127.0.0.1", 8005, true),
            ("localhost:8000-8010", "localhost", "8.8.8.8", 8005, false),
            ("localhost:8000-8010", "", "::1", 8011, false),
        ] {
            let address = address.parse().ok();
            let target =
                Target::new(Some(host).filter(|h| !h.is_empty()), address, Some(port), Protocol::Tcp);
            assert_eq!(
                HostPattern::new(pattern).unwrap().allows(&target),
                expected,
                "{pattern} {host} {address:?}"
            );
        }
    }

    #[test]
    fn sockets() {
        let target = |path| Target::new(Some(path), None, None, Protocol::Unix);
        let pattern = |text| HostPattern::new(text).unwrap();
        assert!(pattern("unix:/run/*.sock").matches(&target("/run/a.sock")));
        assert!(!pattern("*:*").matches(&target("/run/docker.sock")));
        assert!(pattern("unix:@dbus-*").matches(&target("@dbus-1")));
        assert!(!pattern("unix:/**").matches(&target("@dbus-1")));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "x.org",
            "::1:80",
            "x.org:0-99999",
            "x.org:9-1",
            "127.1:80",
            "a..b:1",
            "*x.org:1",
            "[::ffff:1.2.3.4]:1",
            "10.0.0.0/33:1",
            "bücher.de:1",
        ] {
            assert!(HostPattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn inclusion() {
        for (outer, inner, expected) in [
            ("*:*", "x.org:443", true),
            ("*:*", "169.254.0.0/16:80", false),
            ("*:*", "0.0.0.0/0:80", false),
            ("*:*", "10.0.0.0/8:80", true),
            ("*:443", "x.org:*", false),
            ("*.x.org:*", "a.x.org:1", true),
            ("*.x.org:*", "*.a.x.org:1", true),
            ("*.a.x.org:*", "*.x.org:1", false),
            ("10.0.0.0/8:*", "10.2.0.0/16:5", true),
            ("10.2.0.0/16:*", "10.0.0.0/8:5", false),
            ("localhost:*", "127.0.0.1:1", true),
            ("x.org:1", "1.2.3.4:1", false),
            ("unix:/run/**", "unix:/run/x", true),
            ("*:*", "unix:/run/x", false),
        ] {
            let (o, i) = (HostPattern::new(outer).unwrap(), HostPattern::new(inner).unwrap());
            assert_eq!(o.includes(&i), expected, "{outer} {inner}");
        }
    }
}
