//! ZIP files made for tests, whole and wrong ones: the same for properties and for tables of cases.

/// A ZIP of stored members.
pub fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let plain: Vec<(&str, u16, &[u8], u32)> =
        members.iter().map(|(name, bytes)| (*name, 0, *bytes, bytes.len() as u32)).collect();
    zip_with(&plain)
}

/// A ZIP of members as they are packed: name, method, bytes, and the length that the directory says they have.
pub fn zip_with(members: &[(&str, u16, &[u8], u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, method, bytes, plain) in members {
        let offset = out.len() as u32;
        let sizes = |to: &mut Vec<u8>| {
            to.extend_from_slice(&method.to_le_bytes());
            to.extend_from_slice(&[0; 8]);
            to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            to.extend_from_slice(&plain.to_le_bytes());
            to.extend_from_slice(&(name.len() as u16).to_le_bytes());
            to.extend_from_slice(&[0; 2]);
        };
        out.extend_from_slice(b"PK\x03\x04\x3f\0\0\0");
        sizes(&mut out);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(bytes);
        directory.extend_from_slice(b"PK\x01\x02\x3f\0\x3f\0\0\0");
        sizes(&mut directory);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let at = out.len() as u32;
    let count = (members.len() as u16).to_le_bytes();
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}
