//! Paths as the kernel would name them, as far as a log tells: absolute, without `.` and `..`. Links are not followed.

/// Longest path that is kept, in bytes: the kernel's own limit.
const PATH_MAX: usize = 4096;

/// What stands before a path whose folder is not known.
pub(crate) const UNKNOWN: &str = "?";

/// `path`, which is absolute, without `.`, `..` and double slashes.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    cut(format!("/{}", parts.join("/")))
}

/// `path` as seen from `folder`.
pub(crate) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return normal(path);
    }
    match folder.strip_prefix(UNKNOWN) {
        Some(rest) => cut(format!("{UNKNOWN}{}", normal(&format!("{rest}/{path}")))),
        None => normal(&format!("{folder}/{path}")),
    }
}

/// `/proc/self/fd/7/rest` is a number and what follows it.
pub(crate) fn descriptor(path: &str, pid: u32) -> Option<(i32, &str)> {
    let rest = path.strip_prefix("/dev/fd/").or_else(|| of_own(path, pid)?.strip_prefix("fd/"))?;
    let (number, below) = rest.split_once('/').unwrap_or((rest, ""));
    Some((number.parse().ok()?, below))
}

/// What is below `/proc/self/cwd`.
pub(crate) fn working_folder(path: &str, pid: u32) -> Option<&str> {
    let rest = of_own(path, pid)?.strip_prefix("cwd")?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// `/proc/self/exe`.
pub(crate) fn is_program(path: &str, pid: u32) -> bool {
    of_own(path, pid) == Some("exe")
}

fn of_own(path: &str, pid: u32) -> Option<&str> {
    let rest = path.strip_prefix("/proc/")?;
    rest.strip_prefix("self/").or_else(|| rest.strip_prefix("thread-self/")).or_else(|| {
        let (number, rest) = rest.split_once('/')?;
        (number.parse() == Ok(pid)).then_some(rest)
    })
}

fn cut(mut path: String) -> String {
    if path.len() > PATH_MAX {
        let mut end = PATH_MAX;
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        path.truncate(end);
    }
    path
}

/// The last part.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute() {
        assert_eq!(join("/a/b", "../c//./d"), "/a/c/d");
        assert_eq!(join("/a/b", "/x/../y"), "/y");
        assert_eq!(join("?", "x"), "?/x");
        assert_eq!(join("?/x", "../y"), "?/y");
        assert_eq!(join("/", "../.."), "/");
    }

    #[test]
    fn descriptors_in_proc() {
        assert_eq!(descriptor("/proc/self/fd/14/calc.py", 9), Some((14, "calc.py")));
        assert_eq!(descriptor("/proc/9/fd/3", 9), Some((3, "")));
        assert_eq!(descriptor("/dev/fd/0", 9), Some((0, "")));
        assert_eq!(descriptor("/proc/10/fd/3", 9), None);
        assert_eq!(working_folder("/proc/self/cwd/x", 9), Some("x"));
        assert_eq!(working_folder("/proc/self/cwdx", 9), None);
    }
}
