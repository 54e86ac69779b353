//! What must hold of the engine whatever it is told: driven by proptest here, by libFuzzer in `fuzz/`. Bytes choose from
//! small sets of pids, paths and texts, so that inputs meet; numbers may be anything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use muster_account::{Actor, Body, Class, Decision, Item, Origin, Status};
use muster_event::{
    Access, Address, Attribution, Event, Identity, Kind, Lost, ProbeState, ProcessKey, Queue, SignalTarget,
    Snapshot,
};

use crate::{
    AccountFile, AccountRecord, AgentState, Artefact, ArtefactRead, Before, Canaries, Canary, Certainty,
    Cited, Code, Coverage, Engine, Enrol, Evidence, FileAt, HooksRead, Identified, Imported, Input, Label,
    Living, Opinion, Opinions, Output, Products, Remembered, Severity, Start, State, Written, glob,
};
use crate::{Mark, MarkKind};

static PRODUCTS: LazyLock<Products> = LazyLock::new(|| Products::built_in().unwrap());

/// Inputs of one run: more say nothing new, and cost time.
const INPUTS_MAX: usize = 400;
/// Outputs of one input: each of the few processes and agents there are, some times over.
const OUTPUTS_MAX: usize = 4096;

/// Any sequence of inputs: no panic; the same outputs again; each finding once; what is told of was told before.
pub fn engine_step(bytes: &[u8]) {
    let (mut one, mut two) = (Engine::new(PRODUCTS.clone()), Engine::new(PRODUCTS.clone()));
    let mut choices = Choices { bytes, agents: Vec::new() };
    let (mut findings, mut members) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..INPUTS_MAX {
        if choices.bytes.is_empty() {
            break;
        }
        let input = choices.input();
        let opinion = matches!(input, Input::Opinion(_));
        let outputs = one.step(input.clone());
        assert_eq!(outputs, two.step(input.clone()), "the same inputs gave other outputs at {input:?}");
        assert!(outputs.len() <= OUTPUTS_MAX, "{} outputs for one input", outputs.len());
        for output in &outputs {
            match output {
                Output::Agent(state) => {
                    assert!(state.calls_joined <= state.calls, "{state:?}");
                    if !choices.agents.contains(&state.agent) {
                        choices.agents.push(state.agent.clone());
                    }
                }
                Output::Finding(finding) => {
                    let of_model = finding.code == Code::ModelOpinion && finding.severity == Severity::Info;
                    assert_eq!(of_model, opinion, "a model's opinion is that and no more: {finding:?}");
                    // What is counted comes again with its count.
                    assert!(
                        findings.insert(finding.id.clone()) || finding.code.is_sustain(),
                        "raised twice: {finding:?}"
                    );
                    assert!(finding.overreach <= 3 && finding.deception <= 3 && !finding.summary.is_empty());
                }
                Output::Member(member) => drop(members.insert((member.process, member.agent.clone()))),
                // What is certain has joined before it is told.
                Output::Descent(descent) if descent.certainty == Certainty::Certain => {
                    assert!(members.contains(&(descent.process, descent.agent.clone())), "{descent:?}");
                }
                _ => {}
            }
        }
    }
}

/// What a planted file starts: any text at any place, within bounds, and the same again.
pub fn planted_file(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let all = crate::Persistence::built_in();
    let Some(mechanism) = all.all().get(usize::from(choice) % all.all().len().max(1)) else { return };
    for path in mechanism.path.iter().take(2) {
        let read = all.read(path, &mechanism.name, &text);
        assert_eq!(read, all.read(path, &mechanism.name, &text));
        let size: usize = read.commands.iter().flatten().map(String::len).sum();
        assert!(
            read.commands.len() <= 128 && size <= 32 * 1024,
            "{} commands of {size}",
            read.commands.len()
        );
        assert!(read.commands.iter().all(|command| command.first().is_some_and(|first| !first.is_empty())));
        assert!(read.unit.is_none_or(|unit| unit.len() <= 1024));
    }
    let place = text.lines().next().unwrap_or_default();
    let known = all.at(place, &["/data/ann"]);
    assert!(known.is_none() || place.starts_with('/'));
}

