//! The rules that are built in, and files of a user's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use muster_event::{Access, Address, Identity, Kind, ProcessKey};
use muster_rules::{Agent, Level, Program, Rules, Status, act};

const CASES: &str = include_str!("../../rules/cases.txt");

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn kind(verb: &str, object: &str) -> Kind {
    let path = object.to_owned();
    let access =
        |write: bool, truncate| Access { read: !write, write, create: write, truncate, append: false };
    let ip = object.parse().unwrap_or(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
    let address = Address::Ip { ip, port: 443 };
    match verb {
        "exec" => Kind::Exec {
            path: String::new(),
            script: None,
            argv: Vec::new(),
            argv_truncated: false,
            cwd: String::new(),
            env: BTreeMap::new(),
            parent: ProcessKey { pid: 1, start_ns: 1 },
            session: 0,
            group: 0,
            file: Identity { device: 0, inode: 0 },
            anonymous: false,
        },
        "read" => Kind::Open { path, access: access(false, false), result: 3 },
        "write" => Kind::Open { path, access: access(true, false), result: 3 },
        "empty" => Kind::Open { path, access: access(true, true), result: 3 },
        "remove" => Kind::Unlink { path, directory: false, result: 0 },
        "tls" => Kind::Tls { name: path, address },
        "dns" => Kind::Dns { name: path, record_type: "A".to_owned(), server: address },
        "connect" => Kind::Connect { address, result: -115 },
        other => panic!("no act `{other}`"),
    }
}

/// The ids of the rules that match what this line of `cases.txt` says was done.
fn matched(rules: &Rules, what: &str) -> Vec<(String, Level)> {
    let (head, command) = what.split_once(" :: ").unwrap();
    let (act_text, image) =
        head.split_once(" by ").or(head.strip_prefix("exec by ").map(|i| ("exec", i))).unwrap();
    let (image, script) = image.split_once(" script ").map_or((image, None), |(i, s)| (i, Some(s)));
    let (verb, object) = act_text.split_once(' ').unwrap_or((act_text, ""));
    let (command, parent) = command.split_once(" << ").map_or((command, None), |(c, p)| (c, Some(p)));
    let (argv, parent_argv) = (words(command), words(parent.unwrap_or("bash -c x")));
    let program = Program { pid: 7, uid: 0, path: image, script, argv: &argv, cwd: "/w" };
    let parent = Program { pid: 6, path: "/usr/bin/bash", argv: &parent_argv, ..program };
    let agent = Agent { product: "codex", label: "ci-7", cwd: "/w", is_action: true };
    let kind = kind(verb, object);
    let mut first = act(&kind, program, Some(parent), agent).unwrap();
    // What the engine looks up: here a word of the command says it.
    first.names_agent = argv.iter().any(|word| word.starts_with("/AGENT"));
    first.names_weights = argv
        .iter()
        .any(|word| [".safetensors", ".gguf", ".pt", "/WEIGHTS"].iter().any(|end| word.ends_with(end)));
    let mut out = Vec::new();
    for act in first.also().into_iter().chain([first]) {
        out.extend(rules.matching(&act).into_iter().map(|rule| (rule.id.clone(), rule.level)));
    }
    out
}

#[test]
fn each_rule_has_an_act_that_it_matches_and_one_that_it_does_not() {
    let rules = Rules::built_in();
    let mut seen: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let (id, sign, what) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let found = matched(&rules, what);
        let is = found.iter().any(|(found, _)| found == id);
        if is != (sign == "+") {
            wrong.push(format!("{line}: matched {found:?}"));
        }
        // An honest act is nothing for another rule either.
        if sign == "-" {
            wrong.extend(
                found.iter().filter(|f| f.1 > Level::Informational).map(|f| format!("{line}: {f:?}")),
            );
        }
        seen.entry(id.to_owned()).or_default()[usize::from(sign == "+")] = true;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for listed in rules.listed() {
        assert_eq!(listed.status, Status::Evaluated, "{}:{}", listed.file, listed.line);
        assert_eq!(seen.get(&listed.id), Some(&[true, true]), "no cases for `{}`", listed.id);
        assert_ne!(listed.code, "rule", "`{}` names no factor", listed.id);
    }
}

/// Files of a user's beside the built-in ones; what is listed of them, shortly.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let rules = Rules::with(&[("own.yml".to_owned(), text.to_owned())]);
    let listed: Vec<String> = rules
        .listed()
        .iter()
        .filter(|listed| !listed.built_in)
        .map(|listed| {
            let status = match &listed.status {
                Status::Evaluated => "evaluated".to_owned(),
                Status::Filter => "filter".to_owned(),
                Status::NotEvaluated(why) => format!("not evaluated: {why}"),
                Status::Broken(why) => format!("broken: {why}"),
            };
            format!("{} {}: {status}", listed.line, listed.title)
        })
        .collect();
    assert_eq!(listed.len(), expected.len(), "{listed:#?}");
    for (found, expected) in listed.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nnot: {expected}");
    }
}

