//! Git's configuration: the programs that it makes git run. `a.b` of a section `[x "y"]` is `x.y.a`.

use super::Commands;
use super::shell::simple;

/// Keys whose value is a program or a text for a shell. The last part of the name, after those of the section.
const PROGRAMS: [(&str, &str); 30] = [
    ("core", "fsmonitor"),
    ("core", "editor"),
    ("core", "pager"),
    ("core", "sshcommand"),
    ("core", "gitproxy"),
    ("core", "askpass"),
    ("core", "alternaterefscommand"),
    ("credential", "helper"),
    ("diff", "external"),
    ("diff", "textconv"),
    ("diff", "command"),
    ("merge", "driver"),
    ("filter", "clean"),
    ("filter", "smudge"),
    ("filter", "process"),
    ("gpg", "program"),
    ("sequence", "editor"),
    ("interactive", "difffilter"),
    ("uploadpack", "packobjectshook"),
    ("difftool", "cmd"),
    ("mergetool", "cmd"),
    ("difftool", "path"),
    ("mergetool", "path"),
    ("browser", "cmd"),
    ("man", "cmd"),
    ("sendemail", "sendmailcmd"),
    ("trailer", "command"),
    ("trailer", "cmd"),
    ("instaweb", "httpd"),
    ("remote", "vcs"),
];
/// Values by which git, or the system, means programs of its own.
const OWN: [&str; 12] = [
    "true",
    "false",
    "",
    "cat",
    "less",
    "vim",
    "vi",
    "nano",
    "store",
    "cache",
    "osxkeychain",
    "git-lfs filter-process",
];

pub(super) fn config(text: &str, out: &mut Commands) {
    let mut section = String::new();
    let mut whole = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) && whole.is_empty() {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            whole.push_str(begun);
            continue;
        }
        whole.push_str(line);
        let line = std::mem::take(&mut whole);
        let mut line = line.as_str();
        // A key may follow its section on the same line.
        if let Some(rest) = line.strip_prefix('[')
            && let Some((name, behind)) = rest.split_once(']')
        {
            section = name.split([' ', '.', '"']).next().unwrap_or_default().to_lowercase();
            line = behind.trim();
        }
        if let Some((key, value)) = line.split_once('=') {
            entry(&section, &key.trim().to_lowercase(), &value_of(value), out);
        }
    }
}

fn entry(section: &str, key: &str, value: &str, out: &mut Commands) {
    match (section, key) {
        // Managers of hooks, and nowhere.
        ("core", "hookspath") if [".husky/_", ".husky", ".git/hooks", "/dev/null", ""].contains(&value) => {}
        ("core", "hookspath") => {
            // Any file in it that has the name of a hook: the last name stands for it.
            out.add([format!("{}/$HOOK", value.trim_end_matches('/'))]);
        }
        ("init", "templatedir") => out.add([format!("{}/hooks/$HOOK", value.trim_end_matches('/'))]),
        ("alias" | "credential", _) if value.starts_with('!') => {
            out.text_or_words(value.trim_start_matches('!'));
        }
        ("alias", _) => {}
        ("pager", _) if !OWN.contains(&value) => out.text_or_words(value),
        _ if PROGRAMS.contains(&(section, key))
            && !OWN.contains(&value)
            && !value.starts_with("git-lfs ") =>
        {
            let named = section == "credential" && !value.contains('/') && !value.is_empty();
            if named {
                let mut words = value.split_whitespace();
                let program = format!("git-credential-{}", words.next().unwrap_or_default());
                out.add(std::iter::once(program).chain(words.map(str::to_owned)));
            } else {
                out.text(value);
                simple(value, out);
            }
        }
        _ => {}
    }
}

/// Without its quotes and what is a comment behind it.
fn value_of(text: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut characters = text.trim().chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(c) => out.push(c),
                None => {}
            },
            '#' | ';' if !quoted => break,
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
}