/// Product data that a user edits: any text is read or refused, and patterns match or do not.
pub fn product_data(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((pattern, subject)) = text.split_once('\n') {
        assert!(glob("*", subject) && glob(subject, subject) | subject.contains('*'));
        if glob(pattern, subject) {
            assert!(glob(&format!("{pattern}*"), subject));
        }
        let _ = (PRODUCTS.is_model_request(pattern, subject), PRODUCTS.is_provider(subject));
    }
    for file in ["fuzzed.toml", "providers.toml", "daemons.toml", "services.toml"] {
        if let Err(error) = Products::with(&[(file.to_owned(), text.clone().into_owned())]) {
            assert!(error.to_string().contains(file), "an error that names no file: {error}");
        }
    }
}

/// Any command line, an argument a line: what it asks of a service is bounded and answered by itself; the script of an
/// interpreter is one of its arguments; a path that was made whole stays so.
pub fn request_line(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let argv: Vec<String> = text.split('\n').map(str::to_owned).collect();
    crate::request::check_request_line(PRODUCTS.services(), &argv);
    let path = argv.first().map_or("", String::as_str);
    if let Some(script) = crate::content::script_argument(path, &argv) {
        assert!(argv.iter().skip(1).any(|argument| argument == script));
        if let Some(whole) = crate::content::resolve("/w/a", script) {
            assert!(whole.starts_with('/') && !whole.split('/').any(|part| part == ".." || part == "."));
            assert_eq!(crate::content::resolve("/elsewhere", &whole).as_deref(), Some(whole.as_str()));
        }
    }
}

/// Any prose: claims are found in time that grows with its length, each in a sentence that is there, and no more than a
/// bound of them; any command is parsed or refused.
pub fn claim_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = crate::claims::claimed(&text);
    assert!(found.len() <= 500, "{} claims", found.len());
    for (class, sentence) in &found {
        assert!(text.contains(sentence.as_str()), "{class:?} in what was not said: {sentence}");
        assert!(sentence.len() <= 1_000);
    }
    // What is said in a fence is not said. An open fence in the text would end this one.
    if !text.contains("```") && !text.contains("~~~") {
        assert_eq!(crate::claims::claimed(&format!("```\n{text}\n```")), []);
    }
    crate::claims::parses(&text);
}

const TEXTS: &[&str] = &[
    "",
    "ls -la",
    "echo hi > a",
    "rm -rf /var/lib/muster",
    "s1",
    "new-window",
    "send-keys",
    "Enter",
    "start",
    "/w/a",
    "All done.",
    "nohup ./worker &",
    "curl http://x",
    "All tests pass. I committed and pushed the changes.",
    "I created `a` and did not modify the tests.",
    "pytest -q || true",
    "git commit -m 'All tests pass.'",
    "pytest",
    "npm test",
    "gh pr create -t x -F - <<E\nAll tests pass.\nE\n",
    "{\"title\":\"x\",\"body\":\"All tests pass. Coverage is 94%.\"}",
    "Coverage is now 94%. I was unable to push. As you approved, no errors.",
    "TOTAL 94.17% 1 failed npm ERR! missing script; the user approved it",
    "sed -i s/a/b/ test_a.py && python3 test_a.py",
];
const PATHS: &[&str] = &[
    "/usr/bin/bash",
    "/usr/bin/node",
    "/usr/bin/curl",
    "/w/a",
    "/usr/bin/tmux",
    "/usr/sbin/cron",
    "/usr/lib/systemd/systemd",
    "/usr/bin/systemd-run",
    "/var/lib/muster/ledger/00000000000000000000.log",
    "/home/u/.claude/projects/-w/01234567-89ab-cdef-0123-456789abcdef.jsonl",
    "/home/u/.codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-01234567-89ab-cdef-0123-456789abcdef.jsonl",
    "/home/u/.local/share/opencode/opencode.db",
    "/etc/systemd/system/x.service",
    "/etc/cron.d/x",
    "/w/.git/hooks/pre-commit",
    "/usr/sbin/cron",
    "",
];
const MARKERS: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_SESSION_ID",
    "CODEX_TOOL_CALL_ID",
    "CODEX_THREAD_ID",
    "OPENCODE",
    "HOME",
    "AGENT",
];
const NAMES: &[&str] = &["claude-code", "codex", "gemini-cli", "opencode", "openhands", "unknown"];

