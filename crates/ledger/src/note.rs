//! Signed notes (C2SP signed-note) and the keys that sign them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Checkpoint, Hash};

/// Longest note, in bytes.
pub const NOTE_MAX: usize = 1 << 20;
/// Signatures of one note: what is beyond makes the note malformed.
pub const SIGNATURES_MAX: usize = 100;
/// Longest name of a key that Muster uses, in bytes: as long as the name of a file.
const NAME_MAX: usize = 255;
/// Algorithm byte of a plain Ed25519 key.
const ED25519: u8 = 0x01;
/// Algorithm byte of a witness's timestamped Ed25519 cosignatures (C2SP tlog-cosignature).
const COSIGNATURE: u8 = 0x04;
const PRIVATE: &str = "PRIVATE+KEY+";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("it is no signed note: {0}")]
    Malformed(&'static str),
    #[error("`{0}` is no key name: it must be there, without blanks and `+`")]
    Name(String),
    #[error("it is no verifier key of the form `NAME+HASH+BASE64`: {0}")]
    Key(&'static str),
    #[error("it is no signing key of the form `PRIVATE+KEY+NAME+HASH+BASE64`: {0}")]
    PrivateKey(&'static str),
    #[error("the signature by `{0}` does not fit")]
    Wrong(String),
    #[error("none of the expected keys has signed it")]
    Unsigned,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// A log's.
    Log,
    /// A witness's.
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::Log => ED25519,
            KeyKind::Witness => COSIGNATURE,
        }
    }
}

/// The public half of a key, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    kind: KeyKind,
    key: VerifyingKey,
}

impl Verifier {
    pub fn new(name: &str, kind: KeyKind, key: VerifyingKey) -> Result<Verifier, NoteError> {
        // Narrower than the specification: it is shown, and made into the names of files.
        if !is_name(name) || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(NoteError::Name(name.to_owned()));
        }
        Ok(Verifier { name: name.to_owned(), kind, key })
    }

    /// From the 32 bytes of an Ed25519 key.
    pub fn from_bytes(name: &str, kind: KeyKind, key: &[u8; 32]) -> Result<Verifier, NoteError> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key("it is no Ed25519 key"))?;
        Verifier::new(name, kind, key)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What tells keys of one name apart.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind.byte(), self.key.as_bytes())
    }

    /// Whether these bytes are signed by it.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        // Strict: a key or signature that only some libraries take would split those who check.
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, hash, key) = key_parts(text.trim()).ok_or(NoteError::Key("a part is missing"))?;
        let (kind, key) = key.split_first().ok_or(NoteError::Key("it is empty"))?;
        let kind = match *kind {
            ED25519 => KeyKind::Log,
            COSIGNATURE => KeyKind::Witness,
            _ => return Err(NoteError::Key("it is not of a kind that Muster knows")),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| NoteError::Key("its length is wrong"))?;
        let verifier = Verifier::from_bytes(name, kind, &key)?;
        if verifier.id() != hash {
            return Err(NoteError::Key("its hash is not that of name and key"));
        }
        Ok(verifier)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+')
}

fn key_id(name: &str, kind: u8, key: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key).finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// Kind and key: what may be a secret.
type KeyBytes = Zeroizing<Vec<u8>>;

/// Name, hash and key of `NAME+HASH+BASE64`.
fn key_parts(text: &str) -> Option<(&str, [u8; 4], KeyBytes)> {
    let (name, rest) = text.split_once('+')?;
    let (hash, key) = rest.split_once('+')?;
    let canonical = hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let hash = u32::from_str_radix(hash, 16).ok().filter(|_| canonical)?;
    Some((name, hash.to_be_bytes(), Zeroizing::new(STANDARD.decode(key).ok()?)))
}

/// Who can sign. The key itself may be elsewhere: in another process, or on a token.
pub trait Signer: Send + Sync {
    fn verifier(&self) -> &Verifier;
    /// Signs the bytes, or says why not.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String>;
    /// Signs the text of a checkpoint. Who remembers what was signed before is given the proof that it is continued.
    fn sign_head(&self, checkpoint: &Checkpoint, _proof: &Proof<'_>) -> Result<[u8; 64], String> {
        self.sign(checkpoint.text().as_bytes())
    }
}

/// That the tree of a checkpoint begins with the one of so many leaves.
pub type Proof<'a> = dyn Fn(u64) -> Result<Vec<Hash>, String> + 'a;

/// A key in memory.
pub struct Key {
    verifier: Verifier,
    key: SigningKey,
}

impl Key {
    /// A key of this name from 32 bytes of chance.
    pub fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Key, NoteError> {
        let key = SigningKey::from_bytes(seed);
        Ok(Key { verifier: Verifier::new(name, kind, key.verifying_key())?, key })
    }

    /// The text form, which is a secret.
    pub fn to_secret(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new(vec![self.verifier.kind.byte()]);
        key.extend_from_slice(self.key.as_bytes());
        let Verifier { name, .. } = &self.verifier;
        let hash = u32::from_be_bytes(self.verifier.id());
        Zeroizing::new(format!("{PRIVATE}{name}+{hash:08x}+{}", STANDARD.encode(&*key)))
    }

