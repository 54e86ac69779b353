//! Files whose reading is recorded. The probe knows the first 15 bytes of names; here the whole path decides.

/// Names of files.
const FILES: &[&str] = &[
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "sudoers",
    "master.passwd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
    "authorized_keys",
    "ssh_host_rsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".vault-token",
    ".env",
    ".env.local",
    ".env.production",
    ".bash_history",
    ".zsh_history",
    "credentials",
    "credentials.json",
    ".credentials.json",
    "auth.json",
    "application_default_credentials.json",
    "kubeconfig",
    "wallet.dat",
    "keystore.json",
    "key3.db",
    "key4.db",
    "logins.json",
    "Login Data",
    "Cookies",
    "cookies.sqlite",
    "oauth_creds.json",
    "hosts.yml",
    "secrets.yaml",
    "secrets.yml",
    "service-account.json",
    "terraform.tfstate",
    "kcore",
    "environ",
    "mem",
    "redaction.key",
    "log.key",
    "operator-token",
];
/// Names of folders: everything in them.
const FOLDERS: &[&str] = &[
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".azure",
    ".docker",
    "gcloud",
    ".password-store",
    "keyrings",
    ".electrum",
    ".ethereum",
    ".bitcoin",
    ".foundry",
    "keystore",
    "sudoers.d",
    "secrets",
];
const NAME_BYTES: usize = 16;
const LEAF: u32 = 1;
const FOLDER: u32 = 2;
/// Folders upwards in which the probe looks: as in `muster.bpf.c`.
const DEPTH: usize = 6;

/// Is reading this file recorded?
pub fn is_sensitive(path: &str) -> bool {
    let mut parts = path.rsplit('/').take(DEPTH);
    let Some(name) = parts.next() else { return false };
    // Code that is called like a secret, in packages of a language.
    let library =
        path.contains("/site-packages/") || path.contains("/node_modules/") || path.starts_with("/usr/lib/");
    !library && !is_public(name) && (FILES.contains(&name) || parts.any(|part| FOLDERS.contains(&part)))
}

/// What is meant to be given to others, wherever it lies: public keys and certificates, and the keys of other machines.
fn is_public(name: &str) -> bool {
    const PUBLIC: [&str; 4] = ["known_hosts", "known_hosts.old", "ssh_known_hosts", "allowed_signers"];
    name.ends_with(".pub") || PUBLIC.contains(&name)
}

/// Keys and values of the probes' table.
pub(crate) fn table() -> impl Iterator<Item = ([u8; NAME_BYTES], u32)> {
    let mut rows = std::collections::BTreeMap::new();
    for (names, value) in [(FILES, LEAF), (FOLDERS, FOLDER)] {
        for name in names {
            let mut key = [0u8; NAME_BYTES];
            // The last byte stays 0, as the kernel's string copy leaves it.
            for (to, from) in key.iter_mut().take(NAME_BYTES - 1).zip(name.bytes()) {
                *to = from;
            }
            *rows.entry(key).or_insert(0) |= value;
        }
    }
    rows.into_iter()
}

/// By first byte: which second bytes (their lower six bits, as a mask) names of the table have. It spares the probe the
/// search for nearly every other name.
pub(crate) fn starts() -> [u64; 256] {
    let mut out = [0u64; 256];
    for ([first, second, ..], _) in table() {
        if let Some(mask) = out.get_mut(usize::from(first)) {
            *mask |= 1 << (second & 63);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_but_not_libraries() {
        for path in ["/etc/gshadow", "/root/.ssh/config", "/home/x/.aws/sso/cache/a.json", "/srv/app/.env"] {
            assert!(is_sensitive(path), "{path}");
        }
        for path in [
            "/etc/passwd",
            "/srv/.venv/lib/python3/site-packages/secrets/x.py",
            "/x/credentials.rs",
            "/root/.ssh/id_ed25519.pub",
            "/root/.ssh/deploy-cert.pub",
            "/root/.ssh/known_hosts",
        ] {
            assert!(!is_sensitive(path), "{path}");
        }
    }

    #[test]
    fn every_name_is_found_by_its_start() {
        let starts = starts();
        assert!(table().all(|(key, _)| starts[usize::from(key[0])] >> (key[1] & 63) & 1 == 1));
        assert!(starts.iter().map(|mask| mask.count_ones()).sum::<u32>() < 100, "it lets too many through");
    }

    #[test]
    fn long_names_are_cut_as_the_kernel_cuts_them() {
        assert!(table().any(|(key, value)| &key == b"application_def\0" && value == LEAF));
    }
}
