//! Votes as lines: `proposal,voter,choice,weight,time` and, where known, `funder,first_seen`.

use std::collections::BTreeMap;

/// More votes than any governor has had.
pub const VOTES_MAX: usize = 5_000_000;
/// Of a field: ids and addresses are shorter.
const FIELD_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VotesError {
    #[error("no column `{0}` (needed: proposal, voter, choice, weight, time)")]
    Column(&'static str),
    #[error("line {line}: `{value}` is no {wanted}")]
    Field { line: usize, value: String, wanted: &'static str },
    #[error("more than {VOTES_MAX} votes")]
    TooMany,
    #[error("no votes")]
    None,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes {
    pub voters: Vec<Voter>,
    pub proposals: Vec<String>,
    /// By proposal, then time.
    pub votes: Vec<Vote>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Voter {
    pub name: String,
    pub funder: Option<String>,
    pub first_seen: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    pub proposal: usize,
    pub voter: usize,
    pub choice: u32,
    pub weight: f64,
    /// Seconds since 1970.
    pub time: f64,
}

impl Votes {
    #[must_use]
    pub fn name(&self, at: usize) -> &str {
        self.voters.get(at).map_or("", |voter| voter.name.as_str())
    }
}

/// A second vote of one voter on one proposal replaces the first.
pub fn read(bytes: &[u8]) -> Result<Votes, VotesError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header = lines.by_ref().find(|(_, line)| !line.trim().is_empty()).ok_or(VotesError::None)?.1;
    let columns: Vec<String> = fields(header).iter().map(|name| name.trim().to_lowercase()).collect();
    let place = |names: &[&str]| columns.iter().position(|column| names.contains(&column.as_str()));
    let need = |names: &[&str], name| place(names).ok_or(VotesError::Column(name));
    let proposal = need(&["proposal", "proposal_id", "proposalid"], "proposal")?;
    let voter = need(&["voter", "address"], "voter")?;
    let choice = need(&["choice", "support", "outcome"], "choice")?;
    let weight = need(&["weight", "vp", "votes", "reputation"], "weight")?;
    let time = need(&["time", "timestamp", "created", "createdat"], "time")?;
    let funder = place(&["funder", "funded_by"]);
    let first_seen = place(&["first_seen", "firstseen", "born"]);

    let mut votes = Votes::default();
    let mut voters: BTreeMap<String, usize> = BTreeMap::new();
    let mut proposals: BTreeMap<String, usize> = BTreeMap::new();
    let mut choices: BTreeMap<String, u32> = BTreeMap::new();
    let mut cast: BTreeMap<(usize, usize), Vote> = BTreeMap::new();
    for (number, line) in lines {
        if line.trim().is_empty() {
            continue;
        }
        if cast.len() >= VOTES_MAX {
            return Err(VotesError::TooMany);
        }
        let row = fields(line);
        let field = |at: usize| row.get(at).map_or("", |field| field.trim());
        let bad = |value: &str, wanted| VotesError::Field {
            line: number + 1,
            value: value.chars().take(60).collect(),
            wanted,
        };
        let name: String = field(voter).chars().take(FIELD_MAX).collect::<String>().to_lowercase();
        if name.is_empty() {
            return Err(bad("", "voter"));
        }
        let when = moment(field(time)).ok_or_else(|| bad(field(time), "time"))?;
        let heavy = match field(weight) {
            "" => 1.0,
            text => text.parse().ok().filter(|w: &f64| w.is_finite()).ok_or_else(|| bad(text, "weight"))?,
        };
        let of_proposal = index(&mut proposals, field(proposal));
        let of_voter = index(&mut voters, &name);
        if of_voter == votes.voters.len() {
            votes.voters.push(Voter { name, ..Voter::default() });
        }
        if let Some(voter) = votes.voters.get_mut(of_voter) {
            let text = |at: Option<usize>| at.map(field).filter(|text| !text.is_empty());
            if voter.funder.is_none() {
                voter.funder =
                    text(funder).map(|text| text.chars().take(FIELD_MAX).collect::<String>().to_lowercase());
            }
            if voter.first_seen.is_none() {
                voter.first_seen = text(first_seen).and_then(moment);
            }
        }
        let next = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let choice = *choices.entry(field(choice).to_lowercase()).or_insert(next);
        let vote = Vote { proposal: of_proposal, voter: of_voter, choice, weight: heavy, time: when };
        cast.insert((of_proposal, of_voter), vote);
    }
    if cast.is_empty() {
        return Err(VotesError::None);
    }
    let mut names: Vec<(String, usize)> = proposals.into_iter().collect();
    names.sort_by_key(|(_, at)| *at);
    votes.proposals = names.into_iter().map(|(name, _)| name).collect();
    votes.votes = cast.into_values().collect();
    votes.votes.sort_by(|a, b| {
        a.proposal.cmp(&b.proposal).then(a.time.total_cmp(&b.time)).then(a.voter.cmp(&b.voter))
    });
    Ok(votes)
}

fn index(map: &mut BTreeMap<String, usize>, name: &str) -> usize {
    if let Some(at) = map.get(name) {
        return *at;
    }
    let at = map.len();
    map.insert(name.chars().take(FIELD_MAX).collect(), at);
    at
}

/// With quotes, as spreadsheets write them.
fn fields(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(field) = found.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted && found.len() < 64 => found.push(String::new()),
            other => {
                if let Some(field) = found.last_mut() {
                    field.push(other);
                }
            }
        }
    }
    found
}

/// Seconds, milliseconds, or `2024-05-01T12:00:00Z`.
fn moment(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number >= 0.0).then_some(if number > 1e11 {
            number / 1000.0
        } else {
            number
        });
    }
    let text = text.trim_end_matches('Z').trim_end_matches(" UTC");
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let clock = clock.split('+').next().unwrap_or(clock);
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().flatten().unwrap_or(0.0);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // Days from civil, Howard Hinnant's.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days as f64 * 86_400.0 + hour * 3_600.0 + minute * 60.0 + second)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn times_and_quotes() {
        assert_eq!(moment("2024-05-01T12:00:00Z"), Some(1_714_564_800.0));
        assert_eq!(moment("1714564800000"), Some(1_714_564_800.0));
        assert_eq!(moment("soon"), None);
        let votes =
            read(b"time,voter,proposal,choice,weight\n10,\"A,1\",p,For,2\n20,b,p,For,\n30,b,p,Against,1\n")
                .unwrap();
        assert_eq!(votes.voters.len(), 2);
        assert_eq!(votes.votes.len(), 2, "the second vote replaces the first");
        assert_eq!(read(b"a,b\n"), Err(VotesError::Column("proposal")));
    }
}
