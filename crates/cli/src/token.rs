//! The log's key on a token (PKCS#11): it signs, and never gives the key away. It remembers nothing: whoever may use it may
//! have anything signed by it. The token's module is somebody else's code: it has a thread of its own, which may hang.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use muster_ledger::note::{KeyKind, Signer, Verifier};

use crate::log_key;
use crate::secret_file;
use crate::signer::ANSWER_MAX;

/// Longest PIN, in bytes.
const PIN_MAX: u64 = 255;
const HARM: &str = "with it they may sign by the token";

/// Which key on which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    module: PathBuf,
    /// Its label.
    token: String,
    /// Label of the key.
    object: String,
    pin_file: PathBuf,
    /// Of the log: a key on a token has no name.
    name: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let fields = text.strip_prefix("pkcs11:").ok_or("it does not begin with `pkcs11:`")?;
        let (mut module, mut token, mut object, mut pin_file, mut name) = (None, None, None, None, None);
        for field in fields.split(';') {
            let (key, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is no NAME=VALUE"))?;
            let slot = match key {
                "module" => &mut module,
                "token" => &mut token,
                "object" => &mut object,
                "pin-file" => &mut pin_file,
                "name" => &mut name,
                _ => return Err(format!("`{key}` is not known: module, token, object, pin-file, name are")),
            };
            if value.is_empty() || slot.replace(value.to_owned()).is_some() {
                return Err(format!("`{key}` must be given once"));
            }
        }
        let need = |value: Option<String>, what: &str| value.ok_or_else(|| format!("`{what}=` is missing"));
        Ok(Place {
            module: need(module, "module")?.into(),
            token: need(token, "token")?,
            object: need(object, "object")?,
            pin_file: need(pin_file, "pin-file")?.into(),
            name,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { module, token, object, pin_file, name } = self;
        let (module, pin_file) = (module.display(), pin_file.display());
        write!(f, "pkcs11:module={module};token={token};object={object};pin-file={pin_file}")?;
        name.iter().try_for_each(|name| write!(f, ";name={name}"))
    }
}

enum Question {
    Key,
    Sign(Vec<u8>),
}

type Answer = Result<Vec<u8>, String>;

/// Asks the thread that has the token.
pub struct Token {
    name: String,
    thread: Mutex<Thread>,
}

struct Thread {
    questions: Sender<(u64, Question)>,
    answers: Receiver<(u64, Answer)>,
    asked: u64,
    answered: u64,
}

impl Token {
    pub fn new(place: &Place, name: Option<&str>) -> Result<Token, String> {
        let name = place.name.as_deref().or(name).map_or_else(log_key::new_name, |name| Ok(name.to_owned()));
        let (questions, asked) = channel();
        let (answer, answers) = channel();
        let place = place.clone();
        thread::Builder::new()
            .name("token".to_owned())
            .spawn(move || {
                let mut open = None;
                for (number, question) in asked {
                    let said = answer_one(&place, &mut open, question);
                    if said.is_err()
                        && let Some(open) = open.take()
                    {
                        // Taken out, put in again: begun anew.
                        open.end();
                    }
                    if answer.send((number, said)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| error.to_string())?;
        let thread = Thread { questions, answers, asked: 0, answered: 0 };
        Ok(Token { name: name.map_err(|error| format!("{error:#}"))?, thread: Mutex::new(thread) })
    }

    fn ask(&self, question: Question) -> Answer {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok((number, _)) = thread.answers.try_recv() {
            // It came too late.
            thread.answered = number;
        }
        if thread.answered < thread.asked {
            return Err("the token did not answer in time; it is asked again when it has".to_owned());
        }
        thread.asked += 1;
        let number = thread.asked;
        let gone = || "the token's module is gone".to_owned();
        thread.questions.send((number, question)).map_err(|_| gone())?;
        match thread.answers.recv_timeout(ANSWER_MAX) {
            Ok((number, answer)) => {
                thread.answered = number;
                answer
            }
            Err(RecvTimeoutError::Timeout) => Err("the token does not answer".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    pub fn key(&self) -> Result<Verifier, String> {
        let point = self.ask(Question::Key)?;
        // An octet string with the 32 bytes, or, by older modules, these alone.
        let key = match point.as_slice() {
            [0x04, 0x20, key @ ..] if key.len() == 32 => key,
            key => key,
        };
        let bytes: &[u8; 32] = key.try_into().map_err(|_| "the token's key is no Ed25519 key".to_owned())?;
        Verifier::from_bytes(&self.name, KeyKind::Log, bytes).map_err(|error| error.to_string())
    }

    pub fn sign(&self, by: &Verifier, message: &[u8]) -> Result<[u8; 64], String> {
        let signature = self.ask(Question::Sign(message.to_owned()))?;
        let signature = signature.try_into().map_err(|_| "the token's signature is none".to_owned())?;
        // Modules differ in what they take for Ed25519.
        let good = by.verify(message, &signature);
        if good { Ok(signature) } else { Err("the token's signature does not fit its key".to_owned()) }
    }
}

/// The key on a token.
pub struct OnToken {
    token: Arc<Token>,
    key: Verifier,
}

impl OnToken {
    pub fn new(token: Arc<Token>, key: Verifier) -> OnToken {
        OnToken { token, key }
    }
}

impl Signer for OnToken {
    fn verifier(&self) -> &Verifier {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        self.token.sign(&self.key, message)
    }
}

/// A session, and the context that it is of.
struct Open {
    session: Session,
    module: Pkcs11,
}

impl Open {
    fn end(self) {
        drop(self.session);
        // Otherwise it cannot be begun again.
        drop(self.module.finalize());
    }
}

fn answer_one(place: &Place, open: &mut Option<Open>, question: Question) -> Answer {
    let said = |error: cryptoki::error::Error| format!("the token `{}`: {error}", place.token);
    let open = match open {
        Some(open) => open,
        None => open.insert(begin(place)?),
    };
    let session = &open.session;
    let find = |class: ObjectClass| -> Result<ObjectHandle, String> {
        let wanted = [
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(place.object.clone().into_bytes()),
        ];
        match session.find_objects(&wanted).map_err(said)?.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("the token `{}` has no Ed25519 key `{}`", place.token, place.object)),
            _ => Err(format!("the token `{}` has more than one key `{}`", place.token, place.object)),
        }
    };
    match question {
        Question::Key => {
            let key = find(ObjectClass::PUBLIC_KEY)?;
            let point = session.get_attributes(key, &[AttributeType::EcPoint]).map_err(said)?;
            match point.into_iter().next() {
                Some(Attribute::EcPoint(point)) => Ok(point),
                _ => Err(format!("the token `{}` does not give the public key", place.token)),
            }
        }
        Question::Sign(message) => {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            session.sign(&mechanism, find(ObjectClass::PRIVATE_KEY)?, &message).map_err(said)
        }
    }
}

fn begin(place: &Place) -> Result<Open, String> {
    let said = |error: cryptoki::error::Error| format!("`{}`: {error}", place.module.display());
    let module = Pkcs11::new(&place.module).map_err(said)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(said)?;
    match log_in(place, &module) {
        Ok(session) => Ok(Open { session, module }),
        Err(error) => {
            drop(module.finalize());
            Err(error)
        }
    }
}

fn log_in(place: &Place, module: &Pkcs11) -> Result<Session, String> {
    let said = |error: cryptoki::error::Error| format!("the token `{}`: {error}", place.token);
    let is_it = |slot: &cryptoki::slot::Slot| {
        module.get_token_info(*slot).is_ok_and(|token| token.label() == place.token)
    };
    let slot = module.get_slots_with_token().map_err(said)?.into_iter().find(is_it);
    let slot = slot.ok_or_else(|| format!("no token `{}` is there", place.token))?;
    let session = module.open_ro_session(slot).map_err(said)?;
    let shown = place.pin_file.display();
    let pin = secret_file::read(&place.pin_file, PIN_MAX, HARM)
        .map_err(|error| format!("{error:#}"))?
        .ok_or_else(|| format!("there is no `{shown}`"))?;
    let pin = std::str::from_utf8(&pin).map_err(|_| format!("`{shown}` holds no PIN"))?.trim_end();
    session.login(UserType::User, Some(&AuthPin::new(pin.into()))).map_err(said)?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back() {
        for good in [
            "pkcs11:module=/m.so;token=t;object=o;pin-file=/p",
            "pkcs11:module=/m.so;token=t x;object=o;pin-file=/p;name=n",
        ] {
            assert_eq!(good.parse::<Place>().unwrap().to_string(), good);
        }
        for bad in [
            "pkcs11:",
            "pkcs11:module=/m.so;token=t;object=o",
            "pkcs11:module=/m.so;token=t;object=o;pin-file=",
            "pkcs11:module=/m.so;token=t;token=u;object=o;pin-file=/p",
            "pkcs11:module=/m.so;token=t;object=o;pin-file=/p;pin=1234",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
