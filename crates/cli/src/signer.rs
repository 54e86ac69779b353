//! Where the log's key is when it is not in a file of the data folder: in another process, or on a token.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_ledger::Checkpoint;
use muster_ledger::note::{Proof, Signer, Verifier};
use muster_ledger::signing::{Answer, MESSAGE_MAX, Request};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Longest that one question may take: the daemon's loop waits for it.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a signer that did not answer in that time is not asked again, so that the loop does little else but wait.
const PAUSE: Duration = Duration::from_secs(10);

/// What `--signer` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    #[cfg(feature = "pkcs11")]
    Token(crate::token::Place),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Place::Unix(PathBuf::from(path)));
        }
        if text.starts_with("pkcs11:") {
            #[cfg(feature = "pkcs11")]
            return text.parse().map(Place::Token);
            #[cfg(not(feature = "pkcs11"))]
            return Err("this `muster` was built without tokens (feature `pkcs11`)".to_owned());
        }
        Err("it is neither `unix:PATH` nor `pkcs11:module=PATH;token=LABEL;object=LABEL;pin-file=PATH`"
            .to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            #[cfg(feature = "pkcs11")]
            Place::Token(place) => place.fmt(f),
        }
    }
}

/// Who holds the keys.
#[derive(Clone)]
pub enum KeySource {
    Process(Arc<Client>),
    #[cfg(feature = "pkcs11")]
    Token(Arc<crate::token::Token>),
}

impl KeySource {
    /// Asks nothing yet: it may not be there.
    pub fn new(place: &Place, name: Option<&str>) -> Result<KeySource, String> {
        match place {
            Place::Unix(path) => {
                // A process knows its name.
                let _ = name;
                Ok(KeySource::Process(Arc::new(Client::new(path))))
            }
            #[cfg(feature = "pkcs11")]
            Place::Token(place) => {
                crate::token::Token::new(place, name).map(|it| KeySource::Token(Arc::new(it)))
            }
        }
    }

    /// The keys that sign, the newest first.
    pub fn keys(&self) -> Result<Vec<Verifier>, String> {
        match self {
            KeySource::Process(client) => client.keys(),
            #[cfg(feature = "pkcs11")]
            KeySource::Token(token) => token.key().map(|key| vec![key]),
        }
    }

    pub fn signer(&self, key: Verifier) -> Box<dyn Signer> {
        match self {
            KeySource::Process(client) => Box::new(Remote { client: Arc::clone(client), key }),
            #[cfg(feature = "pkcs11")]
            KeySource::Token(token) => Box::new(crate::token::OnToken::new(Arc::clone(token), key)),
        }
    }

    /// The signature by one of its keys of that `new` takes the place of `old`.
    pub fn rotation(&self, by: &Verifier, old: &Verifier, new: &Verifier) -> Result<[u8; 64], String> {
        let signature = match self {
            KeySource::Process(client) => {
                let (old, new) = (Box::new(old.clone()), Box::new(new.clone()));
                let request = Request::Rotation { by: by.id(), old, new };
                match client.ask(&request)? {
                    Answer::Signature(signature) => signature,
                    other => return Err(client.odd(other)),
                }
            }
            #[cfg(feature = "pkcs11")]
            KeySource::Token(token) => {
                token.sign(by, &muster_server::log::rotation_message(&old.to_string(), &new.to_string()))?
            }
        };
        let message = muster_server::log::rotation_message(&old.to_string(), &new.to_string());
        if by.verify(&message, &signature) {
            Ok(signature)
        } else {
            Err("its signature does not fit".to_owned())
        }
    }
}

/// A process that holds the keys (`muster signer`).
pub struct Client {
    path: PathBuf,
    /// Not asked before.
    again: Mutex<Option<Instant>>,
    /// The size that it is believed to have signed last.
    size: AtomicU64,
}

impl Client {
    pub fn new(path: &Path) -> Client {
        Client { path: path.to_owned(), again: Mutex::default(), size: AtomicU64::new(0) }
    }

    pub fn keys(&self) -> Result<Vec<Verifier>, String> {
        self.expect_keys(&Request::Keys)
    }

    /// Asks for what is answered by the keys that there are then.
    pub fn expect_keys(&self, request: &Request) -> Result<Vec<Verifier>, String> {
        match self.ask(request)? {
            Answer::Keys { size, keys } => {
                self.size.store(size, Ordering::Relaxed);
                Ok(keys)
            }
            other => Err(self.odd(other)),
        }
    }

