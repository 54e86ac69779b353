//! One scenario: a project, an agent, what the model does and says, what others do meanwhile, and what Muster must find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::script::Step;

/// All scenarios, in the order of the files.
#[derive(Clone, Debug, Default)]
pub struct Library {
    pub runs: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    run: Vec<Scenario>,
}

impl Library {
    /// The tables of this crate.
    pub fn read() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("library");
        let listed = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let mut runs = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let read: File = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
            runs.extend(read.run);
        }
        Ok(Self { runs })
    }

    pub fn get(&self, name: &str) -> Option<&Scenario> {
        self.runs.iter().find(|run| run.name == name)
    }
}

/// In texts, `@home@`, `@project@`, `@data@` (Muster's folder), `@pid@` (its daemon) and `@muster@` (its program) stand for
/// what they are in this run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    /// Each is a run of its own.
    pub on: Vec<Who>,
    /// Why this must be found; or why it must not, though it looks like it.
    pub why: String,
    /// The honest run that does the same and tells of it.
    pub twin: Option<String>,
    /// The codes of the findings above `info`: each at least once. `a|b`: either. None: the run is honest.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Codes that may be found beside them.
    #[serde(default)]
    pub also: Vec<String>,
    /// The severity of a code's gravest finding, where it is fixed.
    #[serde(default)]
    pub severity: BTreeMap<String, String>,
    /// Started by `muster run`.
    #[serde(default = "yes")]
    pub mandate: bool,
    #[serde(default = "prompt")]
    pub prompt: String,
    /// The project is a repository with a first commit and a bare `origin`, to which it was pushed.
    #[serde(default = "yes")]
    pub git: bool,
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Files in the agent's home.
    #[serde(default)]
    pub home: BTreeMap<String, String>,
    /// Files of the project that are made executable.
    #[serde(default)]
    pub executable: Vec<String>,
    /// A shell script, run in the project by whoever sets it up.
    #[serde(default)]
    pub setup: String,
    #[serde(default)]
    pub deny: Option<Deny>,
    #[serde(default)]
    pub lies: Vec<Lie>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub args: Vec<String>,
    /// A shell script that starts the agent: `"$@"` is its command, `$AGENT` its own executable.
    pub wrap: Option<String>,
    pub steps: Vec<Move>,
    /// The session is taken up again when it has come to its end; the steps go on.
    pub resume: Option<Resume>,
    /// What others do when it is over.
    #[serde(default)]
    pub after: Vec<Act>,
    /// How long what is found may still change, in milliseconds.
    #[serde(default = "settle")]
    pub settle: u64,
    /// The agent may end with an error.
    #[serde(default)]
    pub may_fail: bool,
    /// It is ended before it can say its last words.
    #[serde(default)]
    pub cut_short: bool,
}

fn yes() -> bool {
    true
}

fn prompt() -> String {
    "do the task".to_owned()
}

fn settle() -> u64 {
    9_000
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    ClaudeCode,
    Codex,
    GeminiCli,
    #[serde(rename = "opencode")]
    OpenCode,
    /// A few lines of Python around a model API.
    PythonLoop,
    /// A shell script around `curl`.
    CurlLoop,
}

impl Who {
    pub fn agent(self) -> Option<Agent> {
        match self {
            Who::ClaudeCode => Some(Agent::ClaudeCode),
            Who::Codex => Some(Agent::Codex),
            Who::GeminiCli => Some(Agent::GeminiCli),
            Who::OpenCode => Some(Agent::OpenCode),
            Who::PythonLoop | Who::CurlLoop => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Who::PythonLoop => "python-loop",
            Who::CurlLoop => "curl-loop",
            product => product.agent().map_or("", Agent::name),
        }
    }
}

/// What the product refuses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// Calls with one of these in their arguments.
    pub words: Vec<String>,
    #[serde(default)]
    pub by: Gate,
    /// What a hook runs before it refuses.
    #[serde(default)]
    pub first: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// A hook that ends with status 2. OpenCode, which has none, by its rules.
    #[default]
    Hook,
    /// The product's own rules: a command that begins with the word.
    Rules,
}

/// What the harness itself does wrong, by code that is loaded into it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Lie {
    /// The account gets other words; where the product keeps the exit status as a number, that one.
    Replace {
        old: String,
        new: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
    },
    /// Lines with these words are never written.
    Drop { holding: String },
    /// From this line on nothing is written.
    Mute { from: String },
    /// When this is written, a command is run.
    Run { command: String, at: String },
    /// When this is written, a file is.
    Put { path: String, content: String, at: String },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    #[serde(default = "go_on")]
    pub prompt: String,
    #[serde(default)]
    pub between: Vec<Act>,
}

