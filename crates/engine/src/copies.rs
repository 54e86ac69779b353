//! What a command line names that must not be copied away: the agent's own program, the weights of a model, or a copy of
//! weights under another name. For the rules (`NamesAgent`, `NamesWeights`).

use std::collections::BTreeSet;

use muster_event::{Event, Kind};

use crate::agent::Agent;
use crate::engine::Engine;
use crate::process::{Process, Role};
use crate::reconcile::absolute;
use crate::roll::name_of;

/// Copies of weights that are remembered per agent: parts of one model are some hundred.
const WEIGHTS_MAX: usize = 1_024;
/// Arguments of one command that are looked at, and their bytes.
const WORDS_MAX: usize = 256;
const WORD_MAX: usize = 4_096;

/// Files that hold nothing else but weights. (`.bin` and `.pt` may be anything.)
const WEIGHTS: [&str; 7] = [".safetensors", ".gguf", ".ggml", ".ckpt", ".pth", ".pt", ".onnx"];
/// Programs that make of a file another one with the same in it.
const COPIERS: [&str; 20] = [
    "cp", "mv", "ln", "install", "dd", "rsync", "tar", "bsdtar", "zip", "7z", "7za", "gzip", "pigz", "xz",
    "zstd", "bzip2", "base64", "split", "gpg", "openssl",
];
/// Folders with the programs of everybody: what lies beside one of them is not its own.
const SHARED: [&str; 8] =
    ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin", "/snap/bin"];

impl Engine {
    /// Does a word of this command name the agent's own program, or weights?
    pub(crate) fn names(&self, agent: &Agent, process: &Process) -> (bool, bool) {
        let own = self.folder_of_agent(agent);
        let mut found = (false, false);
        for word in words(process) {
            let path = absolute(word, &process.cwd);
            found.0 |= own.as_deref().is_some_and(|own| is_within(&path, own));
            found.1 |= is_weights(word) || agent.sustain.weights.contains(&path);
        }
        // Code that is given to an interpreter names it somewhere in its text.
        if let (false, Some(own)) = (found.0, &own) {
            let text = |argument: &&String| argument.len() <= WORD_MAX && argument.contains([' ', '(', ';']);
            found.0 =
                process.argv.iter().skip(1).filter(text).any(|argument| argument.contains(own.as_str()));
        }
        found
    }

    /// Where the agent's program lies: its package, or its folder, or the file alone where others' programs lie beside it.
    /// `None`: not known, or the agent works on itself.
    fn folder_of_agent(&self, agent: &Agent) -> Option<String> {
        let root = self.processes.get(agent.state.root)?;
        let file = root.script.as_deref().filter(|script| script.starts_with('/')).unwrap_or(&root.path);
        let home = agent.home.as_deref().unwrap_or("/root").trim_end_matches('/');
        let (folder, _) = file.rsplit_once('/')?;
        let shared = SHARED.contains(&folder)
            || [".local/bin", "bin", ".bin", ""]
                .iter()
                .any(|name| folder == format!("{home}/{name}").trim_end_matches('/'));
        let own = match file.rsplit_once("/node_modules/") {
            Some((before, inside)) => {
                let depth = if inside.starts_with('@') { 2 } else { 1 };
                let package: Vec<&str> = inside.split('/').take(depth).collect();
                format!("{before}/node_modules/{}", package.join("/"))
            }
            None if shared || folder.is_empty() => file.to_owned(),
            None => folder.to_owned(),
        };
        // An interpreter is nobody's own.
        let is_file = own == file;
        if is_file && root.script.is_none() && crate::roll::is_interpreter(name_of(file)) {
            return None;
        }
        let cwd = agent.state.cwd.as_str();
        let works_on_it = cwd.len() > 1 && (is_within(&own, cwd) || is_within(cwd, &own));
        (!works_on_it).then_some(own)
    }

    /// A file that a copying program of a lineage writes while weights are among what it was given is a copy of them.
    pub(crate) fn note_weights(&mut self, event: &Event) {
        let written = match &event.kind {
            Kind::Open { path, access, result } if access.write && *result >= 0 => path,
            Kind::Rename { from, to, result: 0 } => {
                let Some(id) = self.agent_of(event.process) else { return };
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.sustain.weights.contains(from) || is_weights(from) {
                    keep(&mut agent.sustain.weights, to);
                }
                return;
            }
            Kind::Link { from, to, result: 0 } => {
                let Some(id) = self.agent_of(event.process) else { return };
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.sustain.weights.contains(from) || is_weights(from) {
                    keep(&mut agent.sustain.weights, to);
                }
                return;
            }
            _ => return,
        };
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = process.member.as_ref().filter(|m| matches!(m.role, Role::Action(_))) else {
            return;
        };
        if process.forked || !COPIERS.contains(&name_of(&process.path)) {
            return;
        }
        let id = member.agent.clone();
        let Some(agent) = self.agents.get(&id) else { return };
        let of_weights = words(process).any(|word| {
            let path = absolute(word, &process.cwd);
            path != *written && (is_weights(word) || agent.sustain.weights.contains(&path))
        });
        if of_weights && let Some(agent) = self.agents.get_mut(&id) {
            keep(&mut agent.sustain.weights, written);
        }
    }
}

fn keep(weights: &mut BTreeSet<String>, path: &str) {
    if weights.len() < WEIGHTS_MAX && path.len() <= WORD_MAX {
        weights.insert(path.to_owned());
    }
}

/// What may be a file in a command line: `FILE`, `--option=FILE`, `@FILE`, `name=@FILE`.
fn words(process: &Process) -> impl Iterator<Item = &str> {
    process.argv.iter().skip(1).take(WORDS_MAX).filter(|word| word.len() <= WORD_MAX).filter_map(|word| {
        let word = word.rsplit_once('@').map_or(word.as_str(), |(_, file)| file);
        let word = word.rsplit_once('=').map_or(word, |(_, file)| file);
        let word = word.strip_prefix("file://").unwrap_or(word);
        (!word.is_empty() && !word.starts_with('-')).then_some(word)
    })
}

fn is_weights(word: &str) -> bool {
    WEIGHTS.iter().any(|end| word.ends_with(end))
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
