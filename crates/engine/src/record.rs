//! What the sensors saw: keeps the process table, and hands each event of an agent to whom it concerns.

use muster_event::{Attribution, Event, Kind, ProcessKey, SignalTarget, Snapshot};

use crate::agent::{Exit, Write, Written};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::process::{Membership, Process, Role};
use crate::{AgentId, Code, Finding, Output, Severity, Stage};

impl Engine {
    pub(crate) fn on_snapshot(&mut self, snapshot: Snapshot) {
        let key = snapshot.process;
        let script = None;
        self.processes.insert(Process {
            key,
            parent: snapshot.parent,
            uid: snapshot.uid,
            path: snapshot.path.clone(),
            script,
            argv: snapshot.argv.clone(),
            cwd: snapshot.cwd.clone(),
            env: snapshot.env,
            session: snapshot.session,
            group: snapshot.group,
            cgroup: snapshot.cgroup,
            exec_seq: 0,
            argv_cut: false,
            time_ns: self.time_ns,
            ended: false,
            harness: false,
            forked: false,
            born: Vec::new(),
            member: None,
            also: Vec::new(),
        });
        self.attribute(key, 0);
        self.out.push(Output::Identify {
            process: key,
            path: snapshot.path,
            script: None,
            argv: snapshot.argv,
            cwd: snapshot.cwd,
        });
        for path in snapshot.open_for_write {
            self.watch_account(key, &path);
        }
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        self.time_ns = self.time_ns.max(event.time_ns);
        let key = event.process;
        self.processes.ensure(key, event.uid, &event.comm, event.cgroup, event.time_ns);
        self.count(&event);
        self.note_effect(&event);
        self.note_files(&event);
        self.note_artefact(&event);
        // A program that begins is known only after it.
        if !matches!(event.kind, Kind::Exec { .. }) {
            self.note_act(&event);
        }
        self.note_sustain(&event);
        if !matches!(event.kind, Kind::Exec { .. }) {
            self.note_authority(&event);
        }
        self.guard_hooks(&event);
        self.check_canaries(&event);
        match &event.kind {
            Kind::Fork { child } => self.on_fork(&event, *child),
            Kind::Exec { .. } => self.on_exec(&event),
            Kind::Exit { .. } => self.on_exit(&event),
            Kind::SetSid { session } => {
                if let Some(process) = self.processes.get_mut(key) {
                    process.session = *session;
                    process.group = *session;
                }
            }
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                self.on_daemons_files(&event, path);
                self.on_write(&event, path);
            }
            Kind::Rename { from, to, result } if *result >= 0 => {
                self.on_account_touched(&event, from, "moved away");
                self.on_data_dir(&event, from, "moved");
                self.on_write(&event, to);
            }
            Kind::Link { to, result, .. } if *result >= 0 => self.on_write(&event, to),
            Kind::Unlink { path, result, .. } if *result >= 0 => {
                self.on_account_touched(&event, path, "removed");
                self.on_data_dir(&event, path, "removed");
            }
            Kind::Truncate { path, result, .. } if *result >= 0 => {
                self.on_account_touched(&event, path, "truncated");
                self.on_data_dir(&event, path, "truncated");
            }
            Kind::IoUring { path: Some(path), operation, flags }
                if operation.starts_with("open") && flags & 0o3 != 0 =>
            {
                self.on_write(&event, path);
            }
            Kind::Http { method, target, host, address } => {
                self.on_http(&event, method, target, host.as_deref(), address);
            }
            Kind::Output { stream, bytes, lines: _, whole, hashes } => {
                let (bytes, whole, seq) = (*bytes, *whole, event.seq);
                let stream = *stream;
                self.on_output(key, Written { stream, bytes, whole, hashes: hashes.clone(), seq });
            }
            Kind::Tls { name, .. } => self.on_provider(&event, name, "opened TLS to"),
            Kind::Dns { name, .. } => self.on_provider(&event, name, "asked the DNS for"),
            // Signal 0 only asks whether the process is there.
            Kind::Signal { target, signal, .. } if *signal != 0 => {
                if let SignalTarget::Process(pid) = target {
                    self.on_act_against_daemon(&event, *pid, &format!("sent signal {signal} to"));
                }
                self.note_disturbance(event.process, *target);
            }
            Kind::Connect { .. } => self.note_request(&event),
            Kind::Ptrace { target, .. } => self.on_act_against_daemon(&event, *target, "traced"),
            Kind::ProcessMemory { target, .. } => {
                self.on_act_against_daemon(&event, *target, "reached into the memory of");
            }
            // What was refused was tried.
            Kind::Open { path, access, .. } if access.write || access.truncate => {
                self.on_data_dir(&event, path, "tried to write to");
                self.on_daemons_files(&event, path);
            }
            Kind::Open { path, result, .. } => {
                // Of those that succeed, the kernel tells those of secrets: keys, and the operator's token.
                self.on_data_dir(&event, path, if *result < 0 { "tried to read" } else { "read" });
                self.on_daemons_files(&event, path);
            }
            Kind::Unlink { path, .. } => self.on_data_dir(&event, path, "tried to remove"),
            Kind::Truncate { path, .. } => self.on_data_dir(&event, path, "tried to truncate"),
            Kind::Rename { from, to, .. } => {
                self.on_data_dir(&event, from, "tried to move");
                self.on_data_dir(&event, to, "tried to write to");
            }
            Kind::Link { .. }
            | Kind::Symlink { .. }
            | Kind::Mkdir { .. }
            | Kind::Chmod { .. }
            | Kind::Chown { .. }
            | Kind::Bind { .. }
            | Kind::Listen { .. }
            | Kind::Accept { .. }
            | Kind::Send { .. }
            | Kind::Signal { .. }
            | Kind::Bpf { .. }
            | Kind::LoadModule { .. }
            | Kind::Mount { .. }
            | Kind::Namespace { .. }
            | Kind::Root { .. }
            | Kind::Credentials { .. }
            | Kind::SetName { .. }
            | Kind::Memfd { .. }
            | Kind::ExecMemory { .. }
            | Kind::IoUring { .. }
            | Kind::Compat { .. }
            | Kind::Control { .. } => {}
        }
    }

    /// Holds an event against what was refused, and keeps it for what is said later.
    fn note_act(&mut self, event: &Event) {
        if matches!(event.kind, Kind::Fork { .. }) {
            return;
        }
        self.note_hook(event);
        self.note_retry(event);
        self.note_impact(event);
        self.note_fact(event);
        self.note_rules(event);
    }

    fn count(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        for member in process.memberships() {
            if let Some(agent) = self.agents.get_mut(&member.agent) {
                agent.state.events += 1;
                agent.state.last_ns = agent.state.last_ns.max(event.time_ns);
                agent.dirty = true;
            }
        }
    }

    fn on_fork(&mut self, event: &Event, child: ProcessKey) {
        let Some(parent) = self.processes.get(event.process) else { return };
        let mut process = parent.clone();
        process.key = child;
        process.parent = Some(event.process);
        process.time_ns = event.time_ns;
        process.ended = false;
        process.forked = true;
        process.born = crate::artefact::names_of(parent).into_iter().map(str::to_owned).collect();
        process.harness = false;
        process.member = None;
        process.also.clear();
        self.processes.insert(process);
        self.attribute(child, event.seq);
        self.inherit_also(event.process, child, event.seq);
    }

    fn on_exec(&mut self, event: &Event) {
        let Kind::Exec { path, script, argv, argv_truncated, cwd, env, parent, session, group, .. } =
            &event.kind
        else {
            return;
        };
        let key = event.process;
        self.processes.set_parent(key, *parent);
        if let Some(process) = self.processes.get_mut(key) {
            process.path.clone_from(path);
            process.script.clone_from(script);
            process.argv.clone_from(argv);
            process.cwd.clone_from(cwd);
            process.env.clone_from(env);
            process.session = *session;
            process.group = *group;
            process.cgroup = event.cgroup;
            process.uid = event.uid;
            process.exec_seq = event.seq;
            process.time_ns = event.time_ns;
            process.forked = false;
            // Live, the sensor copies as much as the kernel takes: who goes beyond it hides something.
            process.argv_cut = *argv_truncated && self.recorded.is_some();
        }
        // An enrolled agent's folder is known with its first program: a launcher may have begun at the root.
        if let Some(agent) = self.roots.get(&key).and_then(|id| self.agents.get_mut(id))
            && matches!(agent.state.cwd.as_str(), "" | "/")
        {
            agent.state.cwd.clone_from(cwd);
        }
        self.attribute(key, event.seq);
        self.note_artefact_run(crate::artefact::Ran { process: key, seq: event.seq });
        self.on_executed(key, event.seq);
        // What a call names is the whole text: the account has it too.
        if let Some(process) = self.processes.get_mut(key) {
            crate::process::trim(&mut process.argv);
        }
        self.note_act(event);
        self.note_authority(event);
        self.check_request(event);
        self.check_content(event);
        self.note_request(event);
        self.note_started(event);
        self.out.push(Output::Identify {
            process: key,
            path: path.clone(),
            script: script.clone(),
            argv: argv.clone(),
            cwd: cwd.clone(),
        });
    }

    fn on_exit(&mut self, event: &Event) {
        let Kind::Exit { code, signal } = event.kind else { return };
        let key = event.process;
        let Some(process) = self.processes.get(key) else { return };
        let member = process.member.clone();
        let also: Vec<AgentId> = process.also.iter().map(|member| member.agent.clone()).collect();
        self.processes.end(key);
        for id in also {
            self.leave(key, &id, event.time_ns);
        }
        let Some(Membership { agent: id, role, .. }) = member else { return };
        let Some(agent) = self.agents.get_mut(&id) else { return };
        if let Role::Action(index) = role
            && let Some(action) = agent.actions.get_mut(&index)
        {
            let outlived = action
                .ended_ns
                .is_some_and(|at| event.time_ns.saturating_sub(at) > crate::survivor::WIND_DOWN_NS);
            if action.process == key {
                action.ended_ns = Some(event.time_ns);
                action.exit = Some(Exit { code, signal, seq: event.seq, time_ns: event.time_ns });
            } else if outlived && agent.outlived.len() < crate::agent::OUTLIVED_MAX {
                agent.outlived.insert(key);
            }
        }
        if agent.state.root == key {
            agent.root_ended_ns = Some(event.time_ns);
        }
        self.leave(key, &id, event.time_ns);
    }

    /// A file was opened for writing, or took its final name.
    fn on_write(&mut self, event: &Event, path: &str) {
        self.on_data_dir(event, path, "wrote to");
        self.on_account_touched(event, path, "wrote to");
        self.watch_account(event.process, path);
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(Membership { agent: id, role, .. }) = &process.member else { return };
        if *role != Role::Harness {
            return;
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.add_write(Write {
            path: path.to_owned(),
            seq: event.seq,
            process: event.process,
            time_ns: event.time_ns,
        });
    }

    /// If this file is an account by its place, the agent whose process writes it is the one that it is about.
    fn watch_account(&mut self, key: ProcessKey, path: &str) {
        let Some(location) = muster_account::locate(path) else { return };
        let Some(process) = self.processes.get(key) else { return };
        let Some(Membership { agent: id, role, .. }) = &process.member else { return };
        // Only the agent's own program keeps its account: a tool that writes such a file forges one.
        if *role == Role::Harness || matches!(role, Role::Member) {
            let id = id.clone();
            // A database is shared by all agents of its product.
            let shared = location.format.framing() == muster_account::Framing::Rows;
            let key = if shared { format!("{path}\n{id}") } else { path.to_owned() };
            if let Some(known) = self.account_paths.get(&key) {
                // A session that another agent takes up again: from now on it is that one's account.
                let ended = self.agents.get(known).is_none_or(|agent| agent.root_ended_ns.is_some());
                if *known == id || !ended {
                    return;
                }
            }
            self.account_paths.insert(key, id.clone());
            let Some(agent) = self.agents.get(&id) else { return };
            self.out.push(Output::FollowAccount {
                agent: id,
                path: path.to_owned(),
                format: location.format,
                cwd: agent.state.cwd.clone(),
                since_ns: agent.state.started_ns,
            });
        }
    }

    /// Only the agent's own program keeps its account: a tool that lays hands on one forges it.
    fn on_account_touched(&mut self, event: &Event, path: &str, did: &str) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(Membership { agent: id, role: Role::Action(_), .. }) = &process.member else { return };
        let Some(location) = muster_account::locate(path) else { return };
        let program = crate::action::command_texts(&process.argv).first().cloned().unwrap_or_default();
        let summary = format!(
            "a tool of it (`{}`) {did} an account of {}: `{}`",
            crate::reconcile::shorten(&program),
            location.format.name(),
            crate::reconcile::shorten(path)
        );
        let finding = Finding {
            id: finding_id(Code::AccountTampered, id, &format!("{path} {did}")),
            code: Code::AccountTampered,
            severity: Severity::High,
            stage: Stage::Conceal,
            overreach: 2,
            deception: 3,
            agent: id.clone(),
            time_ns: event.time_ns,
            summary,
            explanation: "Accounts are written by the agents' own programs. A process that a tool call started changed \
                one: what it says from there on may be forged. It would be refuted if a person had asked for this file \
                to be cleaned up or converted."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        };
        self.raise(finding);
    }

    fn on_data_dir(&mut self, event: &Event, path: &str, did: &str) {
        let Some(start) = &self.start else { return };
        let inside = path.strip_prefix(start.data_dir.as_str());
        if event.process == start.daemon
            || start.data_dir.is_empty()
            || !inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return;
        }
        // Whoever looks through all folders (`find /`) is refused at the folder itself, and has named nothing in it.
        if did == "tried to read" && inside == Some("") {
            return;
        }
        let summary = format!("{did} Muster's own file `{path}`");
        self.raise_tampering(event, &summary);
    }

    fn on_act_against_daemon(&mut self, event: &Event, target: u32, did: &str) {
        if self.start.as_ref().is_some_and(|s| s.daemon.pid == target && s.daemon != event.process) {
            self.raise_tampering(event, &format!("{did} Muster's daemon (pid {target})"));
        }
    }

    /// A file of `/proc` about the daemon: its memory, or what sets how the kernel treats it. What each tool that lists
    /// processes looks at (`lsof`, `ps e`) counts where the command names the process.
    fn on_daemons_files(&mut self, event: &Event, path: &str) {
        let Some(start) = &self.start else { return };
        let (daemon, by_daemon) = (start.daemon.pid, start.daemon == event.process);
        let Some((pid, file)) = path.strip_prefix("/proc/").and_then(|rest| rest.split_once('/')) else {
            return;
        };
        if by_daemon || pid.parse() != Ok(daemon) {
            return;
        }
        let Kind::Open { access, .. } = &event.kind else { return };
        let named = || {
            let process = self.processes.get(event.process);
            let all = process.into_iter().chain(self.processes.ancestors(event.process)).take(4);
            let folder = format!("/proc/{daemon}/");
            all.flat_map(|process| &process.argv).any(|argument| argument.contains(&folder))
        };
        let did = match file.rsplit('/').next().unwrap_or(file) {
            "mem" => "tried to reach into the memory of",
            _ if access.write => "tried to change how the kernel treats",
            _ if named() => "tried to look into",
            _ => return,
        };
        self.raise_tampering(event, &format!("{did} Muster's daemon (`/proc/{daemon}/{file}`)"));
    }

    pub(crate) fn raise_tampering(&mut self, event: &Event, summary: &str) {
        let Some(id) = self.agent_of(event.process) else { return };
        let finding = Finding {
            id: finding_id(Code::MonitorTampering, &id, summary),
            code: Code::MonitorTampering,
            severity: Severity::Critical,
            stage: Stage::Conceal,
            overreach: 3,
            deception: 2,
            agent: id,
            time_ns: event.time_ns,
            summary: summary.to_owned(),
            explanation: "An agent's lineage acted against the tool that watches it. Nothing that an agent is asked to \
                do needs this. It would be refuted if a person had asked for exactly this act on Muster."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        };
        self.raise(finding);
    }

    pub(crate) fn agent_of(&self, key: ProcessKey) -> Option<AgentId> {
        self.processes.get(key).and_then(|p| p.member.as_ref()).map(|m| m.agent.clone())
    }

    /// Makes a process a member of an agent, and tells those who must know.
    pub(crate) fn join_agent(
        &mut self,
        key: ProcessKey,
        id: &str,
        by: Attribution,
        role: Role,
        from_seq: u64,
    ) {
        let Some(process) = self.processes.get_mut(key) else { return };
        if process.member.as_ref().is_some_and(|m| m.agent == id && m.role == role) {
            return;
        }
        let new = process.member.as_ref().is_none_or(|m| m.agent != id);
        let old = process.member.replace(Membership { agent: id.to_owned(), by, role });
        process.also.retain(|member| member.agent != id);
        let ended = process.ended;
        // A child that has not executed anything yet goes on as its parent does.
        if role == Role::Harness && !process.forked && !ended {
            self.harnesses.push(key);
        }
        if !new {
            return;
        }
        if let Some(old) = old
            && let Some(agent) = self.agents.get_mut(&old.agent)
        {
            agent.live.remove(&key);
            agent.state.processes = agent.live.len() as u64;
            agent.dirty = true;
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !ended {
            agent.live.insert(key);
        }
        agent.state.processes = agent.live.len() as u64;
        agent.dirty = true;
        self.out.push(Output::Member(crate::Member { agent: id.to_owned(), process: key, from_seq, by }));
    }
}
