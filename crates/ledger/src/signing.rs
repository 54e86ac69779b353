//! What a process that holds the log's key is asked, what it answers, and what is right for it to sign: as a witness, only
//! what continues what it signed before. No clock, no files, no sockets: `muster signer` and the daemon have these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::note::{NoteError, Verifier};
use crate::tree::empty_root;
use crate::witness::{self, PROOF_LINES_MAX, Refusal};
use crate::{Checkpoint, Hash, Head};

/// Longest request: the longest proof, and a checkpoint whose origin is the longest name; and longest answer: two keys, or
/// why not.
pub const MESSAGE_MAX: usize = 8 * 1024;
/// Keys that one signer has: the present one, and the one before it while both sign.
pub const KEYS_MAX: usize = 2;
/// Longest reason of a refusal, in characters.
const REASON_MAX: usize = 1024;
const FORMAT: &str = "muster-signer/1";

/// One on each connection, up to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which keys are there, and how large is the tree that was signed last?
    Keys,
    /// Sign this head with this key.
    Head { by: [u8; 4], old: u64, proof: Vec<Hash>, checkpoint: Checkpoint },
    /// Sign with this key that `new` takes the place of `old`.
    Rotation { by: [u8; 4], old: Box<Verifier>, new: Box<Verifier> },
    /// Make a new key, which signs beside the present one from now on.
    Rotate,
    /// Forget the key before the present one.
    Retire,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The newest first.
    Keys {
        size: u64,
        keys: Vec<Verifier>,
    },
    Signature([u8; 64]),
    /// The tree that was signed last has this size: prove from there.
    Moved {
        size: u64,
    },
    Refused(String),
}

impl Request {
    pub fn parse(bytes: &[u8]) -> Result<Request, NoteError> {
        let malformed = NoteError::Malformed;
        let text = text(bytes)?;
        let (what, rest) = text.split_once('\n').ok_or(malformed("the first line does not end"))?;
        let what = what.strip_prefix(FORMAT).and_then(|what| what.strip_prefix(' '));
        let request = match what.ok_or(malformed("it is of another version"))? {
            "keys" => Request::Keys,
            "rotate" => Request::Rotate,
            "retire" => Request::Retire,
            "head" => return head(rest),
            "rotation" => {
                let mut lines = rest.strip_suffix('\n').unwrap_or_default().split('\n');
                let mut next = |name: &str| lines.next()?.strip_prefix(name);
                let by = next("by ").and_then(id);
                let (old, new) = (next("old "), next("new "));
                let (Some(by), Some(old), Some(new), None) = (by, old, new, lines.next()) else {
                    return Err(malformed("it does not name three keys"));
                };
                return Ok(Request::Rotation { by, old: Box::new(key(old)?), new: Box::new(key(new)?) });
            }
            _ => return Err(malformed("it asks for what is not known")),
        };
        if rest.is_empty() { Ok(request) } else { Err(malformed("there is more than one line")) }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let text = match self {
            Request::Keys => format!("{FORMAT} keys\n"),
            Request::Rotate => format!("{FORMAT} rotate\n"),
            Request::Retire => format!("{FORMAT} retire\n"),
            Request::Rotation { by, old, new } => {
                format!("{FORMAT} rotation\nby {:08x}\nold {old}\nnew {new}\n", u32::from_be_bytes(*by))
            }
            Request::Head { by, old, proof, checkpoint } => {
                let mut text = format!("{FORMAT} head\nby {:08x}\nold {old}\n", u32::from_be_bytes(*by));
                for hash in proof {
                    STANDARD.encode_string(hash, &mut text);
                    text.push('\n');
                }
                format!("{text}\n{}", checkpoint.text())
            }
        };
        text.into_bytes()
    }
}

