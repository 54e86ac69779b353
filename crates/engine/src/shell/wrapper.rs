//! Programs that only start another: what is meant stands in their arguments.

use crate::roll::name_of;
use crate::shell::Simple;

/// What a wrapper starts.
pub(crate) enum Inner {
    /// A program with its arguments.
    Words(Vec<String>),
    /// The text of commands for a shell.
    Text(String),
}

/// `None`: it starts nothing that is told here.
pub(crate) fn inner(simple: &Simple) -> Option<Inner> {
    let (program, arguments) = simple.words.split_first()?;
    let words = |rest: &[String]| (!rest.is_empty()).then(|| Inner::Words(rest.to_vec()));
    // The short options that take a value of their own.
    let behind = |valued: &str| after_options(arguments, valued);
    match name_of(program) {
        "bash" | "sh" | "dash" | "zsh" | "ksh" | "ash" => shell(arguments, simple.heredoc.as_deref()),
        "eval" => (!arguments.is_empty()).then(|| Inner::Text(arguments.join(" "))),
        "env" => match arguments.iter().position(|w| w == "-S" || w == "--split-string") {
            Some(at) => arguments.get(at + 1).map(|text| Inner::Text(text.clone())),
            None => words(after_assignments(behind("uC"))),
        },
        "sudo" | "doas" => words(after_assignments(behind("ughpCrtDRTU"))),
        "timeout" => words(behind("sk").get(1..)?),
        "nohup" | "setsid" | "builtin" | "coproc" => words(behind("")),
        "command" if arguments.first().is_some_and(|w| w == "-v" || w == "-V") => None,
        "command" => words(behind("")),
        "exec" => words(behind("a")),
        "time" => words(behind("fo")),
        "nice" => words(behind("n")),
        "ionice" => words(behind("cn")),
        "stdbuf" => words(behind("ioe")),
        "xargs" => words(behind("IinPLldEsa")),
        "find" | "fd" => {
            let at = arguments
                .iter()
                .position(|w| matches!(w.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir" | "-x"))?;
            let rest = arguments.get(at + 1..)?;
            let end = rest.iter().position(|w| w == ";" || w == "+").unwrap_or(rest.len());
            words(rest.get(..end)?)
        }
        "su" | "runuser" | "script" => {
            let at = arguments.iter().position(|w| w == "-c" || w == "--command")?;
            arguments.get(at + 1).map(|text| Inner::Text(text.clone()))
        }
        _ => None,
    }
}

/// `bash -lc TEXT`, and a script that comes as input.
fn shell(arguments: &[String], heredoc: Option<&str>) -> Option<Inner> {
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.strip_prefix(['-', '+']) {
            Some("" | "s") => break,
            Some(long) if long.starts_with('-') => {
                if matches!(long, "-rcfile" | "-init-file") {
                    rest.next();
                }
            }
            Some(flags) if flags.contains('c') => {
                return rest.find(|w| !w.starts_with('-')).map(|text| Inner::Text(text.clone()));
            }
            Some(flags) if flags.ends_with(['o', 'O']) => {
                rest.next();
            }
            Some(_) => {}
            // A script in a file.
            None => return None,
        }
    }
    heredoc.map(|text| Inner::Text(text.to_owned()))
}

fn after_options<'a>(arguments: &'a [String], valued: &str) -> &'a [String] {
    let mut rest = arguments;
    while let Some((word, behind)) = rest.split_first() {
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else { break };
        rest = behind;
        if flags == "-" {
            break;
        }
        if !flags.starts_with('-') && flags.chars().count() == 1 && valued.contains(flags) {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    rest
}

fn after_assignments(words: &[String]) -> &[String] {
    let count = words
        .iter()
        .take_while(|w| w.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('/')))
        .count();
    words.get(count..).unwrap_or_default()
}
