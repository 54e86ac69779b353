//! The mandate itself: a TOML file that a person signs.

use std::collections::BTreeMap;

use muster_event::Nanos;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::glob::Word;
use crate::line::{Kind, Line, Pattern};
use crate::text::{self, TextError, at};

/// Longest mandate: a hundred times what `suggest` makes of a busy day.
pub const MANDATE_MAX: usize = 256 * 1024;
/// Lines of one mandate: all of them may be looked at for one decision.
pub const LINES_MAX: usize = 1_024;
/// Longest Cedar file.
pub const POLICY_MAX: usize = 64 * 1024;
/// Longest text of one value.
const TEXT_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// Who answers for it.
    pub principal: String,
    /// Products that may run under it, as `claude-code`; `*` in names is any text.
    pub agents: Vec<Word>,
    /// What for, in words.
    pub task: String,
    /// Names of the machines on which it holds.
    pub hosts: Vec<Word>,
    /// Makes two mandates of the same text two.
    pub serial: String,
    /// For one agent's run only.
    pub single_use: bool,
    pub not_before_ns: Option<Nanos>,
    pub expires_ns: Nanos,
    /// Id of the mandate that it is a part of.
    pub parent: Option<String>,
    /// Id of the mandate whose lease it renews.
    pub renews: Option<String>,
    pub policy: Option<PolicyFile>,
    pub allow: Lines,
    pub deny: Lines,
    pub ask: Lines,
    pub limits: Limits,
    pub oversight: Oversight,
    pub delegation: Delegation,
}

/// Lines by what they are about.
pub type Lines = BTreeMap<Kind, Vec<Line>>;

