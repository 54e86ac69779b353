//! Actions as the kernel will see them: paths without links, programs where they lie. What is looked up may be changed before
//! the act: a hook is a courtesy, and the kernel has the last word where it enforces.

use std::path::{Path, PathBuf};

use muster_mandate::Action;

/// Components of a path that may be missing: then only its text is known.
const MISSING_MAX: usize = 64;

pub fn resolved(actions: Vec<Action>, cwd: &Path) -> Vec<Action> {
    actions.into_iter().map(|action| one(action, cwd)).collect()
}

fn one(action: Action, cwd: &Path) -> Action {
    match action {
        Action::Read { path } => Action::Read { path: real(&path) },
        Action::Write { path } => Action::Write { path: real(&path) },
        Action::Execute { path, argv } => Action::Execute { path: program(&path, cwd), argv },
        Action::Credential { what, path } => Action::Credential { what, path: path.map(|path| real(&path)) },
        action @ (Action::Connect { .. }
        | Action::Tool { .. }
        | Action::Agent { .. }
        | Action::Privileged { .. }) => action,
    }
}

/// Links are followed as far as there is something.
fn real(path: &str) -> String {
    let mut base = PathBuf::from(path);
    let mut missing = Vec::new();
    for _ in 0..MISSING_MAX {
        if let Ok(found) = std::fs::canonicalize(&base) {
            let mut out = found;
            out.extend(missing.iter().rev());
            return out.to_string_lossy().into_owned();
        }
        let Some(name) = base.file_name().map(std::ffi::OsStr::to_owned) else { break };
        missing.push(name);
        base.pop();
    }
    path.to_owned()
}

/// As a shell finds it; as it is named where it finds none.
fn program(name: &str, cwd: &Path) -> String {
    if name.contains('/') {
        return real(&cwd.join(name).to_string_lossy());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&folders).filter(|folder| folder.is_absolute()) {
        let path = folder.join(name);
        if path.is_file() {
            return real(&path.to_string_lossy());
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        assert_eq!(real(&shown(&root.join("link/new/file"))), shown(&root.join("real/new/file")));
        assert_eq!(real("/no/such/place"), "/no/such/place");
        assert!(program("sh", &root).starts_with('/'));
        assert_eq!(program("no-such-program-here", &root), "no-such-program-here");
    }
}
