//! What a log makes of a witness's answer.

use super::{Request, number};
use crate::cosignature;
use crate::note::{Note, SignatureLine, Verifier};

/// Type of the body that names a size.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its line, and when it says that it saw the checkpoint (Unix, seconds).
    Cosigned { line: SignatureLine, time: u64 },
    /// It knows this size: ask again, with a proof from there.
    AskFrom(u64),
    /// It has cosigned more than the log has: the log was set back.
    Ahead { size: u64 },
    /// It has cosigned another root for this very size.
    Forked,
    /// It says that the log does not begin with what it has cosigned.
    Contradicted,
    /// It does not witness this log (404), does not know its key (403), or will not for a reason of its own.
    Refused { status: u16 },
    /// What it answers is no answer.
    Unusable(&'static str),
}

/// Reads the answer to a request that was sent for the checkpoint of this size.
pub fn outcome(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    request: &Request,
    size: u64,
    witness: &Verifier,
) -> Outcome {
    match status {
        200 => cosigned(body, request, witness),
        409 => {
            let named = content_type.is_some_and(|name| name.trim() == SIZE_TYPE);
            let known = std::str::from_utf8(body).ok().and_then(|text| number(text.strip_suffix('\n')?));
            match known.filter(|_| named) {
                Some(known) if known > size => Outcome::Ahead { size: known },
                Some(known) if known != request.old => Outcome::AskFrom(known),
                _ if request.old == size => Outcome::Forked,
                _ => Outcome::Unusable("it says that it knows another size, and not which"),
            }
        }
        422 => Outcome::Contradicted,
        status => Outcome::Refused { status },
    }
}

fn cosigned(body: &[u8], request: &Request, witness: &Verifier) -> Outcome {
    let whole = [request.note.text.as_bytes(), b"\n", body].concat();
    let Ok(note) = Note::parse(&whole) else { return Outcome::Unusable("its answer is no signature") };
    // The body must not have brought a text of its own.
    if note.text != request.note.text {
        return Outcome::Unusable("its answer is more than signatures");
    }
    let lines = note.signatures.into_iter();
    let good = lines.filter_map(|line| Some((cosignature::verify(&note.text, &line, witness)?, line)));
    match good.max_by_key(|(time, _)| *time) {
        Some((time, line)) => Outcome::Cosigned { line, time },
        None => Outcome::Unusable("its answer is not signed by the key that it was named with"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Key, KeyKind, Signer};
    use crate::{Checkpoint, Head};

    fn witness(seed: u8) -> Key {
        Key::new("witness.example", KeyKind::Witness, &[seed; 32]).unwrap()
    }

    fn request(old: u64, size: u64) -> Request {
        let key = Key::new("example.com/log", KeyKind::Log, &[1; 32]).unwrap();
        let checkpoint = Checkpoint::new("example.com/log", Head { size, root: [7; 32] });
        Request { old, proof: Vec::new(), note: checkpoint.sign([&key as &dyn Signer]).unwrap() }
    }

    #[track_caller]
    fn check(old: u64, status: u16, content_type: Option<&str>, body: &str, expected: Outcome) {
        let request = request(old, 10);
        let found = outcome(status, content_type, body.as_bytes(), &request, 10, witness(2).verifier());
        assert_eq!(found, expected);
    }

    #[test]
    fn refusals() {
        let size = Some(SIZE_TYPE);
        check(0, 409, size, "4\n", Outcome::AskFrom(4));
        check(0, 409, size, "10\n", Outcome::AskFrom(10));
        check(4, 409, size, "11\n", Outcome::Ahead { size: 11 });
        check(10, 409, size, "11\n", Outcome::Ahead { size: 11 });
        check(10, 409, size, "10\n", Outcome::Forked);
        check(10, 409, Some("text/plain"), "another root", Outcome::Forked);
        let unusable = Outcome::Unusable("it says that it knows another size, and not which");
        check(4, 409, size, "4\n", unusable.clone());
        check(4, 409, None, "5\n", unusable.clone());
        check(4, 409, size, "05\n", unusable.clone());
        check(4, 409, size, "5", unusable);
        check(4, 422, None, "", Outcome::Contradicted);
        for status in [400, 403, 404, 500, 302, 204] {
            check(4, status, size, "4\n", Outcome::Refused { status });
        }
    }

    #[test]
    fn only_its_own_signature_counts() {
        let text = request(0, 10).note.text;
        let line = |seed, text: &str, time| cosignature::cosign(text, time, &witness(seed)).unwrap();
        let good = line(2, &text, 77);
        check(0, 200, None, &good.to_string(), Outcome::Cosigned { line: good.clone(), time: 77 });
        let newer = line(2, &text, 78);
        let all = format!("{}{good}{newer}", line(3, &text, 99));
        check(0, 200, None, &all, Outcome::Cosigned { line: newer, time: 78 });
        for (body, why) in [
            (line(3, &text, 77).to_string(), "its answer is not signed by the key that it was named with"),
            (
                line(2, "other\n", 77).to_string(),
                "its answer is not signed by the key that it was named with",
            ),
            (format!("other\n\n{good}"), "its answer is more than signatures"),
            (String::new(), "its answer is no signature"),
            (good.to_string().trim_end().to_owned(), "its answer is no signature"),
        ] {
            check(0, 200, None, &body, Outcome::Unusable(why));
        }
    }
}
