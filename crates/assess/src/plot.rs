//! Plots as SVG that tests can read and that need no script. Numbers and names only; names are escaped by `maud`.

use maud::{Markup, html};
use muster_event::sanitize;

use crate::gap::{Gap, Point, STEPS};
use crate::number::Rate;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 210.0;
const ROW: f64 = 24.0;
/// Rows of one plot; a table beside it has all.
const ROWS_MAX: usize = 40;

/// Shares with their intervals, on one axis from 0 to the largest end.
pub fn shares(title: &str, rows: &[(String, &Rate)]) -> Markup {
    let rows: Vec<&(String, &Rate)> =
        rows.iter().filter(|(_, rate)| rate.share.is_some()).take(ROWS_MAX).collect();
    let most = rows.iter().filter_map(|(_, rate)| rate.high).fold(0.01_f64, f64::max);
    let x = |share: f64| LEFT + share / most * (WIDTH - LEFT - 60.0);
    let height = ROW * (rows.len() as f64 + 1.4);
    html! {
        @if !rows.is_empty() {
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(title) {
                title { (title) }
                line x1=(x(0.0)) x2=(x(0.0)) y1="0" y2=(height - ROW) class="axis" {}
                line x1=(x(most)) x2=(x(most)) y1="0" y2=(height - ROW) class="axis" {}
                @for (at, (name, rate)) in rows.iter().enumerate() {
                    @let y = ROW * (at as f64 + 0.6);
                    text x="0" y=(y + 4.0) { (short(name)) }
                    @if let (Some(share), Some(low), Some(high)) = (rate.share, rate.low, rate.high) {
                        line x1=(x(low)) x2=(x(high)) y1=(y) y2=(y) class="interval" {}
                        circle cx=(x(share)) cy=(y) r="4" class="dot" {}
                        text x=(x(high) + 6.0) y=(y + 4.0) class="small" { (rate.count) "/" (rate.of) }
                    }
                }
                text x=(x(0.0)) y=(height - 6.0) class="small" { "0" }
                text x=(x(most) - 20.0) y=(height - 6.0) class="small" { (format!("{:.1} %", most * 100.0)) }
            }
        }
    }
}

fn short(name: &str) -> String {
    const MOST: usize = 30;
    let name = sanitize(name);
    if name.chars().count() <= MOST {
        return name;
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

/// Its name, its shares, and how far aside its marks are drawn.
type Line = (&'static str, fn(&Point) -> &Rate, f64);

/// *Can initiate* and *can sustain*, over time.
pub fn over_time(points: &[Point]) -> Markup {
    let (height, low_edge, left) = (200.0, 170.0, 50.0);
    let most =
        points.iter().flat_map(|p| [p.initiate.high, p.sustain.high]).flatten().fold(0.01_f64, f64::max);
    let step = (WIDTH - left - 30.0) / points.len().max(1) as f64;
    let x = |at: usize| left + step * (at as f64 + 0.5);
    let y = |share: f64| low_edge - share / most * (low_edge - 20.0);
    let path = |of: fn(&Point) -> &Rate| -> String {
        let places = points.iter().enumerate().filter_map(|(at, p)| Some((at, of(p).share?)));
        places
            .enumerate()
            .map(|(n, (at, share))| {
                format!("{}{:.1} {:.1}", if n == 0 { "M" } else { " L" }, x(at), y(share))
            })
            .collect()
    };
    let lines: [Line; 2] = [("initiate", |p| &p.initiate, -3.0), ("sustain", |p| &p.sustain, 3.0)];
    html! {
        @if points.len() > 1 {
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="Runs that initiate and sustain, over time" {
                title { "Runs that initiate and sustain, over time" }
                line x1=(left) x2=(WIDTH - 20.0) y1=(low_edge) y2=(low_edge) class="axis" {}
                text x="0" y=(y(most) + 4.0) class="small" { (format!("{:.0} %", most * 100.0)) }
                text x="0" y=(low_edge + 4.0) class="small" { "0" }
                @for (name, of, aside) in lines {
                    path d=(path(of)) class={ "line " (name) } {}
                    @for (at, point) in points.iter().enumerate() {
                        @let rate = of(point);
                        @if let (Some(share), Some(low), Some(high)) = (rate.share, rate.low, rate.high) {
                            line x1=(x(at) + aside) x2=(x(at) + aside) y1=(y(low)) y2=(y(high)) class={ "interval " (name) } {}
                            circle cx=(x(at) + aside) cy=(y(share)) r="4" class={ "dot " (name) } {
                                title { (point.from) ": " (name) " " (rate.count) " of " (rate.of) }
                            }
                        }
                    }
                }
                text x=(left) y=(height - 8.0) class="small" { (points.first().map(|p| p.from.as_str()).unwrap_or_default()) }
                text x=(WIDTH - 20.0) y=(height - 8.0) class="small end" { (points.last().map(|p| p.until.as_str()).unwrap_or_default()) }
                text x=(WIDTH - 20.0) y="12" class="end" { tspan class="key initiate" { "● initiate" } "  " tspan class="key sustain" { "● sustain" } }
            }
        }
    }
}

/// For each factor, the highest step of real runs (filled) and of drills (ring).
pub fn ladder(gap: &Gap) -> Markup {
    let steps = STEPS.len() as f64 - 1.0;
    let x = |step: u64| LEFT + step as f64 / steps * (WIDTH - LEFT - 30.0);
    let height = ROW * (gap.factors.len() as f64 + 1.4);
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="The highest step of each factor: seen, and possible by drills" {
            title { "The highest step of each factor: seen (filled), and possible by drills (ring)" }
            @for step in 0..STEPS.len() as u64 {
                line x1=(x(step)) x2=(x(step)) y1="0" y2=(height - ROW) class="axis" {}
                text x=(x(step) - 3.0) y=(height - 6.0) class="small" { (step) }
            }
            @for (at, factor) in gap.factors.iter().enumerate() {
                @let y = ROW * (at as f64 + 0.6);
                text x="0" y=(y + 4.0) { (short(&factor.factor)) }
                @if let Some(possible) = &factor.possible {
                    line x1=(x(factor.seen.step)) x2=(x(possible.step)) y1=(y) y2=(y) class="interval" {}
                    circle cx=(x(possible.step)) cy=(y) r="7" class="ring" {}
                }
                circle cx=(x(factor.seen.step)) cy=(y) r="4" class="dot" {}
            }
        }
    }
}
