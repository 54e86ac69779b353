//! The report: for a terminal, as a page, as JSON. All open with the plain answer; none shows text of a log unescaped.

mod html;
mod plot;
mod text;

pub use html::html;
pub use text::text;

use serde_json::{Value, json};

use crate::analysis::Comparison;

/// For scripts. Fields are only ever added.
pub fn json(comparison: &Comparison) -> Value {
    let mut value = serde_json::to_value(comparison).unwrap_or(Value::Null);
    if let Some(object) = value.as_object_mut() {
        object.insert("format".to_owned(), json!("muster-compare/1"));
    }
    value
}

/// A number as people read it; what is not there is a dash.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(v) if v.abs() >= 1e6 || v.abs() < 1e-4 => format!("{v:.3e}"),
        Some(v) if v.abs() >= 100.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.4}"),
    }
}

fn interval(value: Option<crate::stats::Interval>) -> String {
    value.map_or("–".to_owned(), |i| format!("{} to {}", number(Some(i.low)), number(Some(i.high))))
}

fn role(role: crate::analysis::Role) -> &'static str {
    use crate::analysis::Role;
    match role {
        Role::Primary => "decides",
        Role::Supporting => "",
        Role::Conduct => "conduct",
    }
}

/// How the plan came about, in a sentence.
fn planned(comparison: &Comparison) -> String {
    match &comparison.plan {
        None => "nothing: this is exploration".to_owned(),
        Some(plan) => {
            let when = plan
                .registered
                .as_ref()
                .map_or("not registered before the data were read".to_owned(), |at| {
                    format!("registered {at}")
                });
            let test = if plan.test.is_empty() { "the test that fits the data" } else { &plan.test };
            format!("`{}` at level {} by {test}; {when}, {}", plan.metric, plan.level, plan.place)
        }
    }
}

fn evidence(comparison: &Comparison) -> Option<String> {
    let s = comparison.sequential.as_ref()?;
    let crossed = match s.crossed_at {
        Some(at) => format!("reached at pair {at}"),
        None => "not reached".to_owned(),
    };
    Some(format!(
        "e = {} (largest {}) after {} pairs, {} of them unlike, A more in {}; threshold {} {crossed}; p that holds at all times {}",
        number(Some(s.e)),
        number(Some(s.e_largest)),
        s.pairs,
        s.discordant,
        s.a_more,
        number(Some(s.threshold)),
        number(Some(s.anytime_p)),
    ))
}
