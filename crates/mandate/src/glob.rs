//! Globs of paths, and of words: what they match, and whether all that one matches is matched by another.
//!
//! A path's glob is absolute or begins with `~/` (the home folder of the user that the agent runs as). `*` and `?` stay
//! within one part of the path, `**` stands for any number of parts, none included, so that `/a/**` is `/a` and all below.
//! `/a/` is the same as `/a/**`. Case counts. `\` takes the meaning from the next character.

use std::fmt;

/// Longest glob: the kernel's `PATH_MAX`.
const GLOB_MAX: usize = 4096;
/// Parts of one glob: inclusion compares every part with every other.
const PARTS_MAX: usize = 256;

/// One character of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    One(char),
    /// `?`
    Any,
    /// `*`
    Run,
}

/// A pattern of one word: a part of a path, an argument, the name of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    signs: Vec<Sign>,
    /// Without any wildcard: compared as a whole.
    literal: Option<String>,
}

impl Word {
    pub fn new(text: &str) -> Result<Word, String> {
        if text.len() > GLOB_MAX {
            return Err(format!("longer than {GLOB_MAX} bytes"));
        }
        let mut signs = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            signs.push(match c {
                '*' if signs.last() == Some(&Sign::Run) => continue,
                '*' => Sign::Run,
                '?' => Sign::Any,
                '\\' => Sign::One(chars.next().ok_or("a `\\` at the end escapes nothing")?),
                '[' | ']' | '{' | '}' => {
                    return Err(format!(
                        "`{c}` is no wildcard here\nhint: write `\\{c}` for the character itself, and a line for each choice"
                    ));
                }
                '\0' => return Err("holds a NUL".to_owned()),
                c => Sign::One(c),
            });
        }
        let literal: Option<String> =
            signs.iter().map(|sign| if let Sign::One(c) = sign { Some(*c) } else { None }).collect();
        Ok(Word { signs, literal })
    }

    pub fn matches(&self, text: &str) -> bool {
        match &self.literal {
            Some(literal) => literal == text,
            None => {
                let text: Vec<char> = text.chars().collect();
                walk(
                    &self.signs,
                    &text,
                    |sign| *sign == Sign::Run,
                    |sign, c| match sign {
                        Sign::One(one) => one == c,
                        Sign::Any | Sign::Run => true,
                    },
                )
            }
        }
    }

    /// All that `other` matches is matched by this one. `false` where that cannot be shown.
    pub fn includes(&self, other: &Word) -> bool {
        includes(
            &self.signs,
            &other.signs,
            |sign| *sign == Sign::Run,
            |outer, inner| match outer {
                Sign::Any | Sign::Run => true,
                Sign::One(_) => outer == inner,
            },
        )
    }

    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    fn is_anything(&self) -> bool {
        self.signs == [Sign::Run]
    }
}

/// Does a sequence fit a pattern in which some signs stand for any run? With one point to come back to: enough, since
/// a later run can take whatever an earlier one would.
fn walk<S, T>(pattern: &[S], text: &[T], is_run: impl Fn(&S) -> bool, fits: impl Fn(&S, &T) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(t) {
        match pattern.get(p) {
            Some(sign) if is_run(sign) => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(sign) if fits(sign, item) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((run, from)) = back else { return false };
                back = Some((run, from + 1));
                p = run;
                t = from + 1;
            }
        }
    }
    pattern.iter().skip(p).all(is_run)
}