    pub fn from_secret(text: &str) -> Result<Key, NoteError> {
        let rest = text.trim().strip_prefix(PRIVATE).ok_or(NoteError::PrivateKey("it does not begin so"))?;
        let (name, hash, key) = key_parts(rest).ok_or(NoteError::PrivateKey("a part is missing"))?;
        let (kind, seed) = key.split_first().ok_or(NoteError::PrivateKey("it is empty"))?;
        let kind = match *kind {
            ED25519 => KeyKind::Log,
            COSIGNATURE => KeyKind::Witness,
            _ => return Err(NoteError::PrivateKey("it is not of a kind that Muster knows")),
        };
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(seed.try_into().map_err(|_| NoteError::PrivateKey("its length is wrong"))?);
        let key = Key::new(name, kind, &seed)?;
        if key.verifier.id() != hash {
            return Err(NoteError::PrivateKey("its hash is not that of name and key"));
        }
        Ok(key)
    }
}

impl Signer for Key {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        Ok(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.verifier)
    }
}

/// A line of signature as it stands: whose, by which key, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    pub name: String,
    pub id: [u8; 4],
    pub bytes: Vec<u8>,
}

impl SignatureLine {
    pub fn by(verifier: &Verifier, bytes: Vec<u8>) -> SignatureLine {
        SignatureLine { name: verifier.name.clone(), id: verifier.id(), bytes }
    }

    fn parse(line: &str) -> Option<SignatureLine> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk::<4>()?;
        let good = is_name(name) && !bytes.is_empty();
        good.then(|| SignatureLine { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// Whether it claims to be by this key.
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        self.name == verifier.name && self.id == verifier.id()
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A text with the signatures under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Ends with a line break.
    pub text: String,
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// A text without control characters but for line breaks, which ends with one.
    pub fn new(text: String) -> Result<Note, NoteError> {
        if !is_text(&text) {
            return Err(NoteError::Malformed("the text has control characters, or no line break at its end"));
        }
        Ok(Note { text, signatures: Vec::new() })
    }

    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        if bytes.len() > NOTE_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is no UTF-8"))?;
        if !is_text(whole) {
            return Err(NoteError::Malformed("it has control characters, or no line break at its end"));
        }
        // The last empty line: the text may hold others.
        let (text, signatures) =
            whole.rsplit_once("\n\n").ok_or(NoteError::Malformed("no empty line before the signatures"))?;
        let mut lines = Vec::new();
        for line in signatures.split_terminator('\n') {
            if lines.len() >= SIGNATURES_MAX {
                return Err(NoteError::Malformed("it has too many signatures"));
            }
            lines.push(SignatureLine::parse(line).ok_or(NoteError::Malformed("a line is no signature"))?);
        }
        if lines.is_empty() {
            return Err(NoteError::Malformed("it has no signature"));
        }
        Ok(Note { text: format!("{text}\n"), signatures: lines })
    }

    /// Adds the signature of a log's key.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), String> {
        let signature = signer.sign(self.text.as_bytes())?;
        self.signatures.push(SignatureLine::by(signer.verifier(), signature.to_vec()));
        Ok(())
    }

    /// The first of these keys that has signed it. A signature that claims to be by one of them and is not makes the
    /// note worthless; those by others are passed by.
    pub fn verify<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Verifier>,
    ) -> Result<&'a Verifier, NoteError> {
        let mut by = None;
        for key in keys {
            for line in self.signatures.iter().filter(|line| line.is_by(key)) {
                let signature: Option<&[u8; 64]> = line.bytes.as_slice().try_into().ok();
                let good = key.kind == KeyKind::Log
                    && signature.is_some_and(|signature| key.verify(self.text.as_bytes(), signature));
                if !good {
                    return Err(NoteError::Wrong(key.name.clone()));
                }
                by = by.or(Some(key));
            }
        }
        by.ok_or(NoteError::Unsigned)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

/// What a note may hold.
fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.chars().any(|c| c < ' ' && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification and of Go's package `note`.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn published_vector() {
        let key: Verifier = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify([&key]).unwrap(), &key);
        assert_eq!(note.to_string(), NOTE);
        let forged = Note::parse(NOTE.replace("cryptography", "cryptographx").as_bytes()).unwrap();
        assert_eq!(forged.verify([&key]), Err(NoteError::Wrong("PeterNeumann".to_owned())));
    }

    #[test]
    fn a_secret_key_comes_back_from_its_text() {
        let key = Key::new("example.com/log", KeyKind::Log, &[7; 32]).unwrap();
        let again = Key::from_secret(&key.to_secret()).unwrap();
        assert_eq!(again.verifier(), key.verifier());
        assert!(!format!("{again:?}").contains("PRIVATE"));
        let mut note = Note::new("text\n".to_owned()).unwrap();
        note.sign(&again).unwrap();
        let other = Key::new("example.com/log", KeyKind::Log, &[8; 32]).unwrap();
        let parsed = Note::parse(&note.to_bytes()).unwrap();
        assert_eq!(parsed.verify([other.verifier(), key.verifier()]).unwrap(), key.verifier());
        assert_eq!(parsed.verify([other.verifier()]), Err(NoteError::Unsigned));
        for bad in ["", "PRIVATE+KEY+", "PRIVATE+KEY+a+00000000+AQ==", "x+y+z"] {
            Key::from_secret(bad).unwrap_err();
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bad in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n\u{2014} a\n",
            "text\n\n\u{2014} a AAAA\n",
            "te\txt\n\n\u{2014} a AAAAAAA=\n",
            "text\n\n\u{2014} a+b AAAAAAA=\n",
            "text\n\n- a AAAAAAA=\n",
            "text\n\n\u{2014} a AAAAAAA=",
            "text\n\n\n\u{2014} a AAAAAAA=\r\n",
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Note::parse("\n\n\u{2014} a AAAAAAA=\n".as_bytes()).is_ok());
        let many = "\u{2014} a AAAAAAA=\n".repeat(SIGNATURES_MAX + 1);
        assert!(Note::parse(format!("t\n\n{many}").as_bytes()).is_err());
    }
}
