//! Looks at the files of a process: do they belong to an agent product? Names of processes play no part.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_engine::{Identified, Product, Products};

/// Native agents are runtimes with a program inside: the smallest seen is 60 MB. What is smaller is not searched, so that
/// the ordinary programs of a machine cost nothing.
const MARKED_SIZE_MIN: u64 = 16 * 1024 * 1024;
/// As much of a file is searched: three times the largest agent seen. A larger file cannot keep the daemon busy.
const SEARCHED_MAX: u64 = 768 * 1024 * 1024;
/// Largest `package.json` that is read.
const PACKAGE_MAX: u64 = 1024 * 1024;
/// Folders upwards in which a file's `package.json` is looked for.
const PACKAGE_DEPTH: usize = 8;
/// Answers that are kept. A full cache is emptied: it only saves work.
const CACHE_MAX: usize = 16_384;

/// A product, and whether the executable itself showed it (not a script that an interpreter runs).
pub struct Found {
    pub identified: Identified,
    pub native: bool,
}

#[derive(Default)]
pub struct Identifier {
    cache: HashMap<(PathBuf, u64, u64, i64, u64), Option<Identified>>,
}

impl Identifier {
    /// The product that this execution is, if any.
    pub fn identify(
        &mut self,
        products: &Products,
        path: &str,
        script: Option<&str>,
        argv: &[String],
        cwd: &str,
    ) -> Option<Found> {
        if let Some(script) = script_of(path, script, argv, cwd) {
            let identified = match script.strip_prefix(MODULE) {
                Ok(module) => by_module(products, &module.to_string_lossy()),
                Err(_) => self.look(products, &script, true),
            };
            if let Some(identified) = identified {
                return Some(Found { identified, native: false });
            }
        }
        let identified = self.look(products, Path::new(path), false)?;
        if products.get(&identified.product).is_some_and(|product| product.is_applet(argv)) {
            return None;
        }
        Some(Found { identified, native: true })
    }

    fn look(&mut self, products: &Products, file: &Path, is_script: bool) -> Option<Identified> {
        let file = fs::canonicalize(file).ok()?;
        let meta = fs::metadata(&file).ok()?;
        if !meta.is_file() {
            return None;
        }
        let key = (file, meta.dev(), meta.ino(), meta.mtime(), meta.size());
        if let Some(known) = self.cache.get(&key) {
            return known.clone();
        }
        let found = by_package(products, &key.0, is_script)
            .or_else(|| by_python(products, &key.0).filter(|_| is_script))
            .or_else(|| {
                (!is_script && meta.size() >= MARKED_SIZE_MIN).then(|| by_marker(products, &key.0)).flatten()
            });
        if self.cache.len() >= CACHE_MAX {
            self.cache.clear();
        }
        self.cache.insert(key, found.clone());
        found
    }
}

/// Stands before the name of a module in the answer of `script_of`.
const MODULE: &str = "-m";

/// `python -m aider`.
fn by_module(products: &Products, module: &str) -> Option<Identified> {
    let top = module.split('.').next()?;
    products.all().find_map(|product| {
        let known = product.identity.python.iter().find(|p| p.name == top)?;
        Some(Identified {
            product: product.product.name.clone(),
            version: None,
            by: format!("Python module `{}`", known.name),
            launcher: false,
        })
    })
}

/// The script that an interpreter runs: by `#!`, or its first argument that is no option.
pub(crate) fn script_of(path: &str, script: Option<&str>, argv: &[String], cwd: &str) -> Option<PathBuf> {
    if let Some(script) = script {
        return Some(Path::new(cwd).join(script));
    }
    let name = Path::new(path).file_name()?.to_str()?;
    let interpreter = ["node", "bun", "deno", "python", "ruby"].iter().any(|known| {
        name.strip_prefix(known).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    });
    if !interpreter {
        return None;
    }
    let mut arguments = argv.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Options of node and python that take a value of their own.
            "-r" | "--require" | "--import" | "--loader" | "-W" | "-X" => {
                arguments.next();
            }
            "-c" | "-e" | "-p" | "--eval" | "--print" | "-" => return None,
            "run" if name.starts_with("bun") || name.starts_with("deno") => {}
            "-m" => return arguments.next().map(|module| Path::new(MODULE).join(module)),
            option if option.starts_with('-') => {}
            file => return Some(Path::new(cwd).join(file)),
        }
    }
    None
}

