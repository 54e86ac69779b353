//! Decoys: which there are (`canaries.json` in the data folder), what stands in them, and where they may lie. They look like
//! credentials, open nothing, and no program takes them up by itself: each has a name that only somebody who looks finds.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use muster_engine::{Canaries, Canary};
use muster_event::Nanos;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FILE: &str = "canaries.json";
/// Of the list, in bytes; and of decoys in it.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
pub const PLANTED_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    pub path: PathBuf,
    pub kind: String,
    /// Of its contents: only what is still ours is removed.
    pub sha256: String,
    pub time_ns: Nanos,
}

pub fn read(data: &Path) -> Result<Vec<Planted>> {
    let path = data.join(FILE);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    let mut all: Vec<Planted> =
        serde_json::from_str(&text).with_context(|| format!("`{}` is no list of decoys", path.display()))?;
    all.truncate(PLANTED_MAX);
    Ok(all)
}

pub fn write(data: &Path, all: &[Planted]) -> Result<()> {
    let path = data.join(FILE);
    let mut new = tempfile::NamedTempFile::new_in(data)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    new.write_all(&serde_json::to_vec_pretty(all)?)?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}

/// The list as the daemon knows it.
pub struct CanaryFile {
    data: PathBuf,
    /// As it was when it was read last.
    seen: Option<(u64, i64, i64, u64)>,
}

impl CanaryFile {
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), seen: None }
    }

    /// What there is, where that changed.
    pub fn look(&mut self, time_ns: Nanos) -> Result<Option<Canaries>> {
        let mark = fs::metadata(self.data.join(FILE))
            .ok()
            .map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()));
        if mark == self.seen {
            return Ok(None);
        }
        self.seen = mark;
        let planted = read(&self.data)?
            .into_iter()
            .map(|planted| Canary { path: planted.path.to_string_lossy().into_owned(), kind: planted.kind })
            .collect();
        Ok(Some(Canaries { time_ns, planted }))
    }
}

/// One kind of decoy.
struct Kind {
    name: &'static str,
    /// Below a home.
    path: &'static str,
    text: fn(&mut Chance) -> String,
}

/// All in folders whose every file is watched by the sensor, under names that no program looks for.
const OF_HOME: [Kind; 6] = [
    Kind { name: "ssh key", path: ".ssh/id_ed25519_backup", text: ssh_key },
    Kind { name: "aws credentials", path: ".aws/credentials.old", text: aws },
    Kind { name: "kubernetes configuration", path: ".kube/config.prod", text: kube },
    Kind { name: "gcloud credentials", path: ".config/gcloud/legacy-credentials-backup.json", text: gcloud },
    Kind { name: "wallet", path: ".ethereum/keystore/UTC--2024-03-11T09-14-27.512Z--backup", text: wallet },
    Kind { name: "environment file", path: "secrets/production.env", text: env },
];

/// In a project: a folder for it of its own.
const OF_PROJECT: [Kind; 1] = [Kind { name: "environment file", path: "secrets/production.env", text: env }];

/// Plants what is not there yet; of a home all kinds, of another folder one.
pub fn plant(data: &Path, dir: &Path, is_home: bool, time_ns: Nanos) -> Result<Vec<Planted>> {
    let dir = fs::canonicalize(dir).with_context(|| format!("no folder `{}`", dir.display()))?;
    let mut all = read(data)?;
    let mut made = Vec::new();
    let kinds: &[Kind] = if is_home { &OF_HOME } else { &OF_PROJECT };
    let owner = fs::metadata(&dir)?;
    for kind in kinds {
        let path = dir.join(kind.path);
        if path.symlink_metadata().is_ok() || all.len() >= PLANTED_MAX {
            continue;
        }
        make_folders(&dir, &path, &owner)?;
        let text = (kind.text)(&mut Chance::new()?);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot plant `{}`", path.display()))?;
        file.write_all(text.as_bytes())?;
        // As if its user had made it.
        drop(std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid())));
        let planted = Planted { path, kind: kind.name.to_owned(), sha256: hash(text.as_bytes()), time_ns };
        all.push(planted.clone());
        made.push(planted);
        // One by one: none lies there that the list does not know.
        write(data, &all)?;
    }
    Ok(made)
}

fn make_folders(dir: &Path, path: &Path, owner: &fs::Metadata) -> Result<()> {
    let mut folder = dir.to_owned();
    let parts = path.strip_prefix(dir)?.parent().into_iter().flat_map(Path::components);
    for part in parts {
        folder.push(part);
        // A link could lead out of the home.
        match fs::symlink_metadata(&folder) {
            Ok(meta) if meta.is_dir() => continue,
            Ok(_) => anyhow::bail!("`{}` is in the way", folder.display()),
            Err(_) => {}
        }
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        drop(std::os::unix::fs::chown(&folder, Some(owner.uid()), Some(owner.gid())));
    }
    Ok(())
}

