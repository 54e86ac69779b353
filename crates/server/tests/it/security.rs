//! Who gets an answer, what a browser is told, and that hostile text stays text.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use muster_server::reference::openapi;

use crate::rig::{HOSTILE, Rig};

const PAGES: [&str; 14] = [
    "/approvals",
    "/approvals/list",
    "/mandates",
    "/",
    "/fragment",
    "/agents/one",
    "/agents/one/lanes?from=1700000000000000000&to=1700000001000000000",
    "/findings",
    "/findings/list?show=all",
    "/findings/f-1",
    "/drills",
    "/ledger",
    "/health",
    "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
];
const OPEN: [&str; 5] = ["/login", "/style.css", "/page.js", "/icon.svg", "/openapi.json"];

/// Every documented path, with names that there are.
pub fn paths() -> Vec<(String, String)> {
    let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths
        .keys()
        .map(|path| (path.clone(), path.replace("{agent}", "one").replace("{finding}", "f-1")))
        .collect()
}

fn asks_for_token(rig: &Rig, path: &str, headers: &[(&str, &str)]) {
    let host = rig.address.to_string();
    let headers = [&[("Host", host.as_str())], headers].concat();
    let answer = rig.send(&format!("GET {path}"), &headers, "");
    assert_eq!(answer.status, 401, "{path} {headers:?}: {}", answer.body);
    assert!(
        !answer.body.contains("f-1") && !answer.body.contains("alert"),
        "{path} tells something: {}",
        answer.body
    );
    assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
}

#[test]
fn nothing_is_told_without_the_token() {
    let rig = Rig::new();
    let wrong = "0".repeat(64);
    let mut short = rig.http.token().to_owned();
    short.pop();
    let longer = format!("{}0", rig.http.token());
    let api = paths().into_iter().map(|(_, path)| path).filter(|path| !OPEN.contains(&path.as_str()));
    for path in api.chain(PAGES.map(str::to_owned)).chain(["/nothing".to_owned(), "/api/v1/x".to_owned()]) {
        asks_for_token(&rig, &path, &[]);
        for token in [wrong.as_str(), short.as_str(), longer.as_str(), ""] {
            asks_for_token(&rig, &path, &[("Authorization", &format!("Bearer {token}"))]);
            asks_for_token(&rig, &path, &[("Cookie", &format!("muster={token}"))]);
            asks_for_token(&rig, &format!("{path}?token={token}"), &[]);
        }
        // A wrong header is not made good by a right cookie.
        let cookie = format!("muster={}", rig.http.token());
        asks_for_token(&rig, &path, &[("Authorization", "Bearer x"), ("Cookie", &cookie)]);
    }
    for path in OPEN {
        let answer = rig.send(&format!("GET {path}"), &[("Host", &rig.address.to_string())], "");
        assert!(answer.status == 200 || path == "/login", "{path}");
        assert!(!answer.body.contains("alert(") && !answer.body.contains(rig.http.token()), "{path}");
    }
}

#[test]
fn the_token_opens_and_stands_behind_the_cookie() {
    let rig = Rig::new();
    let host = rig.address.to_string();
    for path in PAGES {
        assert_eq!(rig.get(path).status, 200, "{path}");
    }
    let wrong = rig.send(&format!("GET /login?token={}", "0".repeat(64)), &[("Host", &host)], "");
    assert_eq!(wrong.status, 401);
    assert!(!wrong.head.contains("set-cookie"));
    let right = rig.send(&format!("GET /login?token={}", rig.http.token()), &[("Host", &host)], "");
    assert_eq!(right.status, 303);
    let cookie = right.head.lines().find(|line| line.starts_with("set-cookie:")).unwrap();
    assert!(
        cookie.contains("httponly") && cookie.contains("samesite=strict") && cookie.contains("path=/"),
        "{cookie}"
    );
    let sent = format!("a=b; muster={}", rig.http.token());
    assert_eq!(rig.send("GET /api/v1/roll", &[("Host", &host), ("Cookie", &sent)], "").status, 200);
}

