//! What stands between a file and the JSON parser: Python's `NaN` and `Infinity` become `null`, and no string is longer than
//! what fits in memory.

use std::io::{self, Read};

/// A string that is longer fills memory for nothing that is looked at.
pub const STRING_MAX: u64 = 32 << 20;
const BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// In a string; the next byte is escaped.
    String {
        escaped: bool,
    },
    /// In a word that was replaced.
    Word,
}

pub struct Clean<R> {
    inner: R,
    out: Vec<u8>,
    at: usize,
    place: Place,
    length: u64,
    /// A minus that may belong to `-Infinity`.
    minus: bool,
    replaced: u64,
    input: Vec<u8>,
}

impl<R: Read> Clean<R> {
    pub fn new(inner: R) -> Self {
        Clean {
            inner,
            out: Vec::new(),
            at: 0,
            place: Place::Outside,
            length: 0,
            minus: false,
            replaced: 0,
            input: vec![0; BUFFER],
        }
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        match self.place {
            Place::String { escaped } => {
                self.length += 1;
                if self.length > STRING_MAX {
                    return Err(io::Error::other(format!("a string has more than {STRING_MAX} bytes")));
                }
                self.place = match (escaped, byte) {
                    (false, b'"') => Place::Outside,
                    (false, b'\\') => Place::String { escaped: true },
                    _ => Place::String { escaped: false },
                };
                self.out.push(byte);
            }
            Place::Word if byte.is_ascii_alphabetic() => {}
            Place::Word | Place::Outside => {
                self.place = Place::Outside;
                let minus = std::mem::take(&mut self.minus);
                if matches!(byte, b'N' | b'I') {
                    self.replaced += 1;
                    self.place = Place::Word;
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                if minus {
                    self.out.push(b'-');
                }
                match byte {
                    b'-' => self.minus = true,
                    b'"' => {
                        self.length = 0;
                        self.place = Place::String { escaped: false };
                        self.out.push(byte);
                    }
                    _ => self.out.push(byte),
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Clean<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.out.len() {
            self.out.clear();
            self.at = 0;
            let mut input = std::mem::take(&mut self.input);
            let read = self.inner.read(&mut input);
            let result = read.and_then(|n| {
                for byte in input.iter().take(n) {
                    self.byte(*byte)?;
                }
                Ok(n)
            });
            self.input = input;
            if result? == 0 {
                if std::mem::take(&mut self.minus) {
                    self.out.push(b'-');
                    break;
                }
                return Ok(0);
            }
        }
        let rest = self.out.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += n;
        Ok(n)
    }
}
