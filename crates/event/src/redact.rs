//! Secrets are cut out at the edge, before anything is stored: what is recognised as a key or token becomes
//! `[redacted]`. Recognition is by well-known prefixes and by names that say so; it cannot know every secret.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

const MARK: &str = "[redacted]";

// Word boundaries are ASCII's (`(?-u:\b)`): Unicode's would make the regex engine leave its fast path at each letter
// that is not ASCII, which costs a factor of twenty on text that holds any.

/// Values with a shape of their own: provider and forge tokens, cloud key ids, JSON web tokens.
const SHAPES: &str = r"(?x)
    (?-u:\b)(?: sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}
      | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,} | glpat-[A-Za-z0-9_-]{20,}
      | xox[abeoprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}
      | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,}
      | hf_[A-Za-z0-9]{30,} | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,} | dop_v1_[a-f0-9]{64}
      | [rs]k_(?:live|test)_[A-Za-z0-9]{20,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
      | eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*
    )
";

/// Private key blocks: apart from the shapes, because its counted repetition would make every search slow.
const BLOCK: &str = r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]*PRIVATE KEY-----)?";
const BLOCK_BEGIN: &str = "-----BEGIN ";

/// `name=value`, `"name": "value"`, `--name value`, and headers, where the name says that the value is secret. The value
/// must look like one (8 characters or more without a space, no variable or command substitution).
const NAMED: &str = r#"(?ix)
    (?P<name> (?-u:\b)(?:authorization["'\s:=]+(?:bearer|basic|token)\s+)
      | (?:[a-z0-9_-]*(?:passw(?:or)?d|passphrase|secret|api_?-?key|access_?-?key|auth_?-?token|access_?-?token
           |refresh_?-?token|session_?-?token|private_?-?key|client_?-?secret|_token|_pwd)["']?\s*(?:=|:\s*|\s)\s*["']?)
      | (?:x-(?:api-key|goog-api-key|auth-token)["'\s:=]+)
    )
    (?P<value> [^\s"'$`<>\\&;|(){}\[\],]{8,} )
"#;

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static SHAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(SHAPES).expect("SHAPES is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static KEY_BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(BLOCK).expect("BLOCK is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(NAMED).expect("NAMED is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static USERINFO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<scheme>(?-u:\b)[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@").expect("valid pattern")
});

/// Text with secrets replaced by `[redacted]`.
pub fn redact(text: &str) -> Cow<'_, str> {
    // Most texts hold nothing of the kind; the regexes' own literal prefilters make that cheap, and nothing is copied.
    let mut out = Cow::Borrowed(text);
    if let Cow::Owned(s) = SHAPE.replace_all(&out, MARK) {
        out = Cow::Owned(s);
    }
    if out.contains(BLOCK_BEGIN)
        && let Cow::Owned(s) = KEY_BLOCK.replace_all(&out, MARK)
    {
        out = Cow::Owned(s);
    }
    if let Cow::Owned(s) =
        NAME.replace_all(&out, |c: &Captures| format!("{}{MARK}", c.name("name").map_or("", |m| m.as_str())))
    {
        out = Cow::Owned(s);
    }
    if let Cow::Owned(s) = USERINFO.replace_all(&out, format!("${{scheme}}{MARK}@")) {
        out = Cow::Owned(s);
    }
    out
}

/// The same for bytes; bytes that are no UTF-8 are left as they are when nothing was found, and escaped otherwise.
pub fn redact_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(text) => match redact(text) {
            Cow::Borrowed(_) => Cow::Borrowed(bytes),
            Cow::Owned(s) => Cow::Owned(s.into_bytes()),
        },
        Err(_) => match redact(&crate::escape_bytes(bytes)) {
            Cow::Borrowed(_) => Cow::Borrowed(bytes),
            Cow::Owned(s) => Cow::Owned(s.into_bytes()),
        },
    }
}

/// An argument vector with secrets cut out, also where the name and its value are separate arguments.
pub fn redact_argv(argv: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(argv.len());
    let mut value_follows = false;
    for argument in argv {
        let cut = redact(argument);
        // What begins with `-` is an option, unless it is a secret by its shape: a private key's block does too.
        let is_value = argument.len() >= 8 && !argument.starts_with('-') || cut.starts_with(MARK);
        out.push(if value_follows && is_value { MARK.to_owned() } else { cut.into_owned() });
        // An option and nothing else: one that holds its value has none behind it.
        value_follows = argument.starts_with('-')
            && argument.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && NAME.is_match(&format!("{argument}=xxxxxxxxxxxx"));
    }
    out
}

/// An HTTP request target with every query value cut out: keys travel there (`?key=…`).
pub fn redact_url(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return redact(target).into_owned() };
    let names: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, "sse")) => format!("{name}=sse"),
            Some((name, _)) => format!("{name}={MARK}"),
            None => pair.to_owned(),
        })
        .collect();
    format!("{}?{}", redact(path), names.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(redact(input), expected);
    }

    #[test]
    fn tokens_are_known_by_their_shape() {
        check(&format!("use sk-ant-{} now", "x1".repeat(20)), "use [redacted] now");
        check("AKIAIOSFODNN7EXAMPLE", "[redacted]");
        check("ghp_0123456789abcdefghij0123456789abcdef", "[redacted]");
        check("é AKIAIOSFODNN7EXAMPLE", "é [redacted]");
    }

    #[test]
    fn private_keys_are_cut_out_whole() {
        let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----";
        check(&format!("key:\n{block}\nend"), "key:\n[redacted]\nend");
        check("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----");
    }

    #[test]
    fn values_are_known_by_their_name() {
        check("curl -H 'Authorization: Bearer abcdefgh12345'", "curl -H 'Authorization: Bearer [redacted]'");
        check("MYSQL_PWD=hunter2hunter2 mysql", "MYSQL_PWD=[redacted] mysql");
        check("{\"api_key\": \"0123456789\"}", "{\"api_key\": \"[redacted]\"}");
        check("https://user:pa55word@host/x", "https://user:[redacted]@host/x");
    }

    #[test]
    fn ordinary_text_stays() {
        check("cargo test --workspace", "cargo test --workspace");
        check("the password is $PASSWORD", "the password is $PASSWORD");
        check("sk-learn is a library, keyboard=querty", "sk-learn is a library, keyboard=querty");
    }

    #[test]
    fn a_secret_in_its_own_argument_is_cut_out() {
        let argv = ["tool", "--api-key", "0123456789abcdef", "--verbose"].map(str::to_owned);
        assert_eq!(redact_argv(&argv), ["tool", "--api-key", "[redacted]", "--verbose"]);
    }

    #[test]
    fn a_value_that_looks_like_an_option_is_cut_out_whole() {
        let argv = ["--password", "-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY-----rest", "-v"]
            .map(str::to_owned);
        assert_eq!(redact_argv(&argv), ["--password", "[redacted]", "-v"]);
    }

    #[test]
    fn query_values_are_cut_out() {
        assert_eq!(
            redact_url("/v1beta/models/m:generateContent?key=AIzaX&alt=sse"),
            "/v1beta/models/m:generateContent?key=[redacted]&alt=sse"
        );
    }
}
