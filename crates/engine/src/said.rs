//! What the accounts say: keeps each agent's calls, results, sessions and prose.

use muster_account::{Actor, Body, Class, Decision, Item, Origin, Status, command_output};
use muster_event::{Nanos, OutputText};

use crate::agent::{Call, CallResult, End, NAMED_MAX};
use crate::chain::Link;
use crate::denial::is_persons;
use crate::engine::{Engine, finding_id};
use crate::input::{AccountFile, AccountRecord};
use crate::orphan::Orphan;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// What an agent says when it ends may have a time a little later.
const LATE_NS: Nanos = 5_000_000_000;
/// Arguments of a call that are kept, in bytes: files that a call writes are longer, and are in the ledger.
const ARGUMENTS_MAX: usize = 2 * 1024;

impl Engine {
    pub(crate) fn on_account(&mut self, record: AccountRecord) {
        self.time_ns = self.time_ns.max(record.time_ns);
        let evidence =
            Evidence::Account { path: record.path.clone(), offset: record.offset, sha256: record.sha256 };
        let Some(agent) = self.agents.get_mut(&record.agent) else { return };
        agent.account_read_ns = Some(record.time_ns);
        // What a product notes for itself, also at its end, is no word of the agent.
        let words = record
            .items
            .iter()
            .filter(|item| {
                !matches!(item.body, Body::Other { .. } | Body::Link { .. } | Body::Session { .. })
            })
            .map(|item| item.time_ns.unwrap_or(record.time_ns).min(record.time_ns));
        if let Some(said_ns) = words.max() {
            agent.said_ns = agent.said_ns.max(said_ns);
            agent.last_record = Some(evidence.clone());
        }
        agent.chain.opened(&record.path, record.offset);
        let link = record.items.iter().find_map(|item| match &item.body {
            Body::Link { record: own, after, ordinal } => Some(Link {
                record: own.as_deref(),
                after: after.as_deref(),
                ordinal: *ordinal,
                time_ns: item.time_ns.unwrap_or(record.time_ns),
            }),
            _ => None,
        });
        if let Some(link) = link {
            self.note_link(&record, &link);
        }
        let Some(agent) = self.agents.get_mut(&record.agent) else { return };
        agent.state.coverage.account = true;
        agent.name_account(&record.path);
        agent.dirty = true;
        let mut called = false;
        for item in record.items {
            called |= matches!(item.body, Body::Call { .. } | Body::Effective { .. } | Body::Result { .. });
            self.note_said(&record.agent, record.time_ns, &evidence, &item);
            self.on_item(&record.agent, record.time_ns, &evidence, item);
        }
        if called {
            self.match_call(&record.agent);
            self.match_writes(&record.agent);
        }
    }