/// The nearest `package.json` above the file names a product's package, and the file is one that this package runs.
fn by_package(products: &Products, file: &Path, is_script: bool) -> Option<Identified> {
    let (folder, package) = file.ancestors().skip(1).take(PACKAGE_DEPTH).find_map(|folder| {
        let text = read_bounded(&folder.join("package.json"), PACKAGE_MAX)?;
        Some((folder.to_owned(), package_in(&text)?))
    })?;
    of_package(products, &package, file.strip_prefix(&folder).ok()?, is_script)
}

/// Nested `package.json` files that only say `{"type": "module"}` have no name, and are none.
pub(crate) fn package_in(text: &[u8]) -> Option<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_slice(text).ok()?;
    json.get("name")?;
    Some(json)
}

/// The product whose package this is, if the file inside it is one that the package runs.
pub(crate) fn of_package(
    products: &Products,
    package: &serde_json::Value,
    inside: &Path,
    is_script: bool,
) -> Option<Identified> {
    let name = package.get("name")?.as_str()?;
    let (product, known) = products
        .all()
        .find_map(|product| Some((product, product.identity.package.iter().find(|p| p.name == name)?)))?;
    if !is_entry(package, inside, known, is_script) {
        return None;
    }
    Some(Identified {
        product: product.product.name.clone(),
        version: package.get("version").and_then(|v| v.as_str()).map(version_of),
        by: format!("package `{name}`"),
        launcher: known.launcher,
    })
}

/// Is this file an entry point of the package? A package also ships other programs (ripgrep beside Codex).
fn is_entry(
    package: &serde_json::Value,
    inside: &Path,
    known: &muster_engine::Package,
    is_script: bool,
) -> bool {
    let inside_text = inside.to_string_lossy();
    if known.entry.iter().any(|pattern| muster_engine::glob(pattern, &inside_text)) {
        return true;
    }
    let same = |value: &serde_json::Value| {
        value.as_str().is_some_and(|entry| Path::new(entry.trim_start_matches("./")) == inside)
    };
    let bin = package.get("bin");
    bin.is_some_and(same)
        || bin.and_then(|b| b.as_object()).is_some_and(|bins| bins.values().any(same))
        || is_script && package.get("main").is_some_and(same)
}

/// A console script or module of a Python distribution, e.g. `bin/openhands` with `import openhands…`.
fn by_python(products: &Products, file: &Path) -> Option<Identified> {
    let text = read_bounded(file, 64 * 1024)?;
    of_script(products, &file.to_string_lossy(), &String::from_utf8_lossy(&text))
}

pub(crate) fn of_script(products: &Products, path: &str, text: &str) -> Option<Identified> {
    products.all().find_map(|product| {
        let fits = |p: &&muster_engine::Package| {
            p.entry.is_empty() || p.entry.iter().any(|entry| muster_engine::glob(entry, path))
        };
        let known = product.identity.python.iter().filter(fits).find(|p| {
            text.lines().any(|line| {
                line.strip_prefix("from ")
                    .or_else(|| line.strip_prefix("import "))
                    .and_then(|rest| rest.split([' ', '.', ',']).next())
                    .is_some_and(|module| module == p.name)
            })
        })?;
        // A user's script that imports the library is an agent of that make too.
        Some(Identified {
            product: product.product.name.clone(),
            version: None,
            by: format!("Python module `{}`", known.name),
            launcher: false,
        })
    })
}

/// A copied or renamed native executable still holds the product's texts.
fn by_marker(products: &Products, file: &Path) -> Option<Identified> {
    let candidates: Vec<&Product> = products.all().filter(|p| !p.identity.marker.is_empty()).collect();
    let found = search(file, &candidates)?;
    Some(Identified {
        product: found.product.name.clone(),
        version: None,
        by: "marker in the executable".to_owned(),
        launcher: false,
    })
}