fn head(text: &str) -> Result<Request, NoteError> {
    let malformed = NoteError::Malformed;
    let (lines, checkpoint) = text.split_once("\n\n").ok_or(malformed("there is no empty line"))?;
    let mut lines = lines.split('\n');
    let by = lines.next().and_then(|line| id(line.strip_prefix("by ")?));
    let old = lines.next().and_then(|line| witness::number(line.strip_prefix("old ")?));
    let (Some(by), Some(old)) = (by, old) else { return Err(malformed("it names no key or no size")) };
    let mut proof = Vec::new();
    for line in lines {
        if proof.len() >= PROOF_LINES_MAX {
            return Err(malformed("the proof is too long"));
        }
        let hash = STANDARD.decode(line).ok().and_then(|bytes| Hash::try_from(bytes).ok());
        proof.push(hash.ok_or(malformed("a line of the proof is no hash"))?);
    }
    Ok(Request::Head { by, old, proof, checkpoint: Checkpoint::parse(checkpoint)? })
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Result<Answer, NoteError> {
        let malformed = NoteError::Malformed;
        let body = text(bytes)?.strip_suffix('\n').ok_or(malformed("the last line does not end"))?;
        let (first, more) = body.split_once('\n').map_or((body, None), |(first, more)| (first, Some(more)));
        let (what, rest) = first.split_once(' ').ok_or(malformed("it says nothing"))?;
        let size = || witness::number(rest).ok_or(malformed("its size is none"));
        if what == "keys" {
            let size = size()?;
            let mut keys = Vec::new();
            for line in more.unwrap_or_default().split('\n') {
                if keys.len() >= KEYS_MAX {
                    return Err(malformed("it has too many keys"));
                }
                keys.push(key(line.strip_prefix("key ").ok_or(malformed("a line of it is no key"))?)?);
            }
            return Ok(Answer::Keys { size, keys });
        }
        if more.is_some() {
            return Err(malformed("there is more than one line"));
        }
        match what {
            "signature" => {
                let bytes = STANDARD.decode(rest).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map(Answer::Signature).ok_or(malformed("it is no signature"))
            }
            "moved" => Ok(Answer::Moved { size: size()? }),
            "refused" => Ok(Answer::Refused(rest.to_owned())),
            _ => Err(malformed("it says what is not known")),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let text = match self {
            Answer::Keys { size, keys } => {
                let keys: String = keys.iter().map(|key| format!("key {key}\n")).collect();
                format!("keys {size}\n{keys}")
            }
            Answer::Signature(bytes) => format!("signature {}\n", STANDARD.encode(bytes)),
            Answer::Moved { size } => format!("moved {size}\n"),
            Answer::Refused(why) => {
                let whole = why.chars().take(REASON_MAX);
                let why: String = whole.map(|c| if c.is_control() { ' ' } else { c }).collect();
                format!("refused {why}\n")
            }
        };
        text.into_bytes()
    }
}

/// What a signer remembers: all that stands between it and two signatures that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The only log that it signs.
    pub origin: String,
    /// What it signed last.
    pub head: Head,
}

impl Memory {
    pub fn new(origin: &str) -> Memory {
        Memory { origin: origin.to_owned(), head: Head { size: 0, root: empty_root() } }
    }

    pub fn parse(bytes: &[u8]) -> Result<Memory, NoteError> {
        let (format, checkpoint) =
            text(bytes)?.split_once('\n').ok_or(NoteError::Malformed("it is not whole"))?;
        if format != FORMAT {
            return Err(NoteError::Malformed("it is of another version"));
        }
        let checkpoint = Checkpoint::parse(checkpoint)?;
        if checkpoint.extensions.is_empty() {
            Ok(Memory { origin: checkpoint.origin, head: checkpoint.head })
        } else {
            Err(NoteError::Malformed("it has more lines than it should"))
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{FORMAT}\n{}", Checkpoint::new(&self.origin, self.head).text()).into_bytes()
    }

    /// Whether this may be signed, once it is remembered. Between the two, nothing else may be decided.
    pub fn decide(&self, old: u64, proof: &[Hash], checkpoint: &Checkpoint) -> Result<Head, Refusal> {
        if checkpoint.origin != self.origin {
            return Err(Refusal::Unknown);
        }
        if !checkpoint.extensions.is_empty() {
            // Muster writes none: what they would say is not the signer's to vouch for.
            return Err(Refusal::Malformed(NoteError::Malformed("it has lines behind the head")));
        }
        witness::follows(self.head, checkpoint.head, old, proof)?;
        Ok(checkpoint.head)
    }
}

fn text(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MESSAGE_MAX {
        return Err(NoteError::Malformed("it is too long"));
    }
    std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is no UTF-8"))
}

fn id(text: &str) -> Option<[u8; 4]> {
    let canonical = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u32::from_str_radix(text, 16).ok().filter(|_| canonical).map(u32::to_be_bytes)
}

fn key(text: &str) -> Result<Verifier, NoteError> {
    let key: Verifier = text.parse()?;
    if key.to_string() == text { Ok(key) } else { Err(NoteError::Key("it is not in the one form")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Key, KeyKind, Signer};
    use crate::tree;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|number| tree::leaf_hash(&[number])).collect()
    }

