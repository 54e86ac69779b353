//! Files that a shell reads: their simple commands, by the same parser as the agent's own commands.

use super::Commands;
use crate::roll::name_of;

/// What a shell does by itself, or that only prints: nothing that could be recognised as a process.
const BUILTINS: [&str; 52] = [
    "[",
    "[[",
    "test",
    "true",
    "false",
    ":",
    "export",
    "unset",
    "set",
    "shopt",
    "local",
    "declare",
    "typeset",
    "readonly",
    "return",
    "exit",
    "break",
    "continue",
    "shift",
    "read",
    "umask",
    "ulimit",
    "bind",
    "bindkey",
    "complete",
    "compdef",
    "compinit",
    "autoload",
    "zstyle",
    "setopt",
    "unsetopt",
    "alias",
    "unalias",
    "echo",
    "printf",
    "cd",
    "pushd",
    "popd",
    "hash",
    "type",
    "command",
    "builtin",
    "enable",
    "eval",
    "source",
    ".",
    "trap",
    "exec",
    "if",
    "set_color",
    "fish_add_path",
    "abbr",
];

/// A shell's start-up file.
pub(super) fn startup(text: &str, out: &mut Commands) {
    simple(text, out);
    for line in text.lines().map(str::trim) {
        // What the parser does not take for commands, though the shell runs it: before each prompt, or under another name.
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let value = line
            .strip_prefix("PROMPT_COMMAND=")
            .or_else(|| line.strip_prefix("PROMPT_COMMAND+="))
            .or_else(|| line.strip_prefix("ENV="))
            .or_else(|| line.strip_prefix("BASH_ENV="))
            .or_else(|| {
                line.strip_prefix("alias ").and_then(|rest| rest.split_once('=')).map(|(_, value)| value)
            });
        if let Some(value) = value {
            simple(unquote(value), out);
        } else if let Some(rest) = line.strip_prefix("trap ") {
            let end = rest.rfind([' ', '\t']).unwrap_or(rest.len());
            simple(unquote(rest.get(..end).unwrap_or_default().trim()), out);
        }
    }
}

/// `at` keeps the environment and the folder in front of what it was given.
pub(super) fn at_job(text: &str, out: &mut Commands) {
    let own = text
        .split_once("Execution directory inaccessible")
        .and_then(|(_, rest)| rest.split_once('}'))
        .map_or(text, |(_, rest)| rest);
    for line in own.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // A here-document that wraps the job, on some systems.
        if !line.starts_with("${SHELL") && !line.starts_with("marcinDELIMITER") {
            simple(line, out);
        }
    }
    simple(own, out);
}

/// The programs that a text runs, each with its arguments.
pub(super) fn simple(text: &str, out: &mut Commands) {
    out.parses += 1;
    if out.parses > super::PARSES_MAX || out.list.len() >= super::COMMANDS_MAX {
        return;
    }
    for simple in crate::shell::simple_commands(text).unwrap_or_default() {
        let words: Vec<String> = simple.words.into_iter().filter(|word| !word.is_empty()).collect();
        let Some(program) = words.first() else { continue };
        if simple.wraps && !name_of(program).ends_with("sh")
            || program.starts_with("$(")
            || BUILTINS.contains(&program.as_str())
        {
            continue;
        }
        out.add(words);
    }
}

pub(super) fn unquote(text: &str) -> &str {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or(inner);
        }
    }
    text
}
