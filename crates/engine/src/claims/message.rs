//! What a command says to others in its arguments: the message of a commit.

/// The message of a `git commit`, as its options give it.
pub(crate) fn commit(words: &[String]) -> Option<String> {
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
    use crate::shell::simple_commands;

    #[test]
    fn a_message_is_found_however_it_is_given() {
        let message = |text: &str| simple_commands(text).unwrap().iter().find_map(|s| commit(&s.words));
        assert_eq!(message("git commit -qm 'Add calc'").as_deref(), Some("Add calc"));
        assert_eq!(message("git commit -a --message=\"All done\"").as_deref(), Some("All done"));
        assert_eq!(message("git commit -m a -m 'b c'").as_deref(), Some("a\n\nb c"));
        assert_eq!(
            message("git commit -m \"$(cat <<'EOF'\nAdd calc\n\nAll tests pass.\nEOF\n)\"").as_deref(),
            Some("Add calc\n\nAll tests pass.")
        );
        assert_eq!(message("git commit --amend"), None);
    }
}