    fn head(leaves: &[Hash]) -> Head {
        Head { size: leaves.len() as u64, root: tree::tests::naive(leaves) }
    }

    fn continues(leaves: &[Hash], old: u64) -> Vec<Hash> {
        tree::consistency(&mut tree::tests::Leaves(leaves), old, leaves.len() as u64).unwrap()
    }

    #[test]
    fn only_what_continues_is_signed() {
        let (seven, nine) = (leaves(7), leaves(9));
        let mut memory = Memory::new("log");
        let text = |leaves: &[Hash]| Checkpoint::new("log", head(leaves));
        // The first one is taken as it is.
        memory.head = memory.decide(0, &[], &text(&seven)).unwrap();
        memory.decide(7, &[], &text(&seven)).unwrap();
        let proof = continues(&nine, 7);
        memory.decide(7, &proof, &text(&nine)).unwrap();
        let mut other = nine.clone();
        other.swap(1, 2);
        let refused = |old: u64, proof: &[Hash], checkpoint: Checkpoint| {
            memory.decide(old, proof, &checkpoint).unwrap_err()
        };
        let forged = continues(&other, 7);
        assert!(matches!(refused(7, &forged, text(&other)), Refusal::Proof(_)));
        assert!(matches!(refused(7, &[], text(&nine)), Refusal::Proof(_)));
        assert_eq!(refused(0, &[], text(&nine)), Refusal::Moved { known: 7 });
        assert_eq!(refused(0, &[], text(&seven[..3])), Refusal::Moved { known: 7 });
        assert_eq!(refused(7, &[], text(&seven[..3])), Refusal::Beyond { old: 7, size: 3 });
        assert_eq!(refused(7, &[], text(&other[..7])), Refusal::Forked { known: 7 });
        assert_eq!(refused(7, &proof, Checkpoint::new("gol", head(&nine))), Refusal::Unknown);
        let mut more = text(&nine);
        more.extensions.push("more".to_owned());
        assert!(matches!(refused(7, &proof, more), Refusal::Malformed(_)));
        assert_eq!(Memory::parse(&memory.to_bytes()), Ok(memory));
    }

    #[test]
    fn each_message_comes_back() {
        let key = |seed| Key::new("example.com/log", KeyKind::Log, &[seed; 32]).unwrap().verifier().clone();
        let checkpoint = Checkpoint::new("example.com/log", head(&leaves(5)));
        for request in [
            Request::Keys,
            Request::Rotate,
            Request::Retire,
            Request::Rotation { by: [1, 2, 3, 4], old: Box::new(key(1)), new: Box::new(key(2)) },
            Request::Head { by: [0, 0, 0, 9], old: 0, proof: Vec::new(), checkpoint: checkpoint.clone() },
            Request::Head {
                by: key(1).id(),
                old: u64::MAX,
                proof: vec![[3; 32]; PROOF_LINES_MAX],
                checkpoint,
            },
        ] {
            assert_eq!(Request::parse(&request.to_bytes()), Ok(request));
        }
        let name = "n".repeat(255);
        let longest = Key::new(&name, KeyKind::Log, &[3; 32]).unwrap().verifier().clone();
        for answer in [
            Answer::Keys { size: 7, keys: vec![key(1)] },
            Answer::Keys { size: u64::MAX, keys: vec![longest.clone(), longest] },
            Answer::Signature([9; 64]),
            Answer::Moved { size: 3 },
            Answer::Refused("it is so".to_owned()),
        ] {
            assert_eq!(Answer::parse(&answer.to_bytes()), Ok(answer));
        }
        let long = Answer::Refused("ü\n".repeat(REASON_MAX)).to_bytes();
        assert!(long.len() <= MESSAGE_MAX && matches!(Answer::parse(&long), Ok(Answer::Refused(_))));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in [
            "",
            "keys\n",
            "muster-signer/1 keys",
            "muster-signer/2 keys\n",
            "muster-signer/1 keys\n\n",
            "muster-signer/1 sign\nanything\n",
            "muster-signer/1 rotation\nby 00000000\nold x\n",
            "muster-signer/1 head\nby 00000000\nold 01\n\nlog\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "muster-signer/1 head\nby 0000000\nold 0\n\nlog\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "muster-signer/1 head\nby 00000000\nold 0\n\nlog\n0\n",
        ] {
            assert!(Request::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        Request::parse(&[b"muster-signer/1 keys\n".as_slice(), &[b'x'; MESSAGE_MAX]].concat()).unwrap_err();
    }
}
