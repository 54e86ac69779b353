//! Exceptions: which rule is not to speak of whom, and why.

use serde::Deserialize;

use crate::{Act, Rule};

/// Longest glob, in bytes: matching takes its length times that of the text.
const GLOB_MAX: usize = 512;

/// `exceptions.toml`: what is named must all fit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Id or title of the rule, or `*`.
    pub rule: String,
    /// Globs (`*` any characters).
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub product: Option<String>,
    /// The file that the act is on, or the program where it is on none.
    #[serde(default)]
    pub path: Option<String>,
    /// Why; it is shown by `muster rules`.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Exception>,
}

pub(crate) fn parse(text: &str) -> Result<Vec<Exception>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    for exception in &file.exception {
        if exception.reason.trim().is_empty() {
            return Err(format!("the exception for `{}` has no reason", exception.rule));
        }
        if exception.rule == "*"
            && exception.label.is_none()
            && exception.product.is_none()
            && exception.path.is_none()
        {
            return Err("an exception for every rule must name a label, a product or a path".to_owned());
        }
        let globs = [&exception.label, &exception.product, &exception.path];
        if globs.into_iter().flatten().any(|glob| glob.len() > GLOB_MAX) {
            return Err(format!("a pattern of the exception for `{}` is too long", exception.rule));
        }
    }
    Ok(file.exception)
}

impl Exception {
    pub(crate) fn covers(&self, rule: &Rule, act: &Act<'_>) -> bool {
        let fits = |glob: &Option<String>, text: &str| glob.as_deref().is_none_or(|g| matches(g, text));
        (self.rule == "*" || self.rule == rule.id || self.rule == rule.title)
            && fits(&self.label, act.agent.label)
            && fits(&self.product, act.agent.product)
            && fits(&self.path, act.path().unwrap_or(act.program.path))
    }
}

/// `*` stands for any characters.
fn matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, fits) in [
            ("*", "", true),
            ("/a/*", "/a/b/c", true),
            ("/a/*.log", "/a/b.log", true),
            ("/a/*.log", "/a/b.txt", false),
            ("ci-*-x", "ci-x", false),
            ("same", "same", true),
            ("same", "samer", false),
        ] {
            assert_eq!(matches(glob, text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn an_exception_gives_its_reason() {
        assert!(parse("[[exception]]\nrule = \"x\"\nreason = \" \"").is_err());
        assert!(parse("[[exception]]\nrule = \"*\"\nreason = \"quiet\"").is_err());
        assert!(parse("[[exception]]\nrule = \"x\"\nlabel = \"ci-*\"\nreason = \"our CI\"").is_ok());
    }
}
