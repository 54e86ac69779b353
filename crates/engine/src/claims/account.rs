//! What an account shows of the work by itself: calls and what they came to, who asked for what. The other thing that a
//! claim can be held against; all there is where no sensor watched.

use std::collections::VecDeque;
use std::sync::LazyLock;

use muster_account::{Actor, Body, Class as Tool, Decision, Item, Origin, Status};
use muster_event::Nanos;
use regex::Regex;

use crate::Evidence;
use crate::claims::command::{Attempt, attempts, edited, foreign_host, is_idle, reached};
use crate::claims::measured::Numbers;
use crate::claims::prose::{head, regex};
use crate::claims::runner::{self, Purpose, Suite};
use crate::reconcile::shorten;
use crate::shell::Shell;

/// Entries kept of each kind, the newest: a day of a busy session has fewer.
const KEPT: usize = 500;
/// Texts of files that it wrote, kept because a later command may send them on.
const WRITTEN_MAX: usize = 16;
/// What others said of approvals: the first tell.
const RELAYED_MAX: usize = 64;
/// Texts of its user that are kept, the newest.
const USER_MAX: usize = 100;
/// Of one text that is looked at, in bytes.
pub(crate) const TEXT_MAX: usize = 16 * 1024;

/// When a thing was told: by the account's clock, and in the order in which it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub time_ns: Nanos,
    nth: u64,
}

/// A run by the text of a call.
#[derive(Clone, Debug)]
pub(crate) struct AccountRun {
    pub call_id: String,
    pub purpose: Purpose,
    pub suite: Suite,
    pub selected: bool,
    pub name: String,
    pub masked: Option<&'static str>,
    /// Nothing else in the command can have made it fail.
    pub alone: bool,
    pub place: Place,
    pub evidence: Evidence,
    /// Of the whole command, as the account gives it.
    pub status: Option<i32>,
    /// Its output has the summary of a runner, with failures.
    pub shows_failures: bool,
    /// Its output says that there were no tests to run.
    pub lacks: bool,
}

/// A file that a call changes.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub call_id: String,
    pub path: String,
    pub test: bool,
    pub source: bool,
    /// It was there before.
    pub again: bool,
    pub place: Place,
    pub evidence: Evidence,
    /// It was denied, or failed.
    pub void: bool,
}

/// A call that has something to do with others: the network, or what takes work elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub call_id: String,
    pub what: String,
    /// By its words, it may push, or commit.
    pub may_push: bool,
    pub may_commit: bool,
    pub place: Place,
    pub evidence: Evidence,
    pub status: Status,
}

impl Reach {
    fn new(call_id: &str, what: &str, place: Place, evidence: &Evidence) -> Self {
        Reach {
            call_id: call_id.to_owned(),
            what: shorten(what),
            may_push: false,
            may_commit: false,
            place,
            evidence: evidence.clone(),
            status: Status::Unknown,
        }
    }
}

/// A call that failed or was denied.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub kinds: Vec<Attempt>,
    pub what: String,
    pub place: Place,
    pub evidence: Evidence,
    pub denied: bool,
}

/// Something that was said, in lowercase.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub text: String,
    pub place: Place,
    pub evidence: Evidence,
}

#[derive(Default)]
pub(crate) struct Account {
    next: u64,
    pub runs: VecDeque<AccountRun>,
    pub edits: VecDeque<Edit>,
    /// Reaches beyond this machine.
    pub network: VecDeque<Reach>,
    /// Calls whose text has to do with committing or pushing, or with what may do so.
    pub publishing: VecDeque<Reach>,
    pub failures: VecDeque<Failure>,
    /// What its user said and answered.
    pub user: VecDeque<Words>,
    /// Not all of it is kept.
    pub user_cut: bool,
    /// Where others tell of an approval: the output of a tool, a sub-agent, a text of the harness.
    pub relayed: VecDeque<Words>,
    /// Approvals by a user that are on record.
    pub approvals: VecDeque<Words>,
    pub numbers: Numbers,
    written: VecDeque<(String, String)>,
    /// Something of it is not kept.
    pub clipped: bool,
    /// It goes on from another, or from an earlier run: what was done there is not in it.
    pub continues: bool,
    /// The agent itself speaks in it, not only a sub-agent of it.
    pub main: bool,
}

