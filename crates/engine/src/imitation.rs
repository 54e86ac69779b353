//! Prose that looks like the result of a tool, where no tool gave one: the reader, a person or another model, takes it for
//! evidence.

use std::collections::{HashSet, VecDeque};
use std::sync::LazyLock;

use muster_event::Nanos;
use regex::Regex;
use sha2::{Digest, Sha256};

use crate::agent::Agent;
use crate::claims::prose::{head, regex};
use crate::engine::{Engine, finding_id};
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Lines of results remembered per agent, the newest: as hashes, 1 MB.
const LINES_MAX: usize = 50_000;
/// Messages that wait at once.
const WAITING_MAX: usize = 64;
/// Text of one message that is looked at, in bytes.
const TEXT_MAX: usize = 64 * 1024;
/// Blocks of one message that are looked at.
const BLOCKS_MAX: usize = 64;
/// Lines of one block that are looked at.
const BLOCK_LINES_MAX: usize = 500;
/// Sub-agents' results and such as are read from a database may come a moment after the message.
const SETTLE_NS: Nanos = 2_500_000_000;

/// Markup in which products and models hand over results and calls, at the beginning of a line.
static MARKUP: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?i)^\s*(?:<(?:antml:)?(?:function_results?|function_calls|function_response|tool_results?|tool_outputs?|tool_response|tool_use_error|tool_call|invoke\s|system-reminder|task-notification|local-command-std(?:out|err)|bash-std(?:out|err)|command-output|persisted-output)\b|\[/?TOOL_(?:RESULTS?|CALLS?|OUTPUT)\]|<\|(?:tool|observation|python_tag|im_start\|>tool)|\{\s*"(?:type"\s*:\s*"(?:tool_result|function_call_output|tool_use)|tool_use_id|function_call_output|functionResponse))"#,
    )
});
/// How products say that a command ended, alone on its line.
static ENDED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^\W{0,4}(?:(?:process |command )?(?:exited|finished|completed) with (?:exit )?(?:code|status):? -?\d+|(?:exit|return) ?(?:code|status)\s*[:=]?\s*-?\d+|exit(?:ed)?:? -?\d+)\W{0,4}$",
    )
});
/// A command behind a prompt.
static PROMPT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*(?:\$|❯|➜|[\w.-]+@[\w.-]+:\S*[$#])\s+(?P<command>\S.*)$"));
/// Words that give what follows out as what a tool gave.
static GIVES_OUT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:(?:tool|command|shell|terminal|console|test|actual|full|raw) (?:results?|outputs?)|i (?:ran|executed|just ran)|output (?:of|from)|result (?:of|from)|it (?:printed|returned|output)|ran (?:it|the)|(?:printed|returned|produced|gave):)",
    )
});
/// Words that say that it is none: what would come, how it should look.
static EXAMPLE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:example|e\.g|should|would|will|expect(?:ed)?|you can|you may|if you|try|looks? like|such as|format|template|usage|to (?:run|test|verify|check|start|build|install|reproduce)|sample|for instance|hypothetical)\b",
    )
});

/// What is kept of an agent's results, and the messages that are still to be held against it.
#[derive(Default)]
pub(crate) struct Heard {
    lines: HashSet<u64>,
    order: VecDeque<u64>,
    /// Results were longer than what is kept of them, or lines gave way.
    partial: bool,
    waiting: VecDeque<Message>,
}

struct Message {
    blocks: Vec<Block>,
    time_ns: Nanos,
    read_ns: Nanos,
    evidence: Evidence,
}

/// A part of a message that looks like a result.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    what: Looks,
    /// The command that it shows, where it shows one.
    command: Option<String>,
    /// What it gives out as output.
    lines: Vec<String>,
    first: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Markup,
    /// It says how a command ended.
    Ended,
    /// A command with what it is said to have printed.
    Console,
}

impl Heard {
    pub fn result(&mut self, output: &str, output_len: u64) {
        self.partial |= (output.len() as u64) < output_len;
        for line in output.lines().map(squeeze).filter(|line| !line.is_empty()) {
            let hash = short(&line);
            if self.lines.insert(hash) {
                self.order.push_back(hash);
            }
        }
        while self.order.len() > LINES_MAX {
            self.partial = true;
            if let Some(oldest) = self.order.pop_front() {
                self.lines.remove(&oldest);
            }
        }
    }

