//! The mandates that the daemon holds: `DATA/mandates` and `DATA/allowed_signers`, both root's. Each file is checked when it
//! comes and when it changes; what comes of it is told to the ledger.
//!
//! `NAME.toml` is a mandate, `NAME.toml.sig` its signature, `NAME.cedar` (or the name that it gives) its policy. `ID.revoked`
//! holds who revoked it and why, `ID.used` the agent whose run it was for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster_mandate::{
    Known, MANDATE_MAX, MandateNote, MandateState, POLICY_MAX, Refused, Register, SIGNERS_MAX, Signed,
    Signers, id_of, signature::SIGNATURE_MAX,
};
use muster_server::views::{MandateView, time};

pub mod file;
#[cfg(test)]
mod tests;

/// Files in the folder that are looked at: what is more is not taken, and said.
const FILES_MAX: usize = 16_384;

pub struct Mandates {
    folder: PathBuf,
    signers_file: PathBuf,
    host: String,
    register: Register,
    signers: Signers,
    signers_stamp: Option<file::Stamp>,
    /// What was last seen of each file, and whether it was taken.
    seen: BTreeMap<PathBuf, (file::Stamp, Option<Refused>)>,
    expired: BTreeSet<String>,
    /// Agents, and what was given them.
    given: BTreeMap<String, String>,
}

/// What an enrolment says of the mandate that it brings.
pub fn enrolment(path: Option<&Path>) -> serde_json::Map<String, serde_json::Value> {
    let path = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let (mandate, refused) = match path.as_ref().map(|path| read_chain(path)) {
        None => (Vec::new(), None),
        Some(Ok(chain)) => (chain, None),
        // The daemon makes a finding of it, and refuses.
        Some(Err(why)) => (Vec::new(), Some(format!("{}: {why}", why.word()))),
    };
    let said = serde_json::json!({
        "mandate": mandate,
        "mandate_file": path.map(|path| path.display().to_string()),
        "mandate_refused": refused,
    });
    said.as_object().cloned().unwrap_or_default()
}

/// What `muster run` brings: the agent's own mandate first, each followed by the one that it is a part of.
pub type Brought = Vec<Signed>;

