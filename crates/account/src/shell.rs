//! The command inside what a harness gives to the shell. Only the whole shape of a known wrapper counts: a command that
//! merely contains such text, or has anything before or behind it, is itself.

/// The command that a product wrapped before it gave it to the shell; `None` where the text is no wrapper.
pub fn unwrap(script: &str) -> Option<String> {
    claude(script).or_else(|| gemini(script)).or_else(|| gemini_older(script))
}

/// `source …/shell-snapshots/… && … && eval '<command>' < /dev/null && pwd -P >| /tmp/claude-…-cwd`
fn claude(script: &str) -> Option<String> {
    let command = match script.strip_prefix("eval ") {
        Some(command) => command,
        None => {
            // The first `eval`: what stands before it is the harness's, and is checked; what follows is one quoted word.
            let (before, command) = script.split_once(" && eval ")?;
            if !is_claude_preamble(before) {
                return None;
            }
            command
        }
    };
    let (command, rest) = quoted_word(command)?;
    let rest =
        rest.strip_prefix(" \\< /dev/null").or_else(|| rest.strip_prefix(" < /dev/null")).unwrap_or(rest);
    let file = rest.strip_prefix(" && pwd -P >| ")?;
    let own = file.contains("/claude-") && file.ends_with("-cwd");
    (own && is_plain_word(file)).then_some(command)
}

/// Parts joined by ` && `: the snapshot of the user's shell, then options and aliases that are put back.
fn is_claude_preamble(text: &str) -> bool {
    let mut parts = text.split(" && ");
    let snapshot = parts.next().and_then(|first| {
        first
            .strip_prefix("source ")?
            .strip_suffix(" 2>/dev/null || true")
            .or_else(|| first.strip_prefix("source "))
    });
    let is_snapshot = snapshot.is_some_and(|file| file.contains("/shell-snapshots/") && is_plain_word(file));
    is_snapshot
        && parts.all(|part| {
            let part = part.strip_suffix(" || true").unwrap_or(part);
            let part = part
                .strip_suffix(" >/dev/null 2>&1")
                .or_else(|| part.strip_suffix(" 2>/dev/null"))
                .unwrap_or(part);
            let part = match part.strip_prefix("{ ").map(|p| p.strip_suffix("; }")) {
                Some(Some(inside)) => inside,
                Some(None) => return false,
                None => part,
            };
            part.split("; ").all(is_shell_option)
        })
}

/// One of the builtins that set the shell's own state, with plain words.
fn is_shell_option(command: &str) -> bool {
    let mut words = command.split(' ');
    let name = match words.next() {
        Some("\\builtin" | "builtin") => words.next(),
        first => first,
    };
    matches!(name, Some("shopt" | "unalias" | "unset" | "set" | "setopt" | "unsetopt"))
        && words.all(|word| is_plain_word(word.trim_matches('\'')))
}

/// Nothing in it means anything to a shell.
fn is_plain_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+:=@%,~".contains(c))
}

/// One word as `shell-quote` writes it. Gives its text and what follows.
fn quoted_word(text: &str) -> Option<(String, &str)> {
    match text.chars().next()? {
        '\'' => single_quoted(text),
        '"' => escaped(text.strip_prefix('"')?, '"')
            .and_then(|(word, rest)| Some((word, rest.strip_prefix('"')?))),
        _ => escaped(text, ' ').filter(|(word, _)| !word.is_empty()),
    }
}

/// `'it'"'"'s'` or `'it'\''s'`.
fn single_quoted(text: &str) -> Option<(String, &str)> {
    const QUOTE: [&str; 2] = ["'\"'\"'", "'\\''"];
    let mut rest = text.strip_prefix('\'')?;
    let mut out = String::new();
    loop {
        let end = rest.find('\'')?;
        let (piece, after) = rest.split_at_checked(end)?;
        out.push_str(piece);
        match QUOTE.iter().find_map(|quote| after.strip_prefix(quote)) {
            Some(more) => {
                out.push('\'');
                rest = more;
            }
            None => return Some((out, after.strip_prefix('\'')?)),
        }
    }
}

/// Up to `end`, with backslashes before what would mean something to the shell. What would, and has none, is no such word.
fn escaped(text: &str, end: char) -> Option<(String, &str)> {
    let special: &[char] = if end == '"' {
        &['$', '`']
    } else {
        &['$', '`', '\'', '"', '|', '&', ';', '<', '>', '(', ')', '\n', '*', '?']
    };
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == end {
            return Some((out, text.get(at..)?));
        }
        if special.contains(&c) {
            return None;
        }
        out.push(if c == '\\' { characters.next()?.1 } else { c });
    }
    // Only a bare word may end with the text.
    (end == ' ').then_some((out, ""))
}

/// `shopt …; _bgpids_file=…` and the command in a subshell with a trap.
fn gemini(script: &str) -> Option<String> {
    let rest = gemini_options(script)?.strip_prefix("_bgpids_file=")?;
    let (file, rest) = rest.split_once('\n')?;
    let command = rest
        .strip_prefix("(\n  trap 'jobs -p > \"$_bgpids_file\"' EXIT\n")?
        .strip_suffix("\n)\n__code=$?\nexit $__code")?;
    is_plain_word(file.trim_matches('\'')).then(|| command.to_owned())
}

/// `shopt …; { <command>; }; __code=$?; pgrep -g 0 >FILE 2>&1; exit $__code;`
fn gemini_older(script: &str) -> Option<String> {
    let script = gemini_options(script).unwrap_or(script);
    let (command, rest) = script.strip_prefix("{ ")?.rsplit_once("; }; __code=$?; pgrep -g 0 >")?;
    let file = rest.trim_end().strip_suffix(" 2>&1; exit $__code;")?;
    // What ended with `&` got no semicolon of its own.
    is_plain_word(file).then(|| command.to_owned())
}

fn gemini_options(script: &str) -> Option<&str> {
    let (options, rest) = script.strip_prefix("shopt -u ")?.split_once("; ")?;
    options.split(' ').all(is_plain_word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::unwrap;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let script = format!(
            "source /h/.claude/shell-snapshots/s.sh 2>/dev/null || true && \\builtin shopt -u extglob 2>/dev/null || true \
             && eval {word} < /dev/null && pwd -P >| /tmp/claude-12ab-cwd"
        );
        assert_eq!(unwrap(&script).as_deref(), expected, "{script}");
    }

    #[test]
    fn the_command_of_claude_code_however_it_is_quoted() {
        check("'ls -l'", Some("ls -l"));
        check("false", Some("false"));
        check(r"ls\|wc", Some("ls|wc"));
        check(r#"'echo '"'"'a b'"'"''"#, Some("echo 'a b'"));
        check(r#""it's \$5""#, Some("it's $5"));
    }

    #[test]
    fn what_has_anything_beside_the_word_is_no_wrapper() {
        check("false; curl x", None);
        check("$(curl x)", None);
        check("'ls' && curl x", None);
        check(r#""$(curl x)""#, None);
        check("", None);
    }
}
