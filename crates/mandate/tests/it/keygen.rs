//! Against the real `ssh-keygen`, both ways.

use std::path::Path;
use std::process::{Command, Stdio};

use ed25519_dalek::Signer as _;
use muster_mandate::{PrivateKey, PublicKey, Refused, Signers, signature};
use ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, Signature, SshSig};

const BODY: &str = "muster = 1\n# what is signed is bytes\n";

/// `None`: no `ssh-keygen` on this machine.
fn keygen(folder: &Path, arguments: &[&str], input: Option<&str>) -> Option<bool> {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.stdin(match input {
        Some(name) => std::fs::File::open(folder.join(name)).unwrap().into(),
        None => Stdio::null(),
    });
    match command.status() {
        Ok(status) => Some(status.success()),
        Err(error) => {
            eprintln!("no ssh-keygen: {error}");
            None
        }
    }
}

fn verifies(folder: &Path, public: &str) -> Option<bool> {
    std::fs::write(folder.join("allowed"), format!("a@x namespaces=\"muster-mandate\" {public}")).unwrap();
    let arguments =
        ["-Y", "verify", "-f", "allowed", "-I", "a@x", "-n", "muster-mandate", "-s", "m.toml.sig"];
    keygen(folder, &arguments, Some("m.toml"))
}

#[test]
fn what_ssh_keygen_signs_we_accept_and_the_other_way_round() {
    for (kind, bits) in
        [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")]
    {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::write(folder.join("m.toml"), BODY).unwrap();
        let made = keygen(folder, &["-q", "-t", kind, "-b", bits, "-N", "", "-f", "key"], None);
        let Some(true) = made else { return };
        assert_eq!(
            keygen(folder, &["-Y", "sign", "-f", "key", "-n", "muster-mandate", "m.toml"], None),
            Some(true)
        );
        let signers = Signers::parse(&format!("*@x {}", read("key.pub")));
        let check =
            |body: &str, principal: &str| signers.check(body.as_bytes(), &read("m.toml.sig"), principal, 0);
        check(BODY, "a@x").unwrap();
        assert_eq!(check(&BODY.replace('1', "2"), "a@x"), Err(Refused::Forged), "{kind}");
        assert!(matches!(check(BODY, "a@y"), Err(Refused::UnknownSigner { .. })));

        let key = PrivateKey::from_openssh(read("key")).unwrap();
        if kind == "rsa" {
            assert!(signature::sign(&key, BODY.as_bytes()).is_err());
            continue;
        }
        std::fs::write(folder.join("m.toml.sig"), signature::sign(&key, BODY.as_bytes()).unwrap()).unwrap();
        check(BODY, "a@x").unwrap();
        assert_eq!(verifies(folder, &read("key.pub")), Some(true), "{kind} {bits}");
    }
}

#[test]
fn a_signature_for_something_else_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("m.toml"), BODY).unwrap();
    let Some(true) = keygen(folder, &["-q", "-t", "ed25519", "-N", "", "-f", "key"], None) else { return };
    assert_eq!(keygen(folder, &["-Y", "sign", "-f", "key", "-n", "file", "m.toml"], None), Some(true));
    let signed = std::fs::read_to_string(folder.join("m.toml.sig")).unwrap();
    assert!(matches!(signature::check(BODY.as_bytes(), &signed), Err(Refused::Namespace(_))));
    assert!(matches!(signature::check(BODY.as_bytes(), ""), Err(Refused::Unsigned)));
    let cut = &signed[..signed.len() / 2];
    assert!(matches!(signature::check(BODY.as_bytes(), cut), Err(Refused::Signature(_))));
}

#[test]
fn certificates_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("m.toml"), BODY).unwrap();
    let Some(true) = keygen(folder, &["-q", "-t", "ed25519", "-N", "", "-f", "ca"], None) else { return };
    keygen(folder, &["-q", "-t", "ed25519", "-N", "", "-f", "key"], None);
    assert_eq!(keygen(folder, &["-q", "-s", "ca", "-I", "id", "-n", "a@x", "key.pub"], None), Some(true));
    assert_eq!(
        keygen(folder, &["-Y", "sign", "-f", "key-cert.pub", "-n", "muster-mandate", "m.toml"], None),
        Some(true)
    );
    let signed = std::fs::read_to_string(folder.join("m.toml.sig")).unwrap();
    let refused = signature::check(BODY.as_bytes(), &signed).unwrap_err();
    assert!(refused.to_string().contains("certificates cannot sign"), "{refused}");
}

/// A hardware key, without the hardware.
fn touched(flags: u8) -> (PublicKey, String) {
    use sha2::{Digest, Sha256};
    let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let public = SkEd25519::new(Ed25519PublicKey(secret.verifying_key().to_bytes()), "ssh:".to_owned());
    let message = SshSig::signed_data(signature::NAMESPACE, HashAlg::Sha512, BODY.as_bytes()).unwrap();
    let trailer = [flags, 0, 0, 0, 9];
    let mut data = Sha256::digest("ssh:").to_vec();
    data.extend(trailer);
    data.extend(Sha256::digest(&message));
    let mut bytes = secret.sign(&data).to_bytes().to_vec();
    bytes.extend(trailer);
    let signed = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
    let key = KeyData::SkEd25519(public);
    let pem = SshSig::new(key.clone(), signature::NAMESPACE, HashAlg::Sha512, signed).unwrap();
    (PublicKey::from(key), pem.to_pem(LineEnding::LF).unwrap())
}

#[test]
fn hardware_keys() {
    let (key, pem) = touched(1);
    assert_eq!(signature::check(BODY.as_bytes(), &pem).unwrap().key_data(), key.key_data());
    assert!(matches!(signature::check(b"else", &pem), Err(Refused::Forged)));
    let (_, untouched) = touched(0);
    assert!(
        signature::check(BODY.as_bytes(), &untouched).unwrap_err().to_string().contains("nobody touched")
    );
    // `ssh-keygen` agrees that this is how such a key signs.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.toml"), BODY).unwrap();
    std::fs::write(folder.path().join("m.toml.sig"), pem).unwrap();
    assert_ne!(verifies(folder.path(), &key.to_openssh().unwrap()), Some(false));
}
