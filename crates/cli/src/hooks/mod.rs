//! The hooks by which a product asks the gate before each tool call: where they are written, what they say, and whether they
//! still stand as they were written.

pub mod edit;
pub mod event;
pub mod install;
pub mod resolve;
pub mod state;
pub mod tool;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use state::{CLOSED, MARK, Product, State, is_ours, state, switched_off};

/// The command of the hook, as a shell takes it.
pub fn command(product: Product, program: &Path, data: &Path) -> String {
    let mut command = quoted(&program.to_string_lossy());
    command.push_str(&format!("{MARK}{}", product.word()));
    if data != Path::new(crate::DATA_DEFAULT) {
        command.push_str(&format!(" --data {}", quoted(&data.to_string_lossy())));
    }
    command + CLOSED
}

fn quoted(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_alphanumeric() || "/._-+:=@".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// How the hooks of an agent stand that runs with this home in this folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Files with a hook that is whole.
    pub intact: Vec<String>,
    /// Files that the hook depends on, whether they are there or not.
    pub watched: Vec<String>,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
}

pub fn standing(product: Product, home: &Path, dir: &Path) -> Standing {
    // What is not known lies nowhere, and least of all where the daemon itself stands.
    let somewhere = |path: &Path| if path.is_absolute() { path.to_owned() } else { "/nonexistent".into() };
    let (home, dir) = (&somewhere(home), &somewhere(dir));
    let mut out = Standing::default();
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let mut places = vec![product.user_file(home), product.project_file(dir)];
    places.dedup();
    for path in &places {
        out.watched.push(shown(path));
        match read(path).map(|text| state(product, &text)) {
            Some(State::Intact) => out.intact.push(shown(path)),
            Some(State::Changed(why)) => out.wrong.push(format!("`{}`: {why}", path.display())),
            Some(State::Absent) | None => {}
        }
    }
    for path in product.switches(home, dir) {
        if read(&path).is_some_and(|text| switched_off(product, &text)) {
            out.wrong.push(format!("`{}` switches all hooks off", path.display()));
            out.intact.clear();
        }
        out.watched.push(shown(&path));
    }
    out.watched.sort();
    out.watched.dedup();
    out
}

/// `None`: there is none, or none that a product would read.
pub fn read(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(edit::FILE_MAX as u64).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
