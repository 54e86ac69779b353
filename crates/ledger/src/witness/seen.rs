//! What a witness remembers of one log: all that stands between it and two cosignatures that contradict each other.

use std::fmt::Write as _;

use super::number;
use crate::note::{Note, NoteError};
use crate::{Checkpoint, Head};

/// Heads before the newest that are remembered: an old checkpoint that is sent again is told from one never seen.
pub const RECENT_MAX: usize = 64;
const FORMAT: &str = "muster-witness/1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub head: Head,
    /// The newest checkpoint, as the log signed it.
    pub note: Note,
    /// When it was last cosigned (Unix, seconds). Never goes back, whatever the clock does.
    pub time: u64,
    /// When the log last grew.
    pub grown: u64,
    /// Heads before it, the oldest first.
    pub recent: Vec<Head>,
}

impl Seen {
    /// What is remembered once this checkpoint is accepted at this time.
    pub fn after(before: Option<&Seen>, head: Head, note: Note, now: u64) -> Seen {
        let Some(before) = before else {
            return Seen { head, note, time: now, grown: now, recent: Vec::new() };
        };
        let time = now.max(before.time);
        let mut recent = before.recent.clone();
        let mut grown = before.grown;
        if before.head != head {
            recent.push(before.head);
            recent.drain(..recent.len().saturating_sub(RECENT_MAX));
            grown = time;
        }
        Seen { head, note, time, grown, recent }
    }

    /// All heads that are remembered.
    pub fn heads(&self) -> impl Iterator<Item = &Head> {
        self.recent.iter().chain([&self.head])
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{FORMAT}\ntime {}\ngrown {}\n", self.time, self.grown);
        for head in &self.recent {
            // INVARIANT: writing to a string does not fail.
            let _ = writeln!(text, "recent {}", head.lines().trim_end().replace('\n', " "));
        }
        format!("{text}\n{}", self.note).into_bytes()
    }

    pub fn parse(bytes: &[u8]) -> Result<Seen, NoteError> {
        let malformed = NoteError::Malformed;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no UTF-8"))?;
        let (lines, note) = text.split_once("\n\n").ok_or(malformed("it has no empty line"))?;
        let mut lines = lines.split('\n');
        if lines.next() != Some(FORMAT) {
            return Err(malformed("it is of another version"));
        }
        let mut time = |name: &str| lines.next().and_then(|line| number(line.strip_prefix(name)?));
        let times = (time("time "), time("grown "));
        let (Some(time), Some(grown)) = times else { return Err(malformed("it has no time")) };
        let mut recent = Vec::new();
        for line in lines {
            let head = line.strip_prefix("recent ").and_then(head);
            recent.push(head.ok_or(malformed("a line of it is no head"))?);
            if recent.len() > RECENT_MAX {
                return Err(malformed("it has too many heads"));
            }
        }
        let note = Note::parse(note.as_bytes())?;
        let head = Checkpoint::parse(&note.text)?.head;
        Ok(Seen { head, note, time, grown, recent })
    }
}

/// A head on one line, in its one form.
fn head(line: &str) -> Option<Head> {
    let lines = line.replacen(' ', "\n", 1) + "\n";
    Head::parse(&format!("\n{lines}")).filter(|head| head.lines() == lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Key, KeyKind, Signer};

    fn at(size: u64) -> (Head, Note) {
        let key = Key::new("example.com/log", KeyKind::Log, &[1; 32]).unwrap();
        let head = Head { size, root: [size as u8; 32] };
        (head, Checkpoint::new("example.com/log", head).sign([&key as &dyn Signer]).unwrap())
    }

    #[test]
    fn it_comes_back_and_stays_bounded() {
        let mut seen: Option<Seen> = None;
        for size in 1..100 {
            let (head, note) = at(size);
            seen = Some(Seen::after(seen.as_ref(), head, note, 1000 + size));
        }
        let seen = seen.unwrap();
        assert_eq!(seen.recent.len(), RECENT_MAX);
        assert_eq!(seen.recent.last().unwrap().size, 98);
        assert_eq!(Seen::parse(&seen.to_bytes()), Ok(seen));
    }

    #[test]
    fn its_time_never_goes_back() {
        let (head, note) = at(5);
        let first = Seen::after(None, head, note.clone(), 1000);
        let again = Seen::after(Some(&first), head, note, 900);
        assert_eq!((again.time, again.grown, again.recent.len()), (1000, 1000, 0));
        let (head, note) = at(6);
        let grown = Seen::after(Some(&again), head, note, 950);
        assert_eq!((grown.time, grown.grown, grown.recent.len()), (1000, 1000, 1));
    }

    #[test]
    fn what_is_torn_is_refused() {
        let (head, note) = at(5);
        let first = Seen::after(None, head, note, 1000);
        let (head, note) = at(6);
        let whole = Seen::after(Some(&first), head, note, 1001).to_bytes();
        for length in 0..whole.len() {
            Seen::parse(&whole[..length]).unwrap_err();
        }
    }
}
