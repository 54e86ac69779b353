//! A mandate with all those that it is a part of, and what they decide.

use muster_event::Nanos;

use crate::line::{Kind, Line, Pattern, Subject};
use crate::mandate::Lines;
use crate::policy::{Answer, Policies, Said};
use crate::text::moment_text;
use crate::{Action, Decision, Mandate, Refused, Verdict, runtime};

/// Longest chain: each link is asked about every act.
pub const LINKS_MAX: usize = 8;

/// One mandate, as it was signed.
#[derive(Clone, Debug)]
pub struct Link {
    pub id: String,
    pub mandate: Mandate,
    /// The text of the Cedar file that it names.
    pub policy: Option<String>,
}

/// What is known of the agent that runs under it.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// Name of the product's data file; empty: not known yet.
    pub product: String,
    /// Home folder of the user that it runs as.
    pub home: Option<String>,
    /// Folders that the agent's own program lies in.
    pub install: Vec<String>,
}

/// The agent's own mandate first, the root of its authority last.
pub struct Chain {
    links: Vec<Compiled>,
    runtime: Lines,
}

struct Compiled {
    id: String,
    mandate: Mandate,
    policies: Policies,
}

impl Chain {
    /// `links`: the agent's own first, each followed by the one it is a part of. Signatures, machine and time are not looked
    /// at here (time is, by `decide`).
    pub fn new(links: Vec<Link>, binding: &Binding) -> Result<Chain, Refused> {
        if links.is_empty() || links.len() > LINKS_MAX {
            return Err(Refused::ChainTooLong(LINKS_MAX));
        }
        for pair in links.windows(2) {
            let [part, parent] = pair else { continue };
            if part.mandate.parent.as_deref() != Some(parent.id.as_str()) {
                return Err(Refused::NotItsParent(parent.id.clone()));
            }
            part.mandate.is_part_of(&parent.mandate).map_err(Refused::Wider)?;
        }
        if let Some(parent) = links.last().and_then(|root| root.mandate.parent.clone()) {
            return Err(Refused::ParentUnknown(parent));
        }
        if let Some(own) = links.first()
            && !binding.product.is_empty()
            && !own.mandate.is_for_product(&binding.product)
        {
            return Err(Refused::WrongAgent(binding.product.clone()));
        }
        let parts = links.len() - 1;
        let links: Vec<Compiled> = links
            .into_iter()
            .enumerate()
            .map(|(index, link)| compile(link, index < parts, binding))
            .collect::<Result<_, _>>()?;
        let runtime = runtime::lines(&binding.product, &binding.install)
            .and_then(|lines| lines_at_home(&lines, binding.home.as_deref().unwrap_or("/nonexistent")))
            .map_err(|why| Refused::Policy { name: "runtime".to_owned(), why })?;
        Ok(Chain { links, runtime })
    }

    /// Id of the agent's own mandate.
    pub fn id(&self) -> &str {
        self.links.first().map_or("", |link| link.id.as_str())
    }

    /// The mandates, the agent's own first, with their ids.
    pub fn mandates(&self) -> impl Iterator<Item = (&str, &Mandate)> {
        self.links.iter().map(|link| (link.id.as_str(), &link.mandate))
    }

    /// When the first link of it expires.
    pub fn expires_ns(&self) -> Nanos {
        self.links.iter().map(|link| link.mandate.expires_ns).min().unwrap_or(0)
    }

    /// The lines of all links that allow, link by link (own first): what a kernel is told must be in every one of them.
    pub fn allows(&self, kind: Kind) -> Vec<&[Line]> {
        self.links.iter().map(|link| link.mandate.allow.get(&kind).map_or(&[][..], Vec::as_slice)).collect()
    }

    /// Lines of any link that refuse.
    pub fn denies(&self, kind: Kind) -> impl Iterator<Item = &Line> {
        self.links.iter().filter_map(move |link| link.mandate.deny.get(&kind)).flatten()
    }

