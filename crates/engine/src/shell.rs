//! A shell command as the simple commands in it, by a real parser (`tree-sitter-bash`). What it does not understand is
//! not guessed at, and is told of. Text is hostile: work is counted, never timed, so that a replay gives the same.

mod walk;
mod word;
mod wrapper;

use std::ops::ControlFlow;

use tree_sitter::{ParseOptions, Parser, Tree};

/// Longest command that is parsed, in bytes: a file written by a heredoc is in it.
const COMMAND_MAX: usize = 256 * 1024;
/// Bytes that the parser is given at once: a measure of what it reads, and reads again.
const CHUNK: usize = 256;
/// Chunks that it is given for one command and all that stand in it (measured: a heredoc of 120 KB takes some 500).
const READS_MAX: usize = 10_000;
/// Hundreds of its steps for the same. A real script takes one for 60 bytes or more, a file in a heredoc nearly none: this is
/// 18 KB of the densest. The time that some texts take grows with the square of the steps: with these the worst of the hostile ones
/// (shell/tests.rs) takes 75 ms, and the parser no more than some 20 MB.
const STEPS_MAX: usize = 300;
/// Simple commands of one command.
const SIMPLE_MAX: usize = 256;

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Simple {
    /// Unquoted; expansions stand as they were written.
    pub words: Vec<String>,
    /// Files that its output is sent to.
    pub written: Vec<String>,
    /// Files that its input comes from.
    pub read: Vec<String>,
    /// Text that it is given as its input (`<<`, `<<<`), cut at a bound.
    pub heredoc: Option<String>,
    /// Why the exit status of the whole does not tell that of this one.
    pub masked: Option<&'static str>,
    /// The program that its output goes to may end before it does.
    pub cut_off: bool,
    /// It only starts what stands in it (`sudo`, `bash -c`), which comes by itself in the list.
    pub wraps: bool,
}

/// What was understood of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shell {
    /// In the order in which they are written; also what stands in `$(…)`, in functions, and in wrappers.
    pub commands: Vec<Simple>,
    /// Nothing was left out: all of it could be parsed, within the bounds.
    pub whole: bool,
}

/// `None`: too long, too much work, or no text that a shell can be given.
pub(crate) fn read(text: &str) -> Option<Shell> {
    let mut work = Work { reads: READS_MAX, steps: STEPS_MAX };
    let tree = parse(text, &mut work)?;
    let mut walk = walk::Walk::new(&mut work, SIMPLE_MAX);
    walk.program(tree.root_node(), text, None);
    Some(walk.into_shell())
}

/// What could be understood of it, in order.
pub(crate) fn simple_commands(text: &str) -> Option<Vec<Simple>> {
    read(text).map(|shell| shell.commands)
}

/// What is left of the work that one command may make.
struct Work {
    reads: usize,
    steps: usize,
}

fn parse(text: &str, work: &mut Work) -> Option<Tree> {
    if text.len() > COMMAND_MAX || text.contains('\0') {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    // Its scanner, in C, looks up characters in a table for ASCII (`isdigit`) and reads beyond it for others. Offsets stay.
    let ascii: Vec<u8> = text.bytes().map(|byte| if byte.is_ascii() { byte } else { b'x' }).collect();
    let Work { reads, steps } = work;
    let exhausted = std::cell::Cell::new(false);
    let mut input = |at: usize, _| -> &[u8] {
        let Some(left) = reads.checked_sub(1) else {
            exhausted.set(true);
            return &[];
        };
        *reads = left;
        ascii.get(at..ascii.len().min(at.saturating_add(CHUNK))).unwrap_or_default()
    };
    let mut progress = |_: &tree_sitter::ParseState| match steps.checked_sub(1) {
        Some(left) if !exhausted.get() => {
            *steps = left;
            ControlFlow::Continue(())
        }
        _ => {
            exhausted.set(true);
            ControlFlow::Break(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let tree = parser.parse_with_options(&mut input, None, Some(options));
    tree.filter(|_| !exhausted.get())
}

#[cfg(test)]
mod tests;
