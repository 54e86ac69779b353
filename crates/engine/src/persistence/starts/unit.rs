//! systemd's units and what looks like them: desktop entries and D-Bus services.

use super::Commands;
use crate::roll::name_of;

const EXEC: [&str; 7] =
    ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecCondition", "ExecReload", "ExecStop", "ExecStopPost"];

/// Gives the unit's name: that of the file, of the unit that it starts, or of the one that its folder adds to.
pub(super) fn unit(path: &str, text: &str, out: &mut Commands) -> Option<String> {
    let mut name = name_of(path);
    let folder = path.rsplit('/').nth(1).unwrap_or_default();
    if let Some(of) = folder.strip_suffix(".d") {
        name = of;
    }
    let mut started = None;
    for (section, key, value) in entries(text) {
        match (section.as_str(), key.as_str()) {
            ("Service" | "Socket" | "Mount", key) if EXEC.contains(&key) => exec(&value, out),
            ("Timer" | "Path" | "Automount", "Unit") | ("Socket", "Service") => started = Some(value),
            _ => {}
        }
    }
    if started.is_none()
        && let Some(stem) = [".timer", ".path", ".socket"].iter().find_map(|end| name.strip_suffix(end))
    {
        started = Some(format!("{stem}.service"));
    }
    let name = started.unwrap_or_else(|| name.to_owned());
    (!name.is_empty() && name.len() <= 255).then_some(name)
}

/// `Exec=` of a desktop entry or a D-Bus service.
pub(super) fn desktop(text: &str, out: &mut Commands) -> Option<String> {
    let mut unit = None;
    for (section, key, value) in entries(text) {
        match (section.as_str(), key.as_str()) {
            ("Desktop Entry" | "D-BUS Service", "Exec" | "TryExec") | (_, "Exec") => {
                let words = words(&value).into_iter().filter(|word| !is_field(word));
                out.add(words.map(|word| word.replace("%%", "%")).collect::<Vec<_>>());
            }
            ("D-BUS Service", "SystemdService") => unit = Some(value),
            _ => {}
        }
    }
    unit
}

/// A field code, in place of which a desktop puts files and names.
fn is_field(word: &str) -> bool {
    word.len() == 2 && word.starts_with('%') && word != "%%"
}

/// One or more commands, each with its prefixes.
fn exec(value: &str, out: &mut Commands) {
    let all = words(value);
    for command in all.split(|word| word == ";") {
        let Some((first, rest)) = command.split_first() else { continue };
        let program = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let prefix = first.get(..first.len() - program.len()).unwrap_or_default();
        // With `@` the name by which it is called follows; `|` gives all of it to a shell.
        let rest = if prefix.contains('@') { rest.get(1..).unwrap_or_default() } else { rest };
        let words = std::iter::once(program.to_owned()).chain(rest.iter().cloned());
        if prefix.contains('|') {
            out.text(&words.collect::<Vec<_>>().join(" "));
        } else {
            out.add(words);
        }
    }
}

/// Section, key and value of each line; a `\` at its end goes on with the next.
fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    let mut section = String::new();
    let mut whole = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            whole.push_str(begun);
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        let line = std::mem::take(&mut whole);
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            out.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    out
}

/// Words with quotes and backslashes, as systemd and desktops split them.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let next = characters.next().unwrap_or('\\');
                let meant = match next {
                    'n' => '\n',
                    't' => '\t',
                    's' => ' ',
                    other => other,
                };
                word.get_or_insert_default().push(meant);
            }
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => out.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}
