//! The evidence of a mustering out, and webhooks: what goes beyond processes and files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_contain::journal;
use muster_contain::restore::standing;
use muster_sensor::now_ns;
use muster_server::StoreReader;
use muster_server::case::{Asked, Case};

use super::target;
use crate::secret_file;

const FILE: &str = "case.muster";
/// The daemon signs the latest leaves a moment later.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The same, while a daemon signs what is written.
pub fn seal_soon(data: &Path, agent: &str, folder: &Path) -> Result<String, String> {
    let mut sealed = seal(data, agent, folder);
    for _ in 0..TRIES {
        if sealed.is_ok() {
            break;
        }
        std::thread::sleep(PAUSE);
        sealed = seal(data, agent, folder);
    }
    sealed
}

/// An evidence bundle of all that is on record of the agent.
pub fn seal(data: &Path, agent: &str, folder: &Path) -> Result<String, String> {
    let reader = StoreReader::open(data).map_err(|error| error.to_string())?;
    let asked = Asked::Agent(agent.to_owned());
    let case = Case::gather(&reader, data, &asked, now_ns()).map_err(|error| error.to_string())?;
    let bytes = case.to_bytes().map_err(|error| error.to_string())?;
    let path = folder.join(FILE);
    secret_file::write(&path, &bytes).map_err(|error| error.to_string())?;
    Ok(format!("{} leaves in {}", case.leaves.len(), path.display()))
}

/// `POST` of who was mustered out and which credential is to lose its power.
pub fn post(url: &str, agent: &str, credential: &str, limit: Duration) -> Result<(), String> {
    let body = serde_json::json!({ "agent": agent, "credential": credential, "act": "revoke" }).to_string();
    let client = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let sent = client.post(url).header("content-type", "application/json").send(body);
    // The address may hold a secret: it is not told.
    sent.map(|_| ()).map_err(|error| format!("the webhook: {error}"))
}

/// A packet filter over what is cut off. `alone`: the one that does it ends soon.
pub fn silence(id: &str, groups: &[PathBuf], sockets: &[u64], alone: bool) -> Result<(), String> {
    let what = muster_sensor::Silenced { name: id, groups, sockets, must_outlive: alone };
    muster_sensor::silence(what).map(drop).map_err(|error| error.to_string())
}

/// Ends the filters of all musterings out of this agent: one that froze it, and one that went on to the end.
pub fn unsilence(data: &Path, agent: &str) {
    for id in muster_sensor::silenced() {
        let is_its = || {
            let lines = journal::read(&target::folder(data, &id).ok()?).ok()?;
            Some(standing(&lines).agent == agent)
        };
        if is_its() == Some(true) {
            muster_sensor::unsilence(&id);
        }
    }
}
