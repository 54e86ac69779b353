//! Every statistic against `tests/data/stats-reference.json`, made by SciPy, statsmodels and scikit-learn
//! (versions in the file).

use muster_compare::stats::binary::{self, Two};
use muster_compare::stats::logit::{self, Cluster};
use muster_compare::stats::{
    Interval, Lcg, bayes, detector, evidence, malingering, multiplicity, paired, rank, stratified,
};
use serde_json::Value;

const EXACT: f64 = 1e-9;
/// Those that search a grid.
const GRID: f64 = 1e-3;

fn reference() -> Value {
    serde_json::from_str(include_str!("../data/stats-reference.json")).unwrap()
}

#[track_caller]
fn check(name: &str, got: f64, expected: &Value) {
    within(name, got, expected, EXACT);
}

#[track_caller]
fn within(name: &str, got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap_or_else(|| panic!("{name}: {expected} is no number"));
    let distance = (got - expected).abs();
    assert!(
        distance <= tolerance * expected.abs().max(1.0),
        "{name}: {got}, expected {expected}, off by {distance:e}"
    );
}

#[track_caller]
fn check_interval(name: &str, got: Interval, expected: &Value) {
    check(&format!("{name}, low"), got.low, &expected[0]);
    check(&format!("{name}, high"), got.high, &expected[1]);
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn mcnemar() {
    for case in list(&reference()["mcnemar"]) {
        let got = binary::mcnemar(count(&case["b"]), count(&case["c"]));
        check("exact", got.exact_p, &case["exact_p"]);
        check("mid-p", got.mid_p, &case["midp"]);
        check("chi2", got.chi2, &case["chi2"]);
        check("chi2 p", got.chi2_p, &case["chi2_p"]);
        check("corrected", got.chi2_corrected, &case["chi2_cc"]);
        check("corrected p", got.chi2_corrected_p, &case["chi2_cc_p"]);
    }
}

#[test]
fn two_by_two() {
    for case in list(&reference()["two_by_two"]) {
        let cell = |i: usize, j: usize| count(&case["table"][i][j]);
        let table = [[cell(0, 0), cell(0, 1)], [cell(1, 0), cell(1, 1)]];
        let rows = Two::rows(table);
        // SciPy's unconditional tests have the groups in columns.
        let columns = Two::rows([[cell(0, 0), cell(1, 0)], [cell(0, 1), cell(1, 1)]]);
        let fisher = binary::fisher(rows);
        check("Fisher", fisher.two_sided, &case["fisher_two-sided"]);
        check("Fisher, less", fisher.less, &case["fisher_less"]);
        check("Fisher, greater", fisher.greater, &case["fisher_greater"]);
        match fisher.odds_ratio {
            Some(ratio) => check("odds ratio", ratio, &case["odds_ratio_sample"]),
            None => assert!(case["odds_ratio_sample"].is_null()),
        }
        within("Boschloo", binary::boschloo(columns).unwrap(), &case["boschloo_two_sided_n=32"], GRID);
        within("Barnard", binary::barnard(columns).unwrap(), &case["barnard_two_sided_pooled_n=32"], GRID);
        check("chi2 p", binary::chi2(rows).unwrap().1, &case["chi2_no_cc_p"]);
        check("Cohen's h", binary::cohen_h(rows), &case["cohen_h"]);
        check_interval("Newcombe", binary::newcombe(rows, 0.05), &case["diff_ci95_newcomb"]);
        check_interval("Wald", binary::wald_difference(rows, 0.05), &case["diff_ci95_wald"]);
        check_interval("Agresti-Caffo", binary::agresti_caffo(rows, 0.05), &case["diff_ci95_agresti-caffo"]);
        if !case["diff_ci95_score"].is_null() {
            let got = binary::score_difference_of_statsmodels(rows, 0.05);
            check_interval("score", got, &case["diff_ci95_score"]);
        }
    }
}

/// What statsmodels has of the score interval rests on rates that are not the likeliest ones under the assumed difference. Ours
/// are held against a search: at the interval's ends, the test with the likeliest rates is just at its level.
#[test]
fn the_score_interval_is_that_of_the_likeliest_rates() {
    for table in
        [[[20, 0], [15, 5]], [[45, 5], [38, 12]], [[3, 97], [9, 91]], [[0, 50], [4, 46]], [[8, 2], [1, 5]]]
    {
        let two = Two::rows(table);
        let interval = binary::score_difference(two, 0.05);
        for (delta, sign) in [(interval.low, 1.0), (interval.high, -1.0)] {
            let ln = |k: u64, p: f64| if k == 0 { 0.0 } else { k as f64 * p.ln() };
            let likelihood = |p: f64| {
                ln(two.x1, p + delta)
                    + ln(two.n1 - two.x1, 1.0 - p - delta)
                    + ln(two.x2, p)
                    + ln(two.n2 - two.x2, 1.0 - p)
            };
            let (mut low, mut high) = (f64::max(0.0, -delta), f64::min(1.0, 1.0 - delta));
            for _ in 0..200 {
                let (a, b) = (low + (high - low) * 0.382, low + (high - low) * 0.618);
                if likelihood(a) > likelihood(b) { high = b } else { low = a }
            }
            let p = (low + high) / 2.0;
            let n = (two.n1 + two.n2) as f64;
            let spread = ((p + delta) * (1.0 - p - delta) / two.n1 as f64 + p * (1.0 - p) / two.n2 as f64)
                * n
                / (n - 1.0);
            let z = (two.difference() - delta) / spread.sqrt();
            assert!((z - sign * 1.959964).abs() < 1e-4, "{table:?}: {delta} {z}");
        }
    }
}

#[test]
fn proportions() {
    for case in list(&reference()["proportion_ci"]) {
        let (k, n) = (count(&case["k"]), count(&case["n"]));
        check_interval("Wilson", binary::wilson(k, n, 0.05), &case["wilson"]);
        check_interval("Clopper-Pearson", binary::clopper_pearson(k, n, 0.05), &case["beta"]);
        check_interval("Jeffreys", binary::jeffreys(k, n, 0.05), &case["jeffreys"]);
        check_interval("Agresti-Coull", binary::agresti_coull(k, n, 0.05), &case["agresti_coull"]);
    }
}

#[test]
fn strata() {
    let case = &reference()["cmh"];
    let strata: Vec<[[f64; 2]; 2]> = serde_json::from_value(case["strata"].clone()).unwrap();
    let got = stratified::cmh(&strata, 0.05).unwrap();
    check("statistic", got.statistic, &case["stat"]);
    check("p", got.p, &case["p"]);
    check("corrected", got.statistic_corrected, &case["stat_cc"]);
    check("corrected p", got.p_corrected, &case["p_cc"]);
    check("odds ratio", got.odds_ratio, &case["mh_odds_ratio"]);
    check("se", got.log_odds_ratio_se, &case["mh_log_or_se"]);
    check_interval("odds ratio", got.odds_ratio_interval, &case["mh_or_ci95"]);
    check("risk ratio", got.risk_ratio, &case["risk_ratio_pooled"]);
    check("Breslow-Day", got.breslow_day, &case["breslow_day_stat"]);
    check("Breslow-Day p", got.breslow_day_p, &case["breslow_day_p"]);
}

#[test]
fn paired_rates() {
    let case = &reference()["paired_rates"];
    let differences = floats(&case["diff"]);
    let (p, how) = paired::sign_flip(&differences);
    assert_eq!(how, paired::How::Exact);
    check("sign flip", p, &case["signflip_exact_two_sided"]);
    // Where there is no lattice, all flips are gone through: the same.
    let odd: Vec<f64> = differences.iter().map(|d| d * std::f64::consts::E).collect();
    check("sign flip, one by one", paired::sign_flip(&odd).0, &case["signflip_exact_two_sided"]);
    let (t, p) = paired::t_test(&differences).unwrap();
    check("t", t, &case["t"]);
    check("t, p", p, &case["ttest_1samp_p"]);
    check("sign test", paired::sign_test(&differences), &case["sign_test_p"]);
    let wilcoxon = paired::wilcoxon(&differences).unwrap();
    let expected = &case["wilcoxon_exact_zsplit_none(wilcox)"];
    check("Wilcoxon", wilcoxon.statistic, &expected["stat"]);
    check("Wilcoxon p", wilcoxon.p, &expected["p_approx_no_cc"]);
    check("Wilcoxon p, corrected", wilcoxon.p_corrected, &expected["p_approx_cc"]);
}

#[test]
fn bootstrap() {
    let case = &reference()["bootstrap"];
    let got = paired::bootstrap(&floats(&case["data"]), 2000, 0.05, 42).unwrap();
    for (mean, expected) in got.means.iter().zip(list(&case["first5"])) {
        check("first draws", *mean, expected);
    }
    check("mean", got.means.iter().sum::<f64>() / 2000.0, &case["boot_mean"]);
    check("acceleration", got.acceleration, &case["acceleration"]);
    check("z0", got.z0, &case["z0"]);
    check_interval("percentile", got.percentile, &case["percentile_ci95_linear"]);
    check_interval("BCa", got.bca.unwrap(), &case["bca_ci95_linear"]);
}

#[test]
fn logits() {
    let case = &reference()["clustered_logit"];
    let mut clusters = vec![Cluster { x0: 0, n0: 0, x1: 0, n1: 0 }; 20];
    for row in list(&case["rows_task_cond_y"]) {
        let cluster = &mut clusters[count(&row[0]) as usize];
        if count(&row[1]) == 0 {
            cluster.n0 += 1;
            cluster.x0 += count(&row[2]);
        } else {
            cluster.n1 += 1;
            cluster.x1 += count(&row[2]);
        }
    }
    let conditional = logit::conditional(&clusters).unwrap();
    // The reference stopped where its gradient was 4e-5 (statsmodels' BFGS); the root of statsmodels' own score function is:
    check("conditional", conditional.beta, &serde_json::json!(-1.1442403565296388));
    check("conditional, se", conditional.se, &serde_json::json!(0.3664328698498279));
    within("conditional", conditional.beta, &case["conditional_logit"]["beta"], 1e-5);
    within("conditional, se", conditional.se, &case["conditional_logit"]["se"], 1e-5);
    within("conditional, p", conditional.p, &case["conditional_logit"]["p"], 1e-5);
    let pooled = logit::clustered(&clusters).unwrap();
    check("pooled", pooled.beta, &case["logit_cluster"]["beta"][1]);
    check("pooled, se", pooled.se, &case["logit_cluster"]["se"][1]);
    check("pooled, p", pooled.p, &case["logit_cluster"]["p_cond"]);
    let (gee, alpha) = logit::gee(&clusters).unwrap();
    check("GEE", gee.beta, &case["gee_exch"]["beta"][1]);
    check("GEE, se", gee.se, &case["gee_exch"]["robust_se"][1]);
    check("GEE, p", gee.p, &case["gee_exch"]["p_cond"]);
    check("GEE, correlation", alpha, &case["gee_exch"]["alpha"]);
}

#[test]
fn beta_binomial() {
    for case in list(&reference()["beta_binomial"]) {
        let n = |name: &str| count(&case[name]);
        let two = Two { x1: n("k1"), n1: n("n1"), x2: n("k2"), n2: n("n2") };
        check("P(p1>p2)", bayes::first_above(two), &case["P(p1>p2)"]);
        check("Bayes factor", bayes::log10_bayes_factor(two), &case["log10_BF10_indep_vs_equal"]);
    }
}

#[test]
fn e_values() {
    let case = &reference()["e_values"];
    let mut signs = evidence::Signs::default();
    for (at, sign) in list(&case["sign_seq"]).iter().enumerate() {
        signs.push(count(sign) == 1);
        check("two-sided", signs.e(), &case["beta_mixture_two_sided"][at]);
        check("one-sided", signs.e_one_sided(), &case["one_sided_truncated_uniform"][at]);
    }
    let mut streams = evidence::TwoStreams::new(evidence::TwoStreams::GAMMA);
    for (at, block) in list(&case["turner_blocks"]).iter().enumerate() {
        streams.push(count(&block[0]) == 1, count(&block[1]) == 1);
        check("two streams", streams.e(), &case["turner_beta_gamma=0.18"][at]);
    }
    let mut sum = 0.0;
    for (at, x) in floats(&case["msprt_x"]).into_iter().enumerate() {
        sum += x;
        check(
            "mSPRT",
            evidence::normal_mixture(at as u64 + 1, sum, 1.0, 1.0),
            &case["msprt_sigma1_tau1"][at],
        );
    }
    for row in list(&case["normal_mixture_cs_halfwidth"]) {
        let got = evidence::normal_half_width(count(&row["n"]), 1.0, 1.0, 0.05);
        check("half width", got, &row["halfwidth_sigma1_rho2=1_alpha.05"]);
    }
}

#[test]
fn multiple() {
    let case = &reference()["multitest"];
    let p = floats(&case["p"]);
    type Adjust = fn(&[f64]) -> Vec<f64>;
    let methods: [(&str, Adjust); 5] = [
        ("fdr_bh", multiplicity::benjamini_hochberg),
        ("fdr_by", multiplicity::benjamini_yekutieli),
        ("holm", multiplicity::holm),
        ("bonferroni", multiplicity::bonferroni),
        ("hommel", multiplicity::hommel),
    ];
    for (name, adjust) in methods {
        for (got, expected) in adjust(&p).into_iter().zip(list(&case[name])) {
            check(name, got, expected);
        }
    }
}

#[test]
fn detectors() {
    let case = &reference()["detector"];
    let scored: Vec<(f64, bool)> =
        floats(&case["score"]).into_iter().zip(list(&case["y"]).iter().map(|y| count(y) == 1)).collect();
    let got = detector::quality(&scored, 0.05).unwrap();
    check("AUROC", got.auroc, &case["auroc"]);
    check("DeLong", got.auroc_variance, &case["delong_var"]);
    check("average precision", got.average_precision, &case["auprc_step"]);
    check("Brier", got.brier.unwrap(), &case["brier"]);
    check("U", got.mann_whitney_u, &case["mannwhitney_U"]);
    for row in list(&case["rogan_gladen"]) {
        let rate = |name: &str| row[name].as_f64().unwrap();
        let got = detector::true_prevalence(rate("flag_rate"), rate("tpr"), rate("fpr")).unwrap();
        check("Rogan-Gladen", got, &row["prevalence"]);
    }
}

#[test]
fn patterns() {
    let case = &reference()["malingering"];
    for row in list(&case["below_chance"]) {
        let got =
            malingering::below_chance(count(&row["k"]), count(&row["n"]), row["chance"].as_f64().unwrap());
        check("below chance", got, &row["binom_less_p"]);
    }
    let case = &case["difficulty"];
    let (difficulty, rates) = (floats(&case["difficulty"]), floats(&case["acc"]));
    let (rho, p) = rank::spearman(&difficulty, &rates).unwrap();
    check("Spearman", rho, &case["spearman"]);
    check("Spearman p", p, &case["spearman_p_t"]);
    check("Kendall", rank::kendall(&difficulty, &rates).unwrap(), &case["kendall_tau_b"]);
}

/// The generator is the one that the reference documents.
#[test]
fn generator() {
    let mut chance = Lcg::new(42);
    let first: Vec<u64> = (0..3).map(|_| chance.draw() % 12).collect();
    let mut x: u64 = 42;
    for got in first {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        assert_eq!(got, (x >> 33) % 12);
    }
}
