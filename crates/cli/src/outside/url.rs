//! Where something is sent: host, port and path, and no secret, as everybody can read a command line.

use anyhow::Result;

use crate::exit::usage;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// `option` and `example` are for those who are told what is wrong.
    pub fn parse(text: &str, option: &str, example: &str) -> Result<Url> {
        let wrong = |why: &str| Err(usage(format!("{option}: {why}\nhint: e.g. {option} {example}")));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            "http" => {}
            "https" if cfg!(feature = "https") => {}
            "https" => return wrong("this build of Muster has no TLS (feature `https`)"),
            _ => return wrong("the URL begins neither with http:// nor with https://"),
        }
        if rest.contains(['@', '?', '#']) {
            return wrong("the URL holds more than host, port and path");
        }
        if rest.is_empty() || rest.starts_with('/') || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("the URL names no host");
        }
        Ok(Url(text.trim_end_matches('/').to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let url = Url::parse(text, "--witness", "http://127.0.0.1:7374").ok();
        assert_eq!(url.as_ref().map(Url::as_str), expected, "{text}");
    }

    #[test]
    fn a_url_without_secrets() {
        check("http://127.0.0.1:7374", Some("http://127.0.0.1:7374"));
        check("http://[::1]:7374/prefix/", Some("http://[::1]:7374/prefix"));
        check("https://witness.example", cfg!(feature = "https").then_some("https://witness.example"));
        for refused in
            ["", "127.0.0.1", "ftp://x", "http://", "http:///p", "http://u:p@h", "http://h?k", "http://h /"]
        {
            check(refused, None);
        }
    }
}
