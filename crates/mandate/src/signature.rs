//! Signatures as `ssh-keygen -Y sign -n muster-mandate` makes them.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Fingerprint, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::Refused;

/// What a signature must say it is for: one that was made for a commit or a file is none for a mandate.
pub const NAMESPACE: &str = "muster-mandate";
/// Longest signature: an RSA key of 16,384 bits makes 6 kB.
pub const SIGNATURE_MAX: usize = 16 * 1024;
/// Shortest RSA key.
const RSA_BITS_MIN: usize = 2048;
/// Of a hardware key's flags: somebody touched it.
const TOUCHED: u8 = 1;

/// The key that signed these bytes. Whose it is, `Signers` knows.
pub fn check(body: &[u8], signature: &str) -> Result<PublicKey, Refused> {
    let unreadable = |why: String| Refused::Signature(why);
    if signature.trim().is_empty() {
        return Err(Refused::Unsigned);
    }
    if signature.len() > SIGNATURE_MAX {
        return Err(unreadable(format!("longer than {SIGNATURE_MAX} bytes")));
    }
    let read = SshSig::from_pem(signature.trim_start()).map_err(|error| {
        // What a certificate signed begins as a key of a kind that is not known.
        let by_certificate = holds(signature, b"-cert-v01@openssh.com");
        unreadable(match error {
            _ if by_certificate => {
                "certificates cannot sign mandates\nhint: sign with the key itself".to_owned()
            }
            ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => {
                "of a kind of key that is not known".to_owned()
            }
            other => other.to_string(),
        })
    })?;
    if read.namespace() != NAMESPACE {
        return Err(Refused::Namespace(muster_event::sanitize(read.namespace())));
    }
    if !read.reserved().is_empty() {
        return Err(unreadable("it says what is not known".to_owned()));
    }
    supported(read.public_key()).map_err(unreadable)?;
    let key = PublicKey::from(read.public_key().clone());
    if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
        // Flags and counter are its last five bytes.
        let bytes = read.signature_bytes();
        let flags = bytes.len().checked_sub(5).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
        if flags & TOUCHED == 0 {
            return Err(unreadable("nobody touched the hardware key".to_owned()));
        }
    }
    key.verify(NAMESPACE, body, &read).map_err(|_| Refused::Forged)?;
    Ok(key)
}

/// Are these bytes within what the armour holds?
fn holds(armoured: &str, wanted: &[u8]) -> bool {
    let text: String = armoured.lines().filter(|line| !line.starts_with("-----")).collect();
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for sextet in text.bytes().filter_map(value) {
        bits = (bits << 6 | u32::from(sextet)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

/// Signs with a key that is not locked by a passphrase. RSA keys are left to `ssh-keygen`.
pub fn sign(key: &PrivateKey, body: &[u8]) -> Result<String, String> {
    if matches!(key.algorithm(), Algorithm::Rsa { .. } | Algorithm::Dsa) {
        return Err("RSA and DSA keys sign by `ssh-keygen` only".to_owned());
    }
    let made = key.sign(NAMESPACE, HashAlg::Sha512, body).map_err(|error| error.to_string())?;
    made.to_pem(LineEnding::LF).map_err(|error| error.to_string())
}

/// Keys whose signatures can be checked.
pub(crate) fn supported(key: &KeyData) -> Result<(), String> {
    match key {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => {
            Ok(())
        }
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
            if bits < RSA_BITS_MIN {
                return Err(format!("an RSA key of {bits} bits is too short: at least {RSA_BITS_MIN}"));
            }
            Ok(())
        }
        other => Err(format!("keys of the kind `{}` are not supported", other.algorithm())),
    }
}

/// `SHA256:…`
pub fn fingerprint(key: &PublicKey) -> String {
    Fingerprint::new(HashAlg::Sha256, key.key_data()).to_string()
}
