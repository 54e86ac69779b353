//! What people said of findings, and what could not be seen.

use muster_engine::{Gap, Review, Start};
use rusqlite::params;

use super::{Index, int};
use crate::error::Result;

impl Index {
    /// The latest judgement of a finding stands; the ledger has all.
    pub(super) fn review(&mut self, at: u64, review: &Review) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO reviews (finding, at, time_ns, judgement, json) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                review.finding,
                int(at),
                int(review.time_ns),
                review.judgement.name(),
                serde_json::to_string(review)?,
            ])?;
        Ok(())
    }

    /// What the daemon before could not see, it could not see until it ended.
    pub(super) fn end_gaps(&mut self, start: &Start) -> Result<()> {
        let open: Vec<String> = {
            let mut statement = self.conn.prepare("SELECT json FROM gaps WHERE to_ns IS NULL ORDER BY id")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        for json in open {
            let mut gap: Gap = serde_json::from_str(&json)?;
            let end = start.before.as_ref().map_or(start.time_ns, |before| before.time_ns);
            gap.to_ns = Some(end.max(gap.from_ns));
            if !gap.detail.is_empty() {
                gap.detail.push_str("; ");
            }
            gap.detail.push_str("so it was when the daemon ended");
            self.conn.execute(
                "UPDATE gaps SET to_ns = ?2, json = ?3 WHERE id = ?1",
                params![gap.id, gap.to_ns.map(int), serde_json::to_string(&gap)?],
            )?;
        }
        Ok(())
    }

    pub(super) fn gap(&mut self, at: u64, gap: &Gap) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO gaps (id, at, agent, from_ns, to_ns, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                gap.id,
                int(at),
                gap.agent,
                int(gap.from_ns),
                gap.to_ns.map(int),
                serde_json::to_string(gap)?,
            ])?;
        Ok(())
    }
}
