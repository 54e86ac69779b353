//! All mandates that are known, and what became of each: who renewed it, who revoked it, whose run used it. The daemon keeps
//! one with signatures checked; the engine keeps one of what the daemon accepted.

use std::collections::BTreeMap;

use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::{Binding, Chain, LINKS_MAX, Link, Mandate, Refused, Signers, id_of};

/// Mandates known at once. Beyond it, those that expired longest ago are forgotten; where none has, no more are taken.
pub const KNOWN_MAX: usize = 4_096;

/// A mandate as it is handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The TOML.
    pub body: String,
    /// What `ssh-keygen -Y sign` wrote; may be empty.
    pub signature: String,
    /// The text of the Cedar file that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Known {
    pub mandate: Mandate,
    pub body: String,
    pub policy: Option<String>,
    /// Fingerprint of the key that signed it.
    pub signer: Option<String>,
    pub revoked: Option<String>,
    pub renewed_by: Option<String>,
    /// The agent whose run had it, where it is for one.
    pub used_by: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Register {
    known: BTreeMap<String, Known>,
}

impl Register {
    pub fn get(&self, id: &str) -> Option<&Known> {
        self.known.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(id, known)| (id.as_str(), known))
    }

    /// The one whose id begins so, if only one does.
    pub fn find(&self, start: &str) -> Option<&str> {
        let mut found =
            self.known.range(start.to_owned()..).map(|(id, _)| id).take_while(|id| id.starts_with(start));
        let first = found.next()?;
        found.next().is_none().then_some(first.as_str())
    }

    /// Checks signature, signer, machine, parent and renewal; the time too. Gives the id.
    pub fn add(
        &mut self,
        signed: &Signed,
        signers: &Signers,
        host: &str,
        now_ns: Nanos,
    ) -> Result<String, Refused> {
        let mandate = Mandate::parse(&signed.body)?;
        let signer = self.signer(&mandate, signed, signers, now_ns)?;
        if !mandate.is_for_host(host) {
            return Err(Refused::WrongHost(host.to_owned()));
        }
        if now_ns >= mandate.expires_ns {
            return Err(Refused::Expired(mandate.expires_ns));
        }
        if let Some(from) = mandate.not_before_ns.filter(|from| now_ns < *from) {
            return Err(Refused::NotYetValid(from));
        }
        let id = id_of(signed.body.as_bytes());
        self.trust(&id, signed, Some(signer), now_ns)?;
        Ok(id)
    }

    fn signer(
        &self,
        mandate: &Mandate,
        signed: &Signed,
        signers: &Signers,
        now_ns: Nanos,
    ) -> Result<String, Refused> {
        let body = signed.body.as_bytes();
        let refused = match signers.check(body, &signed.signature, &mandate.principal, now_ns) {
            Ok(signer) => return Ok(signer),
            Err(refused) => refused,
        };
        // A part may be signed by those whom the whole names.
        let parent = mandate.parent.as_ref().and_then(|parent| self.known.get(parent));
        if let Some(parent) = parent {
            let named = Signers::of_keys(&parent.mandate.delegation.keys, &parent.mandate.principal);
            if let Ok(signer) = named.check(body, &signed.signature, &mandate.principal, now_ns) {
                return Ok(signer);
            }
        }
        Err(refused)
    }

    /// Takes one whose signature, machine and time were checked.
    pub fn trust(
        &mut self,
        id: &str,
        signed: &Signed,
        signer: Option<String>,
        now_ns: Nanos,
    ) -> Result<(), Refused> {
        if self.known.contains_key(id) {
            return Ok(());
        }
        let mandate = Mandate::parse(&signed.body)?;
        if let Some(old) = &mandate.renews {
            let known = self
                .known
                .get(old)
                .ok_or_else(|| Refused::NoRenewal("what it renews is not known".to_owned()))?;
            if let Some(why) = &known.revoked {
                return Err(Refused::Revoked(why.clone()));
            }
            if known.renewed_by.as_ref().is_some_and(|by| by != id) {
                return Err(Refused::NoRenewal("it was renewed by another already".to_owned()));
            }
            mandate.is_renewal_of(&known.mandate).map_err(Refused::NoRenewal)?;
        }
        self.make_room(now_ns)?;
        let known = Known {
            mandate,
            body: signed.body.clone(),
            policy: signed.policy.clone(),
            signer,
            revoked: None,
            renewed_by: None,
            used_by: None,
        };
        let renews = known.mandate.renews.clone();
        self.known.insert(id.to_owned(), known);
        // Is every line of it within its parent, is its policy whole? For any product and home.
        if let Err(refused) =
            self.chain(id, &Binding { home: Some("/home/nobody".to_owned()), ..Binding::default() })
        {
            self.known.remove(id);
            return Err(refused);
        }
        if let Some(old) = renews {
            let used_by = self.known.get_mut(&old).and_then(|old| {
                old.renewed_by = Some(id.to_owned());
                old.used_by.clone()
            });
            if let Some(known) = self.known.get_mut(id) {
                known.used_by = used_by;
            }
        }
        Ok(())
    }

    fn make_room(&mut self, now_ns: Nanos) -> Result<(), Refused> {
        if self.known.len() < KNOWN_MAX {
            return Ok(());
        }
        let oldest = self.known.iter().filter(|(_, known)| known.mandate.expires_ns <= now_ns);
        match oldest.min_by_key(|(_, known)| known.mandate.expires_ns).map(|(id, _)| id.clone()) {
            Some(id) => {
                self.known.remove(&id);
                Ok(())
            }
            None => Err(Refused::File(format!("{KNOWN_MAX} mandates are in force already"))),
        }
    }

    /// The mandate that stands for this one now: the last that renewed it.
    pub fn newest<'a>(&'a self, id: &'a str) -> &'a str {
        let mut newest = id;
        // A renewal names an earlier one by its hash: there is no circle. Bounded all the same.
        for _ in 0..KNOWN_MAX {
            match self.known.get(newest).and_then(|known| known.renewed_by.as_deref()) {
                Some(next) => newest = next,
                None => break,
            }
        }
        newest
    }

    /// The mandate with all that it is a part of, as renewed. Time is not looked at.
    pub fn chain(&self, id: &str, binding: &Binding) -> Result<Chain, Refused> {
        let mut links: Vec<Link> = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next {
            if links.len() >= LINKS_MAX {
                return Err(Refused::ChainTooLong(LINKS_MAX));
            }
            let newest = self.newest(&id).to_owned();
            let known = self.known.get(&newest).ok_or_else(|| Refused::ParentUnknown(newest.clone()))?;
            // Who revokes one means its renewals too, and the other way round.
            for id in [&id, &newest] {
                if let Some(why) = self.known.get(id).and_then(|known| known.revoked.clone()) {
                    return Err(Refused::Revoked(why));
                }
            }
            next = known.mandate.parent.clone();
            links.push(Link {
                stands_for: id,
                id: newest,
                mandate: known.mandate.clone(),
                policy: known.policy.clone(),
            });
        }
        Chain::new(links, binding)
    }

    /// `false`: it is not known, or was revoked before.
    pub fn revoke(&mut self, id: &str, why: &str) -> bool {
        match self.known.get_mut(id) {
            Some(known) if known.revoked.is_none() => {
                known.revoked = Some(why.to_owned());
                true
            }
            _ => false,
        }
    }

    /// This agent's run has it now.
    pub fn use_for(&mut self, id: &str, agent: &str) -> Result<(), Refused> {
        let Some(known) = self.known.get_mut(id) else { return Err(Refused::ParentUnknown(id.to_owned())) };
        match &known.used_by {
            Some(other) if known.mandate.single_use && other != agent => {
                Err(Refused::Replayed(other.clone()))
            }
            _ => {
                known.used_by = Some(agent.to_owned());
                Ok(())
            }
        }
    }
}
