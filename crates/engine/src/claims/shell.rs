//! A shell command as the simple commands in it, by a real parser (`brush-parser`: Rust throughout, which matters where the
//! text is hostile and the daemon is root). What it does not understand is not guessed at.

use brush_parser::ast::{
    AndOr, AndOrList, Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList,
    IoFileRedirectTarget, IoRedirect, Pipeline, SimpleCommand,
};

/// Longest command that is parsed, in bytes: longer ones carry files in them.
const COMMAND_MAX: usize = 16 * 1024;
/// Brackets and words that open something, in one command: the parser recurses over them.
const OPENINGS_MAX: usize = 64;
/// Brackets where a command may begin: the parser tries each as arithmetic and as a subshell, and both again for those
/// within (measured: twice the time for each).
const SUBSHELLS_MAX: usize = 8;
/// Simple commands of one command.
const SIMPLE_MAX: usize = 256;

/// One simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Simple {
    /// Unquoted; expansions stand as they were written.
    pub words: Vec<String>,
    /// Files that its output is sent to.
    pub written: Vec<String>,
    /// Why the exit status of the whole does not tell that of this one.
    pub masked: Option<&'static str>,
    /// The program that its output goes to may end before it does.
    pub cut_off: bool,
}

/// `None`: it could not be parsed.
pub(crate) fn simple_commands(text: &str) -> Option<Vec<Simple>> {
    if text.len() > COMMAND_MAX || openings(text) > OPENINGS_MAX || subshells(text) > SUBSHELLS_MAX {
        return None;
    }
    let text = text.to_owned();
    // What a parser of others does with hostile text must not be our end.
    std::panic::catch_unwind(move || parse(&text)).ok().flatten()
}

fn openings(text: &str) -> usize {
    let brackets = text.bytes().filter(|b| matches!(b, b'(' | b'{' | b'`')).count();
    let words = text
        .split(|c: char| c.is_whitespace() || c == ';')
        .filter(|w| matches!(*w, "if" | "while" | "until" | "for" | "case" | "select" | "elif" | "!"))
        .count();
    brackets + words + text.matches("<<").count()
}

fn subshells(text: &str) -> usize {
    let mut before = ';';
    let mut count = 0;
    for character in text.chars() {
        if character == '(' && matches!(before, ';' | '&' | '|' | '(' | '{' | '!') {
            count += 1;
        }
        if character == '\n' {
            before = ';';
        } else if !character.is_whitespace() {
            before = character;
        }
    }
    count
}

fn parse(text: &str) -> Option<Vec<Simple>> {
    let tokens =
        brush_parser::uncached_tokenize_str(text, &brush_parser::TokenizerOptions::default()).ok()?;
    let program = brush_parser::parse_tokens(&tokens, &brush_parser::ParserOptions::default()).ok()?;
    let mut walk = Walk { out: Vec::new(), pipefail: false, errexit: false };
    let count = program.complete_commands.len();
    for (at, list) in program.complete_commands.iter().enumerate() {
        walk.list(list, None, at + 1 < count);
    }
    Some(walk.out)
}

struct Walk {
    out: Vec<Simple>,
    pipefail: bool,
    errexit: bool,
}

impl Walk {
    /// `more`: other commands follow, whose status counts instead.
    fn list(&mut self, list: &CompoundList, masked: Option<&'static str>, more: bool) {
        let count = list.0.len();
        for (at, item) in list.0.iter().enumerate() {
            let last = at + 1 == count && !more;
            let by_next = (!last && !self.errexit).then_some("another command follows");
            self.and_or(&item.0, masked.or(by_next));
        }
    }

