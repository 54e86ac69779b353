//! Taking the roll: which processes are agents, and which belong to one.

use muster_event::{Address, Attribution, Event, Nanos, ProcessKey};

use crate::agent::Agent;
use crate::engine::{Engine, event_evidence, finding_id};
use crate::input::{Enrol, Identified, Imported};
use crate::process::{Process, Role};
use crate::{AgentId, AgentState, Code, Coverage, Evidence, Finding, Output, Severity, Stage, State};

impl Engine {
    /// `muster run`: the sure way onto the roll.
    pub(crate) fn on_enrol(&mut self, enrol: Enrol) {
        self.time_ns = self.time_ns.max(enrol.time_ns);
        self.processes.ensure(enrol.process, 0, "muster", enrol.cgroup, enrol.time_ns);
        let run = format!("run:{}", self.agent_id("r", enrol.process).trim_start_matches("r-"));
        let id = self.agent_id("agent", enrol.process);
        if self.agents.contains_key(&id) {
            return;
        }
        self.add_agent(NewAgent {
            id: id.clone(),
            product: "unknown".to_owned(),
            version: None,
            root: enrol.process,
            found_by: "enrolled by `muster run`".to_owned(),
            mandate: Some(run),
            principal: Some(enrol.principal),
            label: enrol.label,
            seq: 0,
        });
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.cgroup = enrol.cgroup;
            agent.state.command = enrol.command;
        }
        if enrol.cgroup != 0 {
            self.cgroups.insert(enrol.cgroup, id.clone());
        }
        self.publish_now(&id);
    }

    /// A finished run, known by its account only.
    pub(crate) fn on_imported(&mut self, imported: Imported) {
        self.time_ns = self.time_ns.max(imported.time_ns);
        let id = self.imported_agent(&imported.product, &imported.path, imported.session.as_deref());
        if self.agents.contains_key(&id) {
            return;
        }
        let state = AgentState {
            agent: id.clone(),
            product: imported.product,
            version: None,
            model: None,
            root: ProcessKey { pid: 0, start_ns: 0 },
            parent: None,
            mandate: None,
            mandate_until_ns: None,
            principal: None,
            label: String::new(),
            found_by: format!("imported from `{}`", imported.path),
            uid: 0,
            command: Vec::new(),
            cwd: String::new(),
            sessions: Vec::new(),
            accounts: Vec::new(),
            started_ns: imported.time_ns,
            last_ns: imported.time_ns,
            ended_ns: None,
            state: State::Ended,
            stage: None,
            processes: 0,
            events: 0,
            calls: 0,
            calls_joined: 0,
            doing: String::new(),
            containment: None,
            coverage: Coverage::default(),
        };
        let mut agent = Agent::new(state);
        agent.imported = true;
        self.agents.insert(id.clone(), agent);
        self.publish_now(&id);
    }

    /// Whose is this process? Cgroup, then markers, then ancestry (text comes with the accounts).
    pub(crate) fn attribute(&mut self, key: ProcessKey, seq: u64) {
        let Some(process) = self.processes.get(key) else { return };
        let parent_role = process
            .parent
            .and_then(|p| self.processes.get(p))
            .and_then(|p| p.member.as_ref())
            .map(|m| (m.agent.clone(), m.role));
        let inherited = parent_role.as_ref().map(|(_, role)| *role).unwrap_or(Role::Member);
        let by_cgroup = (process.cgroup != 0).then(|| self.cgroups.get(&process.cgroup)).flatten().cloned();
        let by_marker = self.agent_by_marker(process);
        let found = by_cgroup
            .map(|id| (id, Attribution::Cgroup))
            .or_else(|| by_marker.map(|id| (id, Attribution::Marker)))
            .or_else(|| parent_role.clone().map(|(id, _)| (id, Attribution::Ancestry)));
        let Some((id, by)) = found else { return };
        // An enrolled cgroup may hold several agents (one started another): the closer one keeps its lineage.
        let (id, by) = match &parent_role {
            Some((parent, _)) if by == Attribution::Cgroup && self.is_within(parent, &id) => {
                (parent.clone(), by)
            }
            _ => (id, by),
        };
        if let Some(member) = self.processes.get(key).and_then(|p| p.member.as_ref())
            && (member.agent == id || self.is_within(&member.agent, &id) || self.roots.contains_key(&key))
        {
            return;
        }
        let role = if parent_role.is_some_and(|(parent, _)| parent == id) { inherited } else { Role::Member };
        self.join_agent(key, &id, by, role, seq);
        if by != Attribution::Ancestry {
            self.out.push(Output::Follow { process: key });
        }
    }

    /// Is `inner` the agent `outer`, or started from within it?
    pub fn is_within(&self, inner: &str, outer: &str) -> bool {
        let mut next = Some(inner.to_owned());
        for _ in 0..64 {
            match next {
                None => return false,
                Some(id) if id == outer => return true,
                Some(id) => next = self.agents.get(&id).and_then(|a| a.state.parent.clone()),
            }
        }
        false
    }

    fn agent_by_marker(&self, process: &Process) -> Option<AgentId> {
        if process.env.is_empty() {
            return None;
        }
        for variable in self.products.session_variables() {
            if let Some(session) = process.env.get(variable)
                && let Some(id) = self.sessions.get(session)
            {
                return Some(id.clone());
            }
        }
        for variable in self.products.pid_variables() {
            if let Some(pid) = process.env.get(variable).and_then(|v| v.parse().ok())
                && let Some(root) = self.processes.by_pid(pid)
                && let Some(member) = &root.member
                && member.role == Role::Harness
            {
                return Some(member.agent.clone());
            }
        }
        None
    }

    /// The files of a process were looked at.
    pub(crate) fn on_identified(&mut self, key: ProcessKey, product: Option<Identified>) {
        let Some(process) = self.processes.get(key) else { return };
        let seq = process.exec_seq;
        let member = process.member.clone();
        let parent = process.parent;
        let Some(product) = product else {
            match member {
                None => self.on_marked_stranger(key),
                Some(member) if member.role == Role::Harness => {
                    self.on_harness_gone_on(key, &member.agent, seq)
                }
                Some(_) => {}
            }
            return;
        };
        if let Some(member) = member {
            let Some(agent) = self.agents.get_mut(&member.agent) else { return };
            let parent_is_harness = parent.is_some_and(|p| {
                self.processes
                    .get(p)
                    .and_then(|p| p.member.as_ref())
                    .is_some_and(|m| m.agent == member.agent && m.role == Role::Harness)
            });
            if agent.state.root == key {
                self.adopt_product(key, &member.agent, &product);
                return;
            }
            if agent.state.product == product.product && (parent_is_harness || member.role == Role::Harness) {
                if agent.state.version.is_none() {
                    agent.state.version = product.version;
                }
                self.withdraw_action(&member.agent, key);
                self.join_agent(key, &member.agent, member.by, Role::Harness, seq);
                self.mark_harness(key, true);
                return;
            }
            if agent.state.product == "unknown" {
                self.adopt_product(key, &member.agent, &product);
                return;
            }
        }
        self.add_product_agent(key, &product, seq);
    }

    fn mark_harness(&mut self, key: ProcessKey, is: bool) {
        if let Some(process) = self.processes.get_mut(key) {
            process.harness = is;
        }
        if is {
            self.note_program(key);
        }
    }

    /// A process that ran the agent's own program goes on as another one: an act, as if it had forked for it.
    fn on_harness_gone_on(&mut self, key: ProcessKey, id: &str, seq: u64) {
        let is_root = self.agents.get(id).is_some_and(|agent| agent.state.root == key);
        let was = self.processes.get(key).is_some_and(|process| process.harness);
        if was && !is_root {
            self.mark_harness(key, false);
            self.on_executed(key, seq);
        }
    }

    /// An enrolled (or behaving) agent turns out to be a product: same agent, better known.
    fn adopt_product(&mut self, key: ProcessKey, id: &str, product: &Identified) {
        let home = self.processes.get(key).and_then(|p| p.env.get("HOME").cloned());
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.state.product.clone_from(&product.product);
        agent.state.version.clone_from(&product.version);
        agent.state.found_by = format!("{}; {}", agent.state.found_by, product.by);
        agent.home = home.or(agent.home.take());
        let by =
            self.processes.get(key).and_then(|p| p.member.as_ref()).map_or(Attribution::Ancestry, |m| m.by);
        self.withdraw_action(id, key);
        self.demote_harness(id, key);
        self.join_agent(key, id, by, Role::Harness, 0);
        self.mark_harness(key, true);
        self.read_configuration(id, key);
        self.publish_now(id);
    }

    /// What only started the product (a shell script of the user's) is no harness: what it runs besides is the user's.
    fn demote_harness(&mut self, id: &str, harness: ProcessKey) {
        let live: Vec<ProcessKey> =
            self.agents.get(id).map(|a| a.live.iter().copied().collect()).unwrap_or_default();
        for key in live.into_iter().filter(|key| *key != harness) {
            if let Some(member) = self.processes.get_mut(key).and_then(|p| p.member.as_mut())
                && member.agent == id
                && member.role == Role::Harness
            {
                member.role = Role::Member;
            }
        }
    }

    fn add_product_agent(&mut self, key: ProcessKey, product: &Identified, seq: u64) {
        let id = self.agent_id(&product.product, key);
        if self.agents.contains_key(&id) || self.roots.contains_key(&key) {
            return;
        }
        self.add_agent(NewAgent {
            id: id.clone(),
            product: product.product.clone(),
            version: product.version.clone(),
            root: key,
            found_by: product.by.clone(),
            mandate: None,
            principal: None,
            label: String::new(),
            seq,
        });
        self.read_configuration(&id, key);
        self.unmandated(&id, seq, &format!("recognised by {}", product.by));
        self.publish_now(&id);
    }

    fn read_configuration(&mut self, id: &str, key: ProcessKey) {
        let Some(process) = self.processes.get(key) else { return };
        let Some(agent) = self.agents.get(id) else { return };
        self.out.push(Output::ReadConfiguration {
            agent: id.to_owned(),
            product: agent.state.product.clone(),
            home: process.env.get("HOME").cloned(),
            cwd: process.cwd.clone(),
            argv: process.argv.clone(),
        });
        self.read_hooks(id);
    }

    /// A process carries the marker of an agent that is not on the roll: the agent started before Muster, and is gone or
    /// out of sight (a tmux server with parent 1). It joins the roll by what it left.
    fn on_marked_stranger(&mut self, key: ProcessKey) {
        let Some(process) = self.processes.get(key) else { return };
        let Some((product, marker)) = self.products.marked(&process.env) else { return };
        let (product, marker) = (product.to_owned(), marker.to_owned());
        let root = self
            .processes
            .ancestors(key)
            .take_while(|p| p.env.get(&marker) == process.env.get(&marker))
            .last()
            .map_or(key, |p| p.key);
        let seq = process.exec_seq;
        let id = self.agent_id(&product, root);
        if self.agents.contains_key(&id) {
            return;
        }
        self.add_agent(NewAgent {
            id: id.clone(),
            product,
            version: None,
            root,
            found_by: format!("environment marker `{marker}` of an agent that is not in sight"),
            mandate: None,
            principal: None,
            label: String::new(),
            seq,
        });
        // Its root is no program of the product: nothing it runs can be told from the harness.
        self.join_agent(root, &id, Attribution::Marker, Role::Member, seq);
        self.unmandated(&id, seq, &format!("it carries the marker `{marker}`"));
        self.publish_now(&id);
    }

    /// A plaintext HTTP request: is it a model API?
    pub(crate) fn on_http(
        &mut self,
        event: &Event,
        method: &str,
        target: &str,
        host: Option<&str>,
        to: &Address,
    ) {
        if let Some(host) = host.filter(|host| self.products.is_provider(host)) {
            self.on_provider_by_tool(event, host);
        }
        if !self.products.is_model_request(method, target) {
            return;
        }
        if method == "CONNECT" {
            self.on_behaviour(event, &format!("asked the proxy `{to}` for model provider `{target}`"));
            return;
        }
        let path = target.split('?').next().unwrap_or(target);
        let to = host.map_or_else(|| to.to_string(), str::to_owned);
        self.on_behaviour(event, &format!("posted to `{path}` at `{to}`"));
    }

    /// A name that the process asked for or opened TLS to: is it a model provider's?
    pub(crate) fn on_provider(&mut self, event: &Event, name: &str, did: &str) {
        if self.products.is_provider(name) {
            self.on_provider_after_end(event, name);
            self.on_provider_by_tool(event, name);
            self.on_behaviour(event, &format!("{did} model provider `{name}`"));
        }
    }

    fn on_behaviour(&mut self, event: &Event, what: &str) {
        let Some(process) = self.processes.get(event.process) else { return };
        if process.member.is_some() || self.is_muster(process) {
            return;
        }
        if self.products.is_bystander(&process.path) {
            return;
        }
        let root = self.behaving_root(event.process);
        let id = self.agent_id("agent", root);
        if self.agents.contains_key(&id) {
            return;
        }
        self.add_agent(NewAgent {
            id: id.clone(),
            product: "unknown".to_owned(),
            version: None,
            root,
            found_by: what.to_owned(),
            mandate: None,
            principal: None,
            label: String::new(),
            seq: event.seq,
        });
        self.unmandated(&id, event.seq, what);
        self.publish_now(&id);
    }

    /// The daemon itself, or a command of the same program: with `--judge` it asks a model, and is no agent for it.
    fn is_muster(&self, process: &Process) -> bool {
        let Some(daemon) = self.start.as_ref().map(|start| start.daemon) else { return false };
        process.key == daemon
            || self.processes.get(daemon).is_some_and(|own| !own.path.is_empty() && own.path == process.path)
    }

    /// The process that is the agent, given the one that spoke to a model: where that is a mere transfer tool run by a
    /// script, the script; where the same program forked workers, the first of them.
    fn behaving_root(&self, speaker: ProcessKey) -> ProcessKey {
        let Some(process) = self.processes.get(speaker) else { return speaker };
        let mut root = process;
        if self.products.is_transfer_tool(&process.path) {
            for ancestor in self.processes.ancestors(speaker).take(8) {
                if is_script(ancestor) {
                    root = ancestor;
                    break;
                }
                if !ancestor.forked
                    && !self.products.is_transfer_tool(&ancestor.path)
                    && !is_shell(&ancestor.path)
                {
                    break;
                }
            }
        }
        let (path, argv) = (root.path.clone(), root.argv.clone());
        let start = root.key;
        self.processes
            .ancestors(start)
            .take_while(|p| p.path == path && p.argv == argv && !p.ended)
            .last()
            .map_or(start, |p| p.key)
    }

    fn add_agent(&mut self, new: NewAgent) {
        let Some(process) = self.processes.get(new.root) else { return };
        let parent = process.member.as_ref().map(|m| m.agent.clone());
        // A sub-agent without a mandate of its own acts under its parent's.
        let inherited = parent.as_ref().and_then(|id| self.agents.get(id)).map(|a| {
            let held = (a.state.mandate.clone(), a.state.mandate_until_ns);
            (held, a.state.principal.clone(), a.cgroup)
        });
        // Nor does one that an agent enrols get another: no agent can give what it has not got.
        let ((mandate, mandate_until_ns), principal, cgroup) = match (new.mandate, inherited) {
            (_, Some(inherited)) => inherited,
            (mandate, None) => ((mandate, None), new.principal, 0),
        };
        let exec_unseen = process.exec_seq == 0 && new.seq == 0;
        // An enrolment outlives a daemon; what was done before the next one came is unseen all the same.
        let began_ns = self.began_before_start(new.root).filter(|_| exec_unseen);
        let began_unseen = exec_unseen && mandate.is_none() || began_ns.is_some();
        let state = AgentState {
            agent: new.id.clone(),
            product: new.product,
            version: new.version,
            model: None,
            root: new.root,
            parent,
            mandate,
            mandate_until_ns,
            principal,
            label: new.label,
            found_by: match &self.recorded {
                Some(source) => format!("{}, in {source}", new.found_by),
                None => new.found_by,
            },
            uid: process.uid,
            command: process.argv.clone(),
            cwd: process.cwd.clone(),
            sessions: Vec::new(),
            accounts: Vec::new(),
            started_ns: began_ns.unwrap_or(process.time_ns),
            last_ns: self.time_ns,
            ended_ns: None,
            state: State::Running,
            stage: None,
            processes: 0,
            events: 0,
            calls: 0,
            calls_joined: 0,
            doing: String::new(),
            containment: None,
            coverage: Coverage {
                record_from_ns: self.record_from_ns.map(|from| from.max(process.time_ns)),
                began_unseen,
                blind: self.blind.keys().cloned().collect(),
                ..Coverage::default()
            },
        };
        let mut state = state;
        self.gaps_of_new(began_ns.is_some(), &mut state.coverage);
        let successor = state.parent.clone();
        let home = process.env.get("HOME").cloned();
        let mut agent = Agent::new(state);
        agent.home = home;
        agent.cgroup = cgroup;
        self.roots.insert(new.root, new.id.clone());
        self.agents.insert(new.id.clone(), agent);
        self.join_agent(new.root, &new.id, Attribution::Ancestry, Role::Harness, new.seq);
        self.out.push(Output::Follow { process: new.root });
        if let Some(parent) = successor {
            self.on_successor(&parent, &new.id, new.seq);
        }
        for key in self.processes.descendants(new.root) {
            let Some(process) = self.processes.get(key) else { continue };
            if process.ended {
                continue;
            }
            // Descendants that are members of an agent within keep it.
            let inner = process.member.as_ref().is_some_and(|m| self.is_within(&m.agent, &new.id));
            if !inner {
                let role = if process.forked { self.role_of_parent(key) } else { Role::Member };
                self.join_agent(key, &new.id, Attribution::Ancestry, role, new.seq);
                self.out.push(Output::Follow { process: key });
            }
        }
    }

    fn role_of_parent(&self, key: ProcessKey) -> Role {
        self.processes
            .get(key)
            .and_then(|p| p.parent)
            .and_then(|p| self.processes.get(p))
            .and_then(|p| p.member.as_ref())
            .map_or(Role::Member, |m| m.role)
    }

    fn unmandated(&mut self, id: &str, seq: u64, why: &str) {
        let Some(agent) = self.agents.get(id) else { return };
        // Where Muster was not, nobody could be enrolled.
        if agent.state.mandate.is_some() || self.recorded.is_some() {
            return;
        }
        let name = if agent.state.product == "unknown" {
            let program = agent.state.command.first().map_or("a process", String::as_str);
            format!("an agent of no known product (`{program}`, pid {})", agent.state.root.pid)
        } else {
            format!("{} (pid {})", agent.state.product, agent.state.root.pid)
        };
        let mut evidence: Vec<Evidence> = vec![event_evidence(seq, agent.state.root)];
        if let Some(root) = self.processes.get(agent.state.root)
            && root.exec_seq != 0
            && root.exec_seq != seq
        {
            evidence.push(Evidence::Event { seq: root.exec_seq });
        }
        let time_ns: Nanos = self.time_ns;
        let finding = Finding {
            id: finding_id(Code::UnmandatedAgent, id, ""),
            code: Code::UnmandatedAgent,
            severity: Severity::Medium,
            stage: Stage::Initiate,
            overreach: 1,
            deception: 0,
            agent: id.to_owned(),
            time_ns,
            summary: format!("{name} runs without a mandate: {why}"),
            explanation: "Nobody enrolled this agent, so there is no principal who answers for it and no limit that it \
                was given. Start it with `muster run -- COMMAND` to enrol it. It would be refuted if the process turned \
                out to be no agent: then tell the reviewers which rule named it (see `found_by`)."
                .to_owned(),
            evidence,
        };
        self.raise(finding);
    }
}

struct NewAgent {
    id: AgentId,
    product: String,
    version: Option<String>,
    root: ProcessKey,
    found_by: String,
    mandate: Option<String>,
    principal: Option<String>,
    label: String,
    /// Event that revealed it; 0 for the scan and enrolment.
    seq: u64,
}

/// Runs a script file or a command string: not an interactive shell.
fn is_script(process: &Process) -> bool {
    process.script.is_some() || process.argv.len() > 1 && is_interpreter(&process.path)
}

pub(crate) fn is_shell(path: &str) -> bool {
    matches!(name_of(path), "sh" | "bash" | "dash" | "zsh" | "fish" | "ksh" | "busybox" | "ash" | "mksh")
}

pub(crate) fn is_interpreter(path: &str) -> bool {
    let name = name_of(path);
    is_shell(path)
        || ["python", "node", "nodejs", "ruby", "perl", "php", "bun", "deno", "lua", "Rscript", "pwsh"]
            .iter()
            .any(|known| {
                name.strip_prefix(known)
                    .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            })
}

pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
