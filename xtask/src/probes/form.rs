//! A BPF object in a form that can be compared: what any clang makes of one source, and what one clang makes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::btf::{Btf, kind};
use super::elf::{Elf, Relocation, u32_at};

/// `call`; its kind is in the source register: 0 a helper of the kernel, 1 a function of the object, 2 one of the kernel.
const CALL: u8 = 0x85;
const INSTRUCTION: u64 = 8;

/// By what is described: facts about it.
pub type Form = BTreeMap<String, BTreeSet<String>>;

/// What does not depend on the version of the compiler: programs and functions with what they call, which maps they use and
/// which fields of the kernel they read; maps; types.
pub fn meaning(object: &[u8]) -> Option<Form> {
    let elf = Elf::parse(object)?;
    let btf = Btf::parse(elf.section(".BTF")?.1.bytes)?;
    let mut form = Form::new();
    for (number, section) in elf.sections.iter().enumerate().filter(|(_, section)| section.is_code()) {
        if !section.bytes.is_empty() && section.name != ".text" {
            form.entry("programs".to_owned()).or_default().insert(section.name.clone());
        }
        let relocations = elf.relocations(number);
        for function in elf.symbols.iter().filter(|it| it.is_function && it.section == number) {
            let facts = form.entry(format!("function {}", function.name)).or_default();
            facts.insert(format!("in {}", section.name));
            let body = section.bytes.get(function.at as usize..)?.get(..function.len as usize)?;
            for (instruction, at) in body.chunks_exact(INSTRUCTION as usize).zip(0u64..) {
                let at = function.at + at * INSTRUCTION;
                facts.extend(reference(&elf, &relocations, at));
                if let [CALL, registers, ..] = instruction
                    && registers >> 4 != 1
                {
                    let whose = if registers >> 4 == 0 { "helper" } else { "kernel function" };
                    facts.insert(format!("calls {whose} {}", u32_at(instruction, 4)?));
                }
            }
        }
    }
    for access in btf.accesses(elf.section(".BTF.ext")?.1.bytes)? {
        let (number, _) = elf.section(&access.section)?;
        let inside = |at: u64, len: u64| (at..at + len).contains(&access.at);
        let function =
            elf.symbols.iter().find(|it| it.is_function && it.section == number && inside(it.at, it.len))?;
        let facts = form.entry(format!("function {}", function.name)).or_default();
        facts.insert(format!("reads {}", access.field));
    }
    maps(&btf, &mut form)?;
    types(&btf, &mut form);
    let license = elf.section("license")?.1.bytes;
    form.entry("license".to_owned()).or_default().insert(String::from_utf8_lossy(license).into_owned());
    Some(form)
}

/// What one version of the compiler makes again and again: besides the meaning, every byte of code and data, and what the
/// loader puts in.
pub fn bytes(object: &[u8]) -> Option<Form> {
    let elf = Elf::parse(object)?;
    let mut form = Form::new();
    let loaded = |name: &str| {
        name == ".maps" || name == "license" || name.starts_with(".rodata") || name.starts_with(".data")
    };
    for (number, section) in elf.sections.iter().enumerate() {
        if !section.is_code() && !loaded(&section.name) {
            continue;
        }
        let facts = form.entry(format!("section {}", section.name)).or_default();
        for (instruction, at) in section.bytes.chunks(INSTRUCTION as usize).zip(0u64..) {
            facts.insert(format!("{:#07x}: {instruction:02x?}", at * INSTRUCTION));
        }
        for it in elf.relocations(number) {
            let symbol = elf.symbols.get(it.symbol)?;
            facts.insert(format!("{:#07x}: kind {} of `{}`", it.at, it.kind, symbol.name));
        }
    }
    Some(form)
}

