//! The `allowed_signers` file of `ssh-keygen`: which keys may sign for whom, and when.

use muster_event::Nanos;
use ssh_key::PublicKey;

use crate::glob::Word;
use crate::signature::{NAMESPACE, fingerprint, supported};
use crate::text::{TextError, moment_ns, moment_text};
use crate::{Refused, signature};

/// Longest file, and most keys in it.
pub const SIGNERS_MAX: usize = 1024 * 1024;
const KEYS_MAX: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub struct Signers {
    keys: Vec<Signer>,
    /// Lines that are not used, and why.
    pub unused: Vec<TextError>,
}

#[derive(Clone, Debug)]
struct Signer {
    line: usize,
    principals: List,
    key: PublicKey,
    after_ns: Option<Nanos>,
    before_ns: Option<Nanos>,
    /// Of `namespaces=`, if there is one.
    namespaces: Option<List>,
}

/// A pattern-list of `ssh_config`: one must match, and none with a `!`.
#[derive(Clone, Debug)]
struct List(Vec<(bool, Word)>);

impl List {
    fn new(text: &str) -> Result<List, String> {
        let of = |pattern: &str| {
            let (not, rest) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
            if rest.is_empty() {
                return Err("an empty pattern".to_owned());
            }
            // `ssh` knows `*` and `?` only, and no escapes.
            let escaped: String = rest
                .chars()
                .flat_map(|c| {
                    matches!(c, '[' | ']' | '{' | '}' | '\\').then_some('\\').into_iter().chain([c])
                })
                .collect();
            Word::new(&escaped).map(|word| (not, word))
        };
        text.split(',').map(of).collect::<Result<_, _>>().map(List)
    }

    fn matches(&self, name: &str) -> bool {
        let hits = |wanted: bool| self.0.iter().any(|(not, word)| *not == wanted && word.matches(name));
        !hits(true) && hits(false)
    }
}

impl Signers {
    /// A line that cannot be used allows nobody, and stands in `unused`.
    pub fn parse(text: &str) -> Signers {
        let mut signers = Signers::default();
        if text.len() > SIGNERS_MAX {
            let message = format!("the file is longer than {SIGNERS_MAX} bytes: none of it is used");
            signers.unused.push(TextError { line: 0, message });
            return signers;
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            if signers.keys.len() >= KEYS_MAX {
                let message = format!("more than {KEYS_MAX} keys: this and what follows is not used");
                signers.unused.push(TextError { line: number, message });
                break;
            }
            match parse_line(number, line) {
                Ok(signer) => signers.keys.push(signer),
                Err(message) => signers.unused.push(TextError { line: number, message }),
            }
        }
        signers
    }

    /// Keys that one mandate allows to sign parts of it, for the same principal.
    pub fn of_keys(keys: &[String], principal: &str) -> Signers {
        let mut signers = Signers::default();
        for (index, key) in keys.iter().enumerate().take(KEYS_MAX) {
            let made = PublicKey::from_openssh(key.trim())
                .map_err(|error| error.to_string())
                .and_then(|key| supported(key.key_data()).map(|()| key));
            match made {
                Ok(key) => signers.keys.push(Signer {
                    line: 0,
                    principals: List(vec![(false, literal(principal))]),
                    key,
                    after_ns: None,
                    before_ns: None,
                    namespaces: None,
                }),
                Err(message) => signers.unused.push(TextError { line: index + 1, message }),
            }
        }
        signers
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// May this key sign for this principal now?
    pub fn allow(&self, key: &PublicKey, principal: &str, now_ns: Nanos) -> Result<(), Refused> {
        let mut not_now = None;
        for signer in self.keys.iter().filter(|it| it.key.key_data() == key.key_data()) {
            if !signer.principals.matches(principal)
                || signer.namespaces.as_ref().is_some_and(|list| !list.matches(NAMESPACE))
            {
                continue;
            }
            let early = signer.after_ns.filter(|after| now_ns < *after);
            let late = signer.before_ns.filter(|before| now_ns > *before);
            match (early, late) {
                (None, None) => return Ok(()),
                (Some(ns), _) => {
                    not_now = Some(format!("line {}: only after {}", signer.line, moment_text(ns)))
                }
                (_, Some(ns)) => {
                    not_now = Some(format!("line {}: only before {}", signer.line, moment_text(ns)))
                }
            }
        }
        let (key, principal) = (fingerprint(key), principal.to_owned());
        Err(match not_now {
            Some(why) => Refused::SignerNotNow { key, principal, why },
            None => Refused::UnknownSigner { key, principal },
        })
    }

    /// Who signed these bytes for this principal: the key's fingerprint, or why not.
    pub fn check(
        &self,
        body: &[u8],
        signed: &str,
        principal: &str,
        now_ns: Nanos,
    ) -> Result<String, Refused> {
        let key = signature::check(body, signed)?;
        self.allow(&key, principal, now_ns)?;
        Ok(fingerprint(&key))
    }
}

fn literal(text: &str) -> Word {
    Word::new(&crate::glob::escape(text)).unwrap_or_else(|_| Word::nothing())
}

fn parse_line(number: usize, line: &str) -> Result<Signer, String> {
    let (principals, rest) = field(line)?;
    let mut signer = Signer {
        line: number,
        principals: List::new(&principals)?,
        key: PublicKey::from(ssh_key::public::Ed25519PublicKey([0; 32])),
        after_ns: None,
        before_ns: None,
        namespaces: None,
    };
    let mut rest = rest.trim_start();
    let (first, after) = field_quoted_inside(rest)?;
    if !is_key_type(first) {
        options(first, &mut signer)?;
        rest = after.trim_start();
    }
    let kind = rest.split_whitespace().next().unwrap_or_default();
    if kind.contains("-cert-v01@") {
        return Err("certificates are not supported\nhint: name the key itself".to_owned());
    }
    signer.key = PublicKey::from_openssh(rest).map_err(|error| format!("no public key: {error}"))?;
    supported(signer.key.key_data())?;
    Ok(signer)
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

/// A field, in `"…"` if it holds spaces.
fn field(line: &str) -> Result<(String, &str), String> {
    if let Some(rest) = line.strip_prefix('"') {
        let (inside, rest) = rest.split_once('"').ok_or("a `\"` without its second")?;
        return Ok((inside.to_owned(), rest));
    }
    let (first, rest) = line.split_once([' ', '\t']).ok_or("names no key")?;
    Ok((first.to_owned(), rest))
}

/// Up to the first space outside of quotes.
fn field_quoted_inside(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return line.split_at_checked(at).ok_or_else(String::new),
            _ => {}
        }
    }
    Err(if quoted { "a `\"` without its second" } else { "names no key" }.to_owned())
}

