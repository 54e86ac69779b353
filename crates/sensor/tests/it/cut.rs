//! An open connection goes silent, and speaks again; no other one does.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use muster_sensor::{Silenced, silence, unsilence};
use rustix::net::sockopt::socket_cookie;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Does what one says arrive within so long?
fn arrives(from: &mut TcpStream, to: &mut TcpStream, within: Duration) -> bool {
    from.write_all(b"x").unwrap();
    to.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let began = Instant::now();
    let mut byte = [0];
    while began.elapsed() < within {
        match to.read(&mut byte) {
            Ok(count) => return count == 1,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        }
    }
    false
}

#[test]
fn an_open_connection_goes_silent_and_speaks_again() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: packet filters need root");
        return;
    }
    let ((mut near, mut far), (mut other, mut others)) = (pair(), pair());
    let soon = Duration::from_secs(5);
    assert!(arrives(&mut near, &mut far, soon) && arrives(&mut far, &mut near, soon));
    let cookie = socket_cookie(&near).unwrap();
    let name = format!("test-{}", std::process::id());
    let what = Silenced { name: &name, groups: &[], sockets: &[cookie], must_outlive: false };
    silence(what).unwrap();
    // The same name once more: what was cut off is it still.
    silence(what).unwrap();
    let a_while = Duration::from_millis(300);
    assert!(!arrives(&mut near, &mut far, a_while), "nothing leaves it");
    assert!(!arrives(&mut far, &mut near, a_while), "nothing reaches it");
    assert!(arrives(&mut other, &mut others, soon), "another connection goes on");
    unsilence(&name);
    // What waited comes now: the kernel sends it again.
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!((far.read(&mut [0]).unwrap(), near.read(&mut [0]).unwrap()), (1, 1));
}
