//! The decision itself, by Cedar: what the mandate's lines say of an action is put to its policies, and to those of the
//! file that it names. A `forbid` beats every `permit`; a `permit` with `@ask` lets a person say.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Mutex;

use cedar_policy::{
    Authorizer, Context, Effect, Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    Request, RestrictedExpression, Schema, ValidationMode, Validator,
};

use crate::line::{Kind, operation_name};
use crate::mandate::POLICY_MAX;
use crate::{Action, Protocol};

const SCHEMA: &str = include_str!("policy.cedarschema");
const BUILT_IN: &str = include_str!("policy.cedar");

/// Decisions remembered for one mandate with a file of its own; beyond it, all are forgotten.
const CACHE_MAX: usize = 1_024;
/// Longer actions are not remembered.
const CACHED_BYTES_MAX: usize = 1_024;
/// Policies of one file: a decision asks them all.
const POLICIES_MAX: usize = 100;

/// What the lines of a mandate say of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    Allow,
    Runtime,
    Deny,
    Nothing,
}

impl Said {
    const ALL: [Said; 4] = [Said::Allow, Said::Runtime, Said::Deny, Said::Nothing];

    fn name(self) -> &'static str {
        match self {
            Said::Allow => "allow",
            Said::Runtime => "runtime",
            Said::Deny => "deny",
            Said::Nothing => "none",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Permit,
    /// Policies of the file permit what no line does: their names.
    PermitBy(String),
    /// … and want a person asked.
    AskBy(String),
    Forbid,
    /// A policy of the file forbids it.
    ForbidBy(String),
    /// Nothing permits it.
    Nothing,
    /// A policy could not be evaluated, so what it forbids is not known.
    Failed(String),
}

pub struct Policies {
    set: PolicySet,
    names: HashMap<PolicyId, Named>,
    principal: EntityUid,
    actions: HashMap<Kind, EntityUid>,
    target: EntityTypeName,
    /// Without a file, all there can be: made beforehand.
    fixed: HashMap<Said, Answer>,
    has_file: bool,
    cache: Mutex<HashMap<(Action, Said), Answer>>,
    /// Policies of the file that permit: a part of a mandate may have none.
    pub permits: bool,
}

struct Named {
    name: String,
    ask: bool,
    own: bool,
}

impl Policies {
    /// `file`: the text of the Cedar file that the mandate names.
    pub fn new(product: &str, file: Option<&str>) -> Result<Policies, String> {
        let mut set = PolicySet::from_str(BUILT_IN).map_err(|error| error.to_string())?;
        let mut names = HashMap::new();
        for policy in set.policies() {
            let name = policy.annotation("id").unwrap_or_default().to_owned();
            names.insert(policy.id().clone(), Named { name, ask: false, own: true });
        }
        let mut permits = false;
        if let Some(text) = file {
            for (index, policy) in read_file(text)?.into_iter().enumerate() {
                let id = PolicyId::new(format!("file{index}"));
                let name = policy.annotation("id").map_or_else(|| format!("{}", index + 1), str::to_owned);
                let ask = policy.annotation("ask").is_some();
                permits |= policy.effect() == Effect::Permit;
                names.insert(id.clone(), Named { name, ask, own: false });
                set.add(policy.new_id(id)).map_err(|error| error.to_string())?;
            }
        }
        let uid = |kind: &str, id: &str| {
            let name = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
            Ok::<_, String>(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
        };
        let mut policies = Policies {
            set,
            names,
            principal: uid("Agent", product)?,
            actions: Kind::ALL
                .into_iter()
                .map(|kind| Ok((kind, uid("Action", kind.name())?)))
                .collect::<Result<_, String>>()?,
            target: EntityTypeName::from_str("Target").map_err(|error| error.to_string())?,
            fixed: HashMap::new(),
            has_file: file.is_some(),
            cache: Mutex::default(),
            permits,
        };
        if !policies.has_file {
            let any = Action::Read { path: String::new() };
            policies.fixed = Said::ALL.map(|said| (said, policies.evaluate(&any, said))).into();
        }
        Ok(policies)
    }

    pub fn decide(&self, action: &Action, said: Said) -> Answer {
        if let Some(answer) = self.fixed.get(&said) {
            return answer.clone();
        }
        let small = size(action) <= CACHED_BYTES_MAX;
        let key = (action.clone(), said);
        if small
            && let Ok(cache) = self.cache.lock()
            && let Some(answer) = cache.get(&key)
        {
            return answer.clone();
        }
        let answer = self.evaluate(action, said);
        if small && let Ok(mut cache) = self.cache.lock() {
            if cache.len() >= CACHE_MAX {
                cache.clear();
            }
            cache.insert(key, answer.clone());
        }
        answer
    }

    fn evaluate(&self, action: &Action, said: Said) -> Answer {
        let failed = |error: String| Answer::Failed(error.lines().next().unwrap_or_default().to_owned());
        let request = match self.request(action, said) {
            Ok(request) => request,
            Err(error) => return failed(error),
        };
        let response = Authorizer::new().is_authorized(&request, &self.set, &Entities::empty());
        let diagnostics = response.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return failed(error.to_string());
        }
        let reasons: Vec<&Named> = diagnostics.reason().filter_map(|id| self.names.get(id)).collect();
        let own = reasons.iter().any(|named| named.own);
        let mut others: Vec<&str> =
            reasons.iter().filter(|named| !named.own).map(|it| it.name.as_str()).collect();
        others.sort_unstable();
        let others = others.join(", ");
        match response.decision() {
            cedar_policy::Decision::Allow if own => Answer::Permit,
            cedar_policy::Decision::Allow if reasons.iter().all(|named| named.ask) => Answer::AskBy(others),
            cedar_policy::Decision::Allow => Answer::PermitBy(others),
            cedar_policy::Decision::Deny if own => Answer::Forbid,
            cedar_policy::Decision::Deny if reasons.is_empty() => Answer::Nothing,
            cedar_policy::Decision::Deny => Answer::ForbidBy(others),
        }
    }

