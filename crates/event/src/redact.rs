//! Secrets are cut out at the edge, before anything is stored: what is recognised as a key or token becomes a mark
//! (`redact/mark.rs`) with a commitment to it (`redact/commitment.rs`). Recognition is by well-known prefixes and by names
//! that say so; it cannot know every secret.
//!
//! A command stands in an account as the agent wrote it, and in the record as a product wrapped and quoted it for a shell:
//! what is cut out must be the same in both, or they are one act no more.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

mod commitment;
mod mark;

pub use commitment::{Key, Opening, SALT_BYTES, Salt, check, open, set_key};
pub use mark::{COMMITMENT_LEN, Mark, find_marks, head_chars, plain_marks, short_marks};

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

/// Private key blocks: apart from the shapes, because few texts hold their beginning. Between the lines of one there may
/// be what a program puts between strings; what quotes the whole of it belongs to the command.
const BLOCK: &str = r#"(?x)
    -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----
    (?: (?:Proc-Type|DEK-Info):\ [A-Za-z0-9,-]+ | [A-Za-z0-9+/=\s] | \\+[nrt] | ["'][\s+,]*["'][A-Za-z0-9+/]{8} )*
    (?:-----END\ [A-Z\ ]*PRIVATE\ KEY-----)?
"#;
const BLOCK_BEGIN: &str = "-----BEGIN ";

/// `name=value`, `"name": "value"`, `--name value`, and headers, where the name says that the value is secret. The value
/// must look like one (8 characters or more without a space, no variable or command substitution). Quotes may be quoted
/// themselves: by JSON (`\"`), by a shell (`'\''`, `'"'"'`).
const NAMED: &str = r#"(?ix)
    (?: (?-u:\b)(?:authorization[\\"'\s:=]+(?:bearer|basic|token)\s+)
      | (?:[a-z0-9_-]*(?:passw(?:or)?d|passphrase|secret|api_?-?key|access_?-?key|auth_?-?token|access_?-?token
           |refresh_?-?token|session_?-?token|private_?-?key|client_?-?secret|_token|_pwd)
           [\\"']{0,5}\s*(?:=|:\s*|\s)\s*[\\"']{0,5})
      | (?:x-(?:api-key|goog-api-key|auth-token)[\\"'\s:=]+)
    )
    (?P<value> (?: [^\s"'$`<>\\&;|(){}\[\],] | \\[!\#*:=?@^/] ){8,} )
"#;
/// What a shell's quoting (or JSON's) puts a backslash before, though it may stand in a value.
const ESCAPED: &str = "!#*:=?@^/";

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static SHAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(SHAPES).expect("SHAPES is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static KEY_BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(BLOCK).expect("BLOCK is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(NAMED).expect("NAMED is a valid pattern"));
#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test run")]
static USERINFO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u:\b)[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:(?P<value>[^/\s@]+)@").expect("valid pattern")
});

/// Text with a mark in the place of each secret. What is redacted already stays as it is.
pub fn redact(text: &str) -> Cow<'_, str> {
    Marker::of_process().text(text)
}

/// The same for bytes; bytes that are no UTF-8 are left as they are when nothing was found, and escaped otherwise.
pub fn redact_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    Marker::of_process().bytes(bytes)
}

/// An argument vector with secrets cut out, also where the name and its value are separate arguments.
pub fn redact_argv(argv: &[String]) -> Vec<String> {
    Marker::of_process().argv(argv)
}

/// An HTTP request target with every query value cut out: keys travel there (`?key=…`).
pub fn redact_url(target: &str) -> String {
    Marker::of_process().url(target)
}

/// Puts marks: with commitments where there is a key.
#[derive(Clone, Copy)]
pub(crate) struct Marker<'k>(Option<&'k Key>);

impl<'k> Marker<'k> {
    fn of_process() -> Self {
        Marker(commitment::process_key())
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(key: Option<&'k Key>) -> Self {
        Marker(key)
    }

    fn push(self, value: &str, out: &mut String) {
        match self.0 {
            // A mark in the place of a mark would open to nothing that anybody knows.
            _ if mark::is_mark(value) => out.push_str(value),
            None => out.push_str(mark::PLAIN),
            Some(key) => out.extend([mark::BEGIN, ":", &key.open(value).commitment(), "]"]),
        }
    }

    fn mark(self, value: &str) -> String {
        let mut out = String::new();
        self.push(value, &mut out);
        out
    }

    pub(crate) fn text(self, text: &str) -> Cow<'_, str> {
        // Most texts hold nothing of the kind; the regexes' own literal prefilters make that cheap, and nothing is copied.
        let found = secrets(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for range in found {
            out.push_str(text.get(done..range.start).unwrap_or_default());
            done = range.end;
            self.push(text.get(range).unwrap_or_default(), &mut out);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match std::str::from_utf8(bytes) {
            Ok(text) => match self.text(text) {
                Cow::Borrowed(_) => Cow::Borrowed(bytes),
                Cow::Owned(s) => Cow::Owned(s.into_bytes()),
            },
            Err(_) => match self.text(&crate::escape_bytes(bytes)) {
                Cow::Borrowed(_) => Cow::Borrowed(bytes),
                Cow::Owned(s) => Cow::Owned(s.into_bytes()),
            },
        }
    }

    pub(crate) fn argv(self, argv: &[String]) -> Vec<String> {
        let mut out = Vec::with_capacity(argv.len());
        let mut value_follows = false;
        for argument in argv {
            let cut = self.text(argument);
            // What begins with `-` is an option, unless it is a secret by its shape: a private key's block does too.
            let is_value = argument.len() >= 8 && !argument.starts_with('-') || cut.starts_with(mark::BEGIN);
            out.push(if value_follows && is_value { self.mark(argument) } else { cut.into_owned() });
            // An option and nothing else: one that holds its value has none behind it.
            value_follows = argument.starts_with('-')
                && argument.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && NAME.is_match(&format!("{argument}=xxxxxxxxxxxx"));
        }
        out
    }

    pub(crate) fn url(self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return self.text(target).into_owned() };
        let mut out = self.text(path).into_owned();
        for (at, pair) in query.split('&').enumerate() {
            out.push(if at == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                None | Some((_, "sse")) => out.push_str(pair),
                Some((name, value)) => {
                    out.extend([name, "="]);
                    self.push(value, &mut out);
                }
            }
        }
        out
    }
}

/// Where secrets stand, in order, none in another.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    add_secrets(text, 0, &mut found);
    // A commitment may look like a token, and a mark like a password: what is marked is over and done with.
    if !found.is_empty() && text.contains(mark::BEGIN) {
        found.clear();
        let mut done = 0;
        for mark in mark::marks(text) {
            add_secrets(text.get(done..mark.range.start).unwrap_or_default(), done, &mut found);
            done = mark.range.end;
        }
        add_secrets(text.get(done..).unwrap_or_default(), done, &mut found);
    }
    // What is found in two ways is cut out as one.
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|later, first| {
        let overlaps = later.start < first.end;
        if overlaps {
            first.end = first.end.max(later.end);
        }
        overlaps
    });
    found
}

fn add_secrets(text: &str, at: usize, found: &mut Vec<Range<usize>>) {
    let mut add = |range: Range<usize>| {
        // To the end of the word: its rest would be one of its own behind a mark, and might be a secret by itself.
        let rest = text.get(range.end..).unwrap_or_default();
        let more = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        found.push(at + range.start..at + range.end + more);
    };
    SHAPE.find_iter(text).for_each(|found| add(found.range()));
    if text.contains(BLOCK_BEGIN) {
        KEY_BLOCK.find_iter(text).for_each(|found| add(found.range()));
    }
    for pattern in [&NAME, &USERINFO] {
        let values = pattern.captures_iter(text).filter_map(|captures| captures.name("value"));
        values.for_each(|value| add(value.range()));
    }
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
        let encrypted = "-----BEGIN RSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED\\nDEK-Info: AES-128-CBC,0AF0\\n\\nabcd+/\\n\
            -----END RSA PRIVATE KEY-----";
        check(&format!("{{\"key\": \"{encrypted}\"}}"), "{\"key\": \"[redacted]\"}");
        let in_pieces =
            "'-----BEGIN PRIVATE KEY-----\\n' +\n 'abcdefghij==\\n' + '-----END PRIVATE KEY-----'";
        check(in_pieces, "'[redacted]' + '-----END PRIVATE KEY-----'");
        // Who looks for keys.
        check("eval 'grep -r \"-----BEGIN PRIVATE KEY-----\" .' < x", "eval 'grep -r \"[redacted]\" .' < x");
        let quoted = r#"eval "grep -r '-----BEGIN PRIVATE KEY-----' \"$x\"" < /tmp/a-cwd"#;
        check(quoted, &quoted.replace("-----BEGIN PRIVATE KEY-----", "[redacted]"));
    }

    #[test]
    fn values_are_known_by_their_name() {
        check("curl -H 'Authorization: Bearer abcdefgh12345'", "curl -H 'Authorization: Bearer [redacted]'");
        check("MYSQL_PWD=hunter2hunter2 mysql", "MYSQL_PWD=[redacted] mysql");
        check("{\"api_key\": \"0123456789\"}", "{\"api_key\": \"[redacted]\"}");
        check("https://user:pa55word@host/x", "https://user:[redacted]@host/x");
    }

    /// Products give a shell the command in quotes, and accounts are JSON: the same is cut out.
    #[test]
    fn quotes_may_be_quoted() {
        for (input, value) in [
            (r#"curl -d '{"password":"@"}' x"#, "hunter2hunter2"),
            (r#"{"command":"curl -d '{\"password\": \"@\"}'"}"#, "hunter2hunter2"),
            (r#"eval 'export API_KEY='"'"'@'"'"' && make'"#, "0123456789"),
            (r"eval 'export API_KEY='\''@'\'' && make'", "0123456789"),
            (r#"eval "curl -H 'Authorization: Bearer @'""#, "abcdefgh12345"),
            (r#"eval "MYSQL_PWD='@' mysql""#, r"Sup3rSecret\!"),
            (r"eval MYSQL_PWD\=@", r"a\@b\=cdef\!"),
        ] {
            check(&input.replace('@', value), &input.replace('@', "[redacted]"));
        }
        let key = Key::new([0; 32]);
        let cut = |text: &str| Marker::new(Some(&key)).text(text).into_owned();
        let plain = cut("MYSQL_PWD=Sup3rSecret!");
        assert_eq!(cut(r"MYSQL_PWD=Sup3rSecret\!"), plain);
        assert_eq!(plain, format!("MYSQL_PWD=[redacted:{}]", key.open("Sup3rSecret!").commitment()));
    }

    #[test]
    fn what_is_found_in_two_ways_is_one_secret() {
        check("--password https://user:pa55word@host/x", "--password [redacted]");
        check("api_key=abcdefgh.AKIAIOSFODNN7EXAMPLE", "api_key=[redacted]");
        check("AKIAIOSFODNN7EXAMPLEnpm_0123456789", "[redacted]");
        check("key=-----BEGIN PRIVATE KEY-----\na\n-----END PRIVATE KEY-----.", "key=[redacted].");
    }

    /// One commitment in 260,000 begins like a token, and more have the like behind a hyphen.
    #[test]
    fn a_mark_is_left_alone_whatever_it_looks_like() {
        let like_a_token = "[redacted:sk-ant-0123456789abcdefghijABCDEFGHIJxyz012]";
        for text in [
            like_a_token.to_owned(),
            format!("password={like_a_token}"),
            format!("https://user:{like_a_token}@host/x?token={like_a_token}"),
            "https://user:[redacted]@host --password [redacted:Ab12cd] x".to_owned(),
        ] {
            check(&text, &text);
            assert_eq!(redact_url(&text), text);
            let argv = ["--password".to_owned(), text.clone()];
            assert_eq!(redact_argv(&redact_argv(&argv)), redact_argv(&argv));
        }
        let argv = ["--password", like_a_token].map(str::to_owned);
        assert_eq!(redact_argv(&argv), argv);
        // What only looks like a mark is text.
        check("password=hunter2hunter2[redacted:x]", "password=[redacted][redacted:x]");
        check(
            &format!("{like_a_token} AKIAIOSFODNN7EXAMPLE [redacted]"),
            &format!("{like_a_token} [redacted] [redacted]"),
        );
    }

    #[test]
    fn equal_values_have_equal_marks() {
        let key = Key::new([9; 32]);
        let marker = Marker::new(Some(&key));
        let token = "sk-ant-0123456789abcdefghijABCDEFGHIJ";
        let mark = format!("[redacted:{}]", key.open(token).commitment());
        assert_eq!(marker.text(&format!("say {token}.")), format!("say {mark}."));
        assert_eq!(marker.argv(&["--api-key".to_owned(), token.to_owned()]), ["--api-key", &mark]);
        assert_eq!(
            marker.argv(&["sh", "-c", &format!("x --api-key {token}")].map(str::to_owned))[2],
            format!("x --api-key {mark}")
        );
        assert_eq!(marker.url(&format!("/x?key={token}&alt=sse")), format!("/x?key={mark}&alt=sse"));
        assert_eq!(marker.bytes(format!("API_KEY={token}").as_bytes()), format!("API_KEY={mark}").as_bytes());
        assert_ne!(marker.text("AKIAIOSFODNN7EXAMPLE"), marker.text("AKIAIOSFODNN7EXAMPLF"));
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