#[test]
fn a_name_that_was_pointed_at_loopback_gets_nothing() {
    let rig = Rig::new();
    let token = format!("Bearer {}", rig.http.token());
    let port = rig.address.port();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        &format!("127.0.0.1.evil.example:{port}"),
        "",
    ] {
        for path in ["/api/v1/roll", "/", "/login", "/style.css"] {
            let answer = rig.send(&format!("GET {path}"), &[("Host", host), ("Authorization", &token)], "");
            assert_eq!(answer.status, 421, "{host} {path}");
        }
    }
    let without = rig.send("GET /api/v1/roll", &[("Authorization", &token)], "");
    assert!([400, 421].contains(&without.status), "{}", without.status);
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        let answer = rig.send("GET /api/v1/roll", &[("Host", &host), ("Authorization", &token)], "");
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[test]
fn a_page_of_another_site_cannot_ask() {
    let rig = Rig::new();
    let host = rig.address.to_string();
    let own = format!("http://{host}");
    let cookie = format!("muster={}", rig.http.token());
    let status = |headers: &[(&str, &str)]| {
        let headers = [&[("Host", host.as_str()), ("Cookie", cookie.as_str())], headers].concat();
        rig.send("GET /api/v1/roll", &headers, "").status
    };
    assert_eq!(status(&[("Origin", &own), ("Sec-Fetch-Site", "same-origin")]), 200);
    assert_eq!(status(&[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")]), 200);
    // A link: the browser leaves the strict cookie out by itself.
    assert_eq!(status(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]), 200);
    // Another port of this machine is another origin, and the same site.
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1", &format!("https://{host}"), "\u{fc}"]
    {
        assert_eq!(status(&[("Origin", origin)]), 403, "{origin}");
    }
    assert_eq!(status(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")]), 403);
    assert_eq!(status(&[("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")]), 403);
    let answer = rig.get("/api/v1/roll");
    assert!(!answer.head.contains("access-control-allow"), "{}", answer.head);
}

#[test]
fn every_answer_tells_the_browser_to_be_strict() {
    let rig = Rig::new();
    let all = paths().into_iter().map(|(_, path)| path).filter(|path| path != "/api/v1/stream");
    for path in
        all.chain(PAGES.into_iter().chain(OPEN).chain(["/nothing", "/agents/nobody"]).map(str::to_owned))
    {
        let head = rig.get(&path).head;
        for line in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(line), "{path} has no `{line}`: {head}");
        }
        let policy = head.lines().find(|line| line.starts_with("content-security-policy")).unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let refused = rig.send("GET /", &[("Host", "evil.example")], "");
    assert!(refused.head.contains("content-security-policy"), "{}", refused.head);
}

#[test]
fn hostile_text_stays_text_on_the_page() {
    let rig = Rig::new();
    let absent = "/agents/%3Cscript%3Ealert(1)%3C%2Fscript%3E%1B%5B2J%E2%80%AE";
    for path in PAGES.into_iter().chain([absent, "/findings/%3Cimg%20src=x%3E"]) {
        let answer = rig.get(path);
        let body = &answer.body;
        for hostile in ["<script>alert", "<img", "onerror=alert(2)>", "\u{1b}", "\u{202e}", "\u{200b}", "\r"]
        {
            assert!(!body.contains(hostile), "{path} lets {hostile:?} through:\n{body}");
        }
        // Nothing inline, so that the policy holds for the page itself.
        assert!(!body.contains(" style=") && !body.contains(" onclick="), "{path}");
    }
    let page = rig.get("/agents/one").body;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(page.contains("\\u{1b}[2J\\u{202e}gpj.exe"), "{page}");
    // A claim has its verdict, and the event that decides it leads to it.
    for part in ["class=\"verdict hollow\"", "href=\"#e1\">#1</a>", "id=\"e1\"", "in a request, by sub-agent"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn hostile_text_is_whole_in_json() {
    let rig = Rig::new();
    let answer = rig.get("/api/v1/agents/one");
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert_eq!(answer.json()["doing"], HOSTILE);
}

#[test]
fn agents_are_enrolled_on_the_unix_socket_only() {
    let rig = Rig::new();
    let host = rig.address.to_string();
    let token = format!("Bearer {}", rig.http.token());
    let body = r#"{"pid":7,"principal":"p","command":["x"]}"#;
    let headers = [("Host", host.as_str()), ("Authorization", &token), ("Content-Type", "application/json")];
    assert_eq!(rig.send("POST /api/v1/runs", &headers, body).status, 403);
    assert_eq!(rig.send_unix("POST /api/v1/runs", body).json(), serde_json::json!({"agent": "one"}));
    let huge = format!(r#"{{"pid":7,"principal":"{}","command":[]}}"#, "p".repeat(2 << 20));
    assert_eq!(rig.send_unix("POST /api/v1/runs", &huge).status, 413);
}

#[test]
fn connections_are_bounded_and_come_free_again() {
    let rig = Rig::new();
    // More than there may be: the rest waits in the kernel's queue, and no descriptor of the daemon's is taken.
    let silent: Vec<TcpStream> = (0..160).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
    let mut late = TcpStream::connect(rig.address).unwrap();
    late.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let request = format!("GET /style.css HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", rig.address);
    late.write_all(request.as_bytes()).unwrap();
    let mut piece = [0; 16];
    assert!(late.read(&mut piece).is_err(), "answered beyond the bound");
    drop(silent);
    late.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(late.read(&mut piece).unwrap() > 0 && piece.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn only_an_operator_acts_and_only_from_the_page_itself() {
    let rig = Rig::new();
    let host = rig.address.to_string();
    let body = r#"{"finding":"f-1","judgement":"false_alarm","note":"n"}"#;
    let status = |path: &str, token: &str, headers: &[(&str, &str)]| {
        let bearer = format!("Bearer {token}");
        let own = [
            ("Host", host.as_str()),
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        rig.send(&format!("POST {path}"), &[&own[..], headers].concat(), body).status
    };
    let (reader, operator) = (rig.http.token().to_owned(), rig.http.operator_token().to_owned());
    assert_ne!(reader, operator);
    let act = ("X-Muster", "1");
    for path in ["/api/v1/reviews", "/api/v1/out"] {
        assert_eq!(status(path, "", &[act]), 401, "{path}");
        assert_eq!(status(path, &reader, &[act]), 403, "{path}: who only looks does nothing");
        assert_eq!(status(path, &operator, &[]), 403, "{path}: a form cannot send the header");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            assert_eq!(status(path, &operator, &[act, ("Origin", origin)]), 403, "{path} {origin}");
        }
        assert_eq!(status(path, &operator, &[act, ("Sec-Fetch-Site", "cross-site")]), 403, "{path}");
    }
    assert_eq!(status("/api/v1/reviews", &operator, &[act]), 200);
    // Only the unix sockets enrol: over TCP the kernel does not say who asks.
    assert_eq!(status("/api/v1/runs", &operator, &[act]), 404);
    let unknown = r#"{"finding":"f-0","judgement":"confirmed"}"#;
    let token = format!("Bearer {operator}");
    let headers = [
        ("Host", host.as_str()),
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
        act,
    ];
    assert_eq!(rig.send("POST /api/v1/reviews", &headers, unknown).status, 404);
    let answer = rig.send("POST /api/v1/reviews", &headers, body).json();
    assert_eq!(answer["by"], format!("pid {}", std::process::id()), "the process at the other end is known");
}

#[test]
fn buttons_are_for_operators() {
    let rig = Rig::new();
    let host = rig.address.to_string();
    let page = |path: &str, token: &str| {
        let cookie = format!("muster={token}");
        rig.send(&format!("GET {path}"), &[("Host", host.as_str()), ("Cookie", &cookie)], "").body
    };
    for path in ["/agents/one", "/findings/f-1"] {
        assert!(page(path, rig.http.operator_token()).contains("<button"), "{path}");
        assert!(!page(path, rig.http.token()).contains("data-act="), "{path}");
        assert!(!page(path, rig.http.token()).contains("data-judgement="), "{path}");
    }
}

#[test]
fn a_page_has_a_size_whatever_there_is() {
    let rig = Rig::with(|store| crate::rig::crowd(store, 1_000, 10_000));
    for path in ["/", "/fragment", "/findings", "/findings?show=all", "/agents/agent-7"] {
        let begun = std::time::Instant::now();
        let answer = rig.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() < 500_000, "{path}: {} bytes", answer.body.len());
        println!("{path}: {} bytes, {:?}", answer.body.len(), begun.elapsed());
    }
    let roll = rig.get("/").body;
    assert!(roll.contains("of 1000") || roll.contains("of 1001"), "the rest is told of");
    assert!(rig.get("/?q=agent-777").body.contains("/agents/agent-777"));
}
