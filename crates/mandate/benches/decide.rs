//! `cargo bench -p muster-mandate`: one decision with 100 mandates in force, each of 40 lines, half of them with Cedar files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use divan::Bencher;
use muster_mandate::{Action, Binding, Chain, Protocol, Register, Signed, id_of};

fn main() {
    let mut slowest: Vec<u128> = Vec::new();
    let (chains, actions) = (chains(), actions());
    for round in 0..200 {
        for chain in &chains {
            for action in &actions {
                let from = std::time::Instant::now();
                divan::black_box(chain.decide(action, 1));
                if round > 0 {
                    slowest.push(from.elapsed().as_nanos());
                }
            }
        }
    }
    slowest.sort_unstable();
    let at = |share: usize| slowest[slowest.len() * share / 1000];
    println!("{} decisions: median {} ns, p99 {} ns, p99.9 {} ns", slowest.len(), at(500), at(990), at(999));
    divan::main();
}

const CEDAR: &str = r#"
@id("no-keys") forbid (principal, action == Action::"read", resource) when { context.path like "*.pem" };
@id("no-push") forbid (principal, action == Action::"execute", resource) when { context.command like "*push*" };
@id("high-ports") forbid (principal, action == Action::"connect", resource) when { context has port && context.port > 50000 };
"#;

fn chains() -> Vec<Chain> {
    let mut register = Register::default();
    let mut ids = Vec::new();
    for n in 0..100 {
        let list = |start: &str, end: &str| {
            (0..10).map(|i| format!("\"{start}{n}-{i}{end}\"")).collect::<Vec<_>>().join(",")
        };
        let policy = if n % 2 == 0 {
            format!("policy = \"x.cedar\"\npolicy_sha256 = \"{}\"", id_of(CEDAR.as_bytes()))
        } else {
            String::new()
        };
        let body = format!(
            "muster = 1\nprincipal = \"a\"\nagent = \"codex\"\ntask = \"t\"\nhost = \"*\"\nserial = \"{n}\"\nexpires = 2100-01-01T00:00:00Z\n{policy}\n[scope]\nread = [{}]\nwrite = [{}]\nexecute = [\"/usr/bin/**\", {}]\nconnect = [{}]\n",
            list("/a/", "/**"),
            list("~/w/", "/**/*.rs"),
            list("/opt/", "/bin/*"),
            list("*.host", ".org:443"),
        );
        let id = id_of(body.as_bytes());
        let signed =
            Signed { body, signature: String::new(), policy: (n % 2 == 0).then(|| CEDAR.to_owned()) };
        register.trust(&id, &signed, None, 1).unwrap();
        ids.push(id);
    }
    let binding = Binding {
        product: "codex".into(),
        home: Some("/home/a".into()),
        install: vec!["/opt/codex".into()],
        inherits: false,
    };
    ids.iter().map(|id| register.chain(id, &binding).unwrap()).collect()
}

fn actions() -> Vec<Action> {
    let run = |path: &str, argv: &str| Action::Execute {
        path: path.into(),
        argv: argv.split(' ').map(str::to_owned).collect(),
    };
    let mut actions = vec![
        Action::Read { path: "/a/5-5/deep/in/some/folder/of/a/project/file.rs".into() },
        Action::Read { path: "/etc/shadow".into() },
        Action::Write { path: "/home/a/w/7-9/src/very/deep/module/lib.rs".into() },
        Action::Write { path: "/home/a/.bashrc".into() },
        run("/usr/bin/git", "git commit -m words"),
        run("/tmp/x", "x"),
        Action::Connect {
            host: Some("api.host5-9.org".into()),
            address: "93.184.216.34".parse().ok(),
            port: Some(443),
            protocol: Protocol::Tcp,
        },
        Action::Connect {
            host: None,
            address: "2001:db8::1".parse().ok(),
            port: Some(443),
            protocol: Protocol::Tcp,
        },
    ];
    // Never the same twice: what no cache has.
    actions.extend((0..8).map(|n| Action::Read { path: format!("/a/3-3/{n}/{}", "x".repeat(n * 200)) }));
    actions
}

#[divan::bench]
fn decide(bencher: Bencher) {
    let (chains, actions) = (chains(), actions());
    let mut at = 0usize;
    bencher.bench_local(move || {
        at += 1;
        chains[at % chains.len()].decide(&actions[at % actions.len()], 1)
    });
}