    fn request(&self, action: &Action, said: Said) -> Result<Request, String> {
        let kind = Kind::of(action);
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut pairs = vec![("line".to_owned(), text(said.name()))];
        let mut put = |name: &str, value| pairs.push((name.to_owned(), value));
        let target = match action {
            Action::Read { path } | Action::Write { path } => {
                put("path", text(path));
                path.as_str()
            }
            Action::Execute { path, argv } => {
                put("path", text(path));
                put("program", text(path.rsplit('/').next().unwrap_or_default()));
                put("command", text(&argv.join(" ")));
                path.as_str()
            }
            Action::Connect { host, address, port, protocol } => {
                if let Some(host) = host {
                    put("host", text(&host.trim_end_matches('.').to_ascii_lowercase()));
                }
                if let Some(address) = address {
                    put("address", RestrictedExpression::new_ip(address.to_canonical().to_string()));
                }
                if let Some(port) = port {
                    put("port", RestrictedExpression::new_long(i64::from(*port)));
                }
                put("protocol", text(protocol_name(*protocol)));
                host.as_deref().unwrap_or_default()
            }
            Action::Credential { what, path } => {
                put("what", text(what));
                if let Some(path) = path {
                    put("path", text(path));
                }
                what.as_str()
            }
            Action::Tool { name, arguments } => {
                put("name", text(name));
                put("arguments", text(arguments));
                name.as_str()
            }
            Action::Agent { product } => {
                put("product", text(product));
                product.as_str()
            }
            Action::Privileged { operation, detail } => {
                put("operation", text(operation_name(*operation)));
                put("detail", text(detail));
                detail.as_str()
            }
        };
        let target = EntityUid::from_type_name_and_id(self.target.clone(), EntityId::new(target));
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        let uid = self.actions.get(&kind).ok_or("unknown kind")?;
        Request::new(self.principal.clone(), uid.clone(), target, context, None)
            .map_err(|error| error.to_string())
    }
}

/// The policies of a file: without templates, true to the schema.
fn read_file(text: &str) -> Result<Vec<Policy>, String> {
    if text.len() > POLICY_MAX {
        return Err(format!("longer than {POLICY_MAX} bytes"));
    }
    let set = PolicySet::from_str(text).map_err(|error| error.to_string())?;
    if set.templates().next().is_some() {
        return Err("holds a template, which nothing fills in".to_owned());
    }
    let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string())?;
    let checked = Validator::new(schema).validate(&set, ValidationMode::Strict);
    if let Some(error) = checked.validation_errors().next() {
        return Err(format!("{error}\nhint: what it may speak of is in docs/mandates.md"));
    }
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    if policies.len() > POLICIES_MAX {
        return Err(format!("{} policies, at most {POLICIES_MAX}", policies.len()));
    }
    // `policy0`, `policy1`, …: as they stand in the file.
    policies.sort_by_key(|policy| {
        let id = policy.id().to_string();
        (id.len(), id)
    });
    Ok(policies)
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Unix => "unix",
        Protocol::Other => "other",
    }
}