/// A Cedar file beside the mandate; its hash is what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    pub name: String,
    /// Hex; `None`: not signed yet.
    pub sha256: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// From the agent's start.
    pub time_ns: Option<Nanos>,
    /// Time on processors, of all its processes.
    pub cpu_ns: Option<Nanos>,
    /// Processes at once.
    pub processes: Option<u64>,
    /// Agents started from within it, all told.
    pub sub_agents: Option<u64>,
    pub calls: Option<u64>,
    pub tokens: Option<u64>,
    /// In millionths of a dollar.
    pub micro_usd: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oversight {
    /// It must keep an account that Muster can read.
    pub account: bool,
    /// Longest silence of its account while it works.
    pub silence_ns: Option<Nanos>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegation {
    /// How many links may hang below it; 0: it may hand nothing on by a mandate of its own.
    pub depth: u64,
    /// Public keys (as in `authorized_keys`) that may sign parts of it, beside the allowed signers.
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    muster: Spanned<u64>,
    principal: Spanned<String>,
    agent: Spanned<OneOrMany>,
    task: Spanned<String>,
    host: Spanned<OneOrMany>,
    serial: Spanned<String>,
    #[serde(default)]
    single_use: bool,
    not_before: Option<Spanned<toml::value::Datetime>>,
    expires: Spanned<toml::value::Datetime>,
    parent: Option<Spanned<String>>,
    renews: Option<Spanned<String>>,
    policy: Option<Spanned<String>>,
    policy_sha256: Option<Spanned<String>>,
    #[serde(default)]
    scope: RawScope,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    oversight: RawOversight,
    #[serde(default)]
    delegation: RawDelegation,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(&self) -> Vec<&str> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawScope {
    read: Vec<Spanned<String>>,
    write: Vec<Spanned<String>>,
    execute: Vec<Spanned<String>>,
    connect: Vec<Spanned<String>>,
    credentials: Vec<Spanned<String>>,
    tools: Vec<Spanned<String>>,
    agents: Vec<Spanned<String>>,
    privileged: Vec<Spanned<String>>,
    deny: RawDeny,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDeny {
    read: Vec<Spanned<String>>,
    write: Vec<Spanned<String>>,
    execute: Vec<Spanned<String>>,
    connect: Vec<Spanned<String>>,
    credentials: Vec<Spanned<String>>,
    tools: Vec<Spanned<String>>,
    agents: Vec<Spanned<String>>,
    privileged: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    time: Option<Spanned<String>>,
    cpu: Option<Spanned<String>>,
    processes: Option<u64>,
    sub_agents: Option<u64>,
    calls: Option<u64>,
    tokens: Option<u64>,
    money: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOversight {
    account: bool,
    silence: Option<Spanned<String>>,
    ask: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDelegation {
    depth: u64,
    keys: Vec<Spanned<String>>,
}

impl Mandate {
    pub fn parse(text: &str) -> Result<Mandate, TextError> {
        let raw: Raw = text::read(text, MANDATE_MAX)?;
        let reader = Reader { text };
        if *raw.muster.get_ref() != 1 {
            return Err(at(text, &raw.muster, "this version of Muster knows only `muster = 1`"));
        }
        let (allow, deny) = reader.scope(&raw.scope)?;
        let mandate = Mandate {
            principal: reader.filled(&raw.principal)?,
            agents: reader.words(&raw.agent)?,
            task: reader.filled(&raw.task)?,
            hosts: reader.words(&raw.host)?,
            serial: reader.filled(&raw.serial)?,
            single_use: raw.single_use,
            not_before_ns: raw.not_before.as_ref().map(|it| reader.moment(it)).transpose()?,
            expires_ns: reader.moment(&raw.expires)?,
            parent: raw.parent.as_ref().map(|it| reader.id(it)).transpose()?,
            renews: raw.renews.as_ref().map(|it| reader.id(it)).transpose()?,
            policy: reader.policy(&raw)?,
            allow,
            deny,
            ask: reader.ask(&raw.oversight.ask)?,
            limits: reader.limits(&raw.limits)?,
            oversight: Oversight {
                account: raw.oversight.account,
                silence_ns: raw.oversight.silence.as_ref().map(|it| reader.duration(it)).transpose()?,
            },
            delegation: Delegation {
                depth: raw.delegation.depth,
                keys: raw.delegation.keys.iter().map(|key| reader.filled(key)).collect::<Result<_, _>>()?,
            },
        };
        if mandate.not_before_ns.is_some_and(|from| from >= mandate.expires_ns) {
            return Err(at(text, &raw.expires, "it expires before it begins"));
        }
        let lines = mandate.lines().count();
        if lines > LINES_MAX {
            return Err(TextError {
                line: 0,
                message: format!(
                    "{lines} lines of scope, at most {LINES_MAX}\nhint: name folders, as `~/work/**`"
                ),
            });
        }
        Ok(mandate)
    }

    /// All lines: those that allow, refuse, and ask.
    pub fn lines(&self) -> impl Iterator<Item = (Kind, &Line)> {
        [&self.allow, &self.deny, &self.ask]
            .into_iter()
            .flat_map(|lines| lines.iter().flat_map(|(kind, lines)| lines.iter().map(|line| (*kind, line))))
    }

    pub fn is_for_product(&self, product: &str) -> bool {
        self.agents.iter().any(|word| word.matches(product))
    }

    pub fn is_for_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|word| word.matches(host))
    }

    /// What a person should know before signing it.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for kind in [Kind::Write, Kind::Execute, Kind::Connect, Kind::Tool] {
            if self.allow.get(&kind).is_none_or(Vec::is_empty) && self.policy.is_none() {
                warnings.push(format!("`scope.{}` allows nothing: what is not named is refused", kind.key()));
            }
        }
        for (kind, lines) in &self.allow {
            for line in lines {
                let all = match &line.pattern {
                    Pattern::Path(glob) => glob.text() == "/**",
                    Pattern::Command(command) => {
                        command.arguments.is_none() && command.program.text() == "/**"
                    }
                    Pattern::Host(host) => host.is_any(),
                    Pattern::Credential { what, path } => what.matches("any thing") && path.is_none(),
                    Pattern::Word(_) => *kind == Kind::Privileged && line.text == "*",
                };
                if all {
                    warnings.push(format!(
                        "`{}` (line {}) allows all there is: `{}`",
                        line.rule, line.number, line.text
                    ));
                }
            }
        }
        warnings
    }
}

/// Id of a mandate: SHA-256 of the bytes that are signed, hex.
pub fn id_of(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn filled(&self, value: &Spanned<String>) -> Result<String, TextError> {
        let text = value.get_ref();
        if text.trim().is_empty() {
            return Err(at(self.text, value, "is empty"));
        }
        if text.len() > TEXT_MAX || text.contains('\0') {
            return Err(at(self.text, value, format!("is longer than {TEXT_MAX} bytes, or holds a NUL")));
        }
        Ok(text.clone())
    }

    fn words(&self, value: &Spanned<OneOrMany>) -> Result<Vec<Word>, TextError> {
        let list = value.get_ref().list();
        if list.is_empty() || list.len() > LINES_MAX || list.iter().any(|word| word.is_empty()) {
            return Err(at(self.text, value, "names none\nhint: a name, or several in `[…]`; `*` is any"));
        }
        list.into_iter().map(|word| Word::new(word).map_err(|error| at(self.text, value, error))).collect()
    }

    fn moment(&self, value: &Spanned<toml::value::Datetime>) -> Result<Nanos, TextError> {
        let moment = value.get_ref();
        if moment.offset.is_none() {
            let message = format!("`{moment}` says no offset\nhint: as 2026-12-31T18:00:00Z or …+02:00");
            return Err(at(self.text, value, message));
        }
        text::moment_ns(&moment.to_string()).map_err(|error| at(self.text, value, error))
    }

    fn duration(&self, value: &Spanned<String>) -> Result<Nanos, TextError> {
        text::duration_ns(value.get_ref()).map_err(|error| at(self.text, value, error))
    }

    fn id(&self, value: &Spanned<String>) -> Result<String, TextError> {
        let id = value.get_ref();
        if id.len() != 64 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(at(
                self.text,
                value,
                "is no id of a mandate\nhint: `muster mandate check FILE` prints it",
            ));
        }
        Ok(id.clone())
    }

    fn policy(&self, raw: &Raw) -> Result<Option<PolicyFile>, TextError> {
        let Some(name) = &raw.policy else {
            return match &raw.policy_sha256 {
                Some(hash) => Err(at(self.text, hash, "there is no `policy` that it is the hash of")),
                None => Ok(None),
            };
        };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !name.get_ref().ends_with(".cedar")
            || name.get_ref().starts_with('.')
            || !name.get_ref().bytes().all(is_plain)
        {
            return Err(at(self.text, name, "is no name of a `.cedar` file beside the mandate"));
        }
        let sha256 = raw.policy_sha256.as_ref().map(|hash| self.id(hash)).transpose()?;
        Ok(Some(PolicyFile { name: name.get_ref().clone(), sha256 }))
    }

    fn scope(&self, raw: &RawScope) -> Result<(Lines, Lines), TextError> {
        let deny = &raw.deny;
        let (mut allowed, mut denied) = (Lines::new(), Lines::new());
        for (kind, allow, deny) in [
            (Kind::Read, &raw.read, &deny.read),
            (Kind::Write, &raw.write, &deny.write),
            (Kind::Execute, &raw.execute, &deny.execute),
            (Kind::Connect, &raw.connect, &deny.connect),
            (Kind::Credential, &raw.credentials, &deny.credentials),
            (Kind::Tool, &raw.tools, &deny.tools),
            (Kind::Agent, &raw.agents, &deny.agents),
            (Kind::Privileged, &raw.privileged, &deny.privileged),
        ] {
            for (lines, values, place, grants) in
                [(&mut allowed, allow, "scope", true), (&mut denied, deny, "scope.deny", false)]
            {
                let made: Vec<Line> = values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        self.line(
                            value,
                            format!("{place}.{}[{index}]", kind.key()),
                            kind,
                            value.get_ref(),
                            grants,
                        )
                    })
                    .collect::<Result<_, _>>()?;
                if !made.is_empty() {
                    lines.insert(kind, made);
                }
            }
        }
        Ok((allowed, denied))
    }

    fn ask(&self, values: &[Spanned<String>]) -> Result<Lines, TextError> {
        let mut lines = Lines::new();
        for (index, value) in values.iter().enumerate() {
            let (name, rest) = value.get_ref().split_once(' ').unwrap_or((value.get_ref(), ""));
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) else {
                let known = Kind::ALL.map(Kind::name).join(", ");
                let message =
                    format!("`{name}` is no kind of act\nhint: `execute git ** push **`; one of {known}");
                return Err(at(self.text, value, message));
            };
            let line = self.line(value, format!("oversight.ask[{index}]"), kind, rest.trim_start(), false)?;
            lines.entry(kind).or_default().push(line);
        }
        Ok(lines)
    }

    fn line(
        &self,
        value: &Spanned<String>,
        rule: String,
        kind: Kind,
        pattern: &str,
        grants: bool,
    ) -> Result<Line, TextError> {
        let pattern = Pattern::new(kind, pattern, grants)
            .map_err(|error| at(self.text, value, format!("`{}` {error}", value.get_ref())))?;
        let number = text::line_of(self.text, value.span().start);
        Ok(Line { rule, number, text: value.get_ref().clone(), pattern })
    }

    fn limits(&self, raw: &RawLimits) -> Result<Limits, TextError> {
        Ok(Limits {
            time_ns: raw.time.as_ref().map(|it| self.duration(it)).transpose()?,
            cpu_ns: raw.cpu.as_ref().map(|it| self.duration(it)).transpose()?,
            processes: raw.processes,
            sub_agents: raw.sub_agents,
            calls: raw.calls,
            tokens: raw.tokens,
            micro_usd: raw
                .money
                .as_ref()
                .map(|it| micro_usd(it.get_ref()).map_err(|error| at(self.text, it, error)))
                .transpose()?,
        })
    }
}

