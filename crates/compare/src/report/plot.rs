//! Plots as SVG: no script, no style of others, numbers only.

use maud::{Markup, html};

use crate::analysis::{Comparison, Role, Test};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 200.0;
const ROW: f64 = 26.0;
/// Dots that are drawn; more cover each other.
const DOTS_MAX: usize = 2_000;

/// The estimates of the primary measure with their intervals, on one axis with zero.
pub fn forest(comparison: &Comparison) -> Markup {
    let rows: Vec<&Test> = comparison
        .tests
        .iter()
        .filter(|t| t.role != Role::Conduct && t.of.starts_with("difference") && t.interval.is_some())
        .collect();
    let ends = rows.iter().filter_map(|t| t.interval).flat_map(|i| [i.low, i.high]);
    let reach = ends.fold(0.0_f64, |most, end| most.max(end.abs())).max(1e-9) * 1.1;
    let x = |value: f64| LEFT + (value / reach + 1.0) / 2.0 * (WIDTH - LEFT - 20.0);
    let height = ROW * (rows.len() as f64 + 1.5);
    html! {
        @if !rows.is_empty() {
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="Estimates with intervals" {
                line x1=(x(0.0)) x2=(x(0.0)) y1="0" y2=(height - ROW) class="axis" {}
                @for (at, test) in rows.iter().enumerate() {
                    @let y = ROW * (at as f64 + 0.7);
                    text x="0" y=(y + 4.0) { (test.name) }
                    @if let (Some(i), Some(estimate)) = (test.interval, test.estimate) {
                        line x1=(x(i.low)) x2=(x(i.high)) y1=(y) y2=(y) class="interval" {}
                        circle cx=(x(estimate)) cy=(y) r="4" class=(if test.role == Role::Primary { "primary" } else { "dot" }) {}
                    }
                }
                text x=(x(-reach * 0.9)) y=(height - 6.0) class="small" { (format!("{:+.3}", -reach * 0.9)) }
                text x=(x(0.0) - 3.0) y=(height - 6.0) class="small" { "0" }
                text x=(x(reach * 0.9) - 30.0) y=(height - 6.0) class="small" { (format!("{:+.3}", reach * 0.9)) }
            }
        }
    }
}

/// Each task as a dot: its mean in B to the right, in A upwards. On the line: alike.
pub fn scatter(comparison: &Comparison) -> Markup {
    let side = 320.0;
    let values = || comparison.tasks.iter().flat_map(|row| [row.a, row.b]);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let span = if high > low { high - low } else { 1.0 };
    let place = |value: f64| 30.0 + (value - low) / span * (side - 50.0);
    html! {
        @if !comparison.tasks.is_empty() {
            svg viewBox={ "0 0 " (side) " " (side) } class="square" role="img" aria-label="Tasks: A against B" {
                line x1=(place(low)) y1=(side - place(low)) x2=(place(low + span)) y2=(side - place(low + span)) class="axis" {}
                @for row in comparison.tasks.iter().take(DOTS_MAX) {
                    circle cx=(place(row.b)) cy=(side - place(row.a)) r="5" class="task" {
                        title { (muster_event::sanitize(&row.task)) ": A " (format!("{:.3}", row.a)) ", B " (format!("{:.3}", row.b)) }
                    }
                }
                text x="4" y="14" class="small" { "A " (format!("{high:.2}")) }
                text x=(side - 60.0) y=(side - 6.0) class="small" { "B " (format!("{high:.2}")) }
                text x="4" y=(side - 6.0) class="small" { (format!("{low:.2}")) }
            }
        }
    }
}