    fn on_item(&mut self, id: &str, read_ns: Nanos, evidence: &Evidence, item: Item) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let time_ns = item.time_ns.unwrap_or(read_ns);
        // Said after its end: by another run, which goes on with the same session.
        if !agent.imported && agent.root_ended_ns.is_some_and(|at| time_ns > at.saturating_add(LATE_NS)) {
            return;
        }
        if let (true, Some(said_ns)) = (agent.imported, item.time_ns) {
            let state = &mut agent.state;
            // It began with the first thing it said, as far as anybody can tell.
            let first = state.ended_ns.is_none();
            state.started_ns = if first { said_ns } else { state.started_ns.min(said_ns) };
            state.last_ns = if first { said_ns } else { state.last_ns.max(said_ns) };
            state.ended_ns = Some(state.last_ns);
        }
        match item.body {
            Body::Session { id: session, version, model, cwd, parent: _, authority: _ } => {
                let room = agent.state.sessions.len() < NAMED_MAX;
                if room && !session.is_empty() && !agent.state.sessions.contains(&session) {
                    agent.state.sessions.push(session.clone());
                    self.sessions.insert(session, id.to_owned());
                }
                agent.state.version = version.or(agent.state.version.take());
                agent.state.model = model.or(agent.state.model.take());
                if let Some(cwd) = cwd.filter(|_| agent.state.cwd.is_empty()) {
                    agent.state.cwd = cwd;
                }
            }
            Body::Prompt { text, origin } => {
                // What a product or another agent puts in tells no reader.
                let by_person = matches!(origin, Origin::User | Origin::Sdk | Origin::Unknown);
                agent.told.push(time_ns, by_person, &text);
                let of_this_run = time_ns.saturating_add(1_000_000_000) >= agent.state.started_ns;
                if by_person && item.actor == Actor::Main {
                    agent.wishes.push(time_ns, &text);
                }
                if by_person && of_this_run {
                    let first = agent.first_prompt_ns.map_or(time_ns, |first| first.min(time_ns));
                    agent.first_prompt_ns = Some(first);
                }
            }
            Body::Text { text, last } => {
                agent.told.push(time_ns, true, &text);
                agent.heard.message(&text, time_ns, read_ns, evidence);
                if last {
                    agent.turn_end_ns = Some(time_ns);
                }
            }
            Body::Thinking { .. } => {}
            Body::Call { call_id, tool, class, command, paths, cwd, mut arguments, background } => {
                if agent.call_by_id.contains_key(&call_id) {
                    return;
                }
                // Calls of an earlier run (a resumed session) are older than the agent: what became of them is not this one's.
                let of_this_run =
                    agent.imported || time_ns.saturating_add(1_000_000_000) >= agent.state.started_ns;
                if let Some(command) = &command {
                    agent.told.push(time_ns, false, command);
                    agent.state.doing = shorten(command);
                } else {
                    agent.state.doing = match paths.first() {
                        Some(path) => format!("{tool} {}", shorten(path)),
                        None => tool.clone(),
                    };
                }
                if of_this_run && matches!(class, Class::Execute | Class::Edit | Class::Delete | Class::Move)
                {
                    agent.first_call_ns =
                        Some(agent.first_call_ns.map_or(time_ns, |first| first.min(time_ns)));
                }
                if of_this_run {
                    agent.turn_end_ns = None;
                    agent.state.calls += 1;
                }
                arguments.truncate(arguments.floor_char_boundary(ARGUMENTS_MAX));
                let named = of_this_run.then(|| (tool.clone(), arguments.clone()));
                let index = agent.add_call(Call {
                    call_id,
                    tool,
                    class,
                    command,
                    effective: None,
                    paths,
                    cwd,
                    arguments,
                    background,
                    time_ns,
                    read_ns,
                    result: None,
                    evidence: evidence.clone(),
                    joined: None,
                    denied: false,
                    allowed_by_person: false,
                    actions: Vec::new(),
                    decided: false,
                });
                if of_this_run {
                    self.note_retry_call(id, index);
                    self.note_command_impact(id, index);
                } else {
                    agent.close_call(index);
                }
                if let Some((tool, arguments)) = named {
                    self.note_tool(id, &tool, &arguments, evidence.clone(), read_ns);
                }
            }
            Body::Effective { call_id, command, arguments: _ } => {
                if let Some(call) = agent.call_by_id.get(&call_id).and_then(|i| agent.calls.get_mut(i)) {
                    call.effective = command;
                }
            }
            Body::Result { .. } => self.on_result(id, time_ns, read_ns, evidence, item.body),
            Body::Decision { call_id: Some(call_id), decision, by, reason: _ } => {
                if decision == Decision::Reject {
                    self.note_denied(id, &call_id, &by, time_ns, evidence);
                } else if is_persons(decision, &by)
                    && let Some(call) = agent.call_by_id.get(&call_id).and_then(|i| agent.calls.get_mut(i))
                {
                    call.allowed_by_person = true;
                }
            }
            Body::TurnEnd => agent.turn_end_ns = Some(time_ns),
            Body::Decision { call_id: None, .. } | Body::Other { .. } | Body::Link { .. } => {}
        }
    }

    fn on_result(&mut self, id: &str, time_ns: Nanos, read_ns: Nanos, evidence: &Evidence, body: Body) {
        let Body::Result { call_id, status, exit_code, output, output_len, process_group: _ } = body else {
            return;
        };
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.heard.result(&output, output_len);
        if status == Status::Denied {
            self.note_denied(id, &call_id, "", time_ns, evidence);
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(index) = agent.call_by_id.get(&call_id).copied() else {
            let output = output.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().to_owned();
            let path = match evidence {
                Evidence::Account { path, .. } => path.clone(),
                Evidence::Event { .. } | Evidence::Process { .. } => String::new(),
            };
            let evidence = evidence.clone();
            self.note_orphan(id, Orphan { call_id, path, time_ns, read_ns, output, evidence });
            return;
        };
        let Some(call) = agent.calls.get_mut(&index) else { return };
        // What ended before the agent began (a resumed session) was never seen.
        let seen = time_ns >= agent.state.started_ns;
        let ended = matches!(status, Status::Ok | Status::Failed);
        let compared = !agent.imported && seen && ended && call.class == Class::Execute;
        // Of what is longer, only the beginning is here.
        let shown = (compared && output_len <= Item::OUTPUT_MAX as u64)
            .then(|| command_output(form_of(&agent.state.product, evidence), &output))
            .flatten()
            .map(|output| OutputText::new(&output).lines);
        let end = End { time_ns, read_ns, status, exit_code, shown, evidence: evidence.clone() };
        match &mut call.result {
            None => {
                let evidence = evidence.clone();
                call.result = Some(CallResult { time_ns, read_ns, status, evidence, end });
            }
            // What had gone on has ended now.
            Some(result) if result.end.status == Status::Running => result.end = end,
            // Told again, and otherwise: what it says last is what a reader sees.
            Some(result) if exit_code.is_some() && result.end.exit_code != exit_code => result.end = end,
            Some(_) => return,
        }
        if compared {
            agent.open_result(index);
        }
    }

    pub(crate) fn on_account_state(&mut self, id: &str, path: &str, time_ns: Nanos, state: AccountFile) {
        self.time_ns = self.time_ns.max(time_ns);
        let Some(agent) = self.agents.get_mut(id) else { return };
        let did = match state {
            AccountFile::Opened { format: _ } => {
                agent.name_account(path);
                agent.dirty = true;
                return;
            }
            AccountFile::Unreadable { error } => {
                if agent.state.coverage.unreadable.len() < NAMED_MAX {
                    let named = format!("{path}: {error}");
                    if !agent.state.coverage.unreadable.contains(&named) {
                        agent.state.coverage.unreadable.push(named);
                    }
                }
                agent.dirty = true;
                return;
            }
            AccountFile::Truncated { from, to } => format!("was cut from {from} to {to} bytes"),
            AccountFile::Rewritten { offset } => {
                format!("was changed at byte {offset}, which had been read before")
            }
            AccountFile::Replaced => "was replaced by another file".to_owned(),
            AccountFile::Deleted => "was deleted".to_owned(),
            AccountFile::RowsRewritten { first, count } => {
                format!("was changed in {} that had been read before", rows(&first, count))
            }
            AccountFile::RowsDeleted { first, count } => {
                format!("lost {} that had been read before", rows(&first, count))
            }
        };
        let finding = Finding {
            id: finding_id(Code::AccountTampered, id, &format!("{path} {did}")),
            code: Code::AccountTampered,
            severity: Severity::High,
            stage: Stage::Conceal,
            overreach: 2,
            deception: 3,
            agent: id.to_owned(),
            time_ns,
            summary: format!("its account `{}` {did}", shorten(path)),
            explanation: "An account only grows while its agent runs. What Muster had read of it before is kept in the \
                ledger. It would be refuted by a clean-up that the product itself does, or that a person did."
                .to_owned(),
            evidence: vec![Evidence::Account { path: path.to_owned(), offset: 0, sha256: [0; 32] }],
        };
        self.raise(finding);
    }
}

/// Whose way of showing outputs this account has: its product's, or that of the product whose form and place it keeps to.
fn form_of<'a>(product: &'a str, evidence: &Evidence) -> &'a str {
    let Evidence::Account { path, .. } = evidence else { return product };
    match product.parse::<muster_account::Format>() {
        Ok(_) => product,
        Err(_) => muster_account::locate(path).map_or(product, |location| location.format.name()),
    }
}

/// Rows of a database, for a summary.
fn rows(first: &str, count: u64) -> String {
    match count.saturating_sub(1) {
        0 => format!("the row `{}`", shorten(first)),
        more => format!("the row `{}` and {more} more", shorten(first)),
    }
}