/// `12.50 USD` in millionths.
fn micro_usd(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no amount\nhint: as `12.50 USD`");
    let number = text.strip_suffix("USD").ok_or_else(wrong)?.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000).and_then(|it| it.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SAMPLE: &str = r#"muster = 1
principal = "alice@example.org"
agent = "claude-code"
task = "mend the flaky test"
host = "build-7"
serial = "4f1c"
not_before = 2026-11-25T08:00:00Z
expires = 2026-11-25T18:00:00+02:00

[scope]
read = ["/**"]
write = ["~/work/**"]
execute = ["/usr/bin/**"]
connect = ["api.anthropic.com:443"]
tools = ["*"]

[scope.deny]
read = ["~/.ssh/**"]
execute = ["git ** push **"]

[limits]
time = "8h"
money = "12.50 USD"

[oversight]
account = true
silence = "30m"
ask = ["execute /usr/bin/git commit **", "write ~/work/ci/**"]

[delegation]
depth = 1
"#;

    #[test]
    fn a_whole_one() {
        let mandate = Mandate::parse(SAMPLE).unwrap();
        assert_eq!(mandate.limits.micro_usd, Some(12_500_000));
        assert_eq!(mandate.expires_ns, 1_795_622_400_000_000_000);
        assert_eq!(mandate.deny[&Kind::Execute][0].rule, "scope.deny.execute[0]");
        assert_eq!(mandate.ask[&Kind::Write][0].number, 28);
        assert!(mandate.is_for_host("build-7") && !mandate.is_for_host("build-70"));
        assert_eq!(mandate.warnings(), ["`scope.read[0]` (line 11) allows all there is: `/**`"]);
    }

    #[track_caller]
    fn refused(from: &str, to: &str, line: usize, says: &str) {
        let error = Mandate::parse(&SAMPLE.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(says), "{error}");
    }

    #[test]
    fn errors_name_their_line() {
        refused("read = [\"/**\"]", "reed = [\"/**\"]", 11, "did you mean `read`?");
        refused("principal", "principle", 2, "did you mean `principal`?");
        refused("muster = 1", "muster = 2", 1, "knows only");
        refused("~/work/**\"]", "work/**\"]", 12, "not absolute");
        refused("2026-11-25T08:00:00Z", "2026-11-25T08:00:00", 7, "no offset");
        refused("2026-11-25T08:00:00Z", "2027-11-25T08:00:00Z", 8, "before it begins");
        refused("\"8h\"", "\"8 hours\"", 22, "no length of time");
        refused("write ~/work", "wriet ~/work", 28, "no kind of act");
        refused(":443", "", 14, "names no port");
        refused("\"4f1c\"", "\" \"", 6, "is empty");
        refused("serial", "policy = \"../x.cedar\"\nserial", 6, "beside the mandate");
        refused("12.50 USD", "12,50 EUR", 23, "no amount");
        refused("[limits]", "[limit]", 21, "did you mean `limits`?");
    }
}
