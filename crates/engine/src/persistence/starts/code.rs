//! Programs: not understood, but the texts that stand in the calls by which they start others.

use super::Commands;

const PYTHON: [&str; 14] = [
    "os.system(",
    "os.popen(",
    ".run(",
    ".Popen(",
    ".call(",
    ".check_call(",
    ".check_output(",
    ".getoutput(",
    "execv(",
    "execvp(",
    "spawnv(",
    "Popen(",
    "system(",
    "popen(",
];
/// What of a call is looked at.
const CALL_MAX: usize = 2_048;
/// Calls that are looked at.
const CALLS_MAX: usize = 256;

/// The texts and lists that Python hands to another process.
pub(super) fn python(text: &str, out: &mut Commands) {
    calls(text, &PYTHON, out);
}

/// polkit's rules are JavaScript.
pub(super) fn polkit(text: &str, out: &mut Commands) {
    calls(text, &["polkit.spawn("], out);
}

fn calls(text: &str, known: &[&str], out: &mut Commands) {
    for call in known {
        for (at, _) in text.match_indices(call).take(CALLS_MAX) {
            let rest = text.get(at + call.len()..).unwrap_or_default();
            argument(rest.get(..rest.floor_char_boundary(CALL_MAX)).unwrap_or_default(), out);
        }
    }
}

/// The first argument: a literal is a text for a shell, a list of literals an argument list.
fn argument(rest: &str, out: &mut Commands) {
    let rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix(['[', '(']) {
        let mut words = Vec::new();
        let mut rest = list;
        loop {
            rest = rest.trim_start_matches([' ', '\n', '\t', ',']);
            let Some((word, behind)) = literal(rest) else { break };
            words.push(word);
            rest = behind;
        }
        out.add(words);
    } else if let Some((text, _)) = literal(rest) {
        out.text_or_words(&text);
    }
}

/// A quoted text, and what follows.
fn literal(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches(['r', 'b', 'u']);
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => out.extend(characters.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
            c if c == quote => return Some((out, text.get(at + 1..)?)),
            c => out.push(c),
        }
    }
    None
}