    /// Lines of any link that ask.
    pub fn asks(&self, kind: Kind) -> impl Iterator<Item = &Line> {
        self.links.iter().filter_map(move |link| link.mandate.ask.get(&kind)).flatten()
    }

    /// What is allowed to any program, and to this product, without a line.
    pub fn runtime(&self, kind: Kind) -> &[Line] {
        self.runtime.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Some link has a Cedar file: not all that it decides is in lines.
    pub fn has_policies(&self) -> bool {
        self.links.iter().any(|link| link.mandate.policy.is_some())
    }

    /// Not valid at this time: which link, and why.
    pub fn invalid(&self, now_ns: Nanos) -> Option<Decision> {
        self.links.iter().find_map(|link| link.invalid(now_ns))
    }

    /// May the agent do this? Every link is asked; the first that refuses decides, else the first that asks.
    pub fn decide(&self, action: &Action, now_ns: Nanos) -> Decision {
        if let Some(invalid) = self.invalid(now_ns) {
            return invalid;
        }
        let kind = Kind::of(action);
        let Some(subject) = Subject::new(action) else {
            return Decision {
                verdict: Verdict::Deny,
                rule: "path".to_owned(),
                reason: "its path is not absolute, goes up, or is not whole".to_owned(),
                mandate: Some(self.id().to_owned()),
            };
        };
        let runtime = first(&self.runtime, kind, &subject, true);
        let mut allowed: Option<Decision> = None;
        let mut asked: Option<Decision> = None;
        for link in &self.links {
            let decision = link.decide(action, kind, &subject, runtime);
            match decision.verdict {
                Verdict::Deny => return decision,
                Verdict::Ask => asked = asked.or(Some(decision)),
                Verdict::Allow => allowed = allowed.or(Some(decision)),
            }
        }
        asked.or(allowed).unwrap_or(Decision {
            verdict: Verdict::Deny,
            rule: "no mandate".to_owned(),
            reason: "there is no mandate".to_owned(),
            mandate: None,
        })
    }
}

impl Compiled {
    fn invalid(&self, now_ns: Nanos) -> Option<Decision> {
        let (rule, reason) = if self.mandate.not_before_ns.is_some_and(|from| now_ns < from) {
            let from = self.mandate.not_before_ns.unwrap_or_default();
            ("not_before", format!("it begins only at {}", moment_text(from)))
        } else if now_ns >= self.mandate.expires_ns {
            ("expired", format!("it expired at {}", moment_text(self.mandate.expires_ns)))
        } else {
            return None;
        };
        Some(self.decision(Verdict::Deny, rule, reason))
    }

    fn decision(&self, verdict: Verdict, rule: &str, reason: String) -> Decision {
        Decision { verdict, rule: rule.to_owned(), reason, mandate: Some(self.id.clone()) }
    }

    fn decide(&self, action: &Action, kind: Kind, subject: &Subject<'_>, runtime: Option<&Line>) -> Decision {
        let deny = first(&self.mandate.deny, kind, subject, false);
        let allow = || {
            // What may be written or executed may be read.
            let kinds: &[Kind] = match kind {
                Kind::Read => &[Kind::Read, Kind::Write, Kind::Execute],
                _ => std::slice::from_ref(&kind),
            };
            kinds.iter().find_map(|kind| first(&self.mandate.allow, *kind, subject, true))
        };
        let (said, line) = match (deny, runtime) {
            (Some(line), _) => (Said::Deny, Some(line)),
            (None, Some(line)) => (Said::Runtime, Some(line)),
            (None, None) => allow().map_or((Said::Nothing, None), |line| (Said::Allow, Some(line))),
        };
        let answer = self.policies.decide(action, said);
        let ask = match answer {
            Answer::Forbid | Answer::ForbidBy(_) | Answer::Failed(_) => None,
            _ => first(&self.mandate.ask, kind, subject, false),
        };
        if let Some(line) = ask {
            return self.decision(Verdict::Ask, &line.rule, quoted(line));
        }
        match answer {
            Answer::Permit | Answer::Forbid => {
                let verdict = if answer == Answer::Permit { Verdict::Allow } else { Verdict::Deny };
                match line {
                    Some(line) => self.decision(verdict, &line.rule, quoted(line)),
                    None => self.decision(verdict, "scope", String::new()),
                }
            }
            Answer::PermitBy(name) => self.by_policy(Verdict::Allow, &name, "permits it"),
            Answer::AskBy(name) => self.by_policy(Verdict::Ask, &name, "wants a person asked"),
            Answer::ForbidBy(name) => self.by_policy(Verdict::Deny, &name, "forbids it"),
            Answer::Failed(error) => {
                self.decision(Verdict::Deny, "policy", format!("a policy could not be evaluated: {error}"))
            }
            Answer::Nothing => {
                let rule = format!("scope.{}", kind.key());
                let reason = format!("no line of `{rule}` allows it");
                self.decision(Verdict::Deny, &rule, reason)
            }
        }
    }

