//! What must hold of files that users and packages wrote: driven by proptest here, by libFuzzer in `fuzz/`, which takes
//! this file and the two that it tests as modules of its own (a program cannot be depended on).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use std::path::Path;
use std::sync::LazyLock;

use muster_engine::Products;

use crate::{configuration, identify};

static PRODUCTS: LazyLock<Products> = LazyLock::new(|| Products::built_in().unwrap());

/// The configuration of a product: JSON and TOML give commands, bounded, or nothing.
pub fn configuration_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for is_toml in [false, true] {
        let Some(commands) = configuration::commands_in(&text, is_toml) else { continue };
        assert!(commands.len() <= configuration::COMMANDS_MAX, "{} commands", commands.len());
        let taken: usize = commands.iter().flatten().map(String::len).sum();
        assert!(taken <= text.len(), "more was taken than the file has");
        assert_eq!(configuration::commands_in(&text, is_toml), Some(commands), "read again, it differs");
    }
}

/// The first line is the file that runs; the rest is `package.json`, or the script itself.
pub fn package_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let products = &*PRODUCTS;
    for is_script in [false, true] {
        let Some(package) = identify::package_in(rest.as_bytes()) else { break };
        if let Some(found) = identify::of_package(products, &package, Path::new(file), is_script) {
            assert!(products.get(&found.product).is_some());
            let name = package.get("name").and_then(|name| name.as_str()).unwrap();
            assert!(found.by.contains(name) && !file.is_empty());
        }
    }
    if let Some(found) = identify::of_script(products, "/usr/bin/aider", rest) {
        assert!(products.get(&found.product).is_some());
    }
    let argv: Vec<String> = rest.split('\0').map(str::to_owned).collect();
    let _ = identify::script_of(file, None, &argv, "/w");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_configuration(
            text in "(\\{|\\}|\\[|\\]|\"command\"|\"args\"|:|,|\"[a-z ]{0,8}\"|command = \"x\"|\n|\\[hooks\\]| ){0,30}",
            commands in prop::collection::vec("[a-z ]{0,8}", 0..600),
            bytes: Vec<u8>,
        ) {
            configuration_file(text.as_bytes());
            configuration_file(&bytes);
            let hooks: Vec<_> = commands.iter().map(|c| serde_json::json!({"command": c, "args": [c, 1]})).collect();
            configuration_file(serde_json::json!({"hooks": hooks}).to_string().as_bytes());
        }

        #[test]
        fn any_package(
            file in "(cli\\.js|bin/[a-z]{0,8}|dist/index\\.js|\\PC{0,12})",
            name in prop::sample::select(vec!["@anthropic-ai/claude-code", "@openai/codex", "@google/gemini-cli", "opencode-ai", "x"]),
            bin in "(\\./)?(cli\\.js|bin/[a-z]{0,8}|dist/index\\.js)",
            bytes: Vec<u8>,
        ) {
            let package = serde_json::json!({"name": name, "version": "1.2.3-linux-x64", "bin": {"x": bin}, "main": bin});
            package_file(format!("{file}\n{package}").as_bytes());
            package_file(format!("{file}\nfrom {name}.x import y\n").as_bytes());
            package_file(&bytes);
        }
    }
}
