//! Endpoints as strace prints them, and what the first bytes of a packet say.

use std::net::IpAddr;

use muster_event::{Address, Kind, escape_bytes, redact_url};

use crate::value::{field, unescape};

const DNS_PORT: u16 = 53;
/// Labels of a name: the standard's limit for the whole is 255 bytes.
const LABELS_MAX: usize = 128;

/// `{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}`.
pub(crate) fn socket_address(text: &str) -> Option<Address> {
    let family = field(text, "sa_family")?;
    match family {
        "AF_UNIX" | "AF_LOCAL" => {
            let path = field(text, "sun_path").unwrap_or_default();
            let (named, quoted) = match path.strip_prefix('@') {
                Some(quoted) => ("@", quoted),
                None => ("", path),
            };
            let inside = quoted.strip_prefix('"').unwrap_or_default();
            let (bytes, _) = unescape(inside.as_bytes(), Some(b'"'));
            Some(Address::Unix { path: format!("{named}{}", escape_bytes(&bytes)) })
        }
        "AF_INET" => {
            let ip = quoted(field(text, "sin_addr")?)?;
            Some(Address::Ip { ip: ip.parse().ok()?, port: port(field(text, "sin_port")?)? })
        }
        "AF_INET6" => {
            // `inet_pton(AF_INET6, "::1", &sin6_addr)` has no name of its own.
            let at = text.find("inet_pton(AF_INET6")?;
            let ip: std::net::Ipv6Addr = quoted(text.get(at..)?)?.parse().ok()?;
            Some(Address::Ip { ip: ip.to_canonical(), port: port(field(text, "sin6_port")?)? })
        }
        other => Some(Address::Other { family: family_number(other) }),
    }
}

fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

fn port(text: &str) -> Option<u16> {
    let inside = text.strip_prefix("htons(").and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    inside.parse().ok()
}

fn family_number(name: &str) -> u16 {
    match name {
        "AF_UNSPEC" => 0,
        "AF_NETLINK" => 16,
        "AF_PACKET" => 17,
        "AF_ALG" => 38,
        "AF_VSOCK" => 40,
        other => other.parse().unwrap_or(u16::MAX),
    }
}

/// The other end, in a note of `-yy`: `TCP:[127.0.0.1:5->1.2.3.4:443]`, `UDPv6:[[::1]:5->[::1]:53]`.
pub(crate) fn peer_of_note(note: &str) -> Option<Address> {
    let inside = note.split_once(":[")?.1.strip_suffix(']')?;
    let (_, peer) = inside.split_once("->")?;
    let (ip, port) = peer.rsplit_once(':')?;
    let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(Address::Ip { ip, port: port.parse().ok()? })
}

/// As `Address` is shown.
pub(crate) fn of_shown(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(Address::Unix { path: path.to_owned() });
    }
    if let Some(family) = text.strip_prefix("family:") {
        return Some(Address::Other { family: family.parse().ok()? });
    }
    let (ip, port) = text.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(six) => IpAddr::V6(six.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(ip.parse().ok()?),
    };
    Some(Address::Ip { ip, port: port.parse().ok()? })
}

/// What a packet to this address says: a question to the DNS, the first line of an HTTP request.
pub(crate) fn packet(data: &[u8], to: &Address) -> Option<Kind> {
    match to {
        Address::Ip { port: DNS_PORT, .. } => {
            let (name, record_type) = question(data)?;
            Some(Kind::Dns { name, record_type, server: to.clone() })
        }
        Address::Ip { .. } => http(data, to),
        Address::Unix { .. } | Address::Other { .. } => None,
    }
}

/// The first question of a DNS message.
fn question(message: &[u8]) -> Option<(String, String)> {
    let flags = *message.get(2)?;
    let questions = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
    if flags & 0x80 != 0 || questions == 0 {
        return None;
    }
    let mut rest = message.get(12..)?;
    let mut labels = Vec::new();
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            rest = after;
            break;
        }
        // A question has no pointers.
        if length > 63 || labels.len() >= LABELS_MAX {
            return None;
        }
        labels.push(escape_bytes(after.get(..usize::from(length))?));
        rest = after.get(usize::from(length)..)?;
    }
    if labels.is_empty() {
        return None;
    }
    let code = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
    let record_type = match code {
        1 => "A".to_owned(),
        5 => "CNAME".to_owned(),
        12 => "PTR".to_owned(),
        15 => "MX".to_owned(),
        16 => "TXT".to_owned(),
        28 => "AAAA".to_owned(),
        33 => "SRV".to_owned(),
        65 => "HTTPS".to_owned(),
        other => format!("TYPE{other}"),
    };
    Some((labels.join("."), record_type))
}

fn http(data: &[u8], to: &Address) -> Option<Kind> {
    const METHODS: [&str; 8] = ["GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS", "CONNECT"];
    let text = std::str::from_utf8(data.get(..data.len().min(8_192))?).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !METHODS.contains(&method) || !version.starts_with("HTTP/1.") {
        return None;
    }
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, host)| host.trim().to_owned());
    Some(Kind::Http { method: method.to_owned(), target: redact_url(target), host, address: to.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(socket_address(text).unwrap().to_string(), expected);
    }

    #[test]
    fn addresses_as_strace_prints_them() {
        check(
            r#"{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.255.255.53")}"#,
            "10.255.255.53:53",
        );
        check(
            r#"{sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}"#,
            "[::1]:443",
        );
        check(r#"{sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}"#, "unix:/var/run/nscd/socket");
        check(r#"{sa_family=AF_UNIX, sun_path=@"/tmp/x"}"#, "unix:@/tmp/x");
        check("{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}", "family:16");
        for shown in ["1.2.3.4:5", "[::1]:443", "unix:@a", "family:16"] {
            assert_eq!(of_shown(shown).unwrap().to_string(), shown);
        }
        assert_eq!(peer_of_note("TCP:[127.0.0.1:5->1.2.3.4:443]").unwrap().to_string(), "1.2.3.4:443");
    }

    #[test]
    fn a_question_is_read_from_its_packet() {
        let (data, _) = unescape(br"b@\1\0\0\1\0\0\0\0\0\0\3api\6github\3com\0\0\1\0\1", None);
        let server = of_shown("10.0.0.53:53").unwrap();
        let Some(Kind::Dns { name, record_type, .. }) = packet(&data, &server) else { panic!() };
        assert_eq!((name.as_str(), record_type.as_str()), ("api.github.com", "A"));
        assert_eq!(packet(&data[..20], &server), None);
        let web = of_shown("127.0.0.1:80").unwrap();
        let Some(Kind::Http { target, host, .. }) = packet(b"GET /x?key=abc HTTP/1.1\r\nHost: a\r\n", &web)
        else {
            panic!()
        };
        assert_eq!((target.as_str(), host.as_deref()), ("/x?key=[redacted]", Some("a")));
    }
}