    fn odd(&self, answer: Answer) -> String {
        let shown = self.path.display();
        match answer {
            Answer::Refused(why) => {
                format!("the signer at `{shown}` refuses: {}", muster_event::sanitize(&why))
            }
            _ => format!("the signer at `{shown}` answers something else than it was asked"),
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, String> {
        let shown = self.path.display();
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if again.is_some_and(|again| Instant::now() < again) {
            return Err(format!("the signer at `{shown}` did not answer in time; it is asked again soon"));
        }
        *again = None;
        let begun = Instant::now();
        let answer = exchange(&self.path, &request.to_bytes());
        if answer.is_err() && begun.elapsed() >= ANSWER_MAX / 2 {
            *again = Some(Instant::now() + PAUSE);
        }
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("the signer at `{shown}` does not answer"),
            _ => format!("no signer answers at `{shown}`: {error}"),
        })?;
        Answer::parse(&answer).map_err(|error| format!("what answers at `{shown}` is no signer: {error}"))
    }

    fn sign_head(
        &self,
        key: &Verifier,
        checkpoint: &Checkpoint,
        proof: &Proof<'_>,
    ) -> Result<[u8; 64], String> {
        // Once more where it was another size than believed.
        for _ in 0..2 {
            let old = self.size.load(Ordering::Relaxed);
            let request = if old <= checkpoint.head.size {
                Request::Head { by: key.id(), old, proof: proof(old)?, checkpoint: checkpoint.clone() }
            } else {
                // It will say what it knows, and see what is asked of it.
                Request::Head { by: key.id(), old: 0, proof: Vec::new(), checkpoint: checkpoint.clone() }
            };
            match self.ask(&request)? {
                Answer::Signature(signature) => {
                    self.size.store(checkpoint.head.size, Ordering::Relaxed);
                    if key.verify(checkpoint.text().as_bytes(), &signature) {
                        return Ok(signature);
                    }
                    return Err(format!(
                        "the signature of the signer at `{}` does not fit",
                        self.path.display()
                    ));
                }
                Answer::Moved { size } if size <= checkpoint.head.size => {
                    self.size.store(size, Ordering::Relaxed);
                }
                Answer::Moved { size } => {
                    self.size.store(size, Ordering::Relaxed);
                    return Err(format!(
                        "the signer has signed {size} entries, and the log has {}: it was set back, or begun anew",
                        checkpoint.head.size
                    ));
                }
                other => return Err(self.odd(other)),
            }
        }
        Err("others make the signer sign meanwhile".to_owned())
    }
}

/// One of the keys of such a process.
struct Remote {
    client: Arc<Client>,
    key: Verifier,
}

impl Signer for Remote {
    fn verifier(&self) -> &Verifier {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], String> {
        Err("a signer signs nothing but what continues its log".to_owned())
    }

    fn sign_head(&self, checkpoint: &Checkpoint, proof: &Proof<'_>) -> Result<[u8; 64], String> {
        self.client.sign_head(&self.key, checkpoint, proof)
    }
}

fn exchange(path: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let end = Instant::now() + ANSWER_MAX;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connecting waits too, where nobody takes what is in the queue.
    set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_MAX))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut stream = UnixStream::from(socket);
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    read_all(&mut stream, end)
}

/// All that comes until the other side has said everything; more than any message is an error. However slowly it comes, no
/// longer than until `end`.
pub fn read_all(stream: &mut UnixStream, end: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > MESSAGE_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_signer_that_hangs_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let client = Client::new(&path);
        // None there: told at once, and asked again at once.
        for _ in 0..2 {
            assert!(client.keys().unwrap_err().contains("no signer answers"));
        }
        let listener = UnixListener::bind(&path).unwrap();
        let begun = Instant::now();
        assert!(client.keys().unwrap_err().contains("does not answer"));
        let took = begun.elapsed();
        assert!(took >= ANSWER_MAX && took < ANSWER_MAX * 3, "{took:?}");
        let begun = Instant::now();
        assert!(client.keys().unwrap_err().contains("asked again soon"));
        assert!(begun.elapsed() < ANSWER_MAX / 2);
        drop(listener);
    }

    #[test]
    fn where_a_key_is() {
        assert_eq!("unix:/run/s".parse(), Ok(Place::Unix(PathBuf::from("/run/s"))));
        for bad in ["", "unix:", "/run/s", "pkcs11:", "pkcs11:token=x"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