    fn and_or(&mut self, list: &AndOrList, masked: Option<&'static str>) {
        // In `a && b || c`, `c` runs in place of what failed.
        let or_after = |at: usize| {
            list.additional
                .iter()
                .skip(at)
                .any(|next| matches!(next, AndOr::Or(_)))
                .then_some("`||` takes its place")
        };
        self.pipeline(&list.first, masked.or_else(|| or_after(0)));
        for (at, next) in list.additional.iter().enumerate() {
            let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
            self.pipeline(pipeline, masked.or_else(|| or_after(at + 1)));
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, masked: Option<&'static str>) {
        let masked = masked.or(pipeline.bang.then_some("`!` turns it round"));
        let count = pipeline.seq.len();
        for (at, command) in pipeline.seq.iter().enumerate() {
            let piped = (at + 1 < count && !self.pipefail).then_some("a pipe takes its status");
            let before = self.out.len();
            self.command(command, masked.or(piped));
            let cut_off = pipeline.seq.iter().skip(at + 1).any(stops_early);
            for simple in self.out.iter_mut().skip(before) {
                simple.cut_off |= cut_off;
            }
        }
    }

    fn command(&mut self, command: &Command, masked: Option<&'static str>) {
        match command {
            Command::Simple(simple) => self.simple(simple, masked),
            Command::Compound(compound, _) => self.compound(compound, masked),
            Command::Function(_) | Command::ExtendedTest(..) => {}
        }
    }

    fn compound(&mut self, compound: &CompoundCommand, masked: Option<&'static str>) {
        const CONDITION: Option<&str> = Some("it is a condition");
        match compound {
            CompoundCommand::BraceGroup(group) => self.list(&group.list, masked, false),
            CompoundCommand::Subshell(shell) => self.list(&shell.list, masked, false),
            CompoundCommand::ForClause(clause) => {
                self.list(&clause.body.list, masked.or(Some("a loop")), false)
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                self.list(&clause.body.list, masked.or(Some("a loop")), false);
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0, CONDITION, false);
                self.list(&clause.1.list, masked.or(Some("a loop")), false);
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, CONDITION, false);
                self.list(&clause.then, masked, false);
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.list(condition, CONDITION, false);
                    }
                    self.list(&other.body, masked, false);
                }
            }
            CompoundCommand::CaseClause(clause) => {
                for list in clause.cases.iter().filter_map(|case| case.cmd.as_ref()) {
                    self.list(list, masked, false);
                }
            }
            CompoundCommand::Coprocess(process) => self.command(&process.body, Some("it runs beside")),
            CompoundCommand::Arithmetic(_) => {}
        }
    }

    fn simple(&mut self, simple: &SimpleCommand, masked: Option<&'static str>) {
        let words = words(simple);
        if words.first().is_some_and(|w| w == "set") {
            self.pipefail |= words.iter().any(|w| w == "pipefail");
            self.errexit |=
                words.iter().skip(1).any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains('e'));
        }
        if !words.is_empty() && self.out.len() < SIMPLE_MAX {
            self.out.push(Simple { words, written: written(simple), masked, cut_off: false });
        }
    }
}

/// `head`, `grep -q`: they close the pipe when they have enough, and what writes on ends with an error of its own.
fn stops_early(command: &Command) -> bool {
    let Command::Simple(simple) = command else { return false };
    let words = words(simple);
    match words.first().map(String::as_str) {
        Some("head") => true,
        Some("grep" | "rg" | "sed") => words.iter().any(|w| {
            matches!(w.as_str(), "--quiet" | "--silent")
                || w.starts_with('-') && !w.starts_with("--") && w.contains(['q', 'm'])
        }),
        _ => false,
    }
}

fn words(simple: &SimpleCommand) -> Vec<String> {
    let name = simple.word_or_name.iter().map(|w| unquoted(&w.value));
    let rest = simple.suffix.iter().flat_map(|suffix| suffix.0.iter()).filter_map(|item| match item {
        CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
            Some(unquoted(&word.value))
        }
        CommandPrefixOrSuffixItem::IoRedirect(_) | CommandPrefixOrSuffixItem::ProcessSubstitution(..) => None,
    });
    name.chain(rest).collect()
}

