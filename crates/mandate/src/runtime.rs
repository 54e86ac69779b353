//! What a product and any program does by itself, so that no mandate need name it. Data: `runtime/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::line::{Kind, Line, Pattern, program_line};
use crate::mandate::Lines;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    read: Vec<String>,
    write: Vec<String>,
    execute: Vec<String>,
    connect: Vec<String>,
}

/// The lines for an agent of this product, whose program lies in the folders `install`. `Err`: the data is wrong.
pub fn lines(product: &str, install: &[String]) -> Result<Lines, String> {
    let base: Raw =
        toml::from_str(include_str!("../runtime/base.toml")).map_err(|error| error.to_string())?;
    let mut products: BTreeMap<String, Raw> =
        toml::from_str(include_str!("../runtime/products.toml")).map_err(|error| error.to_string())?;
    let mut lines = Lines::new();
    add(&mut lines, "runtime", base)?;
    if let Some(own) = products.remove(product) {
        add(&mut lines, &format!("runtime.{product}"), own)?;
    }
    // Only whole folders of something: the root folder would be everything.
    let folders: Vec<String> = install
        .iter()
        .filter(|path| path.len() > 1 && path.starts_with('/'))
        .map(|path| format!("{}/**", program_line(path.trim_end_matches('/'))))
        .collect();
    let unescaped = folders.iter().map(|folder| folder.replace("\\ ", " ")).collect();
    add(&mut lines, "runtime.install", Raw { read: unescaped, execute: folders, ..Raw::default() })?;
    Ok(lines)
}

fn add(lines: &mut Lines, place: &str, raw: Raw) -> Result<(), String> {
    for (kind, texts) in [
        (Kind::Read, raw.read),
        (Kind::Write, raw.write),
        (Kind::Execute, raw.execute),
        (Kind::Connect, raw.connect),
    ] {
        for (index, text) in texts.into_iter().enumerate() {
            let pattern = Pattern::new(kind, &text, true)?;
            let rule = format!("{place}.{}[{index}]", kind.key());
            lines.entry(kind).or_default().push(Line { rule, number: 0, text, pattern });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_right() {
        for product in ["claude-code", "codex", "gemini-cli", "opencode", "another"] {
            let made = lines(product, &["/opt/a b".to_owned(), "/".to_owned()]).unwrap();
            assert_eq!(made[&Kind::Execute].len(), 1);
            assert!(made[&Kind::Write].len() > 5);
        }
    }
}