impl Mandates {
    pub fn new(data: &Path, host: &str) -> Mandates {
        Mandates {
            folder: data.join("mandates"),
            signers_file: data.join("allowed_signers"),
            host: host.to_owned(),
            register: Register::default(),
            signers: Signers::default(),
            signers_stamp: None,
            seen: BTreeMap::new(),
            expired: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }

    pub fn register(&self) -> &Register {
        &self.register
    }

    /// Lines of the allowed signers that are not used, and files that were refused.
    pub fn troubles(&self) -> Vec<String> {
        let unused = self.signers.unused.iter().map(|error| format!("allowed_signers: {error}"));
        let refused = self.seen.iter().filter_map(|(path, (_, refused))| {
            refused.as_ref().map(|refused| format!("{}: {refused}", path.display()))
        });
        unused.chain(refused).collect()
    }

    /// Looks what came, changed, was revoked, or expired.
    pub fn look(&mut self, now_ns: u64) -> Vec<MandateNote> {
        let mut notes = Vec::new();
        self.look_at_signers();
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .take(FILES_MAX)
            .collect();
        files.sort();
        let with =
            |end: &'static str| files.iter().filter(move |path| path.extension().is_some_and(|it| it == end));
        // A part may stand before its whole: until nothing more is taken.
        let mut waiting: Vec<&PathBuf> = with("toml").filter(|path| self.is_new(path)).collect();
        loop {
            let before = waiting.len();
            waiting.retain(|path| !self.take_file(path, now_ns, &mut notes));
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        for path in waiting {
            if let Some((_, Some(refused))) = self.seen.get(path) {
                eprintln!("watch: the mandate `{}` is refused: {refused}", path.display());
                let mut note =
                    self.note(&id_of(path.as_os_str().as_encoded_bytes()), MandateState::Refused, now_ns);
                note.text = format!("{}: {refused}", refused.word());
                note.path = Some(path.display().to_string());
                notes.push(note);
            }
        }
        if notes.iter().any(|note| note.state != MandateState::Refused) {
            // What came may be what others are a part of.
            self.seen.retain(|_, (_, refused)| refused.as_ref().is_none_or(|it| it.word() != "broken-chain"));
        }
        for path in with("revoked") {
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let why = || file::read(path, 4_096).unwrap_or_default();
            if self.register.get(id).is_some_and(|known| known.revoked.is_none()) {
                let why = muster_event::sanitize(why().trim());
                self.register.revoke(id, &why);
                let mut note = self.note(id, MandateState::Revoked, now_ns);
                note.text = why;
                notes.push(note);
            }
        }
        for path in with("used") {
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            if self.register.get(id).is_some_and(|known| known.used_by.is_none()) {
                drop(self.register.use_for(id, file::read(path, 4_096).unwrap_or_default().trim()));
            }
        }
        let over: Vec<String> = self
            .register
            .iter()
            .filter(|(id, known)| known.mandate.expires_ns <= now_ns && !self.expired.contains(*id))
            .map(|(id, _)| id.to_owned())
            .collect();
        for id in over {
            let mut note = self.note(&id, MandateState::Expired, now_ns);
            note.text = "its time is over".to_owned();
            notes.push(note);
            self.expired.insert(id);
        }
        notes
    }

    fn look_at_signers(&mut self) {
        let stamp = file::stamp(&self.signers_file);
        if stamp == self.signers_stamp {
            return;
        }
        self.signers_stamp = stamp;
        self.signers = match file::read(&self.signers_file, SIGNERS_MAX) {
            Ok(text) => Signers::parse(&text),
            Err(why) => {
                if self.signers_stamp.is_some() {
                    eprintln!("watch: the allowed signers are not used: {why}");
                }
                Signers::default()
            }
        };
        for unused in &self.signers.unused {
            eprintln!("watch: allowed_signers: {}", muster_event::sanitize(&unused.to_string()));
        }
        // What was refused may be allowed now.
        self.seen.retain(|_, (_, refused)| refused.is_none());
    }

    fn is_new(&self, path: &Path) -> bool {
        let stamp = file::stamp(path);
        self.seen.get(path).is_none_or(|(seen, _)| Some(seen) != stamp.as_ref())
    }

    /// `true`: it was taken.
    fn take_file(&mut self, path: &Path, now_ns: u64, notes: &mut Vec<MandateNote>) -> bool {
        let Some(stamp) = file::stamp(path) else { return true };
        let taken =
            read_signed(path).and_then(|signed| self.take(&signed, now_ns).map(|taken| (signed, taken)));
        match taken {
            Ok((_, (id, is_new))) => {
                self.seen.insert(path.to_owned(), (stamp, None));
                if is_new {
                    let mut note = self.accepted(&id, now_ns);
                    note.path = Some(path.display().to_string());
                    notes.push(note);
                }
                true
            }
            Err(refused) => {
                self.seen.insert(path.to_owned(), (stamp, Some(refused)));
                false
            }
        }
    }

    /// One that expired is taken too: who still runs under it is to be held against it.
    fn take(&mut self, signed: &Signed, now_ns: u64) -> Result<(String, bool), Refused> {
        let id = id_of(signed.body.as_bytes());
        if self.register.get(&id).is_some() {
            return Ok((id, false));
        }
        let mandate = muster_mandate::Mandate::parse(&signed.body)?;
        let at = now_ns.min(mandate.expires_ns.saturating_sub(1));
        self.register.add(signed, &self.signers, &self.host, at)?;
        Ok((id, true))
    }

    /// `agent` is to run under what was brought. Gives the mandate's id, and what to tell.
    pub fn give(
        &mut self,
        brought: &Brought,
        path: Option<&str>,
        agent: &str,
        now_ns: u64,
    ) -> Result<(String, Vec<MandateNote>), Refused> {
        let mut notes = Vec::new();
        let mut register = self.register.clone();
        let mut new = Vec::new();
        let own = brought.first().ok_or(Refused::Unsigned)?;
        for signed in brought.iter().rev() {
            let id = id_of(signed.body.as_bytes());
            if let Some(known) = register.get(&id) {
                // The bytes are known; who brings them shows that they are signed, by a key that still may.
                let parent = known.mandate.parent.as_ref().and_then(|parent| register.get(parent));
                let keys = parent.map(|parent| parent.mandate.delegation.keys.clone()).unwrap_or_default();
                let principal = known.mandate.principal.as_str();
                let check = |signers: &Signers| {
                    signers.check(signed.body.as_bytes(), &signed.signature, principal, now_ns)
                };
                check(&self.signers)
                    .or_else(|refused| check(&Signers::of_keys(&keys, principal)).map_err(|_| refused))?;
            } else {
                register.add(signed, &self.signers, &self.host, now_ns)?;
                new.push((id, signed));
            }
        }
        let id = register.newest(&id_of(own.body.as_bytes())).to_owned();
        let binding = muster_mandate::Binding { home: Some("/root".to_owned()), ..Default::default() };
        let chain = register.chain(&id, &binding)?;
        if let Some(invalid) = chain.invalid(now_ns) {
            return Err(match invalid.rule.as_str() {
                "not_before" => Refused::NotYetValid(
                    chain.mandates().filter_map(|(_, it)| it.not_before_ns).max().unwrap_or(0),
                ),
                _ => Refused::Expired(chain.expires_ns()),
            });
        }
        register.use_for(&id, agent)?;
        self.register = register;
        for (new, signed) in new {
            self.keep(&new, signed);
            let mut note = self.accepted(&new, now_ns);
            note.path = path.filter(|_| new == id).map(str::to_owned);
            notes.push(note);
        }
        if self.register.get(&id).is_some_and(|known| known.mandate.single_use) {
            self.write(&format!("{id}.used"), agent.as_bytes());
        }
        notes.push(self.bound(&id, agent, now_ns));
        Ok((id, notes))
    }

    /// After a restart: the agent had this one.
    pub fn again(&mut self, id: &str, agent: &str, now_ns: u64) -> Option<MandateNote> {
        self.register.get(id)?;
        Some(self.bound(id, agent, now_ns))
    }

    fn bound(&mut self, id: &str, agent: &str, now_ns: u64) -> MandateNote {
        self.given.insert(agent.to_owned(), id.to_owned());
        let mut note = self.accepted(id, now_ns);
        note.agent = Some(agent.to_owned());
        note.body = None;
        note.policy = None;
        note
    }

    pub fn refused(&self, id: &str, agent: &str, refused: &Refused, now_ns: u64) -> MandateNote {
        let mut note = self.note(id, MandateState::Refused, now_ns);
        note.agent = Some(agent.to_owned());
        note.text = format!("{}: {refused}", refused.word());
        note
    }

    fn accepted(&self, id: &str, now_ns: u64) -> MandateNote {
        let renews = self.register.get(id).is_some_and(|known| known.mandate.renews.is_some());
        let mut note =
            self.note(id, if renews { MandateState::Renewed } else { MandateState::Accepted }, now_ns);
        if let Some(known) = self.register.get(id) {
            note.text.clone_from(&known.mandate.task);
            note.body = Some(known.body.clone());
            note.policy.clone_from(&known.policy);
        }
        note
    }

    fn note(&self, id: &str, state: MandateState, now_ns: u64) -> MandateNote {
        let known = self.register.get(id);
        MandateNote {
            time_ns: now_ns,
            id: id.to_owned(),
            agent: None,
            state,
            text: String::new(),
            body: None,
            policy: None,
            path: None,
            signer: known.and_then(|known| known.signer.clone()),
            parent: known.and_then(|known| known.mandate.parent.clone()),
            expires_ns: known.map(|known| known.mandate.expires_ns),
        }
    }

    /// Keeps what was brought, for the next daemon.
    fn keep(&self, id: &str, signed: &Signed) {
        self.write(&format!("{id}.toml"), signed.body.as_bytes());
        self.write(&format!("{id}.toml.sig"), signed.signature.as_bytes());
        if let Some(policy) = &signed.policy {
            self.write(&format!("{id}.cedar"), policy.as_bytes());
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.join(name);
        let written = file::make_folder(&self.folder).and_then(|()| file::write(&path, bytes));
        if let Err(error) = written {
            eprintln!("watch: `{}` is not kept, and not known after a restart: {error}", path.display());
        }
    }

    pub fn views(&self, now_ns: u64) -> Vec<MandateView> {
        self.register.iter().map(|(id, known)| self.view(id, known, now_ns)).collect()
    }

    fn view(&self, id: &str, known: &Known, now_ns: u64) -> MandateView {
        let mandate = &known.mandate;
        let state = if known.revoked.is_some() {
            "revoked"
        } else if known.renewed_by.is_some() {
            "renewed"
        } else if mandate.expires_ns <= now_ns {
            "expired"
        } else {
            "in force"
        };
        MandateView {
            id: id.to_owned(),
            state: state.to_owned(),
            principal: mandate.principal.clone(),
            task: mandate.task.clone(),
            signer: known.signer.clone(),
            parent: mandate.parent.clone(),
            renews: mandate.renews.clone(),
            renewed_by: known.renewed_by.clone(),
            revoked: known.revoked.clone(),
            not_before: mandate.not_before_ns.map(time),
            expires: time(mandate.expires_ns),
            agents: self
                .given
                .iter()
                .filter(|(_, given)| *given == id)
                .map(|(agent, _)| agent.clone())
                .collect(),
        }
    }
}

/// A mandate with its signature and policy, from safe files.
pub fn read_signed(path: &Path) -> Result<Signed, Refused> {
    let read = |path: &Path, max| file::read(path, max).map_err(Refused::File);
    let body = read(path, MANDATE_MAX)?;
    let mut signature_path = path.as_os_str().to_owned();
    signature_path.push(".sig");
    let signature_path = PathBuf::from(signature_path);
    let signature = match signature_path.symlink_metadata() {
        Ok(_) => read(&signature_path, SIGNATURE_MAX)?,
        Err(_) => String::new(),
    };
    let mandate = muster_mandate::Mandate::parse(&body)?;
    let policy = match &mandate.policy {
        Some(policy) => {
            let kept = path.with_extension("cedar");
            let path = if kept.exists() { kept } else { path.with_file_name(&policy.name) };
            Some(read(&path, POLICY_MAX)?)
        }
        None => None,
    };
    Ok(Signed { body, signature, policy })
}

/// The mandate in this file and those that it is a part of: from its own folder, by their ids.
pub fn read_chain(path: &Path) -> Result<Brought, Refused> {
    let mut brought = vec![read_signed(path)?];
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut others: Option<BTreeMap<String, PathBuf>> = None;
    while brought.len() < muster_mandate::LINKS_MAX {
        let Some(last) = brought.last() else { break };
        let Some(parent) = muster_mandate::Mandate::parse(&last.body)?.parent else { break };
        let others = others.get_or_insert_with(|| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
            let files =
                entries.map(|entry| entry.path()).filter(|it| it.extension().is_some_and(|e| e == "toml"));
            files
                .filter_map(|path| Some((id_of(file::read(&path, MANDATE_MAX).ok()?.as_bytes()), path)))
                .collect()
        });
        // The daemon may know it.
        let Some(path) = others.get(&parent) else { break };
        brought.push(read_signed(path)?);
    }
    Ok(brought)
}

/// What was brought as a chain that decides. Its lines are taken as they are: signatures, machine and time are the daemon's to check.
pub fn chain_of(
    brought: &Brought,
    binding: &muster_mandate::Binding,
) -> Result<muster_mandate::Chain, Refused> {
    let mut register = Register::default();
    let mut id = String::new();
    for signed in brought.iter().rev() {
        id = id_of(signed.body.as_bytes());
        register.trust(&id, signed, None, 0)?;
    }
    register.chain(&id, binding)
}
