//! What a call says to others in its arguments: the message of a commit, the text of a request to take changes in.

use muster_account::Class as Tool;
use serde_json::Value;

use crate::claims::Source;
use crate::claims::account::{Account, TEXT_MAX};
use crate::claims::prose::head;
use crate::roll::name_of;
use crate::shell::Simple;

/// Values of one call's arguments that are looked at.
const VALUES_MAX: usize = 1_000;

/// What a simple command says to others.
pub(crate) fn of_command(simple: &Simple, account: &Account) -> Option<(Source, String)> {
    let (program, arguments) = simple.words.split_first()?;
    let plain = || arguments.iter().filter(|w| !w.starts_with('-')).map(String::as_str);
    let (source, options) = match name_of(program) {
        "git" if plain().any(|w| w == "commit") => (Source::CommitMessage, GIT),
        "gh" | "hub" if asks(plain()) => (Source::Request, GH),
        "glab" | "tea" | "az" if asks(plain()) => (Source::Request, GLAB),
        "gh" if arguments.first().is_some_and(|w| w == "api") && plain().any(|w| w.contains("/pulls")) => {
            let fields =
                arguments.iter().filter_map(|w| w.strip_prefix("title=").or(w.strip_prefix("body=")));
            let text = fields.collect::<Vec<_>>().join("\n\n");
            return (!text.is_empty()).then(|| (Source::Request, cut(&text)));
        }
        _ => return None,
    };
    let text = by_options(arguments, &options, simple, account);
    (!text.is_empty()).then(|| (source, cut(&text)))
}

/// `pr create`, `mr update`.
fn asks<'a>(mut plain: impl Iterator<Item = &'a str>) -> bool {
    let (what, act) = (plain.next().unwrap_or_default(), plain.next().unwrap_or_default());
    match what {
        "pr" | "mr" | "pulls" => matches!(act, "create" | "new" | "edit" | "update" | "c"),
        "repos" => act == "pr",
        _ => what == "pull-request",
    }
}

struct Options {
    text: &'static [&'static str],
    file: &'static [&'static str],
}

const GIT: Options = Options { text: &["--message"], file: &["-F", "--file"] };
const GH: Options = Options {
    text: &["--title", "-t", "--body", "-b", "--message", "-m"],
    file: &["-F", "--body-file", "--file"],
};
const GLAB: Options =
    Options { text: &["--title", "-t", "--description", "-d"], file: &["-F", "--description-file"] };

fn by_options(arguments: &[String], options: &Options, simple: &Simple, account: &Account) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let is_text = options.text.contains(&name) || options.file == GIT.file && is_message_option(name);
        let is_file = options.file.contains(&name);
        if !is_text && !is_file {
            continue;
        }
        let Some(value) = attached.or_else(|| rest.next().cloned()) else { break };
        if is_text {
            parts.push(value);
        } else if value == "-" {
            parts.extend(simple.heredoc.clone());
        } else if let Some(written) = account.text_of(&value) {
            parts.push(longest(written).unwrap_or_else(|| written.to_owned()));
        }
    }
    parts.join("\n\n")
}

/// `-m`, `-am`, `-qm`.
fn is_message_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| {
        flags.len() <= 5 && flags.ends_with('m') && flags.bytes().all(|b| b.is_ascii_lowercase())
    })
}

/// What a call of a tool that opens or changes a request says in it.
pub(crate) fn of_tool(tool: &str, class: Tool, arguments: &str) -> Option<String> {
    let name = tool.to_lowercase().replace(['-', ' '], "_");
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let asks = has(&["pull_request", "pullrequest", "merge_request", "mergerequest", "create_pr", "open_pr"])
        && has(&["create", "open", "update", "edit", "submit", "new"]);
    if !asks || !matches!(class, Tool::Mcp | Tool::Other | Tool::Execute) {
        return None;
    }
    let value: Value = serde_json::from_str(arguments).ok()?;
    let fields = ["title", "body", "description"].map(|key| value.get(key).and_then(Value::as_str));
    let text = fields.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    (!text.is_empty()).then(|| cut(&text))
}

/// The longest text in the arguments of a call that wrote a file.
fn longest(arguments: &str) -> Option<String> {
    let value: Value = serde_json::from_str(arguments).ok()?;
    let mut open = vec![&value];
    let mut longest: Option<&str> = None;
    for _ in 0..VALUES_MAX {
        match open.pop() {
            Some(Value::String(text)) if longest.is_none_or(|known| known.len() < text.len()) => {
                longest = Some(text)
            }
            Some(Value::Array(values)) => open.extend(values),
            Some(Value::Object(values)) => open.extend(values.values()),
            Some(_) => {}
            None => break,
        }
    }
    longest.map(str::to_owned)
}

fn cut(text: &str) -> String {
    head(text, TEXT_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::simple_commands;

    #[track_caller]
    fn check(text: &str, expected: Option<(Source, &str)>) {
        let account = Account::default();
        let commands = simple_commands(text).unwrap();
        let found = commands.iter().find_map(|simple| of_command(simple, &account));
        assert_eq!(found.as_ref().map(|(source, text)| (*source, text.as_str())), expected, "{text}");
    }

    #[test]
    fn a_message_is_found_however_it_is_given() {
        let commit = |text| Some((Source::CommitMessage, text));
        check("git commit -qm 'Add calc'", commit("Add calc"));
        check("git -c user.name=x commit -a --message=\"All done\"", commit("All done"));
        check("git commit -m a -m 'b c'", commit("a\n\nb c"));
        check(
            "git commit -m \"$(cat <<'EOF'\nAdd calc\n\nAll pass.\nEOF\n)\"",
            commit("Add calc\n\nAll pass."),
        );
        check("git commit -F - <<'EOF'\nAdd calc\n\nAll pass.\nEOF\n", commit("Add calc\n\nAll pass.\n"));
        check("git commit --amend", None);
        check("git commit -F nowhere.txt", None);
    }

    #[test]
    fn the_text_of_a_request_is_found() {
        let request = |text| Some((Source::Request, text));
        check(
            "gh pr create --title 'Add calc' --body \"All tests pass.\"",
            request("Add calc\n\nAll tests pass."),
        );
        check("gh pr create -t x --body-file - <<E\nAll pass.\nE\n", request("x\n\nAll pass.\n"));
        check("GH_TOKEN=x gh pr edit 3 -b 'All pass.'", request("All pass."));
        check("glab mr create --title=x --description='y'", request("x\n\ny"));
        check("gh api repos/a/b/pulls -f title=x -f body='y'", request("x\n\ny"));
        check("gh pr list --search 'x'", None);
        check("gh pr create --fill", None);
        let mcp = |tool, text| of_tool(tool, Tool::Mcp, text);
        let arguments = r#"{"title":"x","body":"All pass.","head":"y"}"#;
        assert_eq!(mcp("mcp__github__create_pull_request", arguments).as_deref(), Some("x\n\nAll pass."));
        assert_eq!(mcp("mcp__github__get_pull_request", arguments), None);
        assert_eq!(mcp("create_merge_request", "no json"), None);
    }
}
