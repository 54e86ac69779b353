//! What was odd in a record: named, counted, and never a reason to lose the rest.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// A line that is none of the form's.
    Line,
    /// A line over the limit.
    LongLine,
    /// The text ends within a line.
    TornEnd,
    /// The end of a call whose beginning is not there.
    EndAlone,
    /// A call whose arguments cannot be read.
    Call,
    /// Strings of a command line were cut (`strace -s`).
    CutArguments,
    /// A relative path, and the folder it is relative to was never named.
    UnknownFolder,
    /// Whose child a process is was never said; the likeliest was taken.
    GuessedParent,
    /// More processes or open files at once than are kept.
    TooMany,
    /// Numbers of events that are missing between others: lost, or left out by a filter.
    Hole,
    /// An event of a kind that this version does not know, or without what its kind has.
    Event,
}

impl Warning {
    pub const ALL: [Warning; 11] = [
        Warning::Line,
        Warning::LongLine,
        Warning::TornEnd,
        Warning::EndAlone,
        Warning::Call,
        Warning::CutArguments,
        Warning::UnknownFolder,
        Warning::GuessedParent,
        Warning::TooMany,
        Warning::Hole,
        Warning::Event,
    ];

    /// In words, after a number.
    pub fn words(self) -> &'static str {
        match self {
            Warning::Line => "lines could not be read",
            Warning::LongLine => "lines were too long",
            Warning::TornEnd => "line at the end is torn",
            Warning::EndAlone => "calls end whose beginning is missing",
            Warning::Call => "calls have arguments that could not be read",
            Warning::CutArguments => "command lines are cut (record with `strace -s 65536`)",
            Warning::UnknownFolder => "paths are relative to a folder that the record never names",
            Warning::GuessedParent => "processes have a parent that the record does not name; it was guessed",
            Warning::TooMany => "processes or open files were too many at once and were forgotten",
            Warning::Hole => "events are missing between others: lost, or left out by a filter",
            Warning::Event => "events are of kinds that this version does not know",
        }
    }

    /// Did an act go missing with it?
    pub fn loses(self) -> bool {
        match self {
            Warning::Line
            | Warning::LongLine
            | Warning::TornEnd
            | Warning::EndAlone
            | Warning::Call
            | Warning::TooMany
            | Warning::Hole
            | Warning::Event => true,
            Warning::CutArguments | Warning::UnknownFolder | Warning::GuessedParent => false,
        }
    }
}

/// Warnings by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(BTreeMap<Warning, u64>);

impl Warnings {
    pub(crate) fn add(&mut self, warning: Warning, count: u64) {
        let known = self.0.entry(warning).or_default();
        *known = known.saturating_add(count);
    }

    pub fn iter(&self) -> impl Iterator<Item = (Warning, u64)> {
        self.0.iter().map(|(warning, count)| (*warning, *count))
    }

    pub fn get(&self, warning: Warning) -> u64 {
        self.0.get(&warning).copied().unwrap_or_default()
    }

    /// Acts that are known to be missing, as far as they can be counted.
    pub fn lost(&self) -> u64 {
        self.iter()
            .filter(|(warning, _)| warning.loses())
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }
}