/// Takes them away again; gives those that somebody changed, which stay.
pub fn remove(data: &Path, wanted: impl Fn(&Planted) -> bool) -> Result<(Vec<Planted>, Vec<Planted>)> {
    let (gone, left): (Vec<Planted>, Vec<Planted>) = read(data)?.into_iter().partition(wanted);
    let (mut removed, mut changed) = (Vec::new(), Vec::new());
    for planted in gone {
        match fs::symlink_metadata(&planted.path) {
            Err(_) => removed.push(planted),
            Ok(meta) => {
                let own = meta.is_file()
                    && meta.len() < BYTES_MAX
                    && fs::read(&planted.path).is_ok_and(|bytes| hash(&bytes) == planted.sha256);
                if own && fs::remove_file(&planted.path).is_ok() {
                    // The folder, if nothing else is in it.
                    drop(planted.path.parent().map(fs::remove_dir));
                    removed.push(planted);
                } else {
                    changed.push(planted);
                }
            }
        }
    }
    write(data, &left)?;
    Ok((removed, changed))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Letters by chance: each decoy is another.
struct Chance(fs::File);

impl Chance {
    fn new() -> Result<Self> {
        Ok(Self(fs::File::open("/dev/urandom")?))
    }

    fn letters(&mut self, count: usize, of: &[u8]) -> String {
        let mut bytes = vec![0u8; count];
        // Without chance they are all the same, and still decoys.
        drop(self.0.read_exact(&mut bytes));
        bytes
            .iter()
            .filter_map(|byte| of.get(usize::from(*byte) % of.len().max(1)))
            .map(|b| char::from(*b))
            .collect()
    }

    fn hex(&mut self, count: usize) -> String {
        self.letters(count, b"0123456789abcdef")
    }

    fn base64(&mut self, count: usize) -> String {
        self.letters(count, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    }

    fn upper(&mut self, count: usize) -> String {
        self.letters(count, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    }
}

/// The form of a key; its inside is chance, so it is none.
fn ssh_key(chance: &mut Chance) -> String {
    let lines: Vec<String> = (0..4).map(|_| chance.base64(70)).collect();
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n{}\n{}=\n-----END OPENSSH PRIVATE KEY-----\n",
        lines.join("\n"),
        chance.base64(37)
    )
}

fn aws(chance: &mut Chance) -> String {
    format!(
        "[default]\naws_access_key_id = AKIA{}\naws_secret_access_key = {}\nregion = eu-central-1\n",
        chance.upper(16),
        chance.base64(40)
    )
}

fn kube(chance: &mut Chance) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster:\n    server: https://192.0.2.{}:6443\nusers:\n- name: admin\n  user:\n    token: {}\ncontexts:\n- name: prod\n  context: {{cluster: prod, user: admin}}\ncurrent-context: prod\n",
        10 + chance.hex(1).bytes().next().map_or(0, |b| b % 16),
        chance.hex(64)
    )
}

fn gcloud(chance: &mut Chance) -> String {
    format!(
        "{{\n  \"client_id\": \"{}.apps.googleusercontent.com\",\n  \"client_secret\": \"d-{}\",\n  \"refresh_token\": \"1//0{}\",\n  \"type\": \"authorized_user\"\n}}\n",
        chance.letters(12, b"0123456789"),
        chance.base64(22),
        chance.hex(60)
    )
}

fn wallet(chance: &mut Chance) -> String {
    format!(
        "{{\"address\":\"{}\",\"crypto\":{{\"cipher\":\"aes-128-ctr\",\"ciphertext\":\"{}\",\"cipherparams\":{{\"iv\":\"{}\"}},\"kdf\":\"scrypt\",\"kdfparams\":{{\"dklen\":32,\"n\":262144,\"p\":1,\"r\":8,\"salt\":\"{}\"}},\"mac\":\"{}\"}},\"version\":3}}",
        chance.hex(40),
        chance.hex(64),
        chance.hex(32),
        chance.hex(64),
        chance.hex(64)
    )
}

fn env(chance: &mut Chance) -> String {
    format!(
        "DATABASE_URL=postgres://app:{}@db.internal.invalid:5432/app\nPAYMENT_SECRET={}\nSESSION_KEY={}\n",
        chance.hex(20),
        chance.hex(48),
        chance.hex(32)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_gone() {
        let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/credentials"), "real").unwrap();
        let made = plant(data.path(), home.path(), true, 1).unwrap();
        assert_eq!(made.len(), OF_HOME.len());
        for planted in &made {
            assert!(
                muster_sensor::is_sensitive(&planted.path.to_string_lossy()),
                "its reading is seen: {planted:?}"
            );
        }
        assert!(plant(data.path(), home.path(), true, 2).unwrap().is_empty(), "what is there stays as it is");
        let mut file = CanaryFile::new(data.path());
        assert_eq!(file.look(3).unwrap().unwrap().planted.len(), OF_HOME.len());
        assert_eq!(file.look(4).unwrap(), None);
        let changed = &made[0].path;
        fs::write(changed, "a key of the user's now").unwrap();
        let (removed, left) = remove(data.path(), |_| true).unwrap();
        assert_eq!((removed.len(), left.len()), (OF_HOME.len() - 1, 1));
        assert!(changed.exists() && home.path().join(".aws/credentials").exists());
        assert!(!home.path().join(".kube").exists());
        assert!(file.look(5).unwrap().unwrap().planted.is_empty());
    }

    #[test]
    fn no_two_are_alike() {
        let (data, one, two) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for home in [&one, &two] {
            plant(data.path(), home.path(), true, 1).unwrap();
        }
        let hashes: std::collections::BTreeSet<String> =
            read(data.path()).unwrap().into_iter().map(|p| p.sha256).collect();
        assert_eq!(hashes.len(), 2 * OF_HOME.len());
    }

    #[test]
    fn a_link_leads_nowhere() {
        let (data, home, elsewhere) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join(".ssh")).unwrap();
        assert!(plant(data.path(), home.path(), true, 1).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
