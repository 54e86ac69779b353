//! What the ledger says, gathered in one pass: the newest row of each agent, its findings, what was watched and when, what
//! people and the gate decided. Each with the number of the leaf in which it stands.

use std::collections::BTreeMap;

use muster_account::Body;
use muster_engine::{AgentId, AgentState, Finding, Gap, Input, Member};
use muster_event::{Address, Event, Kind, Nanos, ProcessKey};
use muster_mandate::{ApprovalState, MandateState, Verdict};

/// Agents and findings that one assessment holds: a machine's years. What is more is counted, and said.
pub const AGENTS_MAX: usize = 1_000_000;
pub const FINDINGS_MAX: usize = 1_000_000;
/// Processes whose agent is known at a time, and approvals that wait.
const MEMBERS_MAX: usize = 1_000_000;
const WAITING_MAX: usize = 100_000;
/// Stretches in which a daemon ran, and times that are kept of one kind.
const STRETCHES_MAX: usize = 100_000;
const TIMES_MAX: usize = 1_000_000;
/// The product and label of drills: they are counted apart.
const DRILL_PRODUCT: &str = "drill-agent";
const DRILL_LABEL: &str = "drill:";

#[derive(Clone, Debug)]
pub struct Run {
    pub state: AgentState,
    /// The leaf of its newest row.
    pub leaf: u64,
    /// Its permission mode, in its product's own words, and the leaf that says so.
    pub authority: Option<(String, u64)>,
    /// The first connection that left the machine.
    pub reached: Option<u64>,
    /// When mustering it out began and when it was dead.
    pub out_begun_ns: Option<(Nanos, u64)>,
    pub out_dead_ns: Option<Nanos>,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub finding: Finding,
    pub leaf: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Approvals {
    pub asked: u64,
    pub allowed: u64,
    pub denied: u64,
    pub timed_out: u64,
    /// From question to answer, in milliseconds; and of those that allowed, the leaf of the answer.
    pub answered_ms: Vec<u64>,
    pub allowed_ms: Vec<(u64, String, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Gates {
    pub decisions: u64,
    pub denied: u64,
    pub blocked: u64,
    /// Denied, and only observed: it went on.
    pub unenforced: u64,
    pub first_leaf: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Mandates {
    pub accepted: u64,
    pub refused: u64,
    pub renewed: u64,
    pub revoked: u64,
    pub expired: u64,
    pub first_leaf: u64,
}

/// Everything that an assessment is made from.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Decisions of people and of the gate are counted from and before these; runs are chosen later.
    pub since_ns: Option<Nanos>,
    pub until_ns: Option<Nanos>,
    pub host: String,
    pub origin: String,
    /// Leaves that were read, and leaves that the newest signed checkpoint speaks of.
    pub leaves: u64,
    pub signed: Option<u64>,
    pub unknown: u64,
    pub damaged: u64,
    pub dropped: Option<(Nanos, Nanos, u64)>,
    pub runs: BTreeMap<AgentId, Run>,
    pub findings: BTreeMap<String, Told>,
    pub gaps: BTreeMap<String, (Gap, u64)>,
    /// From the start of a daemon to the last that it wrote.
    pub stretches: Vec<(Nanos, Nanos)>,
    pub kernel_record: Option<bool>,
    pub witnessed: bool,
    pub imported: u64,
    /// `None`: the ledger has none of the kind.
    pub approvals: Option<Approvals>,
    pub gates: Option<Gates>,
    pub mandates: Option<Mandates>,
    /// What found no room.
    pub beyond: u64,
    pub first_ns: Nanos,
    pub last_ns: Nanos,
    members: BTreeMap<ProcessKey, AgentId>,
    waiting: BTreeMap<String, Nanos>,
    authorities: BTreeMap<AgentId, (String, u64)>,
    live: bool,
}

impl Run {
    pub fn is_drill(&self) -> bool {
        self.state.product == DRILL_PRODUCT || self.state.label.starts_with(DRILL_LABEL)
    }
}

impl Facts {
    /// Told of every input and event: the clock of the ledger.
    pub fn time(&mut self, time_ns: Nanos) {
        if self.first_ns == 0 {
            self.first_ns = time_ns;
        }
        self.last_ns = self.last_ns.max(time_ns);
        if self.live
            && let Some((_, to)) = self.stretches.last_mut()
        {
            *to = (*to).max(time_ns);
        }
    }

    pub fn input(&mut self, at: u64, input: &Input) {
        match input {
            // Accounts of imported runs have times of their own; the pass goes by when they were read.
            Input::Start(start) => {
                if self.first_ns == 0 {
                    self.first_ns = start.time_ns;
                }
                self.host.clone_from(&start.host);
                self.kernel_record = Some(start.kernel_record && self.kernel_record.unwrap_or(true));
                if self.stretches.len() < STRETCHES_MAX {
                    self.stretches.push((start.time_ns, start.time_ns));
                    self.live = true;
                }
            }
            Input::Imported(_) | Input::Recorded { .. } => {
                self.imported += 1;
                self.live = false;
            }
            _ => {}
        }
        if let Some(time_ns) = input.time_ns() {
            self.time(time_ns);
        }
        match input {
            Input::Stop { .. } => self.live = false,
            Input::Account(record) => {
                let named = record.items.iter().filter_map(|item| match &item.body {
                    Body::Session { authority: Some(authority), .. } => Some(authority.clone()),
                    _ => None,
                });
                for authority in named {
                    // The widest that it ever had counts.
                    let known = self.authorities.get(&record.agent);
                    if known.is_none_or(|(before, _)| !skips_permissions(before))
                        && (known.is_some() || self.authorities.len() < AGENTS_MAX)
                    {
                        self.authorities.insert(record.agent.clone(), (authority, at));
                    }
                }
            }
            Input::Containment(step) => {
                if let Some(run) = self.runs.get_mut(&step.agent) {
                    match (step.step.as_str(), step.state.as_str()) {
                        (_, "begun") if run.out_begun_ns.is_none() => {
                            run.out_begun_ns = Some((step.time_ns, at));
                        }
                        ("kill", "done") if run.out_dead_ns.is_none() => run.out_dead_ns = Some(step.time_ns),
                        _ => {}
                    }
                }
            }
            Input::Mandate(note) if self.within(note.time_ns) => {
                let counts =
                    self.mandates.get_or_insert_with(|| Mandates { first_leaf: at, ..Mandates::default() });
                match note.state {
                    MandateState::Accepted => counts.accepted += 1,
                    MandateState::Refused => counts.refused += 1,
                    MandateState::Renewed => counts.renewed += 1,
                    MandateState::Revoked => counts.revoked += 1,
                    MandateState::Expired => counts.expired += 1,
                }
            }
            Input::Gate(note) if self.within(note.time_ns) => {
                let counts = self.gates.get_or_insert_with(|| Gates { first_leaf: at, ..Gates::default() });
                let times = note.count.max(1);
                counts.decisions += times;
                if note.decision.verdict == Verdict::Deny {
                    counts.denied += times;
                    counts.unenforced += if note.enforced { 0 } else { times };
                }
                counts.blocked += if note.blocked { times } else { 0 };
            }
            Input::Approval(note) if self.within(note.time_ns) => self.approval(at, note),
            Input::Mandate(_) | Input::Gate(_) | Input::Approval(_) => {}
            Input::Start(_)
            | Input::Review(_)
            | Input::Hooks(_)
            | Input::Canaries(_)
            | Input::Remembered(_)
            | Input::Snapshot(_)
            | Input::Event(_)
            | Input::Lost(_)
            | Input::Probe { .. }
            | Input::Identified { .. }
            | Input::Enrol(_)
            | Input::AccountState { .. }
            | Input::Tick { .. }
            | Input::ClockStep { .. }
            | Input::Configured { .. }
            | Input::Imported(_)
            | Input::Recorded { .. }
            | Input::Opinion(_)
            | Input::ArtefactRead(_) => {}
        }
    }

    fn within(&self, time_ns: Nanos) -> bool {
        self.since_ns.is_none_or(|since| time_ns >= since)
            && self.until_ns.is_none_or(|until| time_ns < until)
    }

    fn approval(&mut self, at: u64, note: &muster_mandate::ApprovalNote) {
        let counts = self.approvals.get_or_insert_default();
        match note.state {
            ApprovalState::Asked => {
                counts.asked += note.count.max(1);
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.insert(note.id.clone(), note.time_ns);
                }
                return;
            }
            ApprovalState::Answered(verdict) => {
                let waited =
                    self.waiting.get(&note.id).map(|asked| note.time_ns.saturating_sub(*asked) / 1_000_000);
                if let Some(ms) = waited.filter(|_| counts.answered_ms.len() < TIMES_MAX) {
                    counts.answered_ms.push(ms);
                    if verdict == Verdict::Allow {
                        counts.allowed_ms.push((ms, note.id.clone(), at));
                    }
                }
                match verdict {
                    Verdict::Allow => counts.allowed += 1,
                    Verdict::Ask | Verdict::Deny => counts.denied += 1,
                }
            }
            ApprovalState::TimedOut => counts.timed_out += 1,
            ApprovalState::Withdrawn => {}
        }
        self.waiting.remove(&note.id);
    }

    pub fn member(&mut self, member: &Member) {
        if self.members.len() < MEMBERS_MAX || self.members.contains_key(&member.process) {
            self.members.insert(member.process, member.agent.clone());
        }
    }

    /// Whether an event of this kind and process is worth reading whole.
    pub fn wants(&self, kind: &str, process: ProcessKey) -> bool {
        matches!(kind, "connect" | "exit")
            && self.members.get(&process).is_some_and(|agent| {
                kind == "exit" || self.runs.get(agent).is_none_or(|run| run.reached.is_none())
            })
    }

    pub fn event(&mut self, at: u64, event: &Event) {
        let leaves = match &event.kind {
            Kind::Connect { address: Address::Ip { ip, .. }, result } => {
                // In progress counts: the network's answer comes later.
                const IN_PROGRESS: i64 = -115;
                !ip.is_loopback() && !ip.is_unspecified() && (*result == 0 || *result == IN_PROGRESS)
            }
            Kind::Exit { .. } => {
                self.members.remove(&event.process);
                false
            }
            _ => false,
        };
        if leaves
            && let Some(run) = self.members.get(&event.process).and_then(|agent| self.runs.get_mut(agent))
            && run.reached.is_none()
        {
            run.reached = Some(at);
        }
    }

    pub fn agent(&mut self, at: u64, state: &AgentState) {
        if let Some(run) = self.runs.get_mut(&state.agent) {
            run.state = state.clone();
            run.leaf = at;
        } else if self.runs.len() < AGENTS_MAX {
            let run = Run {
                state: state.clone(),
                leaf: at,
                authority: None,
                reached: None,
                out_begun_ns: None,
                out_dead_ns: None,
            };
            self.runs.insert(state.agent.clone(), run);
        } else {
            self.beyond += 1;
        }
    }

    pub fn finding(&mut self, at: u64, finding: &Finding) {
        if let Some(told) = self.findings.get_mut(&finding.id) {
            // Where it was told first stays its leaf.
            told.finding = finding.clone();
        } else if self.findings.len() < FINDINGS_MAX {
            self.findings.insert(finding.id.clone(), Told { finding: finding.clone(), leaf: at });
        } else {
            self.beyond += 1;
        }
    }

    pub fn gap(&mut self, at: u64, gap: &Gap) {
        if self.gaps.len() < FINDINGS_MAX || self.gaps.contains_key(&gap.id) {
            self.gaps.insert(gap.id.clone(), (gap.clone(), at));
        } else {
            self.beyond += 1;
        }
    }

    /// After the last entry.
    pub fn done(&mut self) {
        for (agent, authority) in std::mem::take(&mut self.authorities) {
            if let Some(run) = self.runs.get_mut(&agent) {
                run.authority = Some(authority);
            }
        }
        self.members.clear();
        self.waiting.clear();
    }
}

/// Modes in which a product asks nobody before it acts and confines nothing, in the products' own words.
pub fn skips_permissions(authority: &str) -> bool {
    let lower = authority.to_ascii_lowercase();
    let asks = lower.contains("approval on-request") || lower.contains("approval untrusted");
    ["bypasspermissions", "yolo", "neverconfirm"].iter().any(|word| lower.contains(word))
        || (lower.contains("danger") && !asks)
}

/// … and the words on a command line that ask for one.
pub const SKIPPING_FLAGS: [&str; 6] = [
    "--dangerously-skip-permissions",
    "--allow-dangerously-skip-permissions",
    "--dangerously-bypass-approvals-and-sandbox",
    "--yolo",
    "--full-auto",
    "--approval-mode=yolo",
];
