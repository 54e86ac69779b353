//! Small formats of one line each.

use super::Commands;
use super::shell::{simple, unquote};
use super::unit::words;

fn each(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// Libraries and folders of the loader: nothing is executed, but a person sees what is loaded.
pub(super) fn libraries(text: &str, out: &mut Commands) {
    for word in each(text).flat_map(str::split_whitespace).filter(|word| word.starts_with('/')) {
        out.add([word]);
    }
}

/// `pam_exec.so [options] /program arguments`, and modules from elsewhere.
pub(super) fn pam(text: &str, out: &mut Commands) {
    for line in each(text) {
        let mut words = line.split_whitespace().skip_while(|word| !word.contains(".so"));
        let Some(module) = words.next() else { continue };
        if module.ends_with("pam_exec.so") {
            out.add(words.skip_while(|word| !word.starts_with('/')));
        } else if module.starts_with('/') {
            out.add([module]);
        }
    }
}

/// `RUN+="…"`, `PROGRAM="…"`, `IMPORT{program}="…"`.
pub(super) fn udev(text: &str, out: &mut Commands) {
    let joined = text.replace("\\\n", " ");
    for line in each(&joined) {
        for piece in line.split(',').map(str::trim) {
            let Some((key, value)) = piece.split_once('=') else { continue };
            let key = key.trim_end_matches(['+', ':', '=']).trim();
            if matches!(key, "RUN" | "RUN{program}" | "PROGRAM" | "IMPORT{program}") {
                out.add(words(unquote(value.trim_start_matches('='))));
            }
        }
    }
}

/// `id:levels:action:process`.
pub(super) fn inittab(text: &str, out: &mut Commands) {
    for line in each(text) {
        if let Some(process) = line.splitn(4, ':').nth(3) {
            out.text_or_words(process.trim_start_matches('@'));
        }
    }
}

/// Whatever stands in quotes behind a hook of apt, dpkg or pacman.
pub(super) fn apt(text: &str, out: &mut Commands) {
    const HOOKS: [&str; 7] = [
        "Pre-Invoke",
        "Post-Invoke",
        "Post-Invoke-Success",
        "Pre-Install-Pkgs",
        "Post-Install-Pkgs",
        "Proxy-Auto-Detect",
        "Invoke",
    ];
    let plain: String =
        each(text).filter(|line| !line.starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    for statement in plain.split(';') {
        if HOOKS.iter().any(|hook| statement.contains(hook)) {
            for text in statement.split('"').skip(1).step_by(2) {
                out.text(text);
            }
        }
    }
    for line in each(text) {
        if let Some(command) = ["pre-invoke=", "post-invoke="].iter().find_map(|key| line.strip_prefix(key)) {
            out.text(unquote(command));
        } else if let Some(command) = line.strip_prefix("Exec") {
            out.add(words(command.trim_start().trim_start_matches('=').trim()));
        }
    }
}

/// What stands between `postrotate` and `endscript` is one text.
pub(super) fn logrotate(text: &str, out: &mut Commands) {
    let mut script: Option<String> = None;
    for line in text.lines() {
        let word = line.trim();
        match (&mut script, word) {
            (Some(_), "endscript") => {
                let text = script.take().unwrap_or_default();
                out.text(&text);
                simple(&text, out);
            }
            (Some(text), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, "prerotate" | "postrotate" | "firstaction" | "lastaction" | "preremove") => {
                script = Some(String::new());
            }
            (None, _) => {}
        }
    }
}

/// Commands of sshd and ssh.
pub(super) fn sshd(text: &str, out: &mut Commands) {
    for line in each(text) {
        let (key, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let value = value.trim().trim_start_matches('=').trim();
        match key.to_lowercase().as_str() {
            "forcecommand" | "proxycommand" | "localcommand" if value != "none" => {
                out.text_or_words(unquote(value));
            }
            "authorizedkeyscommand" | "authorizedprincipalscommand" | "knownhostscommand"
                if value != "none" =>
            {
                out.add(words(value));
            }
            "subsystem" => {
                if let Some((_, command)) = value.split_once([' ', '\t'])
                    && command.trim() != "internal-sftp"
                    && !command.trim().ends_with("/sftp-server")
                {
                    out.text_or_words(command);
                }
            }
            "authorizedkeysfile" if value.starts_with('/') => {
                out.add(value.split_whitespace().take(1));
            }
            "match" => {
                if let Some((_, command)) = value.split_once("exec ") {
                    out.text(unquote(command));
                }
            }
            _ => {}
        }
    }
}

/// `command="…"` before a key.
pub(super) fn authorized_keys(text: &str, out: &mut Commands) {
    for line in each(text) {
        let Some((_, rest)) = line.split_once("command=\"") else { continue };
        let mut command = String::new();
        let mut characters = rest.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => command.extend(characters.next()),
                '"' => break,
                c => command.push(c),
            }
        }
        out.text(&command);
    }
}

/// `install MODULE COMMAND`; a line that is one name is a module.
pub(super) fn modprobe(text: &str, out: &mut Commands) {
    for line in each(text) {
        let mut parts = line.splitn(3, [' ', '\t']);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("install" | "remove"), Some(_), Some(command)) if !is_nothing(command) => out.text(command),
            (Some(module), None, None) => out.add(["modprobe", module]),
            _ => {}
        }
    }
}