/// Targets of `>` and its like.
fn written(simple: &SimpleCommand) -> Vec<String> {
    let before = simple.prefix.iter().flat_map(|prefix| prefix.0.iter());
    let after = simple.suffix.iter().flat_map(|suffix| suffix.0.iter());
    before
        .chain(after)
        .filter_map(|item| match item {
            CommandPrefixOrSuffixItem::IoRedirect(
                IoRedirect::File(_, _, IoFileRedirectTarget::Filename(word))
                | IoRedirect::OutputAndError(word, _),
            ) => Some(unquoted(&word.value)),
            CommandPrefixOrSuffixItem::IoRedirect(_)
            | CommandPrefixOrSuffixItem::Word(_)
            | CommandPrefixOrSuffixItem::AssignmentWord(..)
            | CommandPrefixOrSuffixItem::ProcessSubstitution(..) => None,
        })
        .collect()
}

/// Without quotes. What `$(cat <<'END' … END)` gives stands in it.
fn unquoted(word: &str) -> String {
    heredoc(word).unwrap_or_else(|| brush_parser::unquote_str(word))
}

/// The text of `"$(cat <<'END'\n…\nEND\n)"`, which agents use for messages of several lines.
fn heredoc(word: &str) -> Option<String> {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
    let body = inner.strip_prefix("$(")?.strip_suffix(')')?.trim();
    let rest = body.strip_prefix("cat")?.trim_start().strip_prefix("<<")?;
    let (mark, text) = rest.split_once('\n')?;
    let mark = mark.trim_start_matches('-').trim().trim_matches(['\'', '"']);
    let text = text.trim_end().strip_suffix(mark)?;
    Some(text.trim_end().to_owned())
}

/// The message of a `git commit`, as its options give it.
pub(crate) fn commit_message(words: &[String]) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if let Some(text) = word.strip_prefix("--message=") {
            parts.push(text.to_owned());
        } else if word == "--message" || is_message_option(word) {
            parts.push(rest.next()?.clone());
        }
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// `-m`, `-am`, `-qm`.
fn is_message_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| {
        flags.len() <= 5 && flags.ends_with('m') && flags.bytes().all(|b| b.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, program: &str, expected: Option<&str>) {
        let all = simple_commands(text).unwrap();
        let found = all.iter().find(|s| s.words[0] == program).unwrap_or_else(|| panic!("{all:?}"));
        assert_eq!(found.masked, expected, "{text}");
    }

    #[test]
    fn what_masks_a_status() {
        check("pytest -q", "pytest", None);
        check("cd x && FOO=1 pytest -q", "pytest", None);
        check("pytest || true", "pytest", Some("`||` takes its place"));
        check("pytest -q; exit 0", "pytest", Some("another command follows"));
        check("pytest -q\necho done", "pytest", Some("another command follows"));
        check("set -e; pytest -q; echo done", "pytest", None);
        check("pytest 2>&1 | tail -5", "pytest", Some("a pipe takes its status"));
        check("set -o pipefail; pytest 2>&1 | tail -5", "pytest", None);
        check("if pytest; then echo ok; fi", "pytest", Some("it is a condition"));
        check("! pytest", "pytest", Some("`!` turns it round"));
        check("(pytest && git push) || exit 0", "pytest", Some("`||` takes its place"));
    }

    #[test]
    fn a_message_is_found_however_it_is_given() {
        let message =
            |text: &str| simple_commands(text).unwrap().iter().find_map(|s| commit_message(&s.words));
        assert_eq!(message("git commit -qm 'Add calc'").as_deref(), Some("Add calc"));
        assert_eq!(message("git commit -a --message=\"All done\"").as_deref(), Some("All done"));
        assert_eq!(message("git commit -m a -m 'b c'").as_deref(), Some("a\n\nb c"));
        assert_eq!(
            message("git commit -m \"$(cat <<'EOF'\nAdd calc\n\nAll tests pass.\nEOF\n)\"").as_deref(),
            Some("Add calc\n\nAll tests pass.")
        );
        assert_eq!(message("git commit --amend"), None);
    }

    #[test]
    fn hostile_nesting_is_refused() {
        for opener in ["(", "{ ", "$(", "if ", "`", "! ", "<<a "] {
            assert_eq!(simple_commands(&opener.repeat(2_000)), None, "{opener}");
            let _ = simple_commands(&opener.repeat(OPENINGS_MAX));
        }
        assert_eq!(simple_commands(&"a".repeat(COMMAND_MAX + 1)), None);
    }
}
