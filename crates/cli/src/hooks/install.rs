//! Writes a product's hook, and takes it out again. A file of a user's is never written but through a copy that is whole, and
//! what stood there before is kept beside it until it can be put back as it was.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exit::usage;
use crate::hooks::state::PLUGIN;
use crate::hooks::{Product, State, edit, is_ours, read, state};

/// Beside the file: what stood there before the hook did.
const BEFORE: &str = ".before-muster";

#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    Written,
    AlreadyThere,
    Removed,
    NotThere,
}

/// With the hook, as text.
fn text_with(product: Product, before: &str, command: &str) -> Result<String> {
    if product == Product::OpenCode {
        let words = command.strip_suffix(super::CLOSED).unwrap_or(command);
        let argv = words_of(words);
        return Ok(PLUGIN.replace("/*COMMAND*/[]", &serde_json::to_string(&argv)?));
    }
    // An older hook of ours goes first.
    let clean = edit::without_entries(before, product.event(), is_ours).map_err(refused)?;
    edit::with_entry(&clean, product.event(), &product.entry(command)).map_err(refused)
}

fn refused(error: edit::EditError) -> anyhow::Error {
    usage(format!(
        "the settings cannot be added to: {error}\nhint: nothing was changed; put the file right first"
    ))
}

/// A command that was quoted for a shell.
fn words_of(command: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => quoted = !quoted,
            '\\' if !quoted => out.last_mut().into_iter().for_each(|word| word.extend(characters.next())),
            ' ' if !quoted => out.push(String::new()),
            c => out.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    out
}

pub fn install(product: Product, file: &Path, command: &str) -> Result<Done> {
    let before = read_whole(file)?;
    let text = before.as_deref().unwrap_or_default();
    let with = text_with(product, text, command)?;
    if before.as_deref() == Some(with.as_str())
        || product != Product::OpenCode
            && state(product, text) == State::Intact
            && text.contains(&json_text(command))
    {
        return Ok(Done::AlreadyThere);
    }
    if product != Product::OpenCode {
        edit::parsed(&with).context("the settings would no longer be JSON: nothing was changed")?;
    }
    let kept = beside(file);
    match &before {
        // What is kept is what stood there before the first time.
        Some(before) if !kept.exists() && !before.contains(super::MARK) && product != Product::OpenCode => {
            write(&kept, before, Some(file))?;
        }
        Some(_) | None => {}
    }
    write(file, &with, before.is_some().then_some(file))?;
    Ok(Done::Written)
}

pub fn uninstall(product: Product, file: &Path) -> Result<Done> {
    let Some(text) = read_whole(file)? else { return Ok(Done::NotThere) };
    let kept = beside(file);
    if product == Product::OpenCode {
        if !text.contains("export const Muster = ") {
            return Err(usage(format!("`{}` is not the plugin of Muster's", file.display())));
        }
        fs::remove_file(file).with_context(|| format!("cannot remove `{}`", file.display()))?;
        remove_empty(file);
        return Ok(Done::Removed);
    }
    let without = edit::without_entries(&text, product.event(), is_ours).map_err(refused)?;
    if without == text {
        return Ok(Done::NotThere);
    }
    let before = read_whole(&kept)?;
    match before {
        // The hook is all that came to it: as it was, to the byte.
        Some(before) if is_all_that_came(product, &before, &without) => write(file, &before, Some(file))?,
        None if edit::parsed(&without)
            .is_some_and(|v| v.as_object().is_some_and(serde_json::Map::is_empty)) =>
        {
            fs::remove_file(file).with_context(|| format!("cannot remove `{}`", file.display()))?;
            remove_empty(file);
        }
        // Somebody changed other settings since: they stay.
        Some(_) | None => write(file, &without, Some(file))?,
    }
    drop(fs::remove_file(&kept));
    Ok(Done::Removed)
}

/// Would the hook, put into `before` and taken out again, leave this?
fn is_all_that_came(product: Product, before: &str, without: &str) -> bool {
    let (event, entry) = (product.event(), product.entry(&format!("muster{}x", super::MARK)));
    let again =
        edit::with_entry(before, event, &entry).and_then(|with| edit::without_entries(&with, event, is_ours));
    again.is_ok_and(|again| {
        let parsed = edit::parsed(&again);
        parsed.is_some() && parsed == edit::parsed(without)
    })
}