fn is_nothing(command: &str) -> bool {
    matches!(command.trim(), "/bin/true" | "/bin/false" | "/usr/bin/true" | "/usr/bin/false")
}

/// `:name:type:offset:magic:mask:interpreter:flags`, with any sign between.
pub(super) fn binfmt(text: &str, out: &mut Commands) {
    for line in each(text) {
        if let Some(interpreter) = line.strip_prefix("interpreter ") {
            out.add([interpreter.trim()]);
            continue;
        }
        let mut characters = line.chars();
        let Some(sign) = characters.next().filter(|c| !c.is_alphanumeric()) else { continue };
        if let Some(interpreter) = characters.as_str().split(sign).nth(5) {
            out.add([interpreter]);
        }
    }
}

/// `kernel.core_pattern = |/program %p`.
pub(super) fn sysctl(path: &str, text: &str, out: &mut Commands) {
    for line in each(text) {
        let value = match line.split_once('=') {
            Some((key, value)) if key.contains("core_pattern") || key.contains("modprobe") => value.trim(),
            Some(_) | None if path.starts_with("/etc/") => continue,
            Some(_) | None => line,
        };
        let program = value.strip_prefix('|').or_else(|| value.starts_with('/').then_some(value));
        if let Some(program) = program {
            out.add(program.split_whitespace());
        }
    }
}

/// Settings of package managers that change where packages come from, or who runs their scripts.
pub(super) fn ini(text: &str, out: &mut Commands) {
    const KEYS: [&str; 12] = [
        "script-shell",
        "node-options",
        "node_options",
        "registry",
        "index-url",
        "extra-index-url",
        "yarn-path",
        "yarnpath",
        "preload",
        "global-option",
        "find-links",
        "pnpmfile",
    ];
    for line in each(text) {
        let Some((key, value)) = line.split_once(['=', ':']) else { continue };
        let key = key.trim().to_lowercase();
        let value = unquote(value);
        if KEYS.contains(&key.as_str()) && !value.is_empty() && !is_usual(value) {
            out.add([value]);
        }
    }
}

fn is_usual(value: &str) -> bool {
    ["https://registry.npmjs.org", "https://registry.yarnpkg.com", "https://pypi.org/simple"]
        .iter()
        .any(|known| value.trim_end_matches('/') == *known)
}

/// Lines of recipes.
pub(super) fn make(text: &str, out: &mut Commands) {
    for line in text.lines() {
        if let Some(recipe) = line.strip_prefix('\t') {
            out.text_or_words(recipe.trim_start_matches(['@', '-', '+']).trim());
        }
    }
}

/// Commands in the settings of tmux, screen and editors.
pub(super) fn tool(text: &str, out: &mut Commands) {
    const BEFORE: [&str; 12] = [
        "run-shell ",
        "run ",
        "run -b ",
        "run-shell -b ",
        "if-shell ",
        "set -g default-command ",
        "set-option -g default-command ",
        "shell ",
        "silent !",
        "silent! !",
        "!",
        "exec ",
    ];
    for line in each(text) {
        if let Some(rest) = BEFORE.iter().find_map(|before| line.strip_prefix(before)) {
            out.text_or_words(unquote(rest));
        }
        for call in ["system(", "os.execute(", "io.popen(", "jobstart(", "call-process-shell-command "] {
            if let Some((_, rest)) = line.split_once(call)
                && rest.trim_start().starts_with(['"', '\''])
            {
                out.text_or_words(unquote(rest));
            }
        }
    }
}
