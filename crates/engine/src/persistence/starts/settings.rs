//! Settings as JSON (with comments) or TOML: what they name to be run, whatever product they are of.

use serde_json::Value;

use super::Commands;

/// Nesting that is followed.
const DEPTH_MAX: usize = 24;
/// Values that are looked at.
const VALUES_MAX: usize = 20_000;

/// Keys whose value is a command: a text, or an argument list; or a program, with its arguments beside it.
const COMMANDS: [&str; 26] = [
    "command",
    "cmd",
    "run",
    "runner",
    "rustc-wrapper",
    "rustc-workspace-wrapper",
    "rustc",
    "linker",
    "rustdoc",
    "credential-process",
    "notify",
    "apikeyhelper",
    "awsauthrefresh",
    "awscredentialexport",
    "otelheadershelper",
    "statusline",
    "filesuggestion",
    "tooldiscoverycommand",
    "toolcallcommand",
    "program",
    "runtimeexecutable",
    "prelaunchtask",
    "shellcommand",
    "execute",
    "git-fetch-with-cli-command",
    "path",
];

/// Scripts of npm, each a text for a shell.
pub(super) fn package_json(text: &str, out: &mut Commands) {
    let Ok(json) = serde_json::from_str::<Value>(text) else { return };
    let Some(scripts) = json.get("scripts").and_then(Value::as_object) else { return };
    for script in scripts.values().filter_map(Value::as_str) {
        out.text(script);
    }
}

pub(super) fn settings(path: &str, text: &str, out: &mut Commands) {
    let value = if path.ends_with(".toml") || path.ends_with("/.cargo/config") {
        toml::from_str::<toml::Value>(text).ok().and_then(|value| serde_json::to_value(value).ok())
    } else {
        serde_json::from_str(&plain_json(text)).ok()
    };
    if let Some(value) = value {
        walk(&value, 0, &mut VALUES_MAX.clone(), out);
    }
}

fn walk(value: &Value, depth: usize, left: &mut usize, out: &mut Commands) {
    if depth > DEPTH_MAX || *left == 0 {
        return;
    }
    *left -= 1;
    match value {
        Value::Array(all) => all.iter().for_each(|value| walk(value, depth + 1, left, out)),
        Value::Object(all) => {
            let arguments = || strings(all.get("args").or_else(|| all.get("arguments")));
            for (key, value) in all {
                let name = key.to_lowercase();
                let named = COMMANDS.contains(&name.as_str())
                    && (name != "path" || all.contains_key("args") || all.contains_key("overrideName"));
                match value {
                    Value::String(text) if named => {
                        let arguments = arguments();
                        if arguments.is_empty() {
                            out.text_or_words(text);
                        } else {
                            out.add(std::iter::once(text.clone()).chain(arguments));
                        }
                    }
                    Value::Array(_) if named => {
                        let words = strings(Some(value));
                        if words.is_empty() {
                            walk(value, depth + 1, left, out);
                        } else {
                            out.add(words);
                        }
                    }
                    value => walk(value, depth + 1, left, out),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let all = value.and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Without comments and commas before a closing bracket, as editors allow them.
fn plain_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let (mut quoted, mut comma) = (false, false);
    while let Some(c) = characters.next() {
        if quoted {
            out.push(c);
            match c {
                '\\' => out.extend(characters.next()),
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match (c, characters.peek()) {
            ('/', Some('/')) => {
                characters.by_ref().take_while(|c| *c != '\n').for_each(drop);
            }
            ('/', Some('*')) => {
                let mut before = ' ';
                characters.next();
                characters
                    .by_ref()
                    .take_while(|c| {
                        let end = before == '*' && *c == '/';
                        before = *c;
                        !end
                    })
                    .for_each(drop);
            }
            (',', _) => {
                // Held back until it is known what follows.
                if comma {
                    out.push(',');
                }
                comma = true;
            }
            (c, _) if c.is_whitespace() => out.push(' '),
            (c, _) => {
                if comma && !matches!(c, '}' | ']') {
                    out.push(',');
                }
                comma = false;
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}
