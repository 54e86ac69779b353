//! The little of ELF that a BPF object has: sections, symbols, relocations. 64 bits, little-endian. Bytes that make no
//! sense are absent; nothing here panics.

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;
const FUNCTION: u8 = 2;
/// `SHF_EXECINSTR`.
const EXECUTABLE: u64 = 4;
const SECTION_LEN: usize = 64;
const SYMBOL_LEN: usize = 24;
const RELOCATION_LEN: usize = 16;
const HEADER_LEN: usize = 64;

pub struct Section<'a> {
    pub name: String,
    kind: u32,
    flags: u64,
    /// For relocations: the section that they change.
    info: usize,
    pub bytes: &'a [u8],
}

impl Section<'_> {
    pub fn is_code(&self) -> bool {
        self.flags & EXECUTABLE != 0
    }
}

pub struct Symbol {
    /// Empty for the symbol of a section.
    pub name: String,
    pub section: usize,
    pub at: u64,
    pub len: u64,
    pub is_function: bool,
}

/// At `at` in its section, something that depends on `symbol` (by its number).
pub struct Relocation {
    pub at: u64,
    pub kind: u32,
    pub symbol: usize,
}

pub struct Elf<'a> {
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol>,
}

impl<'a> Elf<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_LEN)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let table = bytes.get(u64_at(header, 40)? as usize..)?;
        let count = usize::from(u16_at(header, 60)?);
        let heads: Vec<&[u8]> = table.chunks_exact(SECTION_LEN).take(count).collect();
        let content = |head: &[u8]| -> Option<&'a [u8]> {
            bytes.get(u64_at(head, 24)? as usize..)?.get(..u64_at(head, 32)? as usize)
        };
        let names = content(heads.get(usize::from(u16_at(header, 62)?))?)?;
        let sections = heads
            .iter()
            .map(|head| {
                Some(Section {
                    name: text_at(names, u32_at(head, 0)? as usize),
                    kind: u32_at(head, 4)?,
                    flags: u64_at(head, 8)?,
                    info: u32_at(head, 44)? as usize,
                    // A section without content (`.bss`) claims bytes that are not there.
                    bytes: content(head).unwrap_or_default(),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let symbols = match heads.iter().find(|head| u32_at(head, 4) == Some(SYMBOLS)) {
            Some(head) => symbols(content(head)?, content(heads.get(u32_at(head, 40)? as usize)?)?)?,
            None => Vec::new(),
        };
        Some(Elf { sections, symbols })
    }

    pub fn section(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    pub fn relocations(&self, section: usize) -> Vec<Relocation> {
        self.sections
            .iter()
            .filter(|it| it.kind == RELOCATIONS && it.info == section)
            .flat_map(|it| it.bytes.chunks_exact(RELOCATION_LEN))
            .filter_map(|entry| {
                Some(Relocation {
                    at: u64_at(entry, 0)?,
                    kind: u32_at(entry, 8)?,
                    symbol: u32_at(entry, 12)? as usize,
                })
            })
            .collect()
    }
}

fn symbols(table: &[u8], names: &[u8]) -> Option<Vec<Symbol>> {
    let symbol = |entry: &[u8]| {
        Some(Symbol {
            name: text_at(names, u32_at(entry, 0)? as usize),
            is_function: entry.get(4)? & 15 == FUNCTION,
            section: usize::from(u16_at(entry, 6)?),
            at: u64_at(entry, 8)?,
            len: u64_at(entry, 16)?,
        })
    };
    table.chunks_exact(SYMBOL_LEN).map(symbol).collect()
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The text that begins there, to its NUL.
pub fn text_at(bytes: &[u8], at: usize) -> String {
    let text = bytes.get(at..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