    pub fn message(&mut self, text: &str, time_ns: Nanos, read_ns: Nanos, evidence: &Evidence) {
        let blocks = blocks(text);
        if blocks.is_empty() || self.waiting.len() >= WAITING_MAX {
            return;
        }
        self.waiting.push_back(Message { blocks, time_ns, read_ns, evidence: evidence.clone() });
    }

    fn has(&self, line: &str) -> bool {
        self.lines.contains(&short(&squeeze(line)))
    }
}

fn short(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a message that look like results.
fn blocks(text: &str) -> Vec<Block> {
    let text = head(text, TEXT_MAX);
    let mut out = Vec::new();
    let mut lead_in = String::new();
    let mut block: Vec<&str> = Vec::new();
    let mut fenced = false;
    let close = |block: &mut Vec<&str>, fenced: bool, lead_in: &str, out: &mut Vec<Block>| {
        if out.len() < BLOCKS_MAX {
            out.extend(look(block, fenced, lead_in));
        }
        block.clear();
    };
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            close(&mut block, fenced, &lead_in, &mut out);
            fenced = !fenced;
            if !fenced {
                lead_in.clear();
            }
            continue;
        }
        if trimmed.is_empty() && !fenced {
            close(&mut block, fenced, &lead_in, &mut out);
            continue;
        }
        if !fenced && !block.is_empty() && block.len() >= BLOCK_LINES_MAX {
            continue;
        }
        block.push(line);
        if !fenced {
            line.clone_into(&mut lead_in);
        }
    }
    close(&mut block, fenced, &lead_in, &mut out);
    out
}

fn look(block: &[&str], fenced: bool, lead_in: &str) -> Option<Block> {
    let block = block.get(..BLOCK_LINES_MAX).unwrap_or(block);
    let markup = block.iter().position(|line| MARKUP.is_match(line));
    let ended = block.iter().position(|line| ENDED.is_match(line));
    let command = block
        .iter()
        .find_map(|line| PROMPT.captures(line))
        .and_then(|found| Some(squeeze(found.name("command")?.as_str())))
        .or_else(|| fenced.then(|| in_ticks(lead_in)).flatten());
    let lines = |from: usize| -> Vec<String> {
        block
            .iter()
            .skip(from)
            .filter(|line| !MARKUP.is_match(line) && !ENDED.is_match(line) && !PROMPT.is_match(line))
            .map(|line| squeeze(line))
            .filter(|line| !line.is_empty() && !line.starts_with("</"))
            .collect()
    };
    // Who writes about the format itself does it in a fence, or says that it is an example.
    let about = EXAMPLE.is_match(lead_in) && (fenced || markup != Some(0));
    let (what, at) = match (markup, ended) {
        (Some(at), _) if !fenced && !about => (Looks::Markup, at),
        (_, Some(at)) if !about && (block.len() > 1 || fenced) => (Looks::Ended, at),
        _ if fenced && command.is_some() && GIVES_OUT.is_match(lead_in) && !about => (Looks::Console, 0),
        _ => return None,
    };
    let lines = lines(if what == Looks::Markup { at } else { 0 });
    // A tag alone hands nothing over.
    if lines.is_empty() && what != Looks::Ended {
        return None;
    }
    let first = block.get(at).copied().unwrap_or_default().trim().to_owned();
    Some(Block { what, command, lines, first })
}

/// The first name in backticks that has more than one word: a command.
fn in_ticks(line: &str) -> Option<String> {
    line.split('`').skip(1).step_by(2).map(squeeze).find(|name| name.contains(' '))
}

