//! The page in a real browser, with a real agent on the roll.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use muster_rehearsal::{Agent, Home, Model, Script, Step, find_program, packages};
use serde_json::Value;

use crate::agents::{command, installed, project};
use crate::rig::{Daemon, text};

const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];

/// The browser and what drives it. `None`, with a line that says so, where there is none.
struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Browser {
    fn open(daemon: &Daemon, pictures: &Path) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        let Some(browser) = names.into_iter().find_map(find_program) else {
            eprintln!("skipped: no Chromium is installed");
            return None;
        };
        let folder = packages("browser-driver", &PACKAGES).inspect_err(|why| eprintln!("{why}")).ok()?;
        let token = |file: &str| std::fs::read_to_string(daemon.data.path().join(file)).unwrap();
        let mut child = Command::new(find_program("node")?)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/page.mjs"))
            .args([folder.as_path(), &browser])
            .args([format!("http://{}", daemon.address()), token("token"), token("operator-token")])
            .arg(pictures)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, input, output })
    }

    /// What it sees next.
    #[track_caller]
    fn sees(&mut self, step: &str) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let seen: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no `{step}`: {line}"));
        assert_eq!(text(&seen, "step"), step, "{seen}");
        seen
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_page_shows_a_live_agent_and_stops_it() {
    let (Some(installed), Some(daemon)) = (installed(Agent::ClaudeCode), Daemon::start()) else { return };
    // `MUSTER_PICTURES=DIR` keeps them.
    let kept = std::env::var_os("MUSTER_PICTURES");
    let own = tempfile::tempdir().unwrap();
    let pictures = kept.as_deref().map_or(own.path(), Path::new);
    let Some(mut browser) = Browser::open(&daemon, pictures) else { return };
    browser.sees("open");

    let (dir, home) = (project(), Home::new().unwrap());
    let model = Model::start(Script::new([
        Step::say("I write the program."),
        Step::write("greet.sh", "echo hello\n"),
        Step::shell("sh greet.sh; setsid sh -c 'while :; do sleep 1.357; done' >/dev/null 2>&1 &"),
        Step::last("I wrote greet.sh, committed it and pushed it. <img src=x onerror=alert(1)>"),
    ]))
    .unwrap();
    let command = command(&daemon, &installed, dir.path(), &home, &model, true);
    browser.tell("it starts");
    let ran = muster_rehearsal::run(command, Agent::PATIENCE).unwrap();
    assert!(ran.success(), "{}", ran.stderr);

    let roll = browser.sees("roll");
    assert!(roll["ms"].as_u64().unwrap() < 20_000, "{roll}");
    let agent = text(&roll, "agent");
    assert_eq!(browser.sees("finding")["reloads"], 1, "it came without a reload");
    let lanes = browser.sees("lanes");
    for (what, least) in [("calls", 2), ("done", 5), ("joins", 1), ("graph", 4), ("verdicts", 1)] {
        assert!(lanes[what].as_u64().unwrap() >= least, "{what}: {lanes}");
    }
    let finding = browser.sees("finding page");
    assert!(text(&finding, "proof").starts_with("Holds"), "{finding}");
    assert!(text(&finding, "judged").contains("false alarm"), "{finding}");
    let reviews = daemon.list(&["review"]);
    assert_eq!(text(&reviews[0], "judgement"), "false_alarm");
    assert!(text(&reviews[0], "by").ends_with("with the operator's token"), "{reviews:?}");

    for _ in 0..14 {
        let place = browser.sees("place");
        assert_eq!(place["axe"], serde_json::json!([]), "{place}");
        assert_eq!(place["wider"], 0, "{place}");
        assert_eq!(place["buttons"], 0, "who only looks is offered no act: {place}");
    }

    let plan = text(&browser.sees("plan"), "text");
    assert!(plan.contains("processes"), "{plan}");
    let live = |daemon: &Daemon| {
        let lineage = daemon.list(&["lineage", &agent]);
        lineage[0]["processes"].as_array().unwrap().len()
    };
    assert!(live(&daemon) > 0, "nothing was touched yet");
    browser.tell("go on");
    let out = browser.sees("out");
    assert!(text(&out, "lead").contains("nothing is left"), "{out}");
    let end = browser.sees("end");
    assert_eq!(end["complaints"], serde_json::json!([]), "{end}");
    assert_eq!(live(&daemon), 0);
}

/// The roll as a table with little, for who has no browser: a page is whole without its script.
#[test]
fn the_page_needs_no_script() {
    let Some(daemon) = Daemon::start() else { return };
    for path in ["/", "/findings", "/drills", "/ledger", "/health"] {
        let page = daemon.get(path);
        assert!(page.contains("<main") && page.contains("</html>"), "{path}: {page}");
    }
    assert!(daemon.get("/health").contains("No probe is known to be blind."));
    assert!(daemon.get("/ledger").contains("Checkpoint"));
}
