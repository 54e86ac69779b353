//! Rules over what a lineage does: those that are built in, and a user's with exceptions.

use std::fs;
use std::process::Command;

use crate::rig::{Daemon, MUSTER, text};

const OWN: &str = "title: the oracle was asked\nid: ours\nlogsource: { product: linux, category: process_creation }\n\
    detection:\n    s: { CommandLine|contains: 'oracle-' }\n    condition: s\nlevel: low\n";
const BROKEN: &str =
    "title: torn\nlogsource: { product: linux, category: process_creation }\ndetection:\n    condition: s\n";
const EXCEPTION: &str = "[[exception]]\nrule = \"ours\"\nlabel = \"quiet\"\nreason = \"it may\"\n";

#[test]
fn a_planted_credential_is_found_by_whoever_reads_it() {
    let data = tempfile::tempdir().unwrap();
    let rules = data.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("own.yml"), OWN).unwrap();
    fs::write(rules.join("torn.yml"), BROKEN).unwrap();
    fs::write(rules.join("exceptions.toml"), EXCEPTION).unwrap();
    let Some(daemon) = Daemon::start_in(data, &[]) else { return };
    assert!(daemon.said().contains("rules/torn.yml:1: torn: "), "{}", daemon.said());
    let listed = daemon.list(&["rules"]);
    let own: Vec<_> =
        listed.iter().filter(|rule| rule["built_in"] == false).map(|r| text(r, "status")).collect();
    assert_eq!(own, ["evaluated", "broken"]);

    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(home.path().join(".aws/credentials"), "[default]\naws_access_key_id = fake\n").unwrap();
    let run = |label: &str| {
        let script = "cat ~/.aws/credentials >/dev/null; cat ~/.aws/credentials >/dev/null; true oracle-1; \
            /bin/echo oracle-2 >/dev/null";
        let mut command = Command::new(MUSTER);
        command.args(["run", "--label", label, "--data"]).arg(daemon.data.path());
        command.args(["--", "sh", "-c", script]).env("HOME", home.path()).current_dir(home.path());
        assert!(command.status().unwrap().success());
        let agent = daemon.wait("the finding", || {
            let agent = daemon.roll().into_iter().find(|agent| text(agent, "label") == label)?;
            let agent = text(&agent, "agent");
            daemon.codes(&agent).contains(&"credentials".to_owned()).then_some(agent)
        });
        let mut found: Vec<String> = daemon
            .findings(&agent)
            .iter()
            .map(|finding| format!("{} {}", text(finding, "severity"), text(finding, "code")))
            .filter(|found| !found.contains("account"))
            .collect();
        found.sort();
        found
    };
    assert_eq!(run("loud"), ["low rule", "medium credentials"]);
    assert_eq!(run("quiet"), ["medium credentials"]);
}
