//! Files that others may change, and the folder that the daemon looks at.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn files_that_others_may_choose_or_change_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, "x").unwrap();
    assert_eq!(file::read(&path, 10).unwrap(), "x");
    assert!(file::read(&path, 0).unwrap_err().contains("longer"));
    for (mode, says) in [(0o666, "others may write"), (0o664, "others may write")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(file::read(&path, 10).unwrap_err().contains(says));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = folder.path().join("link.toml");
    symlink(&path, &link).unwrap();
    assert!(file::read(&link, 10).unwrap_err().contains("symbolic link"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(file::read(&path, 10).unwrap_err().contains("others may replace"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

const BODY: &str = "muster = 1\nprincipal = \"a@x\"\nagent = \"*\"\ntask = \"t\"\nhost = \"h\"\nserial = \"1\"\nsingle_use \
                    = true\nexpires = 2026-06-01T18:00:00Z\n[scope]\ntools = [\"*\"]\n";

fn now() -> u64 {
    muster_mandate::moment_ns("2026-06-01T12:00:00Z").unwrap()
}

/// One that is refused stays so until it, or the allowed signers, change.
#[test]
fn the_folder_is_looked_at() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mandates");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("m.toml"), BODY).unwrap();
    let mut held = Mandates::new(data.path(), "h");
    let states = |held: &mut Mandates, at: u64| -> Vec<(MandateState, String)> {
        held.look(at).into_iter().map(|note| (note.state, note.text)).collect()
    };
    assert_eq!(states(&mut held, now()), [(MandateState::Refused, "unsigned: it is not signed".to_owned())]);
    assert_eq!(states(&mut held, now()), []);
    assert_eq!(held.troubles().len(), 1);

    let pair = muster_mandate::ssh_key::private::Ed25519Keypair::from_seed(&[3; 32]);
    let key = muster_mandate::PrivateKey::from(pair);
    let signature = muster_mandate::signature::sign(&key, BODY.as_bytes()).unwrap();
    fs::write(folder.join("m.toml.sig"), &signature).unwrap();
    let public = key.public_key().to_openssh().unwrap();
    fs::write(data.path().join("allowed_signers"), format!("*@x {public}\n")).unwrap();
    assert_eq!(states(&mut held, now()), [(MandateState::Accepted, "t".to_owned())]);

    let brought = vec![Signed { body: BODY.to_owned(), signature, policy: None }];
    let (id, notes) = held.give(&brought, None, "one", now()).unwrap();
    assert_eq!(notes.last().unwrap().agent.as_deref(), Some("one"));
    assert_eq!(held.give(&brought, None, "two", now()).unwrap_err(), Refused::Replayed("one".to_owned()));
    // The next daemon knows too.
    let mut next = Mandates::new(data.path(), "h");
    assert_eq!(states(&mut next, now()).len(), 1);
    assert!(next.give(&brought, None, "two", now()).is_err());
    assert!(next.again(&id, "one", now()).is_some());

    fs::write(folder.join(format!("{id}.revoked")), "a: enough").unwrap();
    assert_eq!(states(&mut next, now()), [(MandateState::Revoked, "a: enough".to_owned())]);
    let late = now() + 7 * 3_600_000_000_000;
    assert_eq!(states(&mut next, late), [(MandateState::Expired, "its time is over".to_owned())]);
    assert_eq!(next.views(late)[0].state, "revoked");
}
