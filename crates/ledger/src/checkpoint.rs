//! Signed heads of a log (C2SP tlog-checkpoint).

use crate::Head;
use crate::note::{Note, NoteError, Proof, SignatureLine, Signer, Verifier};

/// The text of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, for all time.
    pub origin: String,
    pub head: Head,
    /// Lines behind the head, which this version does not read.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    pub fn new(origin: &str, head: Head) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), head, extensions: Vec::new() }
    }

    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Malformed("the last line does not end"))?;
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or(NoteError::Malformed("it names no log"))?.to_owned();
        let head = Head::parse(text).ok_or(NoteError::Malformed("its size or root is none"))?;
        let extensions: Vec<String> = lines.skip(2).map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(NoteError::Malformed("a line of it is empty"));
        }
        let checkpoint = Checkpoint { origin, head, extensions };
        // One head, one text: base64 has more than one form for some bytes.
        if checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(NoteError::Malformed("its root is not in the one form"))
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}", self.origin, self.head.lines());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The note, signed by each of the keys.
    pub fn sign<'a>(&self, signers: impl IntoIterator<Item = &'a dyn Signer>) -> Result<Note, String> {
        let mut note = Note::new(self.text()).map_err(|error| error.to_string())?;
        for signer in signers {
            note.sign(signer)?;
        }
        Ok(note)
    }

    /// The same by keys that may ask for a proof first.
    pub fn sign_proven<'a>(
        &self,
        signers: impl IntoIterator<Item = &'a dyn Signer>,
        proof: &Proof<'_>,
    ) -> Result<Note, String> {
        let mut note = Note::new(self.text()).map_err(|error| error.to_string())?;
        for signer in signers {
            let signature = signer.sign_head(self, proof)?;
            note.signatures.push(SignatureLine::by(signer.verifier(), signature.to_vec()));
        }
        Ok(note)
    }

    /// Reads a note that one of these keys must have signed, whose name is the log's. Gives that key as well.
    pub fn open<'a>(
        note: &Note,
        keys: impl IntoIterator<Item = &'a Verifier>,
    ) -> Result<(Checkpoint, &'a Verifier), NoteError> {
        let key = note.verify(keys)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::Malformed("the key is of another log"));
        }
        Ok((checkpoint, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Key, KeyKind};
    use crate::tree::empty_root;

    #[test]
    fn one_text_for_one_head() {
        let head = Head { size: 20_852_163, root: [0x0a; 32] };
        let mut checkpoint = Checkpoint::new("example.com/behind-the-sofa", head);
        checkpoint.extensions.push("more".to_owned());
        assert_eq!(Checkpoint::parse(&checkpoint.text()), Ok(checkpoint.clone()));
        let root = "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=";
        for bad in [
            format!("log\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("log\n01\n{root}\n"),
            format!("log\n-1\n{root}\n"),
            format!("log\n99999999999999999999\n{root}\n"),
            format!("log\n1\n{root}\n\n"),
            format!("log\n1\n{}\n", root.replace("go=", "gp=")),
            "log\n1\nCgo=\n".to_owned(),
            "log\n1\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_counts() {
        let key = Key::new("example.com/log", KeyKind::Log, &[1; 32]).unwrap();
        let head = Head { size: 0, root: empty_root() };
        let note = Checkpoint::new("example.com/log", head).sign([&key as &dyn Signer]).unwrap();
        let (opened, by) = Checkpoint::open(&note, [key.verifier()]).unwrap();
        assert_eq!((opened.head, by), (head, key.verifier()));
        let other = Checkpoint::new("example.com/other", head).sign([&key as &dyn Signer]).unwrap();
        assert!(Checkpoint::open(&other, [key.verifier()]).is_err());
    }
}
