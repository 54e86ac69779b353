//! The loopback of a network namespace: brought up, with the addresses that stand for the internet. By hand over netlink:
//! two messages are less than a library.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, socket};

const ACK: u16 = 0x4 | 0x1;
const CREATE: u16 = 0x400;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
/// The loopback is the first device of every namespace.
const LOOPBACK: u32 = 1;
const UP: u32 = 1;
const INET: u8 = 2;

/// Up, with these networks: all their addresses are this machine's then.
pub fn up(networks: &[([u8; 4], u8)]) -> io::Result<()> {
    // Protocol 0 is that of routes and links.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut link = vec![0, 0, 0, 0];
    link.extend(LOOPBACK.to_ne_bytes());
    link.extend(UP.to_ne_bytes());
    link.extend(UP.to_ne_bytes());
    ask(&socket, NEW_LINK, 0, &link)?;
    for (address, prefix) in networks {
        let mut message = vec![INET, *prefix, 0, 0];
        message.extend(LOOPBACK.to_ne_bytes());
        // IFA_ADDRESS and IFA_LOCAL, eight bytes each.
        for kind in [1_u16, 2] {
            message.extend(8_u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(address);
        }
        ask(&socket, NEW_ADDRESS, CREATE, &message)?;
    }
    Ok(())
}

fn ask(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    const HEAD: usize = 16;
    let length = u32::try_from(HEAD + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    rustix::io::write(socket, &message)?;
    let mut answer = [0_u8; 512];
    let read = rustix::io::read(socket, &mut answer)?;
    // An acknowledgement is an error message whose number is 0.
    let error = answer.get(HEAD..HEAD + 4).filter(|_| read >= HEAD + 4).and_then(|b| b.try_into().ok());
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::Error::other("netlink gave no answer")),
    }
}
