//! What a file in such a place says it starts. Its text is hostile: each reader takes what it understands, leaves out the rest, and
//! works in time linear in the text.
//!
//! A command is the argument list with which it will be executed, as far as the text tells; a text that is handed to a shell is
//! `sh -c TEXT`. What stands for something else (`$HOME`, `%h`) stays as it is written.

use serde::Deserialize;

mod code;
mod crontab;
mod git;
mod lines;
mod settings;
mod shell;
mod unit;

/// What is read of one file: a longer one is cut.
pub const TEXT_MAX: usize = 64 * 1024;
/// Commands of one file: more than any honest one has, and the rest is no more dangerous.
const COMMANDS_MAX: usize = 128;
/// Words of one command, and bytes of one word.
const WORDS_MAX: usize = 64;
const WORD_MAX: usize = 4096;
/// Texts of one file that are given to the parser of shells: a makefile may be all lines.
const PARSES_MAX: usize = 256;
/// Bytes of all commands of one file: they are leaves of the ledger.
const BYTES_MAX: usize = 32 * 1024;

/// What a file starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    pub commands: Vec<Vec<String>>,
    /// The service manager's name for it.
    pub unit: Option<String>,
    pub marks: Vec<super::Mark>,
}

/// How a kind of file names what it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// It is itself what is run.
    Itself,
    /// It starts nothing that could be recognised later.
    Nothing,
    UserCrontab,
    SystemCrontab,
    Anacrontab,
    AtJob,
    Unit,
    Desktop,
    Shell,
    GitConfig,
    PackageJson,
    Settings,
    Ini,
    Make,
    Python,
    Pam,
    Udev,
    Inittab,
    Apt,
    Logrotate,
    Sshd,
    AuthorizedKeys,
    Modprobe,
    Binfmt,
    Sysctl,
    Libraries,
    Polkit,
    Tool,
}

impl Reader {
    /// Does it take the file's text to know what it starts?
    pub(crate) fn is_of_text(self) -> bool {
        !matches!(self, Reader::Itself | Reader::Nothing)
    }

    /// Is a file of this kind one only as far as it starts something? A git configuration without a program is none.
    pub(crate) fn needs_commands(self) -> bool {
        matches!(
            self,
            Reader::GitConfig
                | Reader::PackageJson
                | Reader::Settings
                | Reader::Ini
                | Reader::Modprobe
                | Reader::Sysctl
                | Reader::Tool
        )
    }

    pub fn read(self, path: &str, text: &str) -> Starts {
        let text = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default();
        let mut out = Commands::default();
        let mut name = None;
        match self {
            Reader::Itself | Reader::Nothing => {}
            Reader::UserCrontab => crontab::table(text, false, &mut out),
            Reader::SystemCrontab => crontab::table(text, true, &mut out),
            Reader::Anacrontab => crontab::anacrontab(text, &mut out),
            Reader::AtJob => shell::at_job(text, &mut out),
            Reader::Unit => name = unit::unit(path, text, &mut out),
            Reader::Desktop => name = unit::desktop(text, &mut out),
            Reader::Shell => shell::startup(text, &mut out),
            Reader::GitConfig => git::config(text, &mut out),
            Reader::PackageJson => settings::package_json(text, &mut out),
            Reader::Settings => settings::settings(path, text, &mut out),
            Reader::Ini => lines::ini(text, &mut out),
            Reader::Make => lines::make(text, &mut out),
            Reader::Python => code::python(text, &mut out),
            Reader::Pam => lines::pam(text, &mut out),
            Reader::Udev => lines::udev(text, &mut out),
            Reader::Inittab => lines::inittab(text, &mut out),
            Reader::Apt => lines::apt(text, &mut out),
            Reader::Logrotate => lines::logrotate(text, &mut out),
            Reader::Sshd => lines::sshd(text, &mut out),
            Reader::AuthorizedKeys => lines::authorized_keys(text, &mut out),
            Reader::Modprobe => lines::modprobe(text, &mut out),
            Reader::Binfmt => lines::binfmt(text, &mut out),
            Reader::Sysctl => lines::sysctl(path, text, &mut out),
            Reader::Libraries => lines::libraries(text, &mut out),
            Reader::Polkit => code::polkit(text, &mut out),
            Reader::Tool => lines::tool(text, &mut out),
        }
        Starts { commands: out.list, unit: name, marks: Vec::new() }
    }
}

/// The commands of one file, bounded.
#[derive(Default)]
pub(crate) struct Commands {
    list: Vec<Vec<String>>,
    bytes: usize,
    parses: usize,
}

impl Commands {
    fn add<T: Into<String>>(&mut self, words: impl IntoIterator<Item = T>) {
        let mut words: Vec<String> = words.into_iter().map(Into::into).take(WORDS_MAX).collect();
        for word in &mut words {
            word.truncate(word.floor_char_boundary(WORD_MAX));
        }
        let bytes: usize = words.iter().map(String::len).sum();
        if words.first().is_none_or(String::is_empty)
            || self.list.len() >= COMMANDS_MAX
            || self.bytes + bytes > BYTES_MAX
            || self.list.contains(&words)
        {
            return;
        }
        self.bytes += bytes;
        self.list.push(words);
    }

    /// A text that is handed to a shell.
    fn text(&mut self, text: &str) {
        self.text_for("sh", text);
    }

    fn text_for(&mut self, shell: &str, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.add([shell, "-c", text]);
        }
    }

    /// … or may be executed without one, where it is simple (make, git).
    fn text_or_words(&mut self, text: &str) {
        self.text(text);
        shell::simple(text, self);
    }
}

#[cfg(test)]
mod tests;
