//! Patterns that people show who play weak: below chance, the same at any difficulty, easy ones failed and hard ones passed.
//! They are patterns; an honest weak agent can show each of them.

use super::special::binomial_cdf;

/// The chance that pure guessing does at most this well.
pub fn below_chance(k: u64, n: u64, chance: f64) -> f64 {
    binomial_cdf(k, n, chance)
}

/// Guttman errors: pairs of tasks of which the harder was passed and the easier failed, and their share of all pairs with one
/// passed and one failed of different difficulty.
pub fn guttman(tasks: &[(f64, bool)]) -> Option<(u64, f64)> {
    let mut sorted = tasks.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut failed_easier, mut errors) = (0_u64, 0_u64);
    let (mut passed_easier, mut fits) = (0_u64, 0_u64);
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        let passed = same.iter().filter(|(_, passed)| *passed).count() as u64;
        let failed = same.len() as u64 - passed;
        errors += passed * failed_easier;
        fits += failed * passed_easier;
        failed_easier += failed;
        passed_easier += passed;
    }
    (errors + fits > 0).then(|| (errors, errors as f64 / (errors + fits) as f64))
}