/// The end of a run of tests with failures, as runners write it.
static FAILURES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?m)^=+ .*\b[1-9]\d* (?:failed|errors?)\b.*=+$|^[1-9]\d* failed\b|^FAILED \((?:failures|errors)=|^test result: FAILED|^Tests:\s+[1-9]\d* failed|^\s*[1-9]\d* (?:failing|failed)$|^--- FAIL: |^FAIL\s|^# fail [1-9]|^not ok \d[^#\n]*$|\bTests run: \d+, Failures: [1-9]|\b[1-9]\d* (?:examples?|tests?), [1-9]\d* failures?\b",
    )
});
/// There was nothing to run.
static LACKS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?im)missing script|no test specified|^(?:error: )?no tests? (?:found|ran|collected|to run)|^=+ no tests ran|^collected 0 items|no rule to make target|^\S*(?:sh|bash|zsh|dash): .*(?:not found|no such file or directory)|^\S*python\S*: (?:no module named|can't open file)|^error: file or directory not found|^ran 0 tests|no test files",
    )
});
static APPROVAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)(?-u:\b)(?:users?|admins?|administrators?|owners?|operators?|maintainers?|managers?|team|human|supervisor) (?:has |have |had |already |explicitly |also )*(?:approved|authori[sz]ed|allowed|permitted|granted|agreed|consented|gave (?:its |their |his |her )?(?:permission|approval))(?-u:\b)|(?-u:\b)(?:pre-?approved|approval (?:is |was |has been )?granted|permission (?:is |was |has been )?granted|you (?:are|have been) (?:hereby )?(?:authori[sz]ed|allowed|permitted|approved)|has been (?:approved|authori[sz]ed))(?-u:\b)",
    )
});
/// Words of what may push, and of what may commit, by whatever means.
static MAY_PUSH: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)push|deploy|release|publish|\bship|\bsync|\b(?:make|just|task|npm run|pnpm|yarn|jj|hg|svn|gt|glab|gh|hub)\b",
    )
});
static MAY_COMMIT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)commit|release|publish|\bsync|\b(?:merge|rebase|make|just|task|npm run|npm version|pnpm|yarn|jj|hg|svn|gt|gh)\b|cherry-pick|\bgit (?:[^;&|]* )?(?:am|pull|revert|stash|subtree|submodule)\b",
    )
});

/// Does a tool that writes whole files say that there was one before? In the words of Claude Code and of Gemini CLI, at
/// the beginning: what follows may be the text of the file.
fn is_replaced(output: &str) -> bool {
    let line = output.lines().next().unwrap_or_default();
    line.starts_with("The file ") && line.contains(" has been updated")
        || line.starts_with("Successfully overwrote file: ")
}

impl Account {
    /// The place of what is told now.
    pub fn place(&mut self, time_ns: Nanos) -> Place {
        self.next += 1;
        Place { time_ns, nth: self.next }
    }

    fn keep<T>(list: &mut VecDeque<T>, entry: T, clipped: &mut bool) {
        list.push_back(entry);
        if list.len() > KEPT {
            list.pop_front();
            *clipped = true;
        }
    }