struct Choices<'a> {
    bytes: &'a [u8],
    agents: Vec<String>,
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly small, so that numbers meet; sometimes at the ends of what there is.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::from(self.byte()) << 56,
            253 => u64::from(self.byte()) << 30,
            small => u64::from(small),
        }
    }

    fn pick(&mut self, all: &[&str]) -> String {
        let at = usize::from(self.byte());
        all.get(at % all.len().max(1)).map(|text| (*text).to_owned()).unwrap_or_default()
    }

    fn text(&mut self) -> String {
        self.pick(TEXTS)
    }

    fn path(&mut self) -> String {
        self.pick(PATHS)
    }

    fn key(&mut self) -> ProcessKey {
        let byte = self.byte();
        ProcessKey { pid: u32::from(byte % 12), start_ns: u64::from(byte / 128) * 10_000_000 }
    }

    fn argv(&mut self) -> Vec<String> {
        (0..self.byte() % 4).map(|_| if self.flag() { "-c".to_owned() } else { self.text() }).collect()
    }

    fn env(&mut self) -> BTreeMap<String, String> {
        (0..self.byte() % 3).map(|_| (self.pick(MARKERS), self.text())).collect()
    }

    fn time(&mut self) -> u64 {
        match self.number() {
            small @ 0..=0xffff => 1_767_225_600_000_000_000 + small * 100_000_000,
            any => any,
        }
    }

    fn agent(&mut self) -> String {
        let at = usize::from(self.byte());
        self.agents.get(at % self.agents.len().max(1)).cloned().unwrap_or_else(|| "nobody".to_owned())
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    fn remembered(&mut self) -> Remembered {
        let agent = self.agent();
        let mechanisms = ["cron", "shell-rc", "systemd-unit", "none"];
        let artefact = |c: &mut Self| Artefact {
            id: "a-1".to_owned(),
            agent: agent.clone(),
            path: c.path(),
            mechanism: c.pick(&mechanisms),
            certainty: if c.flag() { Certainty::Certain } else { Certainty::Likely },
            time_ns: c.time(),
            process: c.key(),
            seq: c.number(),
            commands: (0..c.byte() % 4).map(|_| c.argv()).collect(),
            added: (0..c.byte() % 2).map(|_| c.argv()).collect(),
            unit: c.option(Self::text),
            gone: c.flag(),
            stood: c.option(Self::flag),
            file: None,
        };
        let artefacts = (0..self.byte() % 3).map(|_| artefact(self)).collect();
        let written = |c: &mut Self| Written {
            path: c.path(),
            seq: c.number(),
            process: c.key(),
            time_ns: c.time(),
            origin: c.option(Self::path),
        };
        let files = (0..self.byte() % 3).map(|_| written(self)).collect();
        let living =
            |c: &mut Self| Living { process: c.key(), from_seq: c.number(), by: Attribution::Artefact };
        let live = (0..self.byte() % 3).map(|_| living(self)).collect();
        let state = AgentState {
            agent: agent.clone(),
            product: "unknown".to_owned(),
            version: None,
            model: None,
            root: self.key(),
            parent: self.option(Self::agent),
            mandate: None,
            principal: None,
            label: String::new(),
            found_by: String::new(),
            uid: 0,
            command: self.argv(),
            cwd: self.path(),
            sessions: Vec::new(),
            accounts: Vec::new(),
            started_ns: self.time(),
            last_ns: self.time(),
            ended_ns: self.option(Self::time),
            state: if self.flag() { State::Ended } else { State::Running },
            stage: None,
            processes: 0,
            events: 0,
            calls: 0,
            calls_joined: 0,
            doing: String::new(),
            containment: None,
            mandate_until_ns: None,
            coverage: Coverage::default(),
        };
        Remembered { time_ns: self.time(), state: Box::new(state), artefacts, files, live }
    }

    fn input(&mut self) -> Input {
        match self.byte() % 24 {
            22 => Input::Remembered(Box::new(self.remembered())),
            20 | 21 | 23 => Input::ArtefactRead(ArtefactRead {
                agent: if self.flag() { self.agent() } else { String::new() },
                path: self.path(),
                time_ns: self.time(),
                commands: (0..self.byte() % 4).map(|_| self.argv()).collect(),
                unit: self.option(Self::text),
                marks: (0..self.byte() % 3)
                    .map(|_| Mark {
                        kind: if self.flag() { MarkKind::Conceals } else { MarkKind::Fetches },
                        text: self.text(),
                    })
                    .collect(),
                error: self.option(Self::text),
                file: self.option(|c| FileAt { path: c.path(), device: 1, inode: 2 }),
            }),
            0 => Input::Start(Start {
                time_ns: self.time(),
                host: "host".to_owned(),
                boot_id: self.text(),
                version: "0".to_owned(),
                kernel_record: self.flag(),
                daemon: self.key(),
                data_dir: "/var/lib/muster".to_owned(),
                boot_ns: self.number(),
                before: self.option(|c| Before {
                    time_ns: c.time(),
                    boot_ns: c.number(),
                    boot_id: c.text(),
                    stopped: c.flag(),
                }),
            }),
            1 => Input::Snapshot(Snapshot {
                process: self.key(),
                parent: self.option(Self::key),
                uid: 0,
                comm: self.text(),
                cgroup: self.number(),
                session: 1,
                group: 1,
                path: self.path(),
                argv: self.argv(),
                cwd: self.path(),
                env: self.env(),
                open_for_write: vec![self.path()],
            }),
            2 => Input::Lost(Lost {
                queue: Queue::Lineage,
                count: self.number(),
                from_ns: self.time(),
                to_ns: self.time(),
            }),
            3 => Input::Probe {
                time_ns: self.time(),
                state: ProbeState { probe: self.text(), error: self.option(Self::text) },
                seen_ns: self.option(Self::time),
            },
            4 | 5 => Input::Identified {
                process: self.key(),
                product: self.option(|c| Identified {
                    product: c.pick(NAMES),
                    version: c.option(Self::text),
                    by: "package".to_owned(),
                    launcher: c.flag(),
                }),
            },
            6 => Input::Enrol(Enrol {
                time_ns: self.time(),
                process: self.key(),
                cgroup: self.number(),
                principal: "u@h".to_owned(),
                label: self.text(),
                command: self.argv(),
            }),
            7..=9 => Input::Account(AccountRecord {
                agent: self.agent(),
                path: self.path(),
                offset: self.number(),
                len: self.number(),
                sha256: [0; 32],
                time_ns: self.time(),
                raw: Vec::new(),
                items: (0..self.byte() % 4).map(|_| self.item()).collect(),
            }),
            10 => Input::AccountState {
                agent: self.agent(),
                path: self.path(),
                time_ns: self.time(),
                state: match self.byte() % 8 {
                    0 => AccountFile::Opened { format: self.pick(NAMES) },
                    1 => AccountFile::Truncated { from: self.number(), to: self.number() },
                    2 => AccountFile::Rewritten { offset: self.number() },
                    3 => AccountFile::Replaced,
                    4 => AccountFile::Deleted,
                    5 => AccountFile::RowsRewritten { first: self.text(), count: self.number() },
                    6 => AccountFile::RowsDeleted { first: self.text(), count: self.number() },
                    _ => AccountFile::Unreadable { error: self.text() },
                },
            },
            11 | 12 => Input::Tick { time_ns: self.time(), boot_ns: self.number(), asleep_ns: self.number() },
            13 => Input::ClockStep { time_ns: self.time(), by_ns: self.number() as i64 },
            14 if self.byte() == 0 => Input::Stop { time_ns: self.time() },
            14 if self.flag() => Input::Hooks(Box::new(HooksRead {
                agent: self.agent(),
                time_ns: self.time(),
                intact: (0..self.byte() % 2).map(|_| self.path()).collect(),
                watched: (0..self.byte() % 3).map(|_| self.path()).collect(),
                wrong: Vec::new(),
            })),
            14 if self.flag() => Input::Canaries(Canaries {
                time_ns: self.time(),
                planted: vec![Canary { path: self.path(), kind: self.text() }],
            }),
            14 => Input::Configured { agent: self.agent(), source: self.path(), commands: vec![self.argv()] },
            15 => Input::Imported(Imported {
                time_ns: self.time(),
                product: self.pick(NAMES),
                path: self.path(),
                session: self.option(Self::text),
            }),
            16 if self.byte().is_multiple_of(8) => {
                Input::Recorded { time_ns: self.time(), source: self.path() }
            }
            16 if self.flag() => Input::Opinion(Opinions {
                agent: self.agent(),
                time_ns: self.time(),
                model: "m".to_owned(),
                endpoint: "h".to_owned(),
                skeleton: [0; 32],
                opinions: (0..self.byte() % 12).map(|_| self.opinion()).collect(),
                dropped: 0,
            }),
            _ => Input::Event(Event {
                seq: self.number(),
                time_ns: self.time(),
                boot_ns: self.number(),
                process: self.key(),
                thread: 1,
                uid: 0,
                comm: self.text(),
                cgroup: self.number(),
                kind: self.kind(),
            }),
        }
    }

    fn opinion(&mut self) -> Opinion {
        let number = usize::from(self.byte());
        let cited = Cited {
            item: "E1".to_owned(),
            text: self.text(),
            evidence: self.option(|c| Evidence::Event { seq: c.number() }),
        };
        Opinion {
            about: self.option(Self::text),
            label: Label::ALL.get(number % Label::ALL.len()).copied().unwrap_or(Label::Unclear),
            confidence: 50,
            cited: vec![cited],
            quote: self.text(),
            rationale: self.text(),
        }
    }

    fn kind(&mut self) -> Kind {
        let address = Address::Unix { path: self.path() };
        match self.byte() % 19 {
            0 | 1 => Kind::Fork { child: self.key() },
            2 | 3 => Kind::Exec {
                path: self.path(),
                script: self.option(Self::path),
                argv: self.argv(),
                argv_truncated: self.flag(),
                cwd: self.path(),
                env: self.env(),
                parent: self.key(),
                session: u32::from(self.byte()),
                group: u32::from(self.byte()),
                file: Identity { device: 1, inode: self.number() },
                anonymous: self.flag(),
            },
            4 => Kind::Exit { code: self.option(|c| i32::from(c.byte())), signal: None },
            5 | 6 => {
                let access = Access {
                    read: self.flag(),
                    write: self.flag(),
                    create: self.flag(),
                    truncate: self.flag(),
                    append: false,
                };
                Kind::Open { path: self.path(), access, result: self.number() as i64 }
            }
            7 => Kind::Rename { from: self.path(), to: self.path(), result: 0 },
            8 => Kind::Unlink { path: self.path(), directory: self.flag(), result: 0 },
            9 => Kind::Connect { address, result: 0 },
            10 => Kind::Http {
                method: "POST".to_owned(),
                target: "/v1/messages".to_owned(),
                host: None,
                address,
            },
            11 => Kind::Dns {
                name: "api.anthropic.com".to_owned(),
                record_type: "A".to_owned(),
                server: address,
            },
            12 => Kind::Signal {
                target: SignalTarget::Process(u32::from(self.byte() % 12)),
                signal: i32::from(self.byte() % 32),
                result: 0,
            },
            13 => Kind::SetSid { session: u32::from(self.byte()) },
            15 => Kind::Output {
                stream: 1,
                bytes: self.number(),
                lines: self.number(),
                whole: self.flag(),
                hashes: vec![u32::from(self.byte())],
            },
            16 => Kind::Link { from: self.path(), to: self.path(), result: 0 },
            17 => Kind::Symlink { target: self.path(), path: self.path(), result: 0 },
            14 => Kind::Bpf { command: u32::from(self.byte()), result: 0 },
            _ => Kind::Truncate { path: self.path(), length: self.number(), result: 0 },
        }
    }

    fn item(&mut self) -> Item {
        let call_id = self.text();
        let body = match self.byte() % 9 {
            0 => Body::Session {
                id: self.text(),
                version: None,
                model: self.option(Self::text),
                cwd: self.option(Self::path),
                parent: self.option(Self::text),
                authority: None,
            },
            1 => Body::Prompt { text: self.text(), origin: Origin::User },
            2 => Body::Text { text: self.text(), last: self.flag() },
            3 | 4 => Body::Call {
                call_id,
                tool: self.pick(&["Bash", "Write", "mcp__x__create_pull_request"]),
                class: match self.byte() % 8 {
                    0..=2 => Class::Execute,
                    3 | 4 => Class::Edit,
                    5 => Class::Mcp,
                    6 => Class::Delegate,
                    _ => Class::Ask,
                },
                command: self.option(Self::text),
                paths: vec![self.path()],
                cwd: self.option(Self::path),
                arguments: self.text(),
                background: self.flag(),
            },
            5 => Body::Effective { call_id, command: self.option(Self::text), arguments: String::new() },
            6 => Body::Result {
                call_id,
                status: if self.flag() { Status::Ok } else { Status::Denied },
                exit_code: self.option(|c| i32::from(c.byte())),
                output: self.text(),
                output_len: self.number(),
                process_group: self.option(|c| u32::from(c.byte())),
            },
            7 => Body::Decision {
                call_id: self.option(Self::text),
                decision: Decision::Reject,
                by: self.text(),
                reason: self.text(),
            },
            _ => Body::TurnEnd,
        };
        let actor = if self.byte().is_multiple_of(8) { Actor::Sub { id: self.text() } } else { Actor::Main };
        Item { time_ns: self.option(Self::time), actor, body }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_inputs(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            engine_step(&bytes);
        }

        #[test]
        fn any_claim_text(
            text in "((all|the|my|tests?|pass|I|committed|pushed|created|did not|if|will|and|but|`a.rs`|`|\"|“|”|\\.|:|;|\\?|\n|- |# |> |\\(|\\$\\(|\\{|\\||&&|<<|'|\\PC) ?){0,80}",
            bytes: Vec<u8>,
        ) {
            claim_text(text.as_bytes());
            claim_text(&bytes);
        }

        #[test]
        fn any_request_line(
            text in "(tmux|ssh|docker|at|systemd-run|/usr/bin/python3|bash|screen)(\n(new|run|-t|--|send-keys|stuff|Enter|localhost|./x|../a//b|-c|-|echo 'a b' \\| at now|a; b && c|\\PC{0,3})){0,12}",
            bytes: Vec<u8>,
        ) {
            request_line(text.as_bytes());
            request_line(&bytes);
        }

        #[test]
        fn any_planted_file(
            choice: u8,
            text in "(\\* |@reboot |[a-z]+|=|\"|'|\n|\t|\\[|\\]|\\{|\\}|:|,|;|#|%|\\\\|/|\\$|`|\\[Service\\]\n|ExecStart=|Exec=|RUN\\+=|command|postrotate\n|endscript\n|scripts|os\\.system\\(|\\PC){0,60}",
            bytes: Vec<u8>,
        ) {
            let mut all = vec![choice];
            all.extend(text.as_bytes());
            planted_file(&all);
            planted_file(&bytes);
        }

        #[test]
        fn any_product_data(text in "(\\*|[a-c\n]|\\[|\\]|=|\"|name|product|argv|\\PC){0,40}", bytes: Vec<u8>) {
            product_data(text.as_bytes());
            product_data(&bytes);
        }
    }

    /// Text that is made to be slow: as long as is looked at, of what a pattern or the parser might try again and again.
    #[test]
    fn hostile_text_takes_no_longer_than_other_text() {
        for piece in [
            "tests pass ",
            "the the the ",
            "all tests ",
            "`",
            "\"",
            "`a` ",
            "i have ",
            "a, ",
            "and ",
            "if ",
            "(",
            "((",
            "$(",
            "! ",
            "no other ",
            "a/",
            "a.b/",
            "created a ",
            "1",
            "\n- ",
            "passed, 1 ",
            "did not touch ",
            ". ",
            "committed ",
        ] {
            claim_text(piece.repeat(20_000 / piece.len()).as_bytes());
            // In sentences of the greatest length.
            let sentence = format!("{}. ", piece.repeat(900 / piece.len()));
            claim_text(sentence.repeat(20).as_bytes());
        }
    }
}
