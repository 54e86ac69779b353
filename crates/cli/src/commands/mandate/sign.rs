//! `muster mandate sign` and `renew`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use clap::Args;
use muster_mandate::{Mandate, PrivateKey, draft, id_of, moment_text, signature};
use serde_json::json;

use super::{policy_of, read, serial, until, write_new};
use crate::Global;
use crate::exit::{Exit, usage};
use crate::mandates::file;

/// An OpenSSH key of RSA with 16,384 bits has 13 kB.
const KEY_MAX: usize = 64 * 1024;

#[derive(Args)]
pub struct Sign {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    with: With,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct With {
    /// SSH key: a private one, or a public one whose other half an agent or a hardware key holds. Default: `~/.ssh/id_ed25519`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Put it where the daemon finds it. Needs root.
    #[arg(long)]
    install: bool,
}

impl Sign {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut text = read(&self.file)?;
        let parsed = |text: &str| {
            Mandate::parse(text).map_err(|error| usage(format!("`{}`: {error}", self.file.display())))
        };
        let mandate = parsed(&text)?;
        // What it names is signed with it, by its hash.
        if let Some(policy) = policy_of(&self.file, &mandate)? {
            let hash = id_of(policy.as_bytes());
            if mandate.policy.as_ref().and_then(|it| it.sha256.as_deref()) != Some(hash.as_str()) {
                text = draft::with_policy_hash(&text, &hash);
                parsed(&text)?;
                file::write(&self.file, text.as_bytes())?;
            }
        }
        self.with.sign(&self.file, &text)?;
        if self.with.install {
            install(global, &self.file)?;
        }
        told(&self.file, &text, self.json)
    }
}

#[derive(Args)]
pub struct Renew {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How long it holds from now on.
    #[arg(long = "for", default_value = "8h", value_name = "TIME")]
    duration: String,
    /// Where to write the new one. Default: beside the old one.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    with: With,
    #[arg(long)]
    json: bool,
}

impl Renew {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let old = read(&self.file)?;
        let old_mandate =
            Mandate::parse(&old).map_err(|error| usage(format!("`{}`: {error}", self.file.display())))?;
        let serial = serial()?;
        let text = draft::renewed(&old, &id_of(old.as_bytes()), &serial, until(&self.duration)?);
        let new = Mandate::parse(&text).map_err(|error| usage(format!("the renewed mandate: {error}")))?;
        new.is_renewal_of(&old_mandate).map_err(usage)?;
        let stem = self.file.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let short = serial.get(..6).unwrap_or(&serial);
        let out = self.out.unwrap_or_else(|| self.file.with_file_name(format!("{stem}.{short}.toml")));
        write_new(&out, &text)?;
        self.with.sign(&out, &text)?;
        if self.with.install {
            install(global, &out)?;
        }
        told(&out, &text, self.json)
    }
}

impl With {
    /// By ourselves where the key lies open; else by `ssh-keygen`, which asks for passphrases, agents and touches.
    fn sign(&self, path: &Path, text: &str) -> Result<()> {
        let key = match &self.key {
            Some(key) => key.clone(),
            None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh/id_ed25519"),
        };
        let mut target = path.as_os_str().to_owned();
        target.push(".sig");
        let target = PathBuf::from(target);
        let open = file::read(&key, KEY_MAX).ok().and_then(|text| PrivateKey::from_openssh(text).ok());
        if let Some(key) = open.filter(|key| !key.is_encrypted())
            && let Ok(made) = signature::sign(&key, text.as_bytes())
        {
            file::write(&target, made.as_bytes())?;
            return Ok(());
        }
        // It never overwrites without a question.
        drop(std::fs::remove_file(&target));
        let status = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", signature::NAMESPACE, "-f"])
            .arg(&key)
            .arg(path)
            .stdout(Stdio::null())
            .status()
            .map_err(|error| usage(format!("cannot run `ssh-keygen`: {error}")))?;
        if status.success() && target.exists() {
            return Ok(());
        }
        Err(usage(format!(
            "`{}` is not signed by `{}`\nhint: name the key with --key; `ssh-keygen -t ed25519` makes one",
            path.display(),
            key.display()
        )))
    }
}

/// Copies mandate, signature and policy into the daemon's folder.
fn install(global: &Global, path: &Path) -> Result<()> {
    let folder = global.data.join("mandates");
    let signed = crate::mandates::read_signed(path).map_err(super::refused)?;
    let id = id_of(signed.body.as_bytes());
    let put = |name: String, bytes: &[u8]| file::write(&folder.join(name), bytes);
    let all = file::make_folder(&folder)
        .and_then(|()| {
            signed.policy.as_ref().map_or(Ok(()), |text| put(format!("{id}.cedar"), text.as_bytes()))
        })
        .and_then(|()| put(format!("{id}.toml.sig"), signed.signature.as_bytes()))
        .and_then(|()| put(format!("{id}.toml"), signed.body.as_bytes()));
    all.map_err(|error| {
        usage(format!("cannot write into `{}`: {error}\nhint: only root may", folder.display()))
    })
}

fn told(path: &Path, text: &str, json: bool) -> Result<Exit> {
    let id = id_of(text.as_bytes());
    let expires = Mandate::parse(text).map(|mandate| moment_text(mandate.expires_ns)).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", json!({"id": id, "file": path.display().to_string(), "expires": expires}))?;
    } else {
        writeln!(out, "signed `{}`, mandate {id}, until {expires}", path.display())?;
    }
    Ok(Exit::Nothing)
}
