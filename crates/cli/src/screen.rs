//! Text that is shown once, or again and again in the same place.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::Result;

pub const REDRAW: Duration = Duration::from_millis(400);

/// Prints what `draw` gives; `follow`: again whenever it changed, until interrupted.
pub fn show(follow: bool, mut draw: impl FnMut() -> Result<String>) -> Result<()> {
    let terminal = io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let text = draw()?;
        let mut out = io::stdout().lock();
        if text != before {
            if follow && terminal {
                // Home, the text, each line cleared to its end, then everything below: no flicker.
                write!(out, "\x1b[H")?;
                for line in text.lines() {
                    writeln!(out, "{line}\x1b[K")?;
                }
                write!(out, "\x1b[J")?;
            } else {
                write!(out, "{text}")?;
            }
            out.flush()?;
            before = text;
        }
        if !follow {
            return Ok(());
        }
        drop(out);
        thread::sleep(REDRAW);
    }
}
