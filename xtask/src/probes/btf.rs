//! BTF, the types in a BPF object: what they are, and which fields of the kernel's types the code reads (CO-RE).

use super::elf::{text_at, u32_at};

/// References that are followed, or members that are gone into, to name one type.
const DEPTH_MAX: usize = 16;
const TYPE_LEN: usize = 12;

pub mod kind {
    pub const INT: u32 = 1;
    pub const POINTER: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const PROTOTYPE: u32 = 13;
    pub const VARIABLE: u32 = 14;
    pub const SECTION: u32 = 15;
    pub const DECLARATION_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

pub struct Type<'a> {
    pub name: String,
    pub kind: u32,
    /// Of members, values or entries.
    count: usize,
    bit_fields: bool,
    /// Size in bytes, or the type that is referred to.
    pub size_or_type: u32,
    rest: &'a [u8],
}

pub struct Member {
    pub name: String,
    pub type_id: u32,
    pub bit: u32,
}

pub struct Btf<'a> {
    /// By number; 0 is `void`.
    pub types: Vec<Type<'a>>,
    strings: &'a [u8],
}

/// One field that an instruction reads, of a kernel's type.
pub struct Access {
    /// The section of the instruction, and where it is in there.
    pub section: String,
    pub at: u64,
    pub field: String,
}

impl<'a> Btf<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body = bytes.get(u32_at(bytes, 4)? as usize..)?;
        let part = |at| body.get(u32_at(bytes, at)? as usize..)?.get(..u32_at(bytes, at + 4)? as usize);
        let (mut table, strings) = (part(8)?, part(16)?);
        let void =
            Type { name: "void".into(), kind: 0, count: 0, bit_fields: false, size_or_type: 0, rest: &[] };
        let mut types = vec![void];
        while !table.is_empty() {
            let info = u32_at(table, 4)?;
            let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
            let len = match kind {
                kind::INT | kind::VARIABLE | kind::DECLARATION_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::SECTION | kind::ENUM64 => 12 * count,
                kind::ENUM | kind::PROTOTYPE => 8 * count,
                _ => 0,
            };
            let (head, rest) = table.split_at_checked(TYPE_LEN)?;
            let (rest, next) = rest.split_at_checked(len)?;
            types.push(Type {
                name: text_at(strings, u32_at(head, 0)? as usize),
                kind,
                count,
                bit_fields: info >> 31 != 0,
                size_or_type: u32_at(head, 8)?,
                rest,
            });
            table = next;
        }
        Some(Btf { types, strings })
    }

    pub fn get(&self, id: u32) -> Option<&Type<'a>> {
        self.types.get(id as usize)
    }

    pub fn members(&self, of: &Type) -> Vec<Member> {
        if !matches!(of.kind, kind::STRUCT | kind::UNION) {
            return Vec::new();
        }
        let member = |entry: &[u8]| {
            let bit = u32_at(entry, 8)?;
            Some(Member {
                name: text_at(self.strings, u32_at(entry, 0)? as usize),
                type_id: u32_at(entry, 4)?,
                bit: if of.bit_fields { bit & 0xff_ffff } else { bit },
            })
        };
        of.rest.chunks_exact(12).take(of.count).filter_map(member).collect()
    }

    /// The types of a section's variables, with their names.
    pub fn variables(&self, section: &str) -> Vec<(&str, u32)> {
        let of = self.types.iter().find(|it| it.kind == kind::SECTION && it.name == section);
        let entries = of.map(|it| it.rest.chunks_exact(12)).into_iter().flatten();
        entries
            .filter_map(|entry| self.get(u32_at(entry, 0)?))
            .map(|it| (it.name.as_str(), it.size_or_type))
            .collect()
    }

    /// Elements of an array type, and what they are.
    pub fn array(&self, of: &Type) -> Option<(u32, u32)> {
        (of.kind == kind::ARRAY).then(|| Some((u32_at(of.rest, 8)?, u32_at(of.rest, 0)?))).flatten()
    }

    /// As C would write it, nearly.
    pub fn name(&self, id: u32) -> String {
        let (mut id, mut after) = (id, String::new());
        for _ in 0..DEPTH_MAX {
            let Some(it) = self.get(id) else { break };
            match it.kind {
                kind::POINTER => after.push('*'),
                kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {}
                kind::ARRAY => {
                    let Some((count, of)) = self.array(it) else { break };
                    after.push_str(&format!("[{count}]"));
                    id = of;
                    continue;
                }
                _ if it.name.is_empty() => return format!("anonymous{after}"),
                _ => return format!("{}{after}", it.name),
            }
            id = it.size_or_type;
        }
        format!("?{after}")
    }

    /// Without typedefs and qualifiers.
    fn bare(&self, mut id: u32) -> Option<&Type<'a>> {
        for _ in 0..DEPTH_MAX {
            let it = self.get(id)?;
            match it.kind {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    id = it.size_or_type;
                }
                _ => return Some(it),
            }
        }
        None
    }

    /// `0:1:2`, from a type, as the names of its members.
    fn field(&self, root: u32, path: &str) -> String {
        let mut text = self.bare(root).map(|it| it.name.clone()).unwrap_or_default();
        let mut at = self.bare(root);
        // The first number counts whole objects, as in an array.
        for number in path.split(':').skip(1) {
            let Some(it) = at else { return format!("{text}.?") };
            if let Some((_, element)) = self.array(it) {
                text.push_str(&format!("[{number}]"));
                at = self.bare(element);
                continue;
            }
            let index: usize = number.parse().unwrap_or(usize::MAX);
            let Some(member) = self.members(it).into_iter().nth(index) else { return format!("{text}.?") };
            text.push_str(&format!(".{}", member.name));
            at = self.bare(member.type_id);
        }
        text
    }

    /// The part of `.BTF.ext` on CO-RE.
    pub fn accesses(&self, ext: &[u8]) -> Option<Vec<Access>> {
        let body = ext.get(u32_at(ext, 4)? as usize..)?;
        // header: magic and length, then (offset, length) of functions, lines and relocations.
        let part = body.get(u32_at(ext, 24)? as usize..)?.get(..u32_at(ext, 28)? as usize)?;
        if part.is_empty() {
            // It reads none of the kernel's types.
            return Some(Vec::new());
        }
        let (entry_len, mut rest) = (u32_at(part, 0)? as usize, part.get(4..)?);
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (section, count) = (u32_at(rest, 0)?, u32_at(rest, 4)? as usize);
            let (entries, next) = rest.get(8..)?.split_at_checked(count.checked_mul(entry_len)?)?;
            for entry in entries.chunks_exact(entry_len.max(16)) {
                let path = text_at(self.strings, u32_at(entry, 8)? as usize);
                out.push(Access {
                    section: text_at(self.strings, section as usize),
                    at: u64::from(u32_at(entry, 0)?),
                    field: self.field(u32_at(entry, 4)?, &path),
                });
            }
            rest = next;
        }
        Some(out)
    }
}