fn go_on() -> String {
    "go on".to_owned()
}

/// What the model does, or others while it is silent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Move {
    Say(String),
    Sh(String),
    Bg(String),
    Write { path: String, content: String },
    Edit { path: String, old: String, new: String },
    Read(String),
    Parallel(Vec<Move>),
    Tool { name: String, arguments: BTreeMap<String, String> },
    Delegate { prompt: String, steps: Vec<Move> },
    Wait(u64),
    Last(String),
    Act(Act),
}

/// What others do to the account, or to Muster's sight of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Act {
    /// The call that holds these words and its result, again under another id, with other words.
    Call {
        like: String,
        swap: Vec<[String; 2]>,
    },
    /// Only its result, under another id.
    Orphan {
        like: String,
        swap: Vec<[String; 2]>,
    },
    /// Its result again, under its own id.
    Again {
        like: String,
        swap: Vec<[String; 2]>,
    },
    /// Rewritten.
    Replace {
        old: String,
        new: String,
    },
    /// Overwritten in its place by as many bytes, with the time of the last change put back.
    Patch {
        old: String,
        new: String,
    },
    /// Lines taken out.
    Drop {
        holding: String,
    },
    /// Only the call is taken out; its result stays.
    DropCall {
        like: String,
    },
    /// Two lines change places.
    Swap {
        first: String,
        second: String,
    },
    /// The last lines are cut off.
    Cut {
        lines: usize,
    },
    /// Another file takes its name.
    Renew {
        old: String,
        new: String,
    },
    /// The file is removed.
    Delete,
    /// The file is moved away.
    Move {
        to: String,
    },
    /// Nobody can write it any more.
    Freeze,
    Thaw,
    /// OpenCode's database.
    Sql(String),
    /// A shell script.
    Sh(String),
    /// Muster stands still.
    Stop,
    Go,
    Sleep(u64),
}

impl Scenario {
    pub fn honest(&self) -> bool {
        self.expect.is_empty()
    }

    /// Muster is made to stand still: nothing else may be going on.
    pub fn stops_muster(&self) -> bool {
        self.acts().any(|act| matches!(act, Act::Stop))
    }

    /// Each act, in the order in which `Step::Act` numbers them.
    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        let mut all = Vec::new();
        collect(&self.steps, &mut all);
        all.into_iter()
    }

    /// The commands of the main conversation.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Move::Sh(command) | Move::Bg(command) => Some(command.as_str()),
            _ => None,
        })
    }

    /// What the model plays; `fill` puts in what `@home@` and the like stand for.
    pub(crate) fn script(&self, fill: &dyn Fn(&str) -> String) -> Vec<Step> {
        let mut acts = 0;
        steps(&self.steps, fill, &mut acts)
    }

    /// The last words of the main conversation: said when it was played to its end.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(|step| match step {
            Move::Last(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

fn collect<'a>(moves: &'a [Move], all: &mut Vec<&'a Act>) {
    for one in moves {
        match one {
            Move::Act(act) => all.push(act),
            Move::Parallel(moves) | Move::Delegate { steps: moves, .. } => collect(moves, all),
            _ => {}
        }
    }
}

fn steps(moves: &[Move], fill: &dyn Fn(&str) -> String, acts: &mut usize) -> Vec<Step> {
    moves.iter().map(|one| step(one, fill, acts)).collect()
}

fn step(one: &Move, fill: &dyn Fn(&str) -> String, acts: &mut usize) -> Step {
    match one {
        Move::Say(text) => Step::say(fill(text)),
        Move::Sh(command) => Step::shell(fill(command)),
        Move::Bg(command) => Step::background(fill(command)),
        Move::Write { path, content } => Step::write(fill(path), fill(content)),
        Move::Edit { path, old, new } => Step::edit(fill(path), fill(old), fill(new)),
        Move::Read(path) => Step::read(fill(path)),
        Move::Parallel(moves) => Step::Parallel(steps(moves, fill, acts)),
        Move::Tool { name, arguments } => {
            let arguments = arguments.iter().map(|(name, text)| (name.clone(), fill(text).into())).collect();
            Step::Tool { name: name.clone(), arguments: serde_json::Value::Object(arguments) }
        }
        Move::Delegate { prompt, steps: moves } => Step::delegate(fill(prompt), steps(moves, fill, acts)),
        Move::Wait(ms) => Step::Wait(*ms),
        Move::Last(text) => Step::last(fill(text)),
        Move::Act(_) => {
            *acts += 1;
            Step::Act((*acts - 1).to_string())
        }
    }
}
