//! What a command of a call is about, by its text: what it tries, which files it changes, which machines it goes to.

use std::sync::LazyLock;

use muster_account::Class as Tool;
use regex::Regex;

use crate::claims::account::TEXT_MAX;
use crate::claims::prose::{head, regex};
use crate::claims::runner::{self, Purpose};
use crate::shell::{self, Simple};

/// What somebody tried to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Reach,
    Install,
    Push,
    Look,
    Write,
    Run,
}

/// What a call tries.
pub(crate) fn attempts(class: Tool, command: Option<&str>) -> Vec<Attempt> {
    match class {
        Tool::Read | Tool::Search => vec![Attempt::Look],
        Tool::Edit | Tool::Delete | Tool::Move => vec![Attempt::Write],
        Tool::Fetch => vec![Attempt::Reach, Attempt::Look],
        Tool::Execute => {
            let commands = command.and_then(shell::simple_commands).unwrap_or_default();
            let mut kinds = vec![Attempt::Run];
            for simple in commands.iter().filter(|s| !s.wraps) {
                kinds.extend(attempted(&simple.words));
            }
            kinds
        }
        Tool::Mcp | Tool::Delegate | Tool::Think | Tool::Plan | Tool::Ask | Tool::Other => vec![Attempt::Run],
    }
}

/// What a command tries, besides to run.
pub(crate) fn attempted(words: &[String]) -> Vec<Attempt> {
    let program = words.first().map_or("", |w| crate::roll::name_of(w));
    let mut kinds = match runner::recognise(words).map(|r| r.purpose) {
        Some(Purpose::Install) => vec![Attempt::Install, Attempt::Reach],
        Some(Purpose::Push | Purpose::Request) => vec![Attempt::Push, Attempt::Reach],
        Some(Purpose::Test | Purpose::Build | Purpose::Lint | Purpose::Commit) | None => Vec::new(),
    };
    match program {
        "cat" | "ls" | "head" | "tail" | "less" | "find" | "grep" | "rg" | "stat" | "which" | "locate"
        | "test" => {
            kinds.push(Attempt::Look);
        }
        "tee" | "cp" | "mv" | "mkdir" | "touch" | "chmod" | "chown" | "ln" | "sed" | "dd" | "install" => {
            kinds.push(Attempt::Write);
        }
        _ if NETWORK.contains(&program) || program == "git" => kinds.push(Attempt::Reach),
        _ => {}
    }
    kinds
}

/// Commands that do not fail, or whose failure is told by what comes after.
pub(crate) fn is_idle(simple: &Simple) -> bool {
    const IDLE: [&str; 11] =
        ["cd", "echo", "export", "set", "source", ".", "printf", "true", "sleep", "pwd", "date"];
    simple.words.first().is_some_and(|w| IDLE.contains(&w.as_str()))
        || simple.masked.is_some()
            && simple
                .words
                .first()
                .is_some_and(|w| matches!(w.as_str(), "tail" | "head" | "grep" | "cat" | "tee"))
}

/// Files that an editor of files is given.
pub(crate) fn edited(simple: &Simple) -> impl Iterator<Item = &String> {
    const EDITORS: [&str; 8] = ["sed", "perl", "tee", "patch", "cp", "mv", "ed", "ex"];
    let program = simple.words.first().map_or("", String::as_str);
    let in_place = match program {
        "sed" | "perl" => {
            simple.words.iter().any(|w| w.starts_with("-i") || w.starts_with("-pi") || w == "--in-place")
        }
        // Only where they go to.
        "cp" | "mv" => true,
        _ => EDITORS.contains(&program),
    };
    let last_only = matches!(program, "cp" | "mv");
    let count = simple.words.len();
    let words = simple.words.iter().enumerate().skip(1);
    words
        .filter(move |(at, w)| {
            in_place
                && !w.starts_with('-')
                && (!last_only || at + 1 == count)
                && (w.contains('.') || w.contains('/'))
        })
        .map(|(_, w)| w)
        // A script of `sed` has signs that names of files have not.
        .filter(|w| !w.contains(['\n', ';', '{', '\\']) && !w.starts_with("s/"))
}

/// Programs for reaching other machines.
const NETWORK: [&str; 20] = [
    "curl", "wget", "nc", "ncat", "netcat", "ssh", "scp", "sftp", "rsync", "ftp", "telnet", "http", "https",
    "xh", "ping", "dig", "nslookup", "host", "aria2c", "socat",
];

static URL: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"(?i)\b(?:https?|ftp|wss?|ssh|git)://(?:[^\s/@'"]+@)?(\[[0-9a-f:]+\]|[^\s/:?#'"`\\$]+)"#)
});
static BY_CODE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\brequests\.|\burllib|urlopen|http\.client|httpx\.|\bfetch\(|\baxios\b|net/http|socket\.(?:connect|create_connection)|Net::HTTP",
    )
});

/// The first machine that a text names with an address, other than this one.
pub(crate) fn foreign_host(text: &str) -> Option<String> {
    URL.captures_iter(head(text, TEXT_MAX))
        .filter_map(|found| found.get(1))
        .map(|host| host.as_str().to_owned())
        .find(|host| !is_here(host))
}

fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    matches!(host, "localhost" | "::1" | "0.0.0.0" | "::")
        || host.starts_with("127.")
        || host.ends_with(".localhost")
}

/// Where a command goes beyond this machine, as its text has it.
pub(crate) fn reached(simple: &Simple) -> Option<String> {
    let (program, arguments) = simple.words.split_first()?;
    let program = crate::roll::name_of(program);
    let line = simple.words.join(" ");
    if let Some(host) = foreign_host(&line)
        && (NETWORK.contains(&program) || program == "git")
    {
        return Some(host);
    }
    match program {
        "python" | "python3" | "node" | "ruby" | "perl" | "deno" | "bun" | "php" => {
            let code = format!("{line} {}", simple.heredoc.as_deref().unwrap_or_default());
            BY_CODE.is_match(head(&code, TEXT_MAX)).then(|| foreign_host(&code)).flatten()
        }
        // They take a machine's name without more.
        "ssh" | "scp" | "sftp" | "ping" | "dig" | "nslookup" | "host" | "nc" | "ncat" | "netcat"
        | "telnet" | "ftp" | "curl" | "wget" => {
            let named = arguments.iter().find(|w| {
                !w.starts_with(['-', '/', '.', '$', '<'])
                    && w.contains('.')
                    && !w.contains("://")
                    && !w.contains(' ')
            })?;
            let host = named.rsplit('@').next()?.split([':', '/']).next()?;
            (!is_here(host) && host.contains('.') && runner_like(host)).then(|| host.to_owned())
        }
        _ => None,
    }
}

/// A name of a machine, not of a file: `-o out.json` is none.
fn runner_like(host: &str) -> bool {
    let kind = host.rsplit_once('.').map_or("", |(_, kind)| kind);
    !matches!(
        kind,
        "json"
            | "html"
            | "txt"
            | "sh"
            | "py"
            | "js"
            | "xml"
            | "gz"
            | "zip"
            | "tar"
            | "log"
            | "md"
            | "csv"
            | "pem"
            | "key"
            | "out"
            | "tmp"
    )
}
