//! Asks one witness (C2SP tlog-witness) to cosign.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use muster_ledger::note::{Note, Verifier};
use muster_ledger::witness::{Outcome, Request, outcome};
use muster_ledger::{Checkpoint, Head};

use super::group::{Carrier, Failure};
use super::url::Url;
use super::{Callbacks, Collected, What};

/// How long one request may take: a witness waits for its disk once.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer: some signatures.
const BODY_MAX: u64 = 64 * 1024;
/// Questions about one checkpoint: the first from what the witness is thought to know, the next from what it says.
const ASK_MAX: u32 = 3;

pub struct Client {
    agent: ureq::Agent,
    url: String,
    key: Verifier,
    /// Size of the last checkpoint that it is known to have cosigned.
    known: u64,
    callbacks: Arc<Callbacks>,
    collected: Arc<Collected>,
}

/// For all that is sent outside.
pub fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // It goes where it was told to go, and nowhere else.
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// In words.
pub fn failure(error: &ureq::Error) -> Failure {
    Failure::Down(match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        error => error.to_string(),
    })
}

impl Client {
    pub fn new(url: &Url, key: Verifier, callbacks: Arc<Callbacks>, collected: Arc<Collected>) -> Client {
        let url = url.join("add-checkpoint");
        Client { agent: agent(TIMEOUT), url, key, known: 0, callbacks, collected }
    }

    fn ask(&self, request: &Request, size: u64) -> Result<Outcome, Failure> {
        let body = request.to_bytes();
        let mut answer = self.agent.post(&self.url).send(&body).map_err(|error| failure(&error))?;
        let status = answer.status().as_u16();
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let body = match answer.body_mut().with_config().limit(BODY_MAX).read_to_vec() {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Ok(Outcome::Unusable("its answer is too long"));
            }
            Err(error) => return Err(failure(&error)),
        };
        Ok(outcome(status, content_type.as_deref(), &body, request, size, &self.key))
    }

    /// Our own part of the way failed.
    fn prove(&self, old: u64, size: u64) -> Result<Vec<muster_ledger::Hash>, Failure> {
        if old == 0 || old >= size {
            return Ok(Vec::new());
        }
        let proof = (self.callbacks.proof)(old, size);
        proof.map_err(|error| {
            Failure::Down(format!("no proof that {size} entries begin with {old} could be made: {error}"))
        })
    }
}

impl Carrier for Client {
    fn who(&self) -> String {
        format!("witness {}", self.key.name())
    }

    fn carry(&mut self, note: &Note) -> Result<(), Failure> {
        let Head { size, .. } = Checkpoint::parse(&note.text)
            .map_err(|error| Failure::Down(format!("what was to be cosigned is no checkpoint: {error}")))?
            .head;
        let name = self.key.name().to_owned();
        // It must see what is smaller than what it knows: it keeps that as evidence.
        let mut old = self.known.min(size);
        for _ in 0..ASK_MAX {
            let request = Request { old, proof: self.prove(old, size)?, note: note.clone() };
            match self.ask(&request, size)? {
                Outcome::Cosigned { line, .. } => {
                    self.known = size;
                    self.collected.add(note, line, &*self.callbacks.cosigned);
                    return Ok(());
                }
                Outcome::AskFrom(known) => old = known,
                Outcome::Ahead { size: theirs } => {
                    return Err(Failure::Said(
                        What::RolledBack,
                        format!(
                            "witness {name} has cosigned {theirs} entries of this log, which has {size}: it was set back or \
                             cut short"
                        ),
                    ));
                }
                Outcome::Forked => {
                    return Err(Failure::Said(
                        What::Forked,
                        format!(
                            "witness {name} has cosigned another history of the {size} entries of this log"
                        ),
                    ));
                }
                Outcome::Contradicted => {
                    return Err(Failure::Said(
                        What::Rewritten,
                        format!(
                            "witness {name} says that this log of {size} entries does not begin with the {old} that it has \
                             cosigned"
                        ),
                    ));
                }
                Outcome::Refused { status } if status >= 500 => {
                    return Err(Failure::Down(format!("status {status}")));
                }
                Outcome::Refused { status } => {
                    let why = match status {
                        404 => "it does not vouch for this log, or the URL is not its own".to_owned(),
                        403 => "it does not know the key of this log".to_owned(),
                        status => format!("status {status}"),
                    };
                    return Err(Failure::Said(
                        What::Refused,
                        format!("witness {name} will not cosign: {why}"),
                    ));
                }
                Outcome::Unusable(why) => {
                    return Err(Failure::Said(What::Refused, format!("witness {name}: {why}")));
                }
            }
        }
        Err(Failure::Down("it says that it knows another size each time".to_owned()))
    }
}
