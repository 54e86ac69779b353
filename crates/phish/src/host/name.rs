//! A host name as it was given, and what it is made of. Anything is taken: a URL, a defanged URL, a bare name.

use super::fold;

/// Longest name that is looked at; the DNS has 253 bytes, written with marks it may be more. The rest is cut off.
const NAME_MAX: usize = 1024;
/// Labels that are looked at, from the right. Real names have under ten.
const LABELS_MAX: usize = 32;

/// One host, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Lower case, as the DNS has it (`xn--…`).
    pub ascii: String,
    /// Folded to the ASCII letters that a person reads in it: what everything compares.
    pub folded: String,
    /// Whether folding changed a letter: something in it only looks like ASCII.
    pub looks_alike: bool,
    /// The public suffix: `com`, `co.uk`, `pages.dev`.
    pub suffix: String,
    /// All left of the suffix, folded, without `www.`: `app.uniswap`.
    pub stem: String,
    /// The label that somebody registered: `uniswap`.
    pub label: String,
    /// The name that somebody registered: `uniswap.org`.
    pub registered: String,
    /// Anybody gets a name under this suffix for nothing.
    pub free: bool,
    /// A number instead of a name.
    pub ip: bool,
    /// What stood before an `@`: it looks like a host and is none.
    pub user: Option<String>,
    /// From the first `/`, as given.
    pub path: String,
}

/// The host of a URL or a bare name; nothing where there is none.
#[must_use]
pub fn host(given: &str) -> Option<Host> {
    let text = refang(given.trim());
    let text = text.as_str();
    let rest = match text.find("://") {
        Some(at) => text.get(at + 3..)?,
        None => text.strip_prefix("//").unwrap_or(text),
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, authority),
    };
    let host = if host.starts_with('[') {
        host.split(']').next().unwrap_or(host).trim_start_matches('[')
    } else {
        host.split_once(':').map_or(host, |(host, _)| host)
    };
    let host = cut(host.trim_matches('.'), NAME_MAX);
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let mut made = split(host)?;
    made.user = user;
    made.path = path.to_owned();
    Some(made)
}

fn split(host: &str) -> Option<Host> {
    let lower = host.to_lowercase();
    let plain = lower.is_ascii() && !lower.contains("xn--");
    let (ascii, unicode) = if plain {
        (lower.clone(), lower)
    } else {
        let ascii = idna::domain_to_ascii(&lower).unwrap_or_else(|_| lower.clone());
        let (unicode, _) = idna::domain_to_unicode(&lower);
        (ascii, unicode)
    };
    let folded = if plain { unicode.clone() } else { fold::fold(&unicode) };
    let looks_alike = folded != unicode;
    let ip = ascii.parse::<std::net::IpAddr>().is_ok()
        || (ascii.bytes().all(|b| b.is_ascii_digit()) && !ascii.is_empty());
    let labels = folded.split('.').count();
    let start = labels.saturating_sub(LABELS_MAX);
    let kept: String = folded.split('.').skip(start).collect::<Vec<_>>().join(".");
    let (suffix, free) = if ip { (String::new(), false) } else { suffix(&kept) };
    let stem = kept.strip_suffix(suffix.as_str()).unwrap_or(&kept).trim_end_matches('.');
    let stem = stem.strip_prefix("www.").unwrap_or(stem).to_owned();
    let label = stem.rsplit('.').next().unwrap_or_default().to_owned();
    let registered = match (label.is_empty(), suffix.is_empty()) {
        (true, _) => suffix.clone(),
        (_, true) => label.clone(),
        _ => format!("{label}.{suffix}"),
    };
    Some(Host {
        ascii,
        folded: kept,
        looks_alike,
        suffix,
        stem,
        label,
        registered,
        free,
        ip,
        user: None,
        path: String::new(),
    })
}

/// The public suffix and whether names under it are free. The list's private part tells most; some hosts are not on it.
fn suffix(host: &str) -> (String, bool) {
    for free in super::free_hosting() {
        if let Some(rest) = host.strip_suffix(free)
            && (rest.is_empty() || rest.ends_with('.'))
        {
            return ((*free).to_owned(), true);
        }
    }
    match psl::suffix(host.as_bytes()) {
        Some(found) => {
            let private = found.typ() == Some(psl::Type::Private);
            (String::from_utf8_lossy(found.as_bytes()).into_owned(), private)
        }
        None => (String::new(), false),
    }
}

/// `hxxps://claim[.]example` is how people pass on what nobody should click.
fn refang(text: &str) -> String {
    if !text.contains(['[', '(']) && !text.starts_with("hxxp") {
        return text.to_owned();
    }
    let text = text.replacen("hxxp", "http", 1);
    ["[.]", "(.)", "[dot]", "(dot)"].iter().fold(text, |text, dot| text.replace(dot, "."))
}

/// At most `max` bytes, whole characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, expected: &str) {
        let said = host(given).map(|h| {
            format!(
                "{} | {} | {} | {}{}",
                h.stem,
                h.label,
                h.suffix,
                h.registered,
                if h.free { " free" } else { "" }
            )
        });
        assert_eq!(said.unwrap_or_default(), expected, "{given}");
    }

    #[test]
    fn hosts_are_taken_apart() {
        check("https://app.uniswap.org/swap?x=1", "app.uniswap | uniswap | org | uniswap.org");
        check("WWW.Example.co.uk.", "example | example | co.uk | example.co.uk");
        check("hxxps://claim[.]pages[.]dev/a", "claim | claim | pages.dev | claim.pages.dev free");
        check("metamask.io@evil.xyz:8080", "evil | evil | xyz | evil.xyz");
        check("xn--unswap-4va.org", "uniswap | uniswap | org | uniswap.org");
        check("http://10.0.0.1/x", "10.0.0.1 | 1 |  | 1");
        check("", "");
        check("two words", "");
    }
}