/// The one product all of whose markers are in the file. A file that holds those of several is about agents, and is none:
/// Muster itself, or another monitor. Reads it once, in pieces that overlap by the longest marker.
fn search<'a>(path: &Path, products: &[&'a Product]) -> Option<&'a Product> {
    const PIECE: usize = 4 * 1024 * 1024;
    let mut file = File::open(path).ok()?.take(SEARCHED_MAX);
    let finders: Vec<(usize, memchr::memmem::Finder)> = products
        .iter()
        .enumerate()
        .flat_map(|(at, p)| {
            p.identity.marker.iter().map(move |m| (at, memchr::memmem::Finder::new(m.text.as_bytes())))
        })
        .collect();
    let overlap = finders.iter().map(|(_, f)| f.needle().len()).max()?;
    let mut seen = vec![false; finders.len()];
    let mut buffer = vec![0u8; overlap];
    let mut kept = 0;
    loop {
        buffer.resize(kept + PIECE, 0);
        let read = file.read(buffer.get_mut(kept..)?).ok()?;
        if read == 0 {
            break;
        }
        let piece = buffer.get(..kept + read)?;
        for ((_, finder), seen) in finders.iter().zip(&mut seen) {
            *seen = *seen || finder.find(piece).is_some();
        }
        let end = kept + read;
        kept = overlap.min(end);
        buffer.copy_within(end - kept..end, 0);
    }
    let whole = |at: usize| finders.iter().zip(&seen).filter(|((of, _), _)| *of == at).all(|(_, seen)| *seen);
    let mut found = products.iter().enumerate().filter(|(at, _)| whole(*at)).map(|(_, product)| *product);
    found.next().filter(|_| found.next().is_none())
}

fn read_bounded(path: &Path, max: u64) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut out = Vec::new();
    file.take(max).read_to_end(&mut out).ok()?;
    Some(out)
}

/// `2.1.330` of `2.1.330-linux-x64`: platform packages carry the platform in their version.
fn version_of(version: &str) -> String {
    version.split("-linux").next().unwrap_or(version).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products() -> Products {
        Products::built_in().unwrap()
    }

    /// What these files, run by this command line, are.
    #[track_caller]
    fn check(files: &[(&str, &str)], path: &str, argv: &[&str], expected: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
        let cwd = dir.path().to_string_lossy().into_owned();
        let found = Identifier::default().identify(&products(), path, None, &argv, &cwd);
        assert_eq!(found.map(|f| f.identified.product).as_deref(), expected, "{argv:?}");
    }

    #[test]
    fn a_package_is_known_by_its_entry_points() {
        let package = (
            "p/package.json",
            r#"{"name": "@google/gemini-cli", "version": "1", "bin": {"gemini": "dist/x.js"}}"#,
        );
        check(&[package, ("p/dist/x.js", "")], "/usr/bin/node", &["node", "p/dist/x.js"], Some("gemini-cli"));
        check(&[package, ("p/scripts/other.js", "")], "/usr/bin/node", &["node", "p/scripts/other.js"], None);
        let own = ("p/package.json", r#"{"name": "my-claude", "bin": {"claude": "claude.js"}}"#);
        check(&[own, ("p/claude.js", "")], "/usr/bin/node", &["node", "p/claude.js"], None);
    }

    #[test]
    fn a_python_agent_is_known_by_its_module() {
        let script = "#!/usr/bin/python3\nfrom aider.main import main\n";
        check(
            &[("venv/bin/aider", script)],
            "/usr/bin/python3.11",
            &["python3", "venv/bin/aider"],
            Some("aider"),
        );
        check(&[("mine.py", script)], "/usr/bin/python3.11", &["python3", "mine.py"], None);
        check(&[], "/usr/bin/python3.11", &["python3", "-m", "aider.main"], Some("aider"));
        check(&[], "/usr/bin/python3.11", &["python3", "-m", "http.server"], None);
        check(
            &[("x.py", "import openhands.sdk\n")],
            "/usr/bin/python3.11",
            &["python3", "-u", "x.py"],
            Some("openhands"),
        );
    }
}
