//! `muster key`: the key that signs the log, and its rotation.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use muster_ledger::signing::Request;
use muster_server::{LOG_KEY, LOG_KEY_BEFORE, LOG_KEY_PUBLIC};

use crate::exit::{Exit, usage};
use crate::signer::{Client, Place};
use crate::{Global, client, log_key};

#[derive(Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    act: Option<Act>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Act {
    /// Make a new key. The daemon takes it within ten seconds, or when it starts: old and new key sign each other in the
    /// log, and both sign checkpoints until `retire`.
    Rotate,
    /// Let the key from before the last rotation sign no more. Do it when all who check have the new one.
    Retire,
}

impl KeyCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        match self.act {
            None => self.show(&global.data),
            Some(Act::Rotate) => rotate(&global.data),
            Some(Act::Retire) => retire(&global.data),
        }
    }

    fn show(&self, data: &Path) -> Result<Exit> {
        let path = data.join(LOG_KEY_PUBLIC);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            usage(format!(
                "cannot read `{}`: {error}\nhint: it is made when `muster watch` first starts; root can read it",
                path.display()
            ))
        })?;
        let keys: Vec<&str> = text.lines().collect();
        let place = log_key::elsewhere(data)?;
        let held = match &place {
            Some(Place::Unix(path)) => Client::new(path).keys().unwrap_or_else(|error| {
                eprintln!("key: {error}");
                Vec::new()
            }),
            _ => Vec::new(),
        };
        let both = data.join(LOG_KEY_BEFORE).exists() || held.len() > 1;
        let next = data.join(log_key::NEXT).exists();
        let mut out = std::io::stdout().lock();
        if self.json {
            let answer = serde_json::json!({
                "key": keys.first(), "earlier": keys.get(1..).unwrap_or_default(),
                "earlier_signs": both, "rotation_waits": next,
                "signer": place.map(|place| place.to_string()),
            });
            writeln!(out, "{answer}")?;
            return Ok(Exit::Nothing);
        }
        writeln!(out, "{}", keys.first().unwrap_or(&"none"))?;
        if both && let Some(before) = keys.get(1) {
            writeln!(out, "{before} (before the last rotation; signs too, until `muster key retire`)")?;
        }
        if let Some(place) = place {
            writeln!(out, "held by {place}")?;
        }
        if next {
            writeln!(out, "a new key waits for the daemon")?;
        }
        Ok(Exit::Nothing)
    }
}

/// Lets the process that holds the keys do it, where there is one.
fn elsewhere(data: &Path, request: &Request) -> Result<Option<Exit>> {
    let path = match log_key::elsewhere(data)? {
        None => return Ok(None),
        Some(Place::Unix(path)) => path,
        #[cfg(feature = "pkcs11")]
        Some(Place::Token(_)) => {
            return Err(usage(
                "not with a token\nhint: make another key there and start `muster watch` with its `object=`",
            ));
        }
    };
    let keys = Client::new(&path).expect_keys(request).map_err(usage)?;
    if let (Request::Rotate, Some(key)) = (request, keys.first()) {
        println!("{key}");
        taken(data);
    } else {
        eprintln!("key: the key from before the last rotation is gone; the log will say so");
    }
    Ok(Some(Exit::Nothing))
}

fn taken(data: &Path) {
    let when = if client::answers(data) { "within ten seconds" } else { "when it starts" };
    eprintln!(
        "key: the daemon takes it {when}; tell it to those who verify and to the witnesses, then `muster key retire`"
    );
}

fn rotate(data: &Path) -> Result<Exit> {
    if data.join(LOG_KEY_BEFORE).exists() {
        return Err(usage("the last rotation is not over\nhint: `muster key retire` first"));
    }
    if let Some(exit) = elsewhere(data, &Request::Rotate)? {
        return Ok(exit);
    }
    let path = data.join(LOG_KEY);
    let Some(key) = log_key::load(&path)? else {
        return Err(usage(format!("there is no `{}`\nhint: `muster watch` makes one", path.display())));
    };
    let next = data.join(log_key::NEXT);
    if next.exists() {
        return Err(usage("a new key is there already and waits for the daemon"));
    }
    use muster_ledger::note::Signer;
    let new = log_key::make(&next, key.verifier().name())?;
    println!("{}", new.verifier());
    taken(data);
    Ok(Exit::Nothing)
}

fn retire(data: &Path) -> Result<Exit> {
    let path = data.join(LOG_KEY_BEFORE);
    if !path.exists()
        && let Some(exit) = elsewhere(data, &Request::Retire)?
    {
        return Ok(exit);
    }
    match std::fs::remove_file(&path) {
        Ok(()) => {
            eprintln!("key: the key from before the last rotation is gone; the log will say so");
            Ok(Exit::Nothing)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(usage("no key from before a rotation is there"))
        }
        Err(error) => Err(usage(format!("cannot remove `{}`: {error}", path.display()))),
    }
}