/// All sequences that `inner` stands for are ones that `outer` stands for. Sound; where it says `false`, it may be so all
/// the same. Table over both: no more steps than the product of their lengths.
fn includes<S>(outer: &[S], inner: &[S], is_run: impl Fn(&S) -> bool, fits: impl Fn(&S, &S) -> bool) -> bool {
    // `below[j]`: the rest of `inner` behind the current sign is in `outer[j..]`.
    let mut below: Vec<bool> = (0..=outer.len()).map(|j| outer.iter().skip(j).all(&is_run)).collect();
    for item in inner.iter().rev() {
        let mut row = vec![false; outer.len() + 1];
        for (j, sign) in outer.iter().enumerate().rev() {
            let next = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
            let holds = match (is_run(sign), is_run(item)) {
                // A run takes the sign and stays, or takes nothing.
                (true, _) => next(&below, j) || next(&row, j + 1),
                (false, true) => false,
                (false, false) => fits(sign, item) && next(&below, j + 1),
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = holds;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Word(Word),
    /// `**`
    Run,
}

impl Part {
    fn is_run(&self) -> bool {
        *self == Part::Run
    }
}

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob {
    text: String,
    /// It begins with `~`.
    home: bool,
    parts: Vec<Part>,
}

impl PathGlob {
    pub fn new(text: &str) -> Result<PathGlob, String> {
        if text.len() > GLOB_MAX {
            return Err(format!("longer than {GLOB_MAX} bytes"));
        }
        let (home, rest) = match text.strip_prefix('~') {
            Some("") => (true, ""),
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) => (true, rest),
                None => {
                    return Err("only `~` and `~/…` are known: name another's home folder whole".to_owned());
                }
            },
            None => match text.strip_prefix('/') {
                Some(rest) => (false, rest),
                None => {
                    return Err(
                        "not absolute\nhint: begin with `/` or `~/`; `**` alone is written `/**`".to_owned()
                    );
                }
            },
        };
        let (rest, folder) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let mut parts = Vec::new();
        if !rest.is_empty() {
            for part in rest.split('/') {
                parts.push(match part {
                    "" => return Err("holds `//`".to_owned()),
                    "." | ".." => {
                        return Err(format!("holds `{part}`\nhint: write the path as the kernel has it"));
                    }
                    "**" => Part::Run,
                    part if part.contains("**") => {
                        return Err("`**` stands for whole parts of a path: `/a/**`, not `/a**`".to_owned());
                    }
                    part => Part::Word(Word::new(part)?),
                });
            }
        }
        if folder {
            parts.push(Part::Run);
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} parts"));
        }
        Ok(PathGlob { text: text.to_owned(), home, parts })
    }

    /// This path and nothing else.
    pub fn exactly(path: &str) -> Result<PathGlob, String> {
        PathGlob::new(&escape(path))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn of_home(&self) -> bool {
        self.home
    }

    /// With the home folder in the place of `~`.
    pub fn at_home(&self, home: &str) -> Result<PathGlob, String> {
        if !self.home {
            return Ok(self.clone());
        }
        let mut whole = PathGlob::new(&escape(home.trim_end_matches('/'))).or_else(|_| PathGlob::new("/"))?;
        whole.parts.retain(|part| !part.is_run());
        whole.parts.extend(self.parts.iter().cloned());
        whole.text.clone_from(&self.text);
        Ok(whole)
    }

    /// A path that is not absolute and without `.`, `..` fits nothing.
    pub fn matches(&self, path: &str) -> bool {
        !self.home && path_parts(path).is_some_and(|parts| self.matches_parts(&parts))
    }

    /// The same, for a path that was taken apart before.
    pub fn matches_parts(&self, parts: &[&str]) -> bool {
        walk(&self.parts, parts, Part::is_run, |sign, part| match sign {
            Part::Word(word) => word.matches(part),
            Part::Run => true,
        })
    }

    /// All paths of the other are paths of this one. `false` where that cannot be shown.
    pub fn includes(&self, other: &PathGlob) -> bool {
        // `/**` is all there is, home folders too.
        if self.parts == [Part::Run] && !self.home {
            return true;
        }
        self.home == other.home
            && includes(&self.parts, &other.parts, Part::is_run, |outer, inner| match (outer, inner) {
                (Part::Word(outer), Part::Word(inner)) => outer.includes(inner),
                _ => false,
            })
    }

    /// The path up to its first wildcard, and whether everything below that is in it: what a kernel that knows only folders
    /// can be given.
    pub fn folder(&self) -> (String, bool) {
        let mut path = String::new();
        let mut parts = self.parts.iter();
        for part in parts.by_ref() {
            match part {
                Part::Word(word) => match word.literal() {
                    Some(literal) => {
                        path.push('/');
                        path.push_str(literal);
                    }
                    None => return (root_or(path), false),
                },
                Part::Run => return (root_or(path), parts.next().is_none()),
            }
        }
        (root_or(path), false)
    }

    /// No wildcard in it.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Word(word) if word.literal.is_some()))
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn root_or(path: String) -> String {
    if path.is_empty() { "/".to_owned() } else { path }
}

/// The parts of an absolute path; `None`: it is none, or goes up.
pub fn path_parts(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let parts: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
    (!parts.iter().any(|part| matches!(*part, "" | "." | ".." | "…"))).then_some(parts)
}

/// The text as a glob that means it literally.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A pattern of words in a row, as a command's arguments: `**` is any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    parts: Vec<Part>,
}

impl Words {
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Words, String> {
        let parts: Vec<Part> = words
            .into_iter()
            .map(|word| if word == "**" { Ok(Part::Run) } else { Word::new(word).map(Part::Word) })
            .collect::<Result<_, _>>()?;
        if parts.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} words"));
        }
        Ok(Words { parts })
    }

    pub fn matches(&self, words: &[String]) -> bool {
        walk(&self.parts, words, Part::is_run, |sign, word| match sign {
            Part::Word(pattern) => pattern.is_anything() || pattern.matches(word),
            Part::Run => true,
        })
    }

    pub fn includes(&self, other: &Words) -> bool {
        includes(&self.parts, &other.parts, Part::is_run, |outer, inner| match (outer, inner) {
            (Part::Word(outer), Part::Word(inner)) => outer.includes(inner),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(glob: &str, path: &str, expected: bool) {
        assert_eq!(PathGlob::new(glob).unwrap().matches(path), expected, "{glob} {path}");
    }

    #[test]
    fn paths() {
        for (glob, path, expected) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/", true),
            ("/a/b", "/a/b/c", false),
            ("/a/b", "/a/B", false),
            ("/a/", "/a", true),
            ("/a/", "/a/b/c", true),
            ("/a/**", "/a", true),
            ("/a/**", "/ab", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/*", "/a", false),
            ("/**", "/", true),
            ("/**", "/x/y", true),
            ("/", "/", true),
            ("/**/secret", "/secret", true),
            ("/**/secret", "/a/b/secret", true),
            ("/**/secret", "/a/secret/b", false),
            ("/**/x/**/y/**", "/a/x/x/b/y", true),
            ("/a/*.rs", "/a/.rs", true),
            ("/a/*.rs", "/a/lib.rs.bak", false),
            ("/a/l?b.rs", "/a/lib.rs", true),
            ("/a/\\*", "/a/*", true),
            ("/a/\\*", "/a/b", false),
            ("/a/\\[id\\].ts", "/a/[id].ts", true),
            ("/a/**", "/a/../etc/passwd", false),
            ("/a/**", "/a/./b", false),
            ("/a/**", "/a//b", false),
            ("/a/**", "a/b", false),
            ("/**", "/…/x", false),
            ("/a/ü*", "/a/übung", true),
            ("~/x", "~/x", false),
        ] {
            check(glob, path, expected);
        }
    }

    #[test]
    fn homes() {
        let glob = PathGlob::new("~/.ssh/**").unwrap().at_home("/home/a[b]").unwrap();
        assert!(glob.matches("/home/a[b]/.ssh/id") && !glob.matches("/home/ab/.ssh/id"));
        assert!(PathGlob::new("~").unwrap().at_home("/").unwrap().matches("/"));
        assert!(PathGlob::new("~/x").unwrap().at_home("/root/").unwrap().matches("/root/x"));
    }

    #[test]
    fn refused() {
        for glob in [
            "", "a/b", "**", "/a/../b", "/a/./b", "/a//b", "/a**", "/a/[bc]", "/{a,b}", "~root/x", "/a\0",
            "/a\\",
        ] {
            assert!(PathGlob::new(glob).is_err(), "{glob}");
        }
    }

    #[test]
    fn inclusion() {
        for (outer, inner, expected) in [
            ("/a/**", "/a/b", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/ab/**", false),
            ("/a/*", "/a/**", false),
            ("/a/*", "/a/*.rs", true),
            ("/a/*.rs", "/a/*", false),
            ("/a/*.rs", "/a/l*.rs", true),
            ("/a/*b*", "/a/*abc", true),
            ("/**", "~/x", true),
            ("~/**", "~/x/*", true),
            ("~/**", "/home/a/x", false),
            ("/**/x", "/a/**/x", true),
            ("/a/**/x", "/**/x", false),
            ("/a/?", "/a/*", false),
            ("/a/*", "/a/?", true),
            ("/**/a/**", "/x/a/b", true),
        ] {
            let (outer, inner) = (PathGlob::new(outer).unwrap(), PathGlob::new(inner).unwrap());
            assert_eq!(outer.includes(&inner), expected, "{outer} {inner}");
        }
    }

    #[test]
    fn words() {
        let push = Words::new(["**", "push", "**"]).unwrap();
        let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(push.matches(&argv("-C /x push origin")) && !push.matches(&argv("pull")));
        assert!(push.includes(&Words::new(["push", "origin"]).unwrap()));
    }

    #[test]
    fn folders() {
        for (glob, expected) in [
            ("/a/b/**", ("/a/b", true)),
            ("/a/b", ("/a/b", false)),
            ("/a/*/b", ("/a", false)),
            ("/a/**/b", ("/a", false)),
            ("/**", ("/", true)),
        ] {
            let (path, whole) = PathGlob::new(glob).unwrap().folder();
            assert_eq!((path.as_str(), whole), expected, "{glob}");
        }
    }
}