    fn by_policy(&self, verdict: Verdict, name: &str, does: &str) -> Decision {
        let file = self.mandate.policy.as_ref().map_or("", |policy| policy.name.as_str());
        self.decision(verdict, &format!("policy: {name}"), format!("policy `{name}` of `{file}` {does}"))
    }
}

fn quoted(line: &Line) -> String {
    match line.number {
        0 => format!("`{}`, what its product does by itself", line.text),
        number => format!("line {number}: `{}`", line.text),
    }
}

fn first<'a>(lines: &'a Lines, kind: Kind, subject: &Subject<'_>, allows: bool) -> Option<&'a Line> {
    lines.get(&kind)?.iter().find(|line| line.pattern.matches(subject, allows))
}

fn lines_at_home(lines: &Lines, home: &str) -> Result<Lines, String> {
    let mut out = Lines::new();
    for (kind, lines) in lines {
        let mut made = Vec::with_capacity(lines.len());
        for line in lines {
            made.push(Line { pattern: line.pattern.at_home(home)?, ..line.clone() });
        }
        out.insert(*kind, made);
    }
    Ok(out)
}

fn compile(link: Link, is_part: bool, binding: &Binding) -> Result<Compiled, Refused> {
    let Link { id, mut mandate, policy } = link;
    let name = mandate.policy.as_ref().map(|policy| policy.name.clone()).unwrap_or_default();
    let refused = |why: String| Refused::Policy { name: name.clone(), why };
    match (&mandate.policy, &policy) {
        (Some(file), Some(text)) => {
            if file.sha256.as_deref() != Some(crate::id_of(text.as_bytes()).as_str()) {
                return Err(refused("is not the one whose hash is in the mandate".to_owned()));
            }
        }
        (Some(_), None) => return Err(refused("is not there".to_owned())),
        (None, Some(_)) => return Err(refused("is not named by the mandate".to_owned())),
        (None, None) => {}
    }
    match &binding.home {
        Some(home) => {
            for lines in [&mut mandate.allow, &mut mandate.deny, &mut mandate.ask] {
                *lines = lines_at_home(lines, home).map_err(|_| Refused::NoHome)?;
            }
        }
        None if mandate.lines().any(|(_, line)| line.pattern.of_home()) => return Err(Refused::NoHome),
        None => {}
    }
    let policies = Policies::new(&binding.product, policy.as_deref()).map_err(refused)?;
    if is_part && policies.permits {
        return Err(Refused::Wider(format!(
            "`{name}` holds a `permit`, and what it permits is not in lines"
        )));
    }
    Ok(Compiled { id, mandate, policies })
}

/// The line of a scope that would make this action allowed.
pub fn line_for(action: &Action) -> Option<(Kind, String)> {
    use crate::glob::escape;
    let kind = Kind::of(action);
    let text = match action {
        Action::Read { path } | Action::Write { path } => escape(path),
        Action::Execute { path, .. } => crate::line::program_line(path),
        Action::Connect { host, address, port, protocol } => match (protocol, host, address) {
            (crate::Protocol::Unix, Some(path), _) => format!("unix:{}", escape(path)),
            (_, Some(host), _) => format!("{host}:{}", port.map_or("*".to_owned(), |port| port.to_string())),
            (_, None, Some(address)) => {
                let port = port.map_or("*".to_owned(), |port| port.to_string());
                match address.to_canonical() {
                    std::net::IpAddr::V4(address) => format!("{address}:{port}"),
                    std::net::IpAddr::V6(address) => format!("[{address}]:{port}"),
                }
            }
            (_, None, None) => return None,
        },
        Action::Credential { what, path } => match path {
            Some(path) => format!("{}:{}", escape(what), escape(path)),
            None => escape(what),
        },
        Action::Tool { name, .. } => escape(name),
        Action::Agent { product } => escape(product),
        Action::Privileged { operation, .. } => crate::line::operation_name(*operation).to_owned(),
    };
    Pattern::new(kind, &text, true).is_ok().then_some((kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    const NOW: Nanos = 1_795_600_000_000_000_000;

    fn link(text: &str) -> Link {
        Link { id: crate::id_of(text.as_bytes()), mandate: Mandate::parse(text).unwrap(), policy: None }
    }

    fn binding() -> Binding {
        Binding {
            product: "claude-code".into(),
            home: Some("/home/a".into()),
            install: vec!["/opt/claude".into()],
        }
    }

    fn sample() -> Chain {
        Chain::new(vec![link(crate::mandate::tests::SAMPLE)], &binding()).unwrap()
    }

    fn run(path: &str, argv: &str) -> Action {
        Action::Execute { path: path.to_owned(), argv: argv.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn decisions() {
        let chain = sample();
        let read = |path: &str| Action::Read { path: path.to_owned() };
        let write = |path: &str| Action::Write { path: path.to_owned() };
        let to = |host: &str, port| Action::Connect {
            host: Some(host.to_owned()),
            address: None,
            port: Some(port),
            protocol: Protocol::Tcp,
        };
        for (action, verdict, rule) in [
            (read("/etc/shadow"), Verdict::Allow, "scope.read[0]"),
            (read("/home/a/.ssh/id_rsa"), Verdict::Deny, "scope.deny.read[0]"),
            (write("/home/a/work/x.rs"), Verdict::Allow, "scope.write[0]"),
            (write("/home/a/work/ci/x.yml"), Verdict::Ask, "oversight.ask[1]"),
            (write("/home/a/.bashrc"), Verdict::Deny, "scope.write"),
            (write("/home/a/work/../.bashrc"), Verdict::Deny, "path"),
            (write("/dev/null"), Verdict::Allow, "runtime.write[0]"),
            (write("/home/a/.claude/projects/x.jsonl"), Verdict::Allow, "runtime.claude-code.write[0]"),
            (run("/opt/claude/bin/rg", "rg x"), Verdict::Allow, "runtime.install.execute[0]"),
            (run("/usr/bin/git", "git push"), Verdict::Deny, "scope.deny.execute[0]"),
            (run("/usr/bin/git", "git commit -m x"), Verdict::Ask, "oversight.ask[0]"),
            (run("/usr/bin/git", "git status"), Verdict::Allow, "scope.execute[0]"),
            (run("/tmp/x", "x"), Verdict::Deny, "scope.execute"),
            (to("api.anthropic.com", 443), Verdict::Allow, "runtime.claude-code.connect[0]"),
            (to("evil.example", 443), Verdict::Deny, "scope.connect"),
            (Action::Tool { name: "Bash".into(), arguments: "{}".into() }, Verdict::Allow, "scope.tools[0]"),
            (Action::Agent { product: "codex".into() }, Verdict::Deny, "scope.agents"),
        ] {
            let decision = chain.decide(&action, NOW);
            assert_eq!(
                (decision.verdict, decision.rule.as_str()),
                (verdict, rule),
                "{action:?} {decision:?}"
            );
        }
    }

    #[test]
    fn times() {
        let chain = sample();
        let read = Action::Read { path: "/etc/hosts".into() };
        assert_eq!(chain.decide(&read, 0).rule, "not_before");
        assert_eq!(chain.decide(&read, chain.expires_ns()).rule, "expired");
        assert_eq!(chain.decide(&read, chain.expires_ns() - 1).verdict, Verdict::Allow);
    }

    fn parts(change: impl Fn(String) -> String) -> Result<Chain, Refused> {
        let parent =
            crate::mandate::tests::SAMPLE.replace("tools = [\"*\"]", "tools = [\"*\"]\nagents = [\"codex\"]");
        let parent = link(&parent);
        let part = format!(
            r#"muster = 1
principal = "alice@example.org"
agent = "codex"
task = "a part"
host = "build-7"
serial = "x"
not_before = 2026-11-25T09:00:00Z
expires = 2026-11-25T15:00:00Z
parent = "{}"
[scope]
read = ["/etc/hosts"]
write = ["~/work/a/**"]
execute = ["/usr/bin/git status **"]
connect = ["api.anthropic.com:443"]
[limits]
time = "2h"
money = "1 USD"
[oversight]
account = true
silence = "30m"
"#,
            parent.id
        );
        let binding = Binding { product: "codex".into(), ..binding() };
        Chain::new(vec![link(&change(part)), parent], &binding)
    }

    #[test]
    fn a_part_is_never_more() {
        let chain = parts(|text| text).unwrap();
        let write = |path: &str| chain.decide(&Action::Write { path: path.into() }, NOW);
        assert_eq!(write("/home/a/work/a/x").verdict, Verdict::Allow);
        assert_eq!(write("/home/a/work/b/x").verdict, Verdict::Deny);
        for (from, to, says) in [
            ("~/work/a/**", "~/**", "scope.write[0]"),
            ("/usr/bin/git status **", "/bin/git", "scope.execute[0]"),
            ("api.anthropic.com:443", "api.anthropic.com:*", "scope.connect[0]"),
            ("15:00:00Z", "17:00:00Z", "expires"),
            ("09:00:00Z", "07:00:00Z", "not_before"),
            ("time = \"2h\"", "time = \"9h\"", "limits.time"),
            ("time = \"2h\"", "", "limits.time"),
            ("account = true", "", "oversight.account"),
            ("\"30m\"", "\"31m\"", "oversight.silence"),
            ("build-7", "*", "host"),
            ("\"codex\"", "[\"codex\", \"opencode\"]", "scope.agents"),
            ("alice", "bob", "principal"),
            ("[limits]", "[delegation]\ndepth = 1\n[limits]", "delegation.depth"),
            ("[scope]", "[scope]\nprivileged = [\"bpf\"]", "scope.privileged[0]"),
        ] {
            match parts(|text| text.replacen(from, to, 1)) {
                Err(Refused::Wider(why)) => assert!(why.contains(says), "{why}"),
                other => panic!("{from} → {to}: {:?}", other.err()),
            }
        }
    }

    #[test]
    fn policies_bind_by_their_hash() {
        let text = |hash: &str| {
            crate::mandate::tests::SAMPLE
                .replace("serial", &format!("policy = \"x.cedar\"\npolicy_sha256 = \"{hash}\"\nserial"))
        };
        let cedar = "@id(\"none\") forbid (principal, action == Action::\"write\", resource);";
        let good = text(&crate::id_of(cedar.as_bytes()));
        let made = |text: &str, policy: Option<&str>| {
            let link = Link { policy: policy.map(str::to_owned), ..link(text) };
            Chain::new(vec![link], &binding())
        };
        let decision =
            made(&good, Some(cedar)).unwrap().decide(&Action::Write { path: "/home/a/work/x".into() }, NOW);
        assert_eq!(decision.rule, "policy: none");
        assert!(made(&good, None).is_err() && made(&good, Some("")).is_err());
    }
}
