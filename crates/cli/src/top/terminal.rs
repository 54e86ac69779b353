//! The terminal while it belongs to a program that draws all of it: keys come one by one, and whatever happens it is given
//! back as it was.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::exit::usage;

/// Another screen, no cursor, no wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Char(char),
}

pub struct Terminal {
    before: Termios,
}

impl Terminal {
    pub fn enter() -> Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(usage("it needs a terminal\nhint: `muster roll --follow`, or `muster roll --json`"));
        }
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // Ctrl-C ends it as ever, and lines end as ever.
        raw.local_modes |= rustix::termios::LocalModes::ISIG;
        raw.output_modes |= rustix::termios::OutputModes::OPOST;
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let terminal = Self { before };
        let mut out = io::stdout();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(terminal)
    }

    /// Rows and columns.
    pub fn size() -> (usize, usize) {
        rustix::termios::tcgetwinsize(io::stdout())
            .map_or((24, 80), |size| (usize::from(size.ws_row).max(6), usize::from(size.ws_col).max(40)))
    }

    /// Lines from the top; the rest is cleared.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\x1b[0m\x1b[K");
        }
        text.push_str("\x1b[J");
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The keys that come within this time: none, if none does.
    pub fn keys(&self, wait: Duration) -> io::Result<Vec<Key>> {
        let stdin = io::stdin();
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        let wait = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: i64::from(wait.subsec_nanos()) as _ };
        match poll(&mut ready, Some(&wait)) {
            // A signal: the window has another size, or the end was asked for.
            Err(rustix::io::Errno::INTR) | Ok(0) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let mut bytes = [0; 256];
        let read = stdin.lock().read(&mut bytes)?;
        if read == 0 {
            // The terminal is gone.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(parse(bytes.get(..read).unwrap_or_default()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut out = io::stdout();
        drop(out.write_all(LEAVE.as_bytes()));
        drop(out.flush());
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// What a terminal sends, as keys. What is not known is passed over.
pub fn parse(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        const NAMED: [(&[u8], Key); 10] = [
            (b"\x1b[A", Key::Up),
            (b"\x1b[B", Key::Down),
            (b"\x1bOA", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[H", Key::Home),
            (b"\x1b[F", Key::End),
            (b"\x1b[1~", Key::Home),
            (b"\x1b[4~", Key::End),
        ];
        if let Some((name, key)) = NAMED.iter().find(|(name, _)| rest.starts_with(name)) {
            keys.push(*key);
            rest = rest.get(name.len()..).unwrap_or_default();
            continue;
        }
        match *first {
            // A sequence that has no meaning here ends with a letter or a tilde.
            0x1b if after.first() == Some(&b'[') => {
                let end = after.iter().skip(1).position(|byte| (0x40..=0x7e).contains(byte));
                rest = end.and_then(|end| after.get(end + 2..)).unwrap_or_default();
                continue;
            }
            0x1b => keys.push(Key::Escape),
            b'\r' | b'\n' => keys.push(Key::Enter),
            byte if byte.is_ascii_graphic() || byte == b' ' => keys.push(Key::Char(char::from(byte))),
            _ => {}
        }
        rest = after;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_terminals_send() {
        assert_eq!(parse(b"j\x1b[A\x1b[6~q"), [Key::Char('j'), Key::Up, Key::PageDown, Key::Char('q')]);
        assert_eq!(parse(b"\x1b"), [Key::Escape]);
        assert_eq!(parse(b"\x1b[200;3~x\r"), [Key::Char('x'), Key::Enter]);
        assert_eq!(parse("ü\x00".as_bytes()), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_at_most_so_many_keys(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(parse(&bytes).len() <= bytes.len());
        }
    }
}
