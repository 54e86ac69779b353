//! What a checkpoint says of a tree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tree::Hash;

/// A tree: how many leaves it has, and its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

impl Head {
    /// The head that the text of a checkpoint names in its second and third line.
    pub fn parse(text: &str) -> Option<Head> {
        // Not by `lines`: that would pass over carriage returns.
        let mut lines = text.split('\n').skip(1);
        let size = lines.next()?;
        if size.is_empty()
            || !size.bytes().all(|b| b.is_ascii_digit())
            || (size.len() > 1 && size.starts_with('0'))
        {
            return None;
        }
        let root = STANDARD.decode(lines.next()?).ok()?;
        Some(Head { size: size.parse().ok()?, root: root.try_into().ok()? })
    }

    /// The second and third line of a checkpoint.
    pub fn lines(&self) -> String {
        format!("{}\n{}\n", self.size, STANDARD.encode(self.root))
    }
}
