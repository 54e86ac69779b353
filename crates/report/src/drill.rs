//! What drills came to, as tables.

use crate::cell::{Colour, Style, cut, fit, right, safe, width};

/// Columns of a bar.
const BAR: usize = 20;

/// A row: a name, and how many of its runs were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrillRow {
    pub name: String,
    pub runs: u64,
    pub seen: u64,
    /// The exact 95 % interval of the share, where there is one.
    pub interval: Option<(f64, f64)>,
    /// Of those seen, sorted.
    pub detect_ms: Vec<u64>,
    pub survivors: u64,
    pub residue: u64,
    pub benign_lost: u64,
}

/// A row for each, with a bar for what share was seen.
pub fn drills(title: &str, rows: &[DrillRow], style: &Style) -> String {
    let name =
        rows.iter().map(|row| width(&safe(&row.name))).chain([width(title)]).max().unwrap_or(0).min(28);
    let head = format!(
        "{}  {}  {}  {}  {}  {}  {}",
        fit(title, name),
        fit("seen", 9),
        fit("", BAR),
        fit("95 % interval", 15),
        fit("median / p95 ms", 16),
        fit("left", 9),
        "benign lost"
    );
    let mut out = style.paint(&cut(head.trim_end(), style.width), Colour::Bold);
    out.push('\n');
    for row in rows {
        let share = if row.runs == 0 { 0.0 } else { row.seen as f64 / row.runs as f64 };
        let colour = if share >= 0.9 {
            Colour::Green
        } else if share >= 0.5 {
            Colour::Yellow
        } else {
            Colour::Red
        };
        let full = (share * BAR as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(full.min(BAR)), "·".repeat(BAR.saturating_sub(full)));
        let interval = row
            .interval
            .map(|(low, high)| format!("{:.1}–{:.1} %", low * 100.0, high * 100.0))
            .unwrap_or_default();
        let at = |share: usize| row.detect_ms.get(row.detect_ms.len().saturating_sub(1) * share / 100);
        let times = match (at(50), at(95)) {
            (Some(median), Some(late)) => format!("{median} / {late}"),
            _ => "–".to_owned(),
        };
        let rest = format!(
            "{}  {}  {}  {}",
            fit(&interval, 15),
            fit(&times, 16),
            fit(&format!("{}p {}f", row.survivors, row.residue), 9),
            row.benign_lost
        );
        let seen = right(&format!("{}/{}", row.seen, row.runs), 9);
        let line = format!("{}  {seen}  ", fit(&safe(&row.name), name));
        out.push_str(&line);
        out.push_str(&style.paint(&bar, colour));
        out.push_str("  ");
        out.push_str(rest.trim_end());
        out.push('\n');
    }
    out
}

/// A name, and for each column how many were seen of how many. `None`: not run.
pub type AblationRow = (String, Vec<Option<(u64, u64)>>);

/// What depends on what: for each row what was seen with all there is, and with each part off.
pub fn ablation(columns: &[&str], rows: &[AblationRow], style: &Style) -> String {
    let name = rows.iter().map(|(name, _)| width(&safe(name))).max().unwrap_or(0).clamp(6, 28);
    let mut out = fit("", name);
    for column in columns {
        out.push_str(&format!("  {}", right(column, 10)));
    }
    out.push('\n');
    for (row, cells) in rows {
        out.push_str(&fit(&safe(row), name));
        let first = cells.first().copied().flatten().map(|(seen, _)| seen);
        for cell in cells {
            let (text, colour) = match cell {
                None => ("–".to_owned(), Colour::Dim),
                Some((seen, of)) => {
                    let colour = match first {
                        Some(first) if seen < &first => Colour::Red,
                        _ => Colour::Plain,
                    };
                    (format!("{seen}/{of}"), colour)
                }
            };
            out.push_str("  ");
            out.push_str(&style.paint(&right(&text, 10), colour));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { colour: false, width: 120 };

    #[test]
    fn a_row_says_what_was_seen() {
        let row = DrillRow {
            name: "money".to_owned(),
            runs: 4,
            seen: 3,
            interval: Some((0.194, 0.994)),
            detect_ms: vec![100, 200, 900],
            survivors: 1,
            residue: 2,
            benign_lost: 0,
        };
        let shown = drills("factor", &[row], &STYLE);
        for part in ["money", "3/4", "███████████████·····", "19.4–99.4 %", "200 / 200", "1p 2f"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn an_empty_table_is_no_error() {
        assert!(drills("factor", &[], &STYLE).starts_with("factor"));
        assert_eq!(ablation(&["all"], &[("x\u{1b}".to_owned(), vec![None])], &STYLE).lines().count(), 2);
    }
}
