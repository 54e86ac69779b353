//! Host names: whom they imitate, and how much they are worded like names that phishing used.

pub mod brand;
mod check;
pub mod fold;
pub mod model;
pub mod name;

pub use check::{Lists, check, check_url, shortens};
pub use name::{Host, host};

/// Data files: a line each, `#` begins a comment.
pub(crate) fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Longest first, so that `on.fleek.co` is met before `fleek.co`.
fn free_hosting() -> &'static [&'static str] {
    static LIST: std::sync::LazyLock<Vec<&str>> = std::sync::LazyLock::new(|| {
        let mut list: Vec<_> = lines(include_str!("../../data/free-hosting.txt")).collect();
        list.sort_by_key(|name| std::cmp::Reverse(name.len()));
        list
    });
    &LIST
}
