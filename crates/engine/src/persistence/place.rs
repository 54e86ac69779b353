//! Globs over absolute paths: `*` and `?` within one name, `**` for any folders, `~` for the home of anybody.

use crate::products::glob;

/// Names of one path that are looked at: the kernel's longest path has fewer with any sense.
const DEPTH_MAX: usize = 256;

pub(crate) struct Pattern {
    home: bool,
    parts: Vec<String>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        let home = text.starts_with('~');
        let text = text.trim_start_matches('~').trim_start_matches('/');
        Self { home, parts: text.split('/').map(str::to_owned).collect() }
    }

    /// The last name, where it is no pattern.
    pub fn last_name(&self) -> Option<&str> {
        self.parts.last().map(String::as_str).filter(|part| !is_glob(part))
    }

    pub fn last_folder(&self) -> Option<&str> {
        self.parts.iter().rev().map(String::as_str).find(|part| !is_glob(part))
    }

    pub fn matches(&self, path: &str, homes: &[&str]) -> bool {
        if !self.home {
            return path.strip_prefix('/').is_some_and(|rest| self.fits(rest));
        }
        if inside_home(path).is_some_and(|rest| self.fits(rest)) {
            return true;
        }
        homes.iter().any(|home| {
            home.len() > 1
                && path
                    .strip_prefix(home.trim_end_matches('/'))
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| self.fits(rest))
        })
    }

    fn fits(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').take(DEPTH_MAX + 1).collect();
        names.len() <= DEPTH_MAX && fits(&self.parts, &names)
    }
}

/// What stands behind the home folder, where this is a usual one.
pub(crate) fn inside_home(path: &str) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("/root/") {
        return Some(rest);
    }
    let rest = path.strip_prefix("/home/").or_else(|| path.strip_prefix("/var/home/"))?;
    rest.split_once('/').map(|(_, rest)| rest)
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// As `glob`, one name at a time: greedy, with one point of return.
fn fits(parts: &[String], names: &[&str]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (parts.get(p).map(String::as_str), names.get(n)) {
            (Some("**"), _) => {
                back = Some((p, n));
                p += 1;
                // At the end it stands for at least one name.
                if p == parts.len() {
                    return n < names.len();
                }
            }
            (Some(part), Some(name)) if name_fits(part, name) => {
                p += 1;
                n += 1;
            }
            (None, None) => return true,
            (_, _) => match back {
                Some((star, from)) if from < names.len() => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                Some(_) | None => return false,
            },
        }
    }
}

fn name_fits(part: &str, name: &str) -> bool {
    if !part.contains('?') {
        return !name.is_empty() && glob(part, name);
    }
    // `?` only stands for a run level.
    part.chars().count() == name.chars().count()
        && part.chars().zip(name.chars()).all(|(p, n)| p == '?' || p == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path) in [
            ("/etc/cron.d/*", "/etc/cron.d/a"),
            ("~/.ssh/rc", "/home/a/.ssh/rc"),
            ("~/.ssh/rc", "/root/.ssh/rc"),
            ("**/.git/config", "/.git/config"),
            ("**/.git/config", "/a/b/.git/config"),
            ("**/.git/modules/**/hooks/*", "/a/.git/modules/b/hooks/c"),
            ("**/x/**", "/a/x/b/c"),
            ("/etc/rc?.d/*", "/etc/rc3.d/S1"),
            ("~/.a", "/data/ann/.a"),
        ] {
            assert!(Pattern::new(pattern).matches(path, &["/data/ann/"]), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/etc/cron.d/*", "/etc/cron.d/a/b"),
            ("/etc/cron.d/*", "/etc/cron.d/"),
            ("~/.ssh/rc", "/home/.ssh/rc"),
            ("**/x/**", "/a/x"),
            ("/etc/rc?.d/*", "/etc/rc10.d/S1"),
        ] {
            assert!(!Pattern::new(pattern).matches(path, &["/data/ann/"]), "{pattern} {path}");
        }
    }
}