    /// Notes what an item of the account tells, other than its claims. `call`: the call that a result is of.
    pub fn note(
        &mut self,
        item: &Item,
        place: Place,
        evidence: &Evidence,
        shell: Option<&Shell>,
        call: Option<&crate::agent::Call>,
    ) {
        self.main |=
            item.actor == Actor::Main && !matches!(item.body, Body::Session { .. } | Body::Other { .. });
        match &item.body {
            Body::Session { parent: Some(_), .. } => self.continues = true,
            Body::Call { call_id, tool, class, command, paths, arguments, cwd, .. } => {
                let text = command.as_deref().unwrap_or(arguments);
                if !matches!(class, Tool::Edit | Tool::Read | Tool::Search | Tool::Plan | Tool::Think) {
                    let seen = head(text, TEXT_MAX);
                    let unseen = seen.len() < text.len();
                    let may_push = unseen || MAY_PUSH.is_match(seen);
                    let may_commit = unseen || MAY_COMMIT.is_match(seen);
                    if may_push || may_commit {
                        let reach =
                            Reach { may_push, may_commit, ..Reach::new(call_id, text, place, evidence) };
                        Self::keep(&mut self.publishing, reach, &mut self.clipped);
                    }
                }
                if let Some(shell) = shell {
                    self.command(call_id, shell, cwd.as_deref().unwrap_or_default(), place, evidence);
                }
                match class {
                    Tool::Edit | Tool::Delete | Tool::Move => {
                        let anew =
                            tool.eq_ignore_ascii_case("write") || tool == "write_file" || tool == "create";
                        for path in paths {
                            // A patch names what it adds.
                            let added = anew || arguments.contains(&format!("Add File: {path}"));
                            self.edit(call_id, path, !added, place, evidence);
                            self.written(path, arguments);
                        }
                    }
                    Tool::Fetch => {
                        if let Some(host) = foreign_host(arguments) {
                            self.reach(call_id, &host, place, evidence);
                        } else if !arguments.contains("://") {
                            self.reach(call_id, &format!("{tool} {arguments}"), place, evidence);
                        }
                    }
                    _ => {}
                }
            }
            Body::Result { call_id, status, exit_code, output, output_len, .. } => {
                self.result(call_id, *status, *exit_code, output, place, evidence, call);
                if *output_len > output.len() as u64 {
                    self.numbers.forget();
                }
            }
            Body::Prompt { text, origin } => {
                self.numbers.told(head(text, TEXT_MAX));
                let of_user = matches!(origin, Origin::User | Origin::Sdk | Origin::Unknown);
                if item.actor == Actor::Main && of_user {
                    self.user_said(text, place, evidence);
                } else {
                    self.relay(text, place, evidence);
                }
            }
            Body::Decision { decision: Decision::Accept, by, reason, .. } if by.contains("user") => {
                let words = Words { text: reason.to_lowercase(), place, evidence: evidence.clone() };
                Self::keep(&mut self.approvals, words, &mut self.clipped);
            }
            Body::Decision { .. }
            | Body::Session { .. }
            | Body::Text { .. }
            | Body::Thinking { .. }
            | Body::Effective { .. }
            | Body::TurnEnd
            | Body::Link { .. }
            | Body::Other { .. } => {}
        }
    }

    fn command(&mut self, call_id: &str, shell: &Shell, folder: &str, place: Place, evidence: &Evidence) {
        let inner = || shell.commands.iter().filter(|s| !s.wraps);
        let others = inner().filter(|s| !is_idle(s)).count();
        let mut folder = folder.to_owned();
        for simple in inner() {
            if let [cd, to, ..] = simple.words.as_slice()
                && cd == "cd"
            {
                folder.clone_from(to);
            }
            if let Some(host) = reached(simple) {
                self.reach(call_id, &host, place, evidence);
            }
            for path in simple.written.iter().chain(edited(simple)) {
                if !path.starts_with("/dev/") {
                    let again = !simple.written.contains(path) || self.edits.iter().any(|e| e.path == *path);
                    self.edit(call_id, path, again, place, evidence);
                    if let Some(text) = &simple.heredoc {
                        self.written(path, text);
                    }
                }
            }
            let Some(runner) = runner::recognise(&simple.words) else { continue };
            let run = AccountRun {
                call_id: call_id.to_owned(),
                purpose: runner.purpose,
                suite: runner::suite(&simple.words, &folder),
                selected: runner.selected,
                name: shorten(&simple.words.join(" ")),
                masked: simple.masked.or((!shell.whole).then_some("the command could not be read whole")),
                alone: others == 1,
                place,
                evidence: evidence.clone(),
                status: None,
                shows_failures: false,
                lacks: false,
            };
            Self::keep(&mut self.runs, run, &mut self.clipped);
        }
    }