/// The first difference, in words. A type that only one of the two describes is none: compilers differ in which they keep.
pub fn difference(committed: &Form, built: &Form) -> Option<String> {
    let empty = BTreeSet::new();
    let keys: BTreeSet<&String> = committed.keys().chain(built.keys()).collect();
    for key in keys {
        if key.starts_with("type ") && !(committed.contains_key(key) && built.contains_key(key)) {
            continue;
        }
        let (old, new) = (committed.get(key).unwrap_or(&empty), built.get(key).unwrap_or(&empty));
        let (gone, come) = (old.difference(new).next(), new.difference(old).next());
        if gone.is_some() || come.is_some() {
            let show = |fact: Option<&String>| fact.map_or("nothing more".to_owned(), |it| format!("`{it}`"));
            return Some(format!("{key}: the object has {}, its source makes {}", show(gone), show(come)));
        }
    }
    None
}

/// The map or function that an instruction names, through the loader.
fn reference(elf: &Elf, relocations: &[Relocation], at: u64) -> Option<String> {
    let relocation = relocations.iter().find(|it| it.at == at)?;
    let symbol = elf.symbols.get(relocation.symbol)?;
    // Where a compiler puts its constants is its own business.
    (!symbol.name.is_empty() && !symbol.name.starts_with('.')).then(|| format!("refers to {}", symbol.name))
}

fn maps(btf: &Btf, form: &mut Form) -> Option<()> {
    for (name, type_id) in btf.variables(".maps") {
        let facts = form.entry(format!("map {name}")).or_default();
        for member in btf.members(btf.get(type_id)?) {
            let pointer = btf.get(member.type_id)?;
            let target = btf.get(pointer.size_or_type)?;
            // `__uint` hides a number as the length of an array behind a pointer.
            facts.insert(match btf.array(target) {
                Some((number, _)) if pointer.kind == kind::POINTER => format!("{} {number}", member.name),
                _ => format!("{} {}", member.name, btf.name(pointer.size_or_type)),
            });
        }
    }
    Some(())
}

fn types(btf: &Btf, form: &mut Form) {
    for it in btf.types.iter().filter(|it| it.kind == kind::STRUCT && !it.name.is_empty()) {
        let facts = form.entry(format!("type {}", it.name)).or_default();
        facts.insert(format!("size {}", it.size_or_type));
        for member in btf.members(it) {
            facts.insert(format!("{} at bit {}: {}", member.name, member.bit, btf.name(member.type_id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;

    fn object() -> Vec<u8> {
        std::fs::read(repo::root().join("crates/sensor/bpf/muster.bpf.o")).unwrap()
    }

    #[test]
    fn what_an_object_says() {
        let form = meaning(&object()).unwrap();
        assert!(form["programs"].contains("tp_btf/sys_exit"), "{:?}", form["programs"]);
        assert!(form["map members"].contains("max_entries 65536"), "{:?}", form["map members"]);
        assert!(form["map members"].contains("value member"), "{:?}", form["map members"]);
        let walk = &form["function put_walk"];
        assert!(
            walk.contains("reads mount.mnt.mnt_root") && walk.contains("refers to scratches"),
            "{walk:?}"
        );
        assert!(form["type head"].contains("size 136"));
        assert_eq!(difference(&form, &form), None);
    }

    #[test]
    fn one_changed_byte_of_code_is_a_difference() {
        let object = object();
        let elf = Elf::parse(&object).unwrap();
        let code = elf.section("tp_btf/sys_exit").unwrap().1.bytes;
        let at = code.as_ptr() as usize - object.as_ptr() as usize;
        let mut changed = object.clone();
        changed[at + 4] ^= 1;
        let found = difference(&bytes(&object).unwrap(), &bytes(&changed).unwrap()).unwrap();
        assert!(found.starts_with("section tp_btf/sys_exit: the object has `0x00000:"), "{found}");
    }

    #[test]
    fn a_cut_object_is_none() {
        let object = object();
        for len in (0..object.len()).step_by(997) {
            let _ = (meaning(&object[..len]), bytes(&object[..len]));
        }
        assert!(meaning(&object[..1000]).is_none());
    }
}
