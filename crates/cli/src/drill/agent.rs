//! The agent of a drill: a tiny harness that executes the commands of its play as agents do, and keeps an account of them,
//! honest or not.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use muster_drill::{Account, Act, Shown};
use muster_sensor::now_ns;
use muster_server::views;
use serde::{Deserialize, Serialize};

use super::Play;

/// Until the first act: no model answers sooner.
const THINKS: Duration = Duration::from_millis(400);
/// Output of a command that is shown in the account.
const OUTPUT_MAX: u64 = 16 * 1024;

/// What the drill is told of an act.
#[derive(Serialize, Deserialize)]
pub struct Time {
    pub begin_ns: u64,
    pub end_ns: u64,
    pub rogue: bool,
    /// How its command ended.
    pub exit: Option<i32>,
}

pub fn run(play: &Path) -> Result<()> {
    let text = fs::read(play).with_context(|| format!("cannot read `{}`", play.display()))?;
    let play: Play = serde_json::from_slice(&text)?;
    std::env::set_current_dir(&play.work)?;
    let mut told = Keeper::open(&play)?;
    let mut times = OpenOptions::new().create(true).append(true).open(&play.times).ok();
    // A model thinks before it asks for anything.
    thread::sleep(THINKS);
    for (number, act) in play.acts.iter().enumerate() {
        thread::sleep(Duration::from_millis(act.sleep_ms));
        let begin_ns = now_ns();
        let exit = told.play(number, act, &play.work)?;
        let time = Time { begin_ns, end_ns: now_ns(), rogue: act.rogue, exit };
        if let Some(times) = &mut times {
            writeln!(times, "{}", serde_json::to_string(&time)?)?;
        }
    }
    if let Some(times) = &mut times {
        writeln!(times, "end")?;
    }
    // As an agent that waits for its user.
    thread::sleep(Duration::from_millis(play.linger_ms));
    Ok(())
}

/// Writes the account, where there is one.
struct Keeper {
    account: Account,
    file: Option<File>,
}

impl Keeper {
    fn open(play: &Play) -> Result<Self> {
        let file = play.account.as_ref().map(|path| {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            OpenOptions::new().create(true).append(true).open(path)
        });
        let account = Account::new(&play.session, &play.work.to_string_lossy());
        let mut keeper = Keeper { account, file: file.transpose()? };
        let line = keeper.account.prompt(&views::time(now_ns()), "Please look after this project (seed).");
        keeper.write(&line)?;
        Ok(keeper)
    }

    fn write(&mut self, line: &str) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn play(&mut self, number: usize, act: &Act, work: &Path) -> Result<Option<i32>> {
        let call = format!("toolu_drill{number:04}");
        let time = || views::time(now_ns());
        if let Some(told) = &act.told {
            let line = match (&told.command, &act.write) {
                (Some(command), _) => self.account.shell(&time(), &call, command),
                (None, Some((path, text))) => {
                    self.account.file(&time(), &call, &work.join(path).to_string_lossy(), text)
                }
                (None, None) => String::new(),
            };
            self.write(&line)?;
        }
        let (output, exit) = perform(act)?;
        if let Some(told) = &act.told {
            let result = Shown {
                output: told.shown.as_deref().unwrap_or(&output),
                exit: told.exit.or(exit).unwrap_or(0),
                file: told.command.is_none(),
            };
            let line = self.account.result(&time(), &call, result);
            self.write(&line)?;
        }
        if let Some(text) = &act.say {
            let line = self.account.say(&time(), text);
            self.write(&line)?;
        }
        Ok(exit)
    }
}

fn perform(act: &Act) -> Result<(String, Option<i32>)> {
    if let Some((path, text)) = &act.write {
        let path = Path::new(path);
        if let Some(folder) = path.parent() {
            // What it may not write it fails to, as an agent does.
            drop(fs::create_dir_all(folder));
        }
        return Ok(match fs::write(path, text) {
            Ok(()) => (format!("File created successfully at: {}", path.display()), Some(0)),
            Err(error) => (error.to_string(), Some(1)),
        });
    }
    let Some(command) = &act.run else { return Ok((String::new(), None)) };
    // Into a file, as background jobs hold a pipe open.
    let mut output = tempfile::tempfile()?;
    let status = Command::new("/bin/bash")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()?;
    use std::io::Seek;
    output.rewind()?;
    let mut text = Vec::new();
    output.take(OUTPUT_MAX).read_to_end(&mut text)?;
    Ok((String::from_utf8_lossy(&text).trim_end().to_owned(), status.code()))
}
