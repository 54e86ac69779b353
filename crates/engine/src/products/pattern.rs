//! Patterns of the data files: `*` in a text stands for any run of characters; in a command line `**` stands for the rest.

/// Matches a whole text. `*` is any run of characters, also none, also with slashes. Linear in time for hostile texts:
/// greedy with one point of return.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                back = Some((p, t));
                p += 1;
            }
            (Some(want), Some(have)) if want == have => {
                p += 1;
                t += 1;
            }
            (None, None) => return true,
            (_, _) => match back {
                Some((star, from)) if from < text.len() => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                Some(_) | None => return false,
            },
        }
    }
}

/// Matches the arguments of a command line, one pattern for each; a last `**` takes any rest.
pub(crate) fn argv_matches(patterns: &[String], arguments: &[String]) -> bool {
    match patterns.split_last() {
        Some((last, fixed)) if last == "**" => {
            arguments.len() >= fixed.len()
                && fixed.iter().zip(arguments).all(|(pattern, text)| glob(pattern, text))
        }
        Some(_) | None => {
            patterns.len() == arguments.len()
                && patterns.iter().zip(arguments).all(|(pattern, text)| glob(pattern, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abc"), ("*/v1/messages", "/x/v1/messages"), ("a*b*c", "aXbYbZc")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "ab"), ("", "a"), ("*.example.com", "example.com")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn command_lines() {
        let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(argv_matches(&words("rev-parse --git-dir"), &words("rev-parse --git-dir")));
        assert!(argv_matches(&words("-c * status **"), &words("-c x=y status --porcelain")));
        assert!(!argv_matches(&words("status"), &words("status --porcelain")));
        assert!(!argv_matches(&words("status **"), &words("push")));
    }
}
