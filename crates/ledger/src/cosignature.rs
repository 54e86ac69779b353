//! What a witness says of a checkpoint: that it saw it at a time, and nothing before that contradicts it (C2SP
//! tlog-cosignature, Ed25519).

use crate::note::{KeyKind, Note, SignatureLine, Signer, Verifier};

fn message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The line that a witness adds at this time (Unix, seconds).
pub fn cosign(text: &str, time: u64, witness: &dyn Signer) -> Result<SignatureLine, String> {
    let signature = witness.sign(&message(text, time))?;
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(&signature);
    Ok(SignatureLine::by(witness.verifier(), bytes))
}

/// The time at which a witness saw the text, where the line is by it and good.
pub fn verify(text: &str, line: &SignatureLine, witness: &Verifier) -> Option<u64> {
    let (time, signature) = line.bytes.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let signature: &[u8; 64] = signature.try_into().ok()?;
    let good = witness.kind() == KeyKind::Witness && line.is_by(witness);
    (good && witness.verify(&message(text, time), signature)).then_some(time)
}

/// Which of these witnesses cosigned the note, and when they last did. Lines that do not fit say nothing.
pub fn cosigned<'a>(
    note: &Note,
    witnesses: impl IntoIterator<Item = &'a Verifier>,
) -> Vec<(&'a Verifier, u64)> {
    witnesses
        .into_iter()
        .filter_map(|witness| {
            let times = note.signatures.iter().filter_map(|line| verify(&note.text, line, witness));
            Some((witness, times.max()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Key;

    #[test]
    fn a_cosignature_counts_for_its_text_time_and_witness() {
        let witness = Key::new("witness.example", KeyKind::Witness, &[3; 32]).unwrap();
        let other = Key::new("witness.example", KeyKind::Witness, &[4; 32]).unwrap();
        let mut note =
            Note::new("log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".to_owned()).unwrap();
        note.signatures.push(cosign(&note.text, 1_700_000_000, &witness).unwrap());
        note.signatures.push(cosign(&note.text, 1_700_000_007, &witness).unwrap());
        let note = Note::parse(&note.to_bytes()).unwrap();
        let found = cosigned(&note, [witness.verifier(), other.verifier()]);
        assert_eq!(found, [(witness.verifier(), 1_700_000_007)]);
        assert_eq!(verify("other\n", &note.signatures[0], witness.verifier()), None);
        // A plain signature is no cosignature.
        let mut plain = note.signatures[0].clone();
        plain.bytes.drain(..8);
        assert_eq!(verify(&note.text, &plain, witness.verifier()), None);
    }
}