/// The folders that only the hook needed.
fn remove_empty(file: &Path) {
    // Not empty, or somebody else's: it stays.
    if let Some(folder) = file.parent()
        && fs::remove_dir(folder).is_ok()
        && folder.file_name().is_some_and(|name| name == "plugin")
        && let Some(above) = folder.parent()
    {
        drop(fs::remove_dir(above));
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(BEFORE);
    file.with_file_name(name)
}

/// `None`: there is none. What cannot be read whole is not edited.
fn read_whole(file: &Path) -> Result<Option<String>> {
    let shown = file.display();
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(usage(format!("cannot look at `{shown}`: {error}"))),
        Ok(meta) if meta.is_symlink() => {
            return Err(usage(format!(
                "`{shown}` is a link\nhint: name the folder that it leads to with --project"
            )));
        }
        Ok(meta) if !meta.is_file() || meta.len() > edit::FILE_MAX as u64 => {
            return Err(usage(format!("`{shown}` is no file of settings")));
        }
        Ok(_) => {}
    }
    read(file).map(Some).ok_or_else(|| usage(format!("cannot read `{shown}`")))
}

/// Whole or not at all; with owner and mode of `like`.
fn write(file: &Path, text: &str, like: Option<&Path>) -> Result<()> {
    let shown = file.display();
    let folder = file.parent().context("no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let mut new =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write `{shown}`"))?;
    new.write_all(text.as_bytes())?;
    match like.and_then(|like| fs::metadata(like).ok()) {
        Some(meta) => {
            use std::os::unix::fs::MetadataExt;
            new.as_file().set_permissions(meta.permissions())?;
            // Root installs into a user's home: the file stays the user's.
            drop(std::os::unix::fs::fchown(new.as_file(), Some(meta.uid()), Some(meta.gid())));
        }
        None => {
            use std::os::unix::fs::{MetadataExt, PermissionsExt};
            new.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            if let Ok(meta) = fs::metadata(folder) {
                drop(std::os::unix::fs::fchown(new.as_file(), Some(meta.uid()), Some(meta.gid())));
            }
        }
    }
    new.as_file().sync_all()?;
    new.persist(file).with_context(|| format!("cannot write `{shown}`"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::command;

    #[track_caller]
    fn check(product: Product, before: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let file = product.project_file(dir.path());
        if let Some(before) = before {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, before).unwrap();
        }
        let line = command(product, Path::new("/opt/my tools/muster"), Path::new("/d"));
        assert_eq!(install(product, &file, &line).unwrap(), Done::Written);
        let with = fs::read_to_string(&file).unwrap();
        assert_eq!(state(product, &with), State::Intact, "{with}");
        assert_eq!(install(product, &file, &line).unwrap(), Done::AlreadyThere);
        // Another place of the program replaces it, and is not one more.
        let other = command(product, Path::new("/usr/bin/muster"), Path::new("/d"));
        assert_eq!(install(product, &file, &other).unwrap(), Done::Written);
        assert_eq!(fs::read_to_string(&file).unwrap().matches("--agent").count(), 1);
        assert_eq!(uninstall(product, &file).unwrap(), Done::Removed);
        assert_eq!(fs::read_to_string(&file).ok().as_deref(), before, "undone to the byte");
        assert_eq!(uninstall(product, &file).unwrap(), Done::NotThere);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(before.is_some() || left.is_empty(), "{left:?}");
    }

    #[test]
    fn there_and_back() {
        for product in Product::ALL {
            check(product, None);
        }
        for product in [Product::ClaudeCode, Product::Codex, Product::Gemini] {
            check(product, Some("{\"z\": 1,\n\n   \"a\": {\"b\": []}}"));
            check(product, Some("{}\n"));
            check(product, Some("{\"hooks\": {\"PreToolUse\": [], \"BeforeTool\": [{\"hooks\": []}]}}"));
        }
        check(Product::Gemini, Some("{\n  // mine\n  \"a\": 1,\n}\n"));
    }

    #[test]
    fn what_was_changed_since_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = Product::ClaudeCode.project_file(dir.path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{\"a\": 1}").unwrap();
        install(Product::ClaudeCode, &file, "m hook tool --agent claude-code || exit 2").unwrap();
        let text = fs::read_to_string(&file).unwrap().replace("\"a\": 1", "\"a\": 2");
        fs::write(&file, text).unwrap();
        uninstall(Product::ClaudeCode, &file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"a\": 2}");
    }

    #[test]
    fn what_is_no_settings_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = Product::ClaudeCode.project_file(dir.path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "not json").unwrap();
        assert!(install(Product::ClaudeCode, &file, "m hook tool --agent x || exit 2").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "not json");
    }
}
