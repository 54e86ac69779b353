//! What must hold of rules whatever their text and whatever an agent does: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::panic, reason = "a property fails by panicking")]

use muster_event::{Access, Address, Kind};

use crate::{Agent, Program, Rules, Status, act};

/// Any text as a file of rules: it is listed, with the line that is in it, or there is nothing in it; what is evaluated can be
/// asked, twice the same.
pub fn rule_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = text.lines().count() + 1;
    let files = [("a.yml".to_owned(), text.clone()), ("exceptions.toml".to_owned(), text)];
    let rules = crate::load::load(&[], &files);
    for listed in rules.listed() {
        assert!((1..=lines).contains(&listed.line), "line {} of {lines}", listed.line);
        if let Status::Broken(why) | Status::NotEvaluated(why) = &listed.status {
            assert!(!why.is_empty());
        }
    }
    ask(&rules, "/usr/bin/cat", &["cat".to_owned(), "x".to_owned()], "/home/u/.ssh/id_rsa");
}

/// Any act: no rule that is built in is troubled, and each says the same again.
pub fn rule_act(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\n').map(str::to_owned);
    let image = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    let argv: Vec<String> = parts.collect();
    ask(&Rules::built_in(), &image, &argv, &path);
}

fn ask(rules: &Rules, image: &str, argv: &[String], path: &str) {
    let open = |write: bool, truncate| Kind::Open {
        path: path.to_owned(),
        access: Access { read: !write, write, create: write, truncate, append: false },
        result: 3,
    };
    let address = Address::Ip { ip: std::net::Ipv4Addr::new(192, 0, 2, 1).into(), port: 443 };
    let kinds = [
        exec(),
        open(false, false),
        open(true, false),
        open(true, true),
        Kind::Rename { from: path.to_owned(), to: image.to_owned(), result: 0 },
        Kind::Unlink { path: path.to_owned(), directory: false, result: 0 },
        Kind::Tls { name: path.to_owned(), address: address.clone() },
        Kind::Dns { name: path.to_owned(), record_type: "TXT".to_owned(), server: address },
    ];
    let program = Program { pid: 1, uid: 0, path: image, script: Some(path), argv, cwd: path };
    for kind in &kinds {
        let agent = Agent { product: "p", label: path, cwd: path, is_action: true };
        let Some(first) = act(kind, program, Some(program), agent) else { continue };
        for act in first.also().into_iter().chain([first]) {
            assert_eq!(rules.matching(&act), rules.matching(&act));
        }
    }
}

pub(crate) fn exec() -> Kind {
    let key = muster_event::ProcessKey { pid: 1, start_ns: 1 };
    Kind::Exec {
        path: String::new(),
        script: None,
        argv: Vec::new(),
        argv_truncated: false,
        cwd: String::new(),
        env: Default::default(),
        parent: key,
        session: 0,
        group: 0,
        file: muster_event::Identity { device: 0, inode: 0 },
        anonymous: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Pieces of rules, so that chance gets past the first line.
    const PIECES: [&str; 22] = [
        "title: a\n",
        "id: x\n",
        "logsource: { product: linux, category: process_creation }\n",
        "logsource: { product: linux, category: file_event }\n",
        "detection:\n",
        "    selection:\n",
        "        Image|endswith: [/a, /b]\n",
        "        CommandLine|re: '(a|b'\n",
        "        CommandLine|contains|all: [a, b]\n",
        "        TargetFilename|base64offset|contains: x\n",
        "    condition: selection and not (selection or 1 of them)\n",
        "    condition: not not selection\n",
        "level: high\n",
        "muster: { code: money, overreach: 9 }\n",
        "---\n",
        "filter:\n    rules: any\n    selection: { Image: x }\n    condition: not selection\n",
        "correlation: { type: event_count, rules: [x], timespan: 1m, condition: { gte: 3 } }\n",
        "((((",
        "{[{[",
        "&a *a <<: ",
        "\u{0}\u{85}é",
        "action: global\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_file_of_rules(pieces in prop::collection::vec(0usize..PIECES.len(), 0..24)) {
            let text: String = pieces.iter().filter_map(|at| PIECES.get(*at)).copied().collect();
            super::rule_file(text.as_bytes());
        }

        #[test]
        fn any_bytes_too(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            super::rule_file(&bytes);
        }

        #[test]
        fn any_act_is_asked_about(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            super::rule_act(&bytes);
        }
    }
}
