//! Who may ask: a token, a cookie that stands for it, and only under the server's own name (a page of another site that
//! points its name at loopback gets nothing).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::ApiError;
use super::{App, HttpError, page};

const TOKEN_BYTES: usize = 32;
const COOKIE: &str = "muster";
/// The header without which nothing is done.
const ACT: &str = "x-muster";
/// What anybody may fetch: they hold nothing.
pub(super) const OPEN: [&str; 4] = ["/style.css", "/page.js", "/icon.svg", "/openapi.json"];

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// May look at everything.
    Reader,
    /// May act too: muster out, answer, review.
    Operator,
}

impl Role {
    const ALL: [Role; 2] = [Role::Reader, Role::Operator];

    /// In the daemon's folder.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Role::Reader => "token",
            Role::Operator => "operator-token",
        }
    }
}

pub(crate) struct Access {
    reader: String,
    operator: String,
    address: SocketAddr,
}

impl Access {
    pub(crate) fn new(data: &Path, address: SocketAddr) -> Result<Self, HttpError> {
        let token = |role| Self::token_of(data, role);
        Ok(Self { reader: token(Role::Reader)?, operator: token(Role::Operator)?, address })
    }

    /// As it stands in its file; made where there is none.
    fn token_of(data: &Path, role: Role) -> Result<String, HttpError> {
        let path = data.join(role.file());
        let wrap = |action| {
            let path = path.clone();
            move |source| HttpError::Token { path, action, source }
        };
        let token = match fs::read_to_string(&path) {
            Ok(text) if is_token(text.trim()) => text.trim().to_owned(),
            Ok(_) | Err(_) => {
                let token = new_token().map_err(wrap("make a token for"))?;
                // It may be there with another's mode.
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    return Err(wrap("replace")(error));
                }
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .and_then(|mut file| file.write_all(token.as_bytes()))
                    .map_err(wrap("write"))?;
                token
            }
        };
        Ok(token)
    }

    pub(crate) fn token(&self, role: Role) -> &str {
        match role {
            Role::Reader => &self.reader,
            Role::Operator => &self.operator,
        }
    }

    /// What this token opens.
    pub(crate) fn role_of(&self, given: &str) -> Option<Role> {
        // Takes as long for a wrong token as for the right one: its length is no secret, its text is.
        let is = |role: &Role| {
            let token = self.token(*role);
            given.len() == token.len()
                && given.bytes().zip(token.bytes()).fold(0u8, |differ, (a, b)| differ | (a ^ b)) == 0
        };
        Role::ALL.into_iter().rfind(is)
    }

    /// The cookie that stands for the token from now on.
    pub(crate) fn cookie(&self, role: Role) -> String {
        format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", self.token(role))
    }

    /// A browser says which page sent the request. One of another site may send people here by a link (they then come
    /// without the cookie), but it may not have its script or its images ask.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let value = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("not ASCII"));
        let own_origin = value("origin")
            .is_none_or(|origin| origin.strip_prefix("http://").is_some_and(|host| self.is_own_host(host)));
        let foreign = matches!(value("sec-fetch-site"), Some("cross-site" | "same-site"));
        own_origin && (!foreign || value("sec-fetch-mode") == Some("navigate"))
    }

    fn is_own_host(&self, host: &str) -> bool {
        let own = self.address.to_string();
        let port = self.address.port();
        host == own || ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host == format!("{name}:{port}"))
    }

    /// What who sends these headers may do. `None`: nothing.
    pub(crate) fn role(&self, headers: &HeaderMap) -> Option<Role> {
        let value = |name| headers.get(name).and_then(|v| v.to_str().ok());
        if let Some(token) = value(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer ")) {
            return self.role_of(token.trim());
        }
        let cookies = value(header::COOKIE).into_iter().flat_map(|all| all.split(';'));
        let tokens = cookies.filter_map(|it| it.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        tokens.filter_map(|token| self.role_of(token)).max()
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 2 * TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn new_token() -> io::Result<String> {
    let mut bytes = [0u8; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(crate::views::hex(&bytes))
}

/// What every answer says to the browser that gets it.
pub(crate) async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Stands before every request that comes over TCP.
pub(crate) async fn check(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !app.access.is_own_host(host) {
        return ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server is not called by that name",
            "ask it under its own address, e.g. http://127.0.0.1:7373",
        )
        .into_response();
    }
    if !app.access.is_own_page(request.headers()) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "a page of another site sent this",
            "open the page of this server itself",
        )
        .into_response();
    }
    let path = request.uri().path().to_owned();
    let path = path.as_str();
    let open = OPEN.contains(&path) || path == "/login";
    let role = app.access.role(request.headers());
    if let Some(role) = role {
        request.extensions_mut().insert(role);
    }
    let acts = request.method() != Method::GET && request.method() != Method::HEAD;
    if acts && !open {
        if role == Some(Role::Reader) {
            return ApiError::new(
                StatusCode::FORBIDDEN,
                "this token may only look",
                &format!(
                    "enter with the operator's token, the text in `{}`",
                    app.data.join(Role::Operator.file()).display()
                ),
            )
            .into_response();
        }
        // A form of another page cannot send this header, and no browser sends it by itself.
        if role == Some(Role::Operator) && !request.headers().contains_key(ACT) {
            return ApiError::new(
                StatusCode::FORBIDDEN,
                "an act needs the header `X-Muster`",
                "send `X-Muster: 1` with it",
            )
            .into_response();
        }
    }
    if open || role.is_some() {
        return next.run(request).await;
    }
    if path.starts_with("/api/") {
        return ApiError::new(
            StatusCode::UNAUTHORIZED,
            "a token is needed",
            &format!(
                "send `Authorization: Bearer …` with the text in `{}`",
                app.data.join("token").display()
            ),
        )
        .into_response();
    }
    page::ask_for_token(&app.data, false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_token_is_secret_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:7373".parse().unwrap();
        let first = Access::new(dir.path(), address).unwrap();
        for role in Role::ALL {
            assert!(is_token(first.token(role)));
            let mode = fs::metadata(dir.path().join(role.file())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(Access::new(dir.path(), address).unwrap().token(role), first.token(role));
            assert_eq!(first.role_of(first.token(role)), Some(role));
        }
        assert_eq!((first.role_of(""), first.role_of(&"0".repeat(64))), (None, None));
        assert!(first.is_own_host("localhost:7373") && !first.is_own_host("evil.example:7373"));
        assert!(!first.is_own_host("127.0.0.1"));
    }
}
