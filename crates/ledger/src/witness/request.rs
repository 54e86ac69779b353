//! The body of an `add-checkpoint` request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::number;
use crate::Hash;
use crate::note::{Note, NoteError};

/// Longest request that a witness reads: the longest proof, and a checkpoint with 16 signatures of the longest kind that
/// the specification speaks of (5 kB).
pub const REQUEST_MAX: usize = 128 * 1024;
/// Lines of the proof, at most; so the specification.
pub const PROOF_LINES_MAX: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The size that the witness is believed to know.
    pub old: u64,
    /// That the log of this size begins with that one.
    pub proof: Vec<Hash>,
    pub note: Note,
}

impl Request {
    pub fn parse(bytes: &[u8]) -> Result<Request, NoteError> {
        let malformed = NoteError::Malformed;
        if bytes.len() > REQUEST_MAX {
            return Err(malformed("the request is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("the request is no UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(malformed("there is no empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| number(line.strip_prefix("old ")?));
        let old = old.ok_or(malformed("the first line is not `old` and a size"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() >= PROOF_LINES_MAX {
                return Err(malformed("the proof is too long"));
            }
            let hash = STANDARD.decode(line).ok().and_then(|bytes| Hash::try_from(bytes).ok());
            proof.push(hash.ok_or(malformed("a line of the proof is no hash"))?);
        }
        Ok(Request { old, proof, note: Note::parse(note.as_bytes())? })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            STANDARD.encode_string(hash, &mut text);
            text.push('\n');
        }
        format!("{text}\n{}", self.note).into_bytes()
    }

    /// The log that it is about.
    pub fn origin(&self) -> &str {
        self.note.text.split('\n').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn the_example_of_the_specification() {
        let request = Request::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.origin(), "example.com/behind-the-sofa");
        assert_eq!(request.note.signatures.len(), 2);
        assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), EXAMPLE);
        let without = EXAMPLE.replace("old 20852014", "old 0");
        assert_eq!(Request::parse(without.as_bytes()).unwrap().old, 0);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (from, to) in [
            ("old 20852014", "old 020852014"),
            ("old 20852014", "old +20852014"),
            ("old 20852014", "old 99999999999999999999"),
            ("old 20852014", "old "),
            ("old 20852014", "new 20852014"),
            ("old 20852014\n", ""),
            ("PlRNCrwHpqhGrupue0L7", "PlRNCrwHpqhGrupue0L"),
            ("8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=", "8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swl="),
            ("Kj/0=\n\n", "Kj/0=\n"),
            ("AYQ8=\n", "AYQ8=\r\n"),
        ] {
            let bad = EXAMPLE.replacen(from, to, 1);
            assert_ne!(bad, EXAMPLE);
            Request::parse(bad.as_bytes()).unwrap_err();
        }
        let line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        let with = |lines: usize| EXAMPLE.replacen("\n", &format!("\n{}", line.repeat(lines)), 1);
        Request::parse(with(59).as_bytes()).unwrap();
        Request::parse(with(60).as_bytes()).unwrap_err();
        Request::parse(&[EXAMPLE.as_bytes(), &vec![b'x'; REQUEST_MAX]].concat()).unwrap_err();
    }
}
