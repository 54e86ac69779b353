//! Random tables against SciPy, where there is a Python that has it (`MUSTER_PYTHON`, else `python3`).

use std::io::Write;
use std::process::{Command, Stdio};

use muster_compare::stats::binary::{self, Two};
use muster_compare::stats::{Lcg, paired, rank, special};
use serde_json::{Value, json};

const TABLES: usize = 60;
const SCRIPT: &str = r#"
import json, sys, warnings
try:
    import numpy as np, scipy.stats as st
except ImportError:
    sys.exit(77)
warnings.simplefilter("ignore")
out = []
for case in json.load(sys.stdin):
    x1, n1, x2, n2 = case["two"]
    t = [[x1, n1 - x1], [x2, n2 - x2]]
    r = {"fisher": st.fisher_exact(t)[1]}
    r["fisher_less"] = st.fisher_exact(t, alternative="less")[1]
    r["binom"] = st.binomtest(x1, n1, case["chance"]).pvalue
    ci = st.binomtest(x1, n1).proportion_ci(method="exact")
    r["clopper_pearson"] = [ci.low, ci.high]
    ci = st.binomtest(x1, n1).proportion_ci(method="wilson")
    r["wilson"] = [ci.low, ci.high]
    b, c = case["discordant"]
    r["mcnemar"] = st.binomtest(b, b + c).pvalue if b + c else 1.0
    d = np.array(case["differences"])
    r["t"] = st.ttest_1samp(d, 0).pvalue
    r["spearman"] = list(st.spearmanr(d, case["others"]))
    r["kendall"] = st.kendalltau(d, case["others"]).statistic
    u = st.mannwhitneyu(d, case["others"], method="asymptotic")
    r["mann_whitney"] = [u.statistic, u.pvalue]
    if case["search"]:
        r["boschloo"] = st.boschloo_exact(np.array(t).T, n=64).pvalue
    a = case["shape"]
    r["beta"] = [st.beta.cdf(case["chance"], *a), st.beta.ppf(case["chance"], *a), st.chi2.sf(a[0], a[1]), st.norm.ppf(case["chance"])]
    out.append(r)
json.dump(out, sys.stdout)
"#;

#[test]
fn random_tables_agree_with_scipy() {
    let python = std::env::var("MUSTER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut chance = Lcg::new(2026);
    let cases: Vec<Value> = (0..TABLES).map(|at| case(at, &mut chance)).collect();
    let child =
        Command::new(&python).args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no `{python}`; set MUSTER_PYTHON to one that has SciPy");
        return;
    };
    // One that lacks SciPy may be gone before it has read all.
    drop(child.stdin.take().unwrap().write_all(serde_json::to_string(&cases).unwrap().as_bytes()));
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(77) {
        eprintln!("skipped: `{python}` has no SciPy; set MUSTER_PYTHON to one that has");
        return;
    }
    assert!(output.status.success());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), TABLES);
    for (case, answer) in cases.iter().zip(&answers) {
        compare(case, answer);
    }
    eprintln!("{TABLES} random cases agree with SciPy");
}

fn case(at: usize, chance: &mut Lcg) -> Value {
    let size = if at.is_multiple_of(3) { 12 } else { 200 };
    let mut below = |n: u64| chance.draw() % n;
    let (n1, n2) = (1 + below(size), 1 + below(size));
    let two = [below(n1 + 1), n1, below(n2 + 1), n2];
    let length = 4 + below(30);
    let mut values = || (0..length).map(|_| (below(11) as f64 - 5.0) / 5.0).collect::<Vec<_>>();
    let (mut differences, mut others) = (values(), values());
    differences[0] = 0.37;
    others[1] = -0.41;
    json!({
        "two": two, "discordant": [below(40), below(40)], "differences": differences, "others": others,
        "chance": (1 + below(998)) as f64 / 1000.0, "search": size == 12,
        "shape": [0.5 + below(300) as f64 / 2.0, 0.5 + below(300) as f64 / 2.0],
    })
}

#[track_caller]
fn close(name: &str, case: &Value, got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap_or_else(|| panic!("{name}: {expected}"));
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{name}: {got}, SciPy {expected}: {case}"
    );
}

fn compare(case: &Value, scipy: &Value) {
    let n = |i: usize| case["two"][i].as_u64().unwrap();
    let two = Two { x1: n(0), n1: n(1), x2: n(2), n2: n(3) };
    let check = |name: &str, got: f64, expected: &Value| close(name, case, got, expected, 1e-9);
    let fisher = binary::fisher(two);
    check("Fisher", fisher.two_sided, &scipy["fisher"]);
    check("Fisher, less", fisher.less, &scipy["fisher_less"]);
    let p = case["chance"].as_f64().unwrap();
    check("binomial", special::binomial_two_sided(two.x1, two.n1, p), &scipy["binom"]);
    for (name, got) in [
        ("clopper_pearson", binary::clopper_pearson(two.x1, two.n1, 0.05)),
        ("wilson", binary::wilson(two.x1, two.n1, 0.05)),
    ] {
        check(name, got.low, &scipy[name][0]);
        check(name, got.high, &scipy[name][1]);
    }
    let d = |i: usize| case["discordant"][i].as_u64().unwrap();
    check("McNemar", binary::mcnemar(d(0), d(1)).exact_p, &scipy["mcnemar"]);
    let floats = |name: &str| serde_json::from_value::<Vec<f64>>(case[name].clone()).unwrap();
    let (x, y) = (floats("differences"), floats("others"));
    check("t", paired::t_test(&x).unwrap().1, &scipy["t"]);
    let (rho, p_rho) = rank::spearman(&x, &y).unwrap();
    check("Spearman", rho, &scipy["spearman"][0]);
    check("Spearman p", p_rho, &scipy["spearman"][1]);
    check("Kendall", rank::kendall(&x, &y).unwrap(), &scipy["kendall"]);
    let u = rank::mann_whitney(&x, &y).unwrap();
    check("U", u.u, &scipy["mann_whitney"][0]);
    check("U, p", u.p, &scipy["mann_whitney"][1]);
    if case["search"].as_bool().unwrap() {
        close("Boschloo", case, binary::boschloo(two).unwrap(), &scipy["boschloo"], 1e-3);
    }
    let shape = |i: usize| case["shape"][i].as_f64().unwrap();
    check("beta", special::beta_cdf(p, shape(0), shape(1)), &scipy["beta"][0]);
    check("beta quantile", special::beta_quantile(p, shape(0), shape(1)), &scipy["beta"][1]);
    check("chi2", special::chi2_above(shape(0), shape(1)), &scipy["beta"][2]);
    check("normal quantile", special::normal_quantile(p), &scipy["beta"][3]);
}