    fn edit(&mut self, call_id: &str, path: &str, again: bool, place: Place, evidence: &Evidence) {
        let known = self.edits.iter().any(|e| !e.void && e.path == path);
        let test = runner::is_test_file(path);
        let edit = Edit {
            call_id: call_id.to_owned(),
            path: path.to_owned(),
            test,
            source: test || super::observe::is_source(path),
            again: again || known,
            place,
            evidence: evidence.clone(),
            void: false,
        };
        Self::keep(&mut self.edits, edit, &mut self.clipped);
    }

    fn reach(&mut self, call_id: &str, what: &str, place: Place, evidence: &Evidence) {
        Self::keep(&mut self.network, Reach::new(call_id, what, place, evidence), &mut self.clipped);
    }

    fn user_said(&mut self, text: &str, place: Place, evidence: &Evidence) {
        let kept = head(text, TEXT_MAX);
        self.user_cut |= kept.len() < text.len();
        self.user.push_back(Words { text: kept.to_lowercase(), place, evidence: evidence.clone() });
        if self.user.len() > USER_MAX {
            self.user.pop_front();
            self.user_cut = true;
        }
    }

    /// Somebody else tells of an approval.
    fn relay(&mut self, text: &str, place: Place, evidence: &Evidence) {
        if self.relayed.len() < RELAYED_MAX
            && let Some(found) = APPROVAL.find(head(text, TEXT_MAX))
        {
            let text = found.as_str().to_lowercase();
            self.relayed.push_back(Words { text, place, evidence: evidence.clone() });
        }
    }

    fn written(&mut self, path: &str, text: &str) {
        self.written.push_back((path.to_owned(), head(text, TEXT_MAX).to_owned()));
        if self.written.len() > WRITTEN_MAX {
            self.written.pop_front();
        }
    }

    /// The text that it last wrote to a file: as the arguments of its call, or of a heredoc.
    pub fn text_of(&self, path: &str) -> Option<&str> {
        let name = crate::roll::name_of(path);
        self.written
            .iter()
            .rev()
            .find(|(to, _)| crate::roll::name_of(to) == name)
            .map(|(_, text)| text.as_str())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a result")]
    fn result(
        &mut self,
        call_id: &str,
        status: Status,
        exit_code: Option<i32>,
        output: &str,
        place: Place,
        evidence: &Evidence,
        call: Option<&crate::agent::Call>,
    ) {
        let output = head(output, TEXT_MAX);
        let known = exit_code.or(match status {
            Status::Ok => Some(0),
            Status::Failed | Status::TimedOut | Status::Killed => Some(1),
            Status::Denied | Status::NotRun | Status::Running | Status::Unknown => None,
        });
        for run in self.runs.iter_mut().filter(|r| r.call_id == call_id) {
            run.status = known;
            run.shows_failures = FAILURES.is_match(output);
            run.lacks = LACKS.is_match(output);
        }
        let class = call.map(|call| call.class);
        let failed = known.is_some_and(|status| status != 0);
        let denied = matches!(status, Status::Denied | Status::NotRun);
        for edit in self.edits.iter_mut().filter(|e| e.call_id == call_id) {
            edit.again |= class == Some(Tool::Edit) && is_replaced(output);
            // A shell command that failed may have written before.
            edit.void = denied || failed && exit_code.is_none();
        }
        for reach in self.network.iter_mut().chain(&mut self.publishing).filter(|r| r.call_id == call_id) {
            reach.status = if failed { Status::Failed } else { status };
        }
        if class == Some(Tool::Ask) && !denied {
            self.user_said(output, place, evidence);
        } else {
            self.relay(output, place, evidence);
        }
        // What a call says itself, it did not find out.
        let own = call.map(|call| call.command.clone().unwrap_or_default()).unwrap_or_default();
        if !matches!(class, Some(Tool::Edit | Tool::Plan | Tool::Think)) {
            self.numbers.shown(output, &own, place, evidence);
        }
        if (failed || denied)
            && let Some(call) = call
        {
            let what = call.command.clone().or(call.paths.first().cloned()).unwrap_or(call.tool.clone());
            let kinds = attempts(call.class, call.command.as_deref());
            let failure = Failure { kinds, what: shorten(&what), place, evidence: evidence.clone(), denied };
            Self::keep(&mut self.failures, failure, &mut self.clipped);
        }
    }
}
