//! What the first bytes of a packet say: DNS questions, TLS server names, HTTP request lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use muster_event::{Address, Kind, escape_bytes, redact_url};

use crate::wire::{Raw, tag, until_nul};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const DNS_PORT: u16 = 53;
const TCP: u32 = 6;
const HEADERS_MAX: usize = 64;

/// The address in a record.
pub(crate) fn address(raw: &Raw) -> Option<Address> {
    parse_address(raw.blob(tag::ADDRESS)?)
}

pub(crate) fn parse_address(bytes: &[u8]) -> Option<Address> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    match u16::from_ne_bytes(*family) {
        AF_UNIX => {
            let path = match rest.strip_prefix(b"\0") {
                Some(name) if !name.is_empty() => format!("@{}", escape_bytes(name)),
                _ => escape_bytes(until_nul(rest)),
            };
            Some(Address::Unix { path })
        }
        family @ (AF_INET | AF_INET6) => {
            let (port, ip) = rest.split_first_chunk::<2>()?;
            let ip: IpAddr = if family == AF_INET {
                Ipv4Addr::from(*ip.first_chunk::<4>()?).into()
            } else {
                // An IPv4 address in IPv6 clothes is an IPv4 address.
                Ipv6Addr::from(*ip.first_chunk::<16>()?).to_canonical()
            };
            Some(Address::Ip { ip, port: u16::from_be_bytes(*port) })
        }
        family => Some(Address::Other { family }),
    }
}

/// What a packet says; nothing where it is no whole opening.
pub(crate) fn kinds(raw: &Raw) -> Vec<Kind> {
    let (Some(address), Some(data)) = (address(raw), raw.blob(tag::DATA)) else { return Vec::new() };
    let port = if let Address::Ip { port, .. } = &address { *port } else { 0 };
    if port == DNS_PORT {
        // Over TCP, two bytes of length come first.
        let message = if raw.nr == TCP { data.get(2..).unwrap_or_default() } else { data };
        return dns(message, &address);
    }
    Vec::from_iter(tls(data, &address).or_else(|| http(data, &address)))
}

fn dns(message: &[u8], server: &Address) -> Vec<Kind> {
    let Ok(packet) = simple_dns::Packet::parse(message) else { return Vec::new() };
    if packet.has_flags(simple_dns::PacketFlag::RESPONSE) {
        return Vec::new();
    }
    packet
        .questions
        .iter()
        .map(|question| Kind::Dns {
            name: escape_bytes(question.qname.to_string().trim_end_matches('.').as_bytes()),
            record_type: match question.qtype {
                simple_dns::QTYPE::TYPE(record) => format!("{record:?}"),
                other => format!("{other:?}"),
            },
            server: server.clone(),
        })
        .collect()
}

fn tls(data: &[u8], address: &Address) -> Option<Kind> {
    use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake};
    let (_, record) = tls_parser::parse_tls_plaintext(data).ok()?;
    let extensions = record.msg.iter().find_map(|message| match message {
        TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) => hello.ext,
        _ => None,
    })?;
    let (_, extensions) = tls_parser::parse_tls_client_hello_extensions(extensions).ok()?;
    extensions.iter().find_map(|extension| match extension {
        TlsExtension::SNI(names) => {
            names.first().map(|(_, name)| Kind::Tls { name: escape_bytes(name), address: address.clone() })
        }
        _ => None,
    })
}

fn http(data: &[u8], address: &Address) -> Option<Kind> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    // A head that goes on in the next packet, or has too many headers, still has its first line.
    let parsed = request.parse(data);
    if parsed.is_err_and(|e| e != httparse::Error::TooManyHeaders) {
        return None;
    }
    let (method, target) = (request.method?, request.path?);
    request.version?;
    let host =
        request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("host")).map(|h| escape_bytes(h.value));
    Some(Kind::Http { method: method.to_owned(), target: redact_url(target), host, address: address.clone() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(port: u16) -> Address {
        Address::Ip { ip: Ipv4Addr::new(192, 0, 2, 1).into(), port }
    }

    #[test]
    fn addresses() {
        let mut v4 = vec![2, 0, 0x01, 0xbb, 192, 0, 2, 1];
        v4.resize(20, 0);
        assert_eq!(parse_address(&v4), Some(at(443)));
        let mut mapped = vec![10, 0, 0x01, 0xbb];
        mapped.extend(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
        assert_eq!(parse_address(&mapped), Some(at(443)));
        let unix = |path: &str| Some(Address::Unix { path: path.to_owned() });
        assert_eq!(parse_address(b"\x01\0/run/x\0junk"), unix("/run/x"));
        assert_eq!(parse_address(b"\x01\0\0name"), unix("@name"));
        assert_eq!(parse_address(b"\x01\0"), unix(""));
        assert_eq!(parse_address(b"\x10\0"), Some(Address::Other { family: 16 }));
        assert_eq!(parse_address(b"\x02\0\0"), None);
    }

    #[test]
    fn a_request_that_is_cut_still_has_its_first_line() {
        let got = http(b"POST /v1/messages?key=abc HTTP/1.1\r\nHost: a.example\r\nX: y", &at(80));
        let Some(Kind::Http { method, target, host, .. }) = got else { unreachable!("{got:?}") };
        assert_eq!((method.as_str(), host.as_deref()), ("POST", Some("a.example")));
        assert!(target.starts_with("/v1/messages?key=") && !target.contains("abc"), "{target}");
        assert_eq!(http(b"GET /nothing", &at(80)), None);
        assert_eq!(http(b"POST \x00\x01", &at(80)), None);
    }

    #[test]
    fn questions_but_no_answers() {
        use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, TYPE};
        let mut query = Packet::new_query(7);
        let name = Name::new("api.anthropic.com").unwrap();
        query.questions.push(Question::new(name, QTYPE::TYPE(TYPE::AAAA), QCLASS::CLASS(CLASS::IN), false));
        let bytes = query.build_bytes_vec().unwrap();
        assert_eq!(
            dns(&bytes, &at(53)),
            [Kind::Dns { name: "api.anthropic.com".into(), record_type: "AAAA".into(), server: at(53) }]
        );
        let mut answer = bytes;
        answer[2] |= 0x80;
        assert_eq!(dns(&answer, &at(53)), []);
    }

    #[test]
    fn the_server_name_of_a_client_hello() {
        let name = b"api.openai.com";
        let mut sni = vec![0, 0];
        sni.extend((name.len() as u16 + 5).to_be_bytes());
        sni.extend((name.len() as u16 + 3).to_be_bytes());
        sni.push(0);
        sni.extend((name.len() as u16).to_be_bytes());
        sni.extend(name);
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        hello.extend((sni.len() as u16).to_be_bytes());
        hello.extend(&sni);
        let mut record = vec![0x16, 3, 1];
        record.extend((hello.len() as u16 + 4).to_be_bytes());
        record.extend([1, 0]);
        record.extend((hello.len() as u16).to_be_bytes());
        record.extend(&hello);
        let expected = Kind::Tls { name: "api.openai.com".into(), address: at(443) };
        assert_eq!(tls(&record, &at(443)), Some(expected));
    }

    proptest! {
        #[test]
        fn any_packet_is_read_without_panic(data: Vec<u8>, kind in 0..3) {
            match kind {
                0 => drop(dns(&data, &at(53))),
                1 => drop(tls(&[&[0x16, 3, 1][..], &data].concat(), &at(443))),
                _ => drop(http(&[b"GET ", data.as_slice()].concat(), &at(80))),
            }
            let _ = parse_address(&data);
        }
    }
}