fn options(text: &str, signer: &mut Signer) -> Result<(), String> {
    for option in split_options(text) {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v.trim_matches('"'))));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("cert-authority", None) => {
                return Err(
                    "`cert-authority` is not supported: certificates cannot sign mandates\nhint: name each \
                            signer's key"
                        .to_owned(),
                );
            }
            ("namespaces", Some(list)) => signer.namespaces = Some(List::new(list)?),
            ("valid-after", Some(time)) => signer.after_ns = Some(timestamp(time)?),
            ("valid-before", Some(time)) => signer.before_ns = Some(timestamp(time)?),
            _ => return Err(format!("the option `{}` is not known", muster_event::sanitize(option))),
        }
    }
    Ok(())
}

fn split_options(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .collect()
}

/// `YYYYMMDD[HHMM[SS]]Z`.
fn timestamp(text: &str) -> Result<Nanos, String> {
    let Some(digits) = text.strip_suffix(['Z', 'z']) else {
        return Err(format!(
            "the time `{}` has no `Z`: Muster does not know the time zone it is meant in\nhint: write it in UTC, with \
             a `Z`",
            muster_event::sanitize(text)
        ));
    };
    let wrong = || {
        format!(
            "`{}` is no time\nhint: YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ",
            muster_event::sanitize(text)
        )
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole = format!("{digits:0<14}");
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or("00");
    let (year, month, day, hour, minute, second) =
        (part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14));
    moment_ns(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[track_caller]
    fn check(line: &str, principal: &str, at: &str, expected: Result<(), &str>) {
        let signers = Signers::parse(line);
        let key = PublicKey::from_openssh(KEY).unwrap();
        let answer = signers.allow(&key, principal, moment_ns(at).unwrap());
        assert_eq!(
            answer.as_ref().map_err(Refused::word).copied(),
            expected,
            "{line}: {answer:?} {:?}",
            signers.unused
        );
    }

    #[test]
    fn lines() {
        let now = "2026-06-01T00:00:00Z";
        let unknown = Err("unknown-signer");
        for (start, principal, expected) in [
            ("a@x ", "a@x", Ok(())),
            ("a@x ", "b@x", unknown),
            ("a@x,b@x ", "b@x", Ok(())),
            ("*@x ", "b@x", Ok(())),
            ("*@x,!b@x ", "b@x", unknown),
            ("*@x ", "b@xx", unknown),
            ("\"a b@x\" ", "a b@x", Ok(())),
            ("a@x namespaces=\"git,muster-*\" ", "a@x", Ok(())),
            ("a@x namespaces=\"git\" ", "a@x", unknown),
            ("a@x NameSpaces=git ", "a@x", unknown),
            ("a@x valid-after=\"20260101Z\",valid-before=20270101Z ", "a@x", Ok(())),
            ("a@x valid-after=202701010000Z ", "a@x", unknown),
            ("a@x valid-before=20260101000000Z ", "a@x", unknown),
            ("a@x valid-before=20270101 ", "a@x", unknown),
            ("a@x valid-before=20271399Z ", "a@x", unknown),
            ("a@x cert-authority ", "a@x", unknown),
            ("a@x no-such-option ", "a@x", unknown),
            ("# a@x ", "a@x", unknown),
            ("", "a@x", unknown),
        ] {
            check(&format!("{start}{KEY} comment"), principal, now, expected);
        }
    }

    #[test]
    fn what_is_not_used_is_told() {
        for (line, says) in [
            (format!("a@x cert-authority {KEY}"), "cert-authority"),
            (format!("a@x valid-after=20260101 {KEY}"), "has no `Z`"),
            ("a@x ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(), "certificates"),
            ("a@x".to_owned(), "no key"),
            ("a@x ssh-ed25519 AAAA".to_owned(), "no public key"),
            (format!("a@x namespaces=\"x {KEY}"), "without its second"),
        ] {
            let signers = Signers::parse(&format!("\n{line}"));
            assert!(signers.is_empty());
            assert_eq!(signers.unused[0].line, 2);
            assert!(signers.unused[0].message.contains(says), "{:?}", signers.unused);
        }
    }
}
