//! Accepted, refused, renewed, revoked, handed on.

use muster_mandate::{
    Action, Binding, PrivateKey, Refused, Register, Signed, Signers, Verdict, id_of, moment_ns, signature,
};

fn key(seed: u8) -> PrivateKey {
    ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]).into()
}

fn signed(body: &str, seed: u8) -> Signed {
    Signed {
        body: body.to_owned(),
        signature: signature::sign(&key(seed), body.as_bytes()).unwrap(),
        policy: None,
    }
}

fn signers() -> Signers {
    Signers::parse(&format!("alice@x {}", key(1).public_key().to_openssh().unwrap()))
}

fn now() -> u64 {
    moment_ns("2026-06-01T12:00:00Z").unwrap()
}

const WHOLE: &str = r#"muster = 1
principal = "alice@x"
agent = "codex"
task = "tidy"
host = "build-*"
serial = "1"
not_before = 2026-06-01T00:00:00Z
expires = 2026-06-01T18:00:00Z
[scope]
read = ["/**"]
write = ["/w/**"]
agents = ["codex"]
[delegation]
depth = 2
"#;

fn part(parent: &str, lines: &str) -> String {
    format!(
        "muster = 1\nprincipal = \"alice@x\"\nagent = \"codex\"\ntask = \"a part\"\nhost = \"build-1\"\nserial = \
         \"p\"\nnot_before = 2026-06-01T00:00:00Z\nexpires = 2026-06-01T17:00:00Z\nparent = \
         \"{parent}\"\n[scope]\n{lines}\n"
    )
}

#[track_caller]
fn refused(signed: &Signed, host: &str, now_ns: u64, word: &str) {
    let error = Register::default().add(signed, &signers(), host, now_ns).unwrap_err();
    assert_eq!(error.word(), word, "{error}");
}

#[test]
fn refusals() {
    let good = signed(WHOLE, 1);
    Register::default().add(&good, &signers(), "build-1", now()).unwrap();
    let other = signed(&WHOLE.replace("tidy", "sweep"), 1);
    refused(&Signed { signature: other.signature.clone(), ..good.clone() }, "build-1", now(), "forged");
    refused(&Signed { body: WHOLE.replace("/w/**", "/**"), ..good.clone() }, "build-1", now(), "forged");
    refused(&Signed { signature: String::new(), ..good.clone() }, "build-1", now(), "unsigned");
    refused(&Signed { signature: "x".into(), ..good.clone() }, "build-1", now(), "forged");
    refused(&signed(WHOLE, 2), "build-1", now(), "unknown-signer");
    refused(&signed(&WHOLE.replace("alice", "bob"), 1), "build-1", now(), "unknown-signer");
    refused(&good, "laptop", now(), "wrong-host");
    refused(&good, "build-1", moment_ns("2026-06-01T18:00:00Z").unwrap(), "expired");
    refused(&good, "build-1", moment_ns("2026-05-31T18:00:00Z").unwrap(), "not-yet-valid");
    refused(&signed(&part(&"0".repeat(64), ""), 1), "build-1", now(), "broken-chain");
    refused(&signed("muster = 1", 1), "build-1", now(), "unreadable");
    refused(&signed(&WHOLE.replace("serial", "policy = \"x.cedar\"\nserial"), 1), "build-1", now(), "policy");
    let mut register = Register::default();
    let id = register.add(&good, &signers(), "build-1", now()).unwrap();
    let codex = Binding { product: "claude-code".into(), home: Some("/root".into()), ..Binding::default() };
    assert_eq!(register.chain(&id, &codex).err().map(|e| e.word()), Some("wrong-agent"));
}

fn binding() -> Binding {
    Binding { product: "codex".into(), home: Some("/root".into()), ..Binding::default() }
}

#[test]
fn a_part_lives_as_long_as_the_whole() {
    let mut register = Register::default();
    let whole = register.add(&signed(WHOLE, 1), &signers(), "build-1", now()).unwrap();
    let body = part(&whole, "write = [\"/w/a/**\"]");
    let id = register.add(&signed(&body, 1), &signers(), "build-1", now()).unwrap();
    let write = Action::Write { path: "/w/a/x".into() };
    let chain = register.chain(&id, &binding()).unwrap();
    assert_eq!(chain.decide(&write, now()).verdict, Verdict::Allow);
    let more = part(&whole, "write = [\"/**\"]");
    assert_eq!(register.add(&signed(&more, 1), &signers(), "build-1", now()).unwrap_err().word(), "weakened");
    assert!(register.get(&id_of(more.as_bytes())).is_none());

    // The whole is renewed: its part goes on under it.
    let renewal = WHOLE.replace("serial = \"1\"", &format!("serial = \"2\"\nrenews = \"{whole}\""));
    let renewal = renewal.replace("T18:", "T20:");
    let newer = register.add(&signed(&renewal, 1), &signers(), "build-1", now()).unwrap();
    assert_eq!(register.newest(&whole), newer);
    assert_eq!(register.chain(&whole, &binding()).unwrap().id(), newer);
    assert_eq!(register.chain(&id, &binding()).unwrap().decide(&write, now()).verdict, Verdict::Allow);

    assert!(register.revoke(&newer, "alice: enough"));
    assert_eq!(register.chain(&id, &binding()).err(), Some(Refused::Revoked("alice: enough".into())));
}

#[test]
fn a_renewal_changes_nothing_else() {
    let mut register = Register::default();
    let whole = register.add(&signed(WHOLE, 1), &signers(), "build-1", now()).unwrap();
    let renewal = WHOLE.replace("serial = \"1\"", &format!("serial = \"2\"\nrenews = \"{whole}\""));
    let wider = signed(&renewal.replace("/w/**", "/**"), 1);
    assert_eq!(register.add(&wider, &signers(), "build-1", now()).unwrap_err().word(), "weakened");
    register.add(&signed(&renewal, 1), &signers(), "build-1", now()).unwrap();
    let another = signed(&renewal.replace("\"2\"", "\"3\""), 1);
    assert_eq!(register.add(&another, &signers(), "build-1", now()).unwrap_err().word(), "weakened");
}

#[test]
fn one_run_only() {
    let mut register = Register::default();
    let body = WHOLE.replace("serial", "single_use = true\nserial");
    let id = register.add(&signed(&body, 1), &signers(), "build-1", now()).unwrap();
    register.use_for(&id, "codex-a").unwrap();
    register.use_for(&id, "codex-a").unwrap();
    assert_eq!(register.use_for(&id, "codex-b"), Err(Refused::Replayed("codex-a".into())));
}

#[test]
fn keys_that_the_whole_names_sign_its_parts() {
    let delegate = key(9).public_key().to_openssh().unwrap();
    let body = WHOLE.replace("depth = 2", &format!("depth = 2\nkeys = [\"{delegate}\"]"));
    let mut register = Register::default();
    let whole = register.add(&signed(&body, 1), &signers(), "build-1", now()).unwrap();
    let part = part(&whole, "write = [\"/w/a/**\"]");
    assert!(register.add(&signed(&part, 8), &signers(), "build-1", now()).is_err());
    register.add(&signed(&part, 9), &signers(), "build-1", now()).unwrap();
    // … and nothing else.
    assert!(register.add(&signed(WHOLE, 9), &signers(), "build-1", now()).is_err());
}
