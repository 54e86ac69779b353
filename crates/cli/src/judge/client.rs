//! The client of an OpenAI-compatible server.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use muster_event::sanitize;
use muster_report::judge::{Form, Prompt, request};

use crate::exit::usage;

/// Largest body of an answer: twenty times what `max_tokens` lets it be.
const BODY_MAX: u64 = 256 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often a busy server (429, 5xx) is asked again, and how long it may make us wait before.
const RETRIES: u32 = 2;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Of a server's error, in characters: what a person needs to see what is wrong.
const ERROR_MAX: usize = 200;

pub enum Failure {
    /// It cannot be reached or is overloaded: others will fare no better for now.
    Down(String),
    /// It will not answer this.
    Refused(String),
}

pub struct Client {
    agent: ureq::Agent,
    url: String,
    host: String,
    model: String,
    /// The header's value. Never shown: this type has no `Debug`.
    authorization: Option<String>,
    timeout: Duration,
    /// The strongest form that the server was found to take.
    form: Form,
}

impl Client {
    pub fn new(base: &str, model: &str, key_env: Option<&str>, timeout: Duration) -> Result<Self> {
        let (host, is_tls) = host(base).map_err(usage)?;
        if is_tls && !cfg!(feature = "https") {
            return Err(usage(
                "this build of Muster has no TLS (feature `https`)\nhint: name an http:// server",
            ));
        }
        let authorization = match key_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(key) if is_key(&key) => Some(format!("Bearer {key}")),
                _ => return Err(usage(format!("the environment variable `{name}` holds no key"))),
            },
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT_MAX.min(timeout)))
            .http_status_as_error(false)
            // The skeleton goes where it was told to go, and nowhere else.
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let url = format!("{}/chat/completions", base.trim_end_matches('/'));
        Ok(Self { agent, url, host, model: model.to_owned(), authorization, timeout, form: Form::Schema })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    /// The body of the answer. `sent` is told of each request.
    pub fn ask(&mut self, prompt: &Prompt, sent: &mut dyn FnMut()) -> Result<Vec<u8>, Failure> {
        loop {
            let body = request(prompt, &self.model, self.form).to_string();
            match self.send(&body, sent)? {
                (200..=299, answer) => return Ok(answer),
                // It may only not know the form.
                (400 | 422, answer) => match self.form.weaker() {
                    Some(weaker) => self.form = weaker,
                    None => {
                        self.form = Form::Schema;
                        return Err(Failure::Refused(status(400, &answer)));
                    }
                },
                (code, answer) => return Err(Failure::Refused(status(code, &answer))),
            }
        }
    }

    /// One request, and again while the server is busy.
    fn send(&self, body: &str, sent: &mut dyn FnMut()) -> Result<(u16, Vec<u8>), Failure> {
        let mut wait = RETRY_FIRST;
        for retry in 0.. {
            sent();
            let (code, answer, asked_to_wait) = self.once(body)?;
            if !matches!(code, 429 | 500..=599) {
                return Ok((code, answer));
            }
            if retry >= RETRIES {
                return Err(Failure::Down(status(code, &answer)));
            }
            thread::sleep(asked_to_wait.unwrap_or(wait).min(RETRY_MAX));
            wait = wait.saturating_mul(4);
        }
        Err(Failure::Down("it is busy".to_owned()))
    }

    fn once(&self, body: &str) -> Result<(u16, Vec<u8>, Option<Duration>), Failure> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut answer = request.send(body).map_err(|error| self.failure(&error))?;
        let code = answer.status().as_u16();
        let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        match answer.body_mut().with_config().limit(BODY_MAX).read_to_vec() {
            Ok(bytes) => Ok((code, bytes, seconds.map(Duration::from_secs))),
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                Err(Failure::Refused(format!("its answer is longer than {BODY_MAX} bytes")))
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &ureq::Error) -> Failure {
        Failure::Down(match error {
            ureq::Error::Timeout(_) => format!("no answer within {} s", self.timeout.as_secs()),
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            error => short(&error.to_string()),
        })
    }
}

fn status(code: u16, answer: &[u8]) -> String {
    let said = String::from_utf8_lossy(answer);
    format!("status {code} {}", short(&said)).trim_end().to_owned()
}

fn short(text: &str) -> String {
    let head: String = text.chars().take(ERROR_MAX).collect();
    sanitize(&head.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a header can carry.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Host and port of a base URL, and whether it is `https`. A URL that carries a secret is refused: everybody can read a
/// command line.
fn host(base: &str) -> Result<(String, bool), String> {
    let wrong = |why: &str| Err(format!("`--judge`: {why}\nhint: e.g. --judge http://127.0.0.1:8080/v1"));
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let is_tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return wrong("the URL begins neither with http:// nor with https://"),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if rest.contains('@') || rest.contains('?') || rest.contains('#') {
        return wrong("the URL holds more than host, port and path; a key is named with --judge-key-env");
    }
    if authority.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("the URL names no host");
    }
    Ok((authority.to_owned(), is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, expected: Option<(&str, bool)>) {
        let found = host(base).ok();
        assert_eq!(found.as_ref().map(|(host, is_tls)| (host.as_str(), *is_tls)), expected, "{base}");
    }

    #[test]
    fn a_url_without_secrets() {
        check("http://127.0.0.1:8080/v1", Some(("127.0.0.1:8080", false)));
        check("https://api.example.com/v1/", Some(("api.example.com", true)));
        check("http://[::1]:11434/v1", Some(("[::1]:11434", false)));
        for refused in [
            "",
            "127.0.0.1:8080",
            "ftp://x/",
            "http://",
            "http:///v1",
            "http://u:p@h/v1",
            "http://h/v1?key=k",
            "http://h /",
        ] {
            check(refused, None);
        }
    }
}
