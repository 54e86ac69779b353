//! The data on products and providers: built in, and a folder of the user's over it.

use std::fs;
use std::path::Path;

use anyhow::Result;
use muster_engine::Products;

use crate::exit::usage;

pub fn products(folder: Option<&Path>) -> Result<Products> {
    let mut files = Vec::new();
    if let Some(folder) = folder {
        let entries = fs::read_dir(folder).map_err(|error| {
            usage(format!("cannot read the data files in `{}`: {error}", folder.display()))
        })?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path)
                .map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((name, text));
        }
        files.sort();
    }
    Products::with(&files).map_err(|error| {
        usage(format!("{error}\nhint: `muster products` prints the built-in files, to compare with"))
    })
}
