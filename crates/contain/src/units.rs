//! Units of systemd, by its own command, where systemd is the machine's first process.

use std::path::Path;
use std::time::Duration;

use crate::run;

const LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn is_there() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A unit that an agent named is an argument, never an option, and never a pattern.
pub(crate) fn is_name(unit: &str) -> bool {
    !unit.is_empty()
        && unit.len() < 256
        && !unit.starts_with('-')
        && unit.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
}

/// Nothing starts it any more, and what it started ends.
pub(crate) fn stop(unit: &str) -> Result<(), String> {
    if !is_name(unit) {
        return Err(format!("`{unit}` is no name of a unit"));
    }
    systemctl(&["mask", "--runtime", "--", unit])?;
    // Frozen processes take no other signal.
    drop(systemctl(&["kill", "--signal=KILL", "--", unit]));
    systemctl(&["stop", "--", unit])
}

pub(crate) fn forget(unit: &str) -> Result<(), String> {
    if is_name(unit) { systemctl(&["unmask", "--runtime", "--", unit]) } else { Ok(()) }
}

/// Its files are not where they were.
pub(crate) fn reload() -> Result<(), String> {
    systemctl(&["daemon-reload"])
}

pub(crate) fn is_active(unit: &str) -> bool {
    is_name(unit) && systemctl(&["is-active", "--quiet", "--", unit]).is_ok()
}

fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let mut argv = vec!["systemctl".to_owned(), "--no-ask-password".to_owned()];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    run::run(&argv, &[], LIMIT)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_unit_is_no_option() {
        for (unit, is) in
            [("a.service", true), ("a@1.timer", true), ("--all", false), ("*", false), ("a b", false)]
        {
            assert_eq!(super::is_name(unit), is, "{unit}");
        }
    }
}
