//! Numbers for people: medians, percentiles, Markdown tables, and on what machine they were taken.

use std::fs;

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// Nearest rank.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// `p50 / p99 / max` of milliseconds.
pub fn spread_ms(values: &[f64]) -> [String; 3] {
    [percentile(values, 50.0), percentile(values, 99.0), percentile(values, 100.0)]
        .map(|v| format!("{v:.1} ms"))
}

pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

pub fn head(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
    println!("|{}", "---|".repeat(cells.len()));
}

pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(1).collect::<Vec<_>>().join(" ")
}

pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name\t: ")).unwrap_or("unknown").to_owned();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "machine: {model}, {cores} processors, {} GiB, Linux {}, load average {}",
        kib >> 20,
        kernel.trim(),
        load()
    )
}
