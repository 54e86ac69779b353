//! Debian's cloud kernels, from apt: downloaded once per version, unpacked under target/vm, never installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::repo;

pub struct Kernel {
    /// The name of its package.
    pub name: String,
    /// The bootable file.
    pub image: PathBuf,
}

/// The newest cloud kernel of this version that apt knows; `None` where it knows none.
pub fn fetch(version: &str, folder: &Path) -> Result<Option<Kernel>> {
    let pattern = format!("^linux-image-{}[.]", version.replace('.', "[.]"));
    let listed = repo::output("apt-cache", &["search", "--names-only", &pattern])?;
    let Some(name) = newest(&listed) else { return Ok(None) };
    let folder = folder.join(&name);
    if let Some(image) = image_in(&folder) {
        return Ok(Some(Kernel { name, image }));
    }
    println!("downloading {name}");
    std::fs::create_dir_all(&folder)?;
    let downloaded = repo::command("apt-get", &["-q", "-o", "APT::Sandbox::User=root", "download", &name])
        .current_dir(&folder)
        .output()
        .context("cannot run `apt-get`")?;
    anyhow::ensure!(
        downloaded.status.success(),
        "apt cannot download `{name}`: {}\nhint: apt-get update",
        String::from_utf8_lossy(&downloaded.stderr).trim()
    );
    let package = file_in(&folder, |name| name.ends_with(".deb")).context("apt downloaded no package")?;
    repo::output("dpkg-deb", &["-x", &package.to_string_lossy(), &folder.to_string_lossy()])?;
    std::fs::remove_file(&package)?;
    let image = image_in(&folder).with_context(|| format!("`{name}` holds no kernel"))?;
    Ok(Some(Kernel { name, image }))
}

/// The package with the highest version among the lines of `apt-cache search`.
fn newest(listed: &str) -> Option<String> {
    listed
        .lines()
        .filter_map(|line| line.split(" - ").next())
        .filter(|name| name.ends_with("-cloud-amd64"))
        .max_by_key(|name| numbers(name))
        .map(str::to_owned)
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn image_in(folder: &Path) -> Option<PathBuf> {
    file_in(&folder.join("boot"), |name| name.starts_with("vmlinuz"))
}

fn file_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_signed_cloud_kernel() {
        let listed = "\
linux-image-6.1.0-9-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-56-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-57-cloud-amd64-unsigned - Linux 6.1 for x86-64 cloud
linux-image-6.1.0-57-amd64 - Linux 6.1 for 64-bit PCs (signed)
";
        assert_eq!(newest(listed).unwrap(), "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!(newest(""), None);
    }
}