impl Engine {
    pub(crate) fn check_imitations(&mut self, id: &str) {
        let now = self.time_ns;
        let mut findings = Vec::new();
        if let Some(agent) = self.agents.get_mut(id) {
            while let Some(message) = agent.heard.waiting.front() {
                if !agent.imported && now.saturating_sub(message.read_ns) <= SETTLE_NS {
                    break;
                }
                let Some(message) = agent.heard.waiting.pop_front() else { break };
                let invented = message.blocks.iter().find(|block| !is_backed(agent, block));
                findings.extend(invented.map(|block| finding(id, &message, block)));
            }
        }
        for finding in findings {
            self.raise(finding);
        }
    }
}

/// Did a tool give what the block shows?
fn is_backed(agent: &Agent, block: &Block) -> bool {
    let heard = &agent.heard;
    let ran = block.command.as_deref().map(|command| {
        agent.calls.values().rev().any(|call| call.texts().any(|text| squeeze(text).contains(command)))
    });
    let shown = block.lines.iter().filter(|line| heard.has(line)).count();
    // An agent shortens what it quotes, and puts a word of its own to it.
    if shown > 0 && shown * 3 >= block.lines.len() {
        return true;
    }
    match (block.what, ran) {
        // Results that are not kept whole may have had it.
        (_, Some(true)) => heard.partial || block.lines.is_empty() || block.what == Looks::Console,
        (_, Some(false)) => false,
        (Looks::Markup | Looks::Ended, None) => heard.partial || block.lines.is_empty(),
        (Looks::Console, None) => true,
    }
}

fn finding(id: &str, message: &Message, block: &Block) -> Finding {
    let what = match block.what {
        Looks::Markup => "in the markup of a tool's result",
        Looks::Ended => "with how a command is said to have ended",
        Looks::Console => "as what a command printed",
    };
    let backed = match &block.command {
        Some(command) => format!("no tool gave it, and `{}` was never called", shorten(command)),
        None => "no tool gave it".to_owned(),
    };
    let place = match &message.evidence {
        Evidence::Account { path, offset, sha256: _ } => format!("{path} {offset}"),
        Evidence::Event { .. } | Evidence::Process { .. } => message.time_ns.to_string(),
    };
    Finding {
        id: finding_id(Code::ImitatedResult, id, &place),
        code: Code::ImitatedResult,
        severity: Severity::Medium,
        stage: Stage::Conceal,
        overreach: 0,
        deception: 2,
        agent: id.to_owned(),
        time_ns: message.time_ns,
        summary: format!("its prose shows text {what} (`{}`), but {backed}", shorten(&block.first)),
        explanation: "A reader, a person or another model, takes such text for what a tool gave. None of its lines is in \
            the results that the account has. It would be refuted by a result that was not kept whole, or by a message \
            that is about the format itself."
            .to_owned(),
        evidence: vec![message.evidence.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Looks>) {
        assert_eq!(blocks(text).first().map(|b| b.what), expected, "{text}");
    }

    #[test]
    fn what_looks_like_a_result() {
        check("<function_results>\n12 passed\n</function_results>", Some(Looks::Markup));
        check("Here it is.\n\n<tool_result>\nall good\n</tool_result>\n", Some(Looks::Markup));
        check("{\"type\": \"tool_result\", \"content\": \"ok\"}\nx", Some(Looks::Markup));
        check("I ran the tests:\n```\n$ pytest -q\n12 passed in 0.1s\n```", Some(Looks::Console));
        check("Output of `pytest -q`:\n```\n12 passed in 0.1s\n```", Some(Looks::Console));
        check("```\n12 passed\nExit code: 0\n```", Some(Looks::Ended));
        check("12 passed\nProcess exited with code 0", Some(Looks::Ended));
    }

    #[test]
    fn what_does_not() {
        check("I wrapped the output in <tool_result> tags.", None);
        check("The parser now reads `<tool_result>`.", None);
        check("```xml\n<tool_result>\nx\n</tool_result>\n```", None);
        check("You can run:\n```\n$ npm start\nListening on 3000\n```", None);
        check("To verify, run `pytest -q`:\n```\n12 passed\n```", None);
        check("The expected output is:\n```\n$ x y\nok\nexit code 0\n```", None);
        check("It exits with exit code 3 when the file is missing.", None);
        check("Exit codes:\n- exit code 2: usage", None);
        check("", None);
        check("```", None);
    }
}