fn size(action: &Action) -> usize {
    match action {
        Action::Read { path } | Action::Write { path } => path.len(),
        Action::Execute { path, argv } => path.len() + argv.iter().map(|word| word.len() + 8).sum::<usize>(),
        Action::Connect { host, .. } => host.as_ref().map_or(0, String::len),
        Action::Credential { what, path } => what.len() + path.as_ref().map_or(0, String::len),
        Action::Tool { name, arguments } => name.len() + arguments.len(),
        Action::Agent { product } => product.len(),
        Action::Privileged { detail, .. } => detail.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
@id("no-secrets")
forbid (principal, action in [Action::"read", Action::"write"], resource) when { context.path like "*secret*" };
@id("intranet")
permit (principal, action == Action::"connect", resource)
when { context has address && context.address.isInRange(ip("10.0.0.0/8")) };
@id("commit") @ask
permit (principal, action == Action::"execute", resource) when { context.command like "git commit *" };
"#;

    #[track_caller]
    fn check(action: Action, said: Said, expected: Answer) {
        let policies = Policies::new("claude-code", Some(FILE)).unwrap();
        for _ in 0..2 {
            assert_eq!(policies.decide(&action, said), expected, "{action:?}");
        }
    }

    #[test]
    fn answers() {
        let read = |path: &str| Action::Read { path: path.to_owned() };
        check(read("/a"), Said::Allow, Answer::Permit);
        check(read("/a"), Said::Nothing, Answer::Nothing);
        check(read("/a"), Said::Deny, Answer::Forbid);
        check(read("/a/secret.txt"), Said::Allow, Answer::ForbidBy("no-secrets".into()));
        let connect = |address: &str| Action::Connect {
            host: None,
            address: address.parse().ok(),
            port: Some(1),
            protocol: Protocol::Tcp,
        };
        check(connect("10.1.1.1"), Said::Nothing, Answer::PermitBy("intranet".into()));
        check(connect("::ffff:10.1.1.1"), Said::Nothing, Answer::PermitBy("intranet".into()));
        check(connect("11.1.1.1"), Said::Nothing, Answer::Nothing);
        let argv = ["git", "commit", "-m"].map(str::to_owned).to_vec();
        check(Action::Execute { path: "/g".into(), argv }, Said::Nothing, Answer::AskBy("commit".into()));
    }

    #[test]
    fn files_are_checked() {
        for (file, says) in [
            ("permit (principal, action == Action::\"raed\", resource);", "raed"),
            ("permit (principal, action, resource) when { context.path like \"*\" };", "path"),
            ("permit (principal == ?principal, action, resource);", "template"),
            ("permit (", "unexpected"),
        ] {
            let error = Policies::new("x", Some(file)).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
    }
}
