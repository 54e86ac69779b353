//! How long one host takes: honest names, and names as phishing has them.

use muster_phish::host::{Lists, check_url};

const HOSTS: &[&str] = &[
    "app.uniswap.org",
    "www.debian.org",
    "claim-rewards-metamask.pages.dev",
    "xn--unswap-4va.org",
    "a-rather-long-label-with-many-words.of.deep.sub.domains.example.co.uk",
    "airdrop.layerzero-claim.xyz",
    "moonshot-voting-17.netlify.app",
    "news.ycombinator.com",
];

fn main() {
    let _ = check_url("warm.example", &Lists::default());
    divan::main();
}

#[divan::bench(args = HOSTS)]
fn one_host(host: &str) -> Option<muster_phish::Checked> {
    check_url(divan::black_box(host), &Lists::default())
}