const RULE: &str = "title: T\nlogsource: { product: linux, category: process_creation }\ndetection:\n    \
    s: { Image|endswith: /nmap }\n    condition: s\nlevel: high\n";

#[test]
fn what_cannot_be_evaluated_says_why() {
    check(RULE, &["1 T: evaluated"]);
    check(
        &format!("# a comment\n---\n{RULE}---\n{RULE}"),
        &["3 T: evaluated", "10 T: broken: the rule `T` has the same id"],
    );
    check(&RULE.replace("linux", "windows"), &["1 T: not evaluated: it is for `windows`"]);
    check(
        &RULE.replace("Image", "Hashes"),
        &["1 T: not evaluated: events of `process_creation` have no field `Hashes`"],
    );
    check(&RULE.replace("process_creation", "registry_set"), &["1 T: not evaluated: Muster has no events"]);
    check(
        &RULE.replace("category: process_creation", "service: auditd"),
        &["1 T: not evaluated: Muster has no log of the service `auditd`"],
    );
    check(&RULE.replace("condition: s", "condition: q"), &["1 T: broken"]);
    check(&RULE.replace("endswith", "endwith"), &["1 T: broken"]);
    check(&format!("{RULE}muster: {{ code: nonsense }}\n"), &["1 T: broken: `muster.code` is one of"]);
    check(&format!("{RULE}  x: [\n"), &["7 T: broken"]);
    check(
        &RULE.replace("condition: s", &format!("condition: {}s{}", "(".repeat(60), ")".repeat(60))),
        &["1 : broken: brackets"],
    );
    check(
        "title: C\ncorrelation: { type: event_count, rules: [x], group-by: [User], timespan: 1m, condition: { gte: 3 } }\n",
        &["1 C: not evaluated: correlation"],
    );
}

#[test]
fn exceptions_and_filters_take_back_a_match() {
    let scan = "exec by /usr/bin/nmap :: nmap -p 1-99 host";
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let count = |more: &[(String, String)]| {
        let mut files = vec![file("a.yml", RULE)];
        files.extend_from_slice(more);
        matched(&Rules::with(&files), scan).len()
    };
    assert_eq!(count(&[]), 1);
    let exception =
        |text: &str| [file("exceptions.toml", &format!("[[exception]]\nreason = \"ours\"\n{text}"))];
    assert_eq!(count(&exception("rule = \"T\"\nlabel = \"ci-*\"")), 0);
    assert_eq!(count(&exception("rule = \"T\"\nlabel = \"cj-*\"")), 1);
    assert_eq!(count(&exception("rule = \"*\"\npath = \"/usr/bin/*\"")), 0);
    let filter = "title: F\nlogsource: { product: linux, category: process_creation }\nfilter:\n    rules: [T]\n    \
        s: { CommandLine|contains: host }\n    condition: not s\n";
    assert_eq!(count(&[file("f.yml", filter)]), 0);
    assert_eq!(count(&[file("f.yml", &filter.replace("host", "other"))]), 1);
}
