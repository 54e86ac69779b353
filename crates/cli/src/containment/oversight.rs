//! When lineages are stopped without a person: a finding that a rule names, or oversight that is lost. Off by default.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use muster_contain::Step;
use muster_engine::{AgentId, Code, Finding};

use super::Config;

/// Agents that a rule stopped: one job for each, not one for each finding.
const AGENTS_MAX: usize = 4096;

#[derive(Default)]
pub struct Oversight {
    /// Probes that went blind, and since when.
    blind: BTreeMap<String, Instant>,
    /// Agents whose account fell silent.
    silent: BTreeMap<AgentId, Instant>,
    stopped: BTreeSet<(AgentId, Step)>,
}

impl Oversight {
    /// What a finding asks for.
    pub fn finding(&mut self, config: &Config, finding: &Finding) -> Option<(Step, String)> {
        if config.deadman
            && matches!(finding.code, Code::AccountSilent | Code::AccountMissing)
            && self.silent.len() < AGENTS_MAX
        {
            self.silent.entry(finding.agent.clone()).or_insert_with(Instant::now);
        }
        let until = config.auto.iter().filter(|rule| rule.fits(finding)).map(|rule| rule.until).max()?;
        let is_new = self.stopped.len() < AGENTS_MAX && self.stopped.insert((finding.agent.clone(), until));
        is_new.then(|| (until, format!("the rule for {} ({})", finding.code.name(), finding.id)))
    }

    /// A probe went blind while it ran, or sees again.
    pub fn probe(&mut self, name: &str, error: Option<&str>) {
        match error {
            Some(_) => drop(self.blind.entry(name.to_owned()).or_insert_with(Instant::now)),
            None => drop(self.blind.remove(name)),
        }
    }

    /// Who is to be frozen now, of those that run, and why.
    pub fn lost(
        &mut self,
        config: &Config,
        running: impl Iterator<Item = AgentId>,
    ) -> Vec<(AgentId, String)> {
        if !config.deadman {
            return Vec::new();
        }
        let grace = Duration::from_secs(config.deadman_seconds);
        let blind = self.blind.iter().find(|(_, since)| since.elapsed() >= grace).map(|(probe, _)| probe);
        let mut lost = Vec::new();
        for agent in running {
            let why = match (blind, self.silent.get(&agent)) {
                (Some(probe), _) => format!("the dead-man rule: probe `{probe}` is blind"),
                (None, Some(since)) if since.elapsed() >= grace => {
                    "the dead-man rule: its account is silent".to_owned()
                }
                (None, _) => continue,
            };
            if self.stopped.len() < AGENTS_MAX && self.stopped.insert((agent.clone(), Step::Freeze)) {
                lost.push((agent, why));
            }
        }
        lost
    }

    pub fn is_quiet(&self) -> bool {
        self.blind.is_empty() && self.silent.is_empty()
    }

    /// It was let go by a person: it may be stopped again.
    pub fn forget(&mut self, agent: &str) {
        self.silent.remove(agent);
        self.stopped.retain(|(of, _)| of != agent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_man_waits_for_his_grace() {
        let config = |seconds| Config { deadman: true, deadman_seconds: seconds, ..Config::default() };
        let mut oversight = Oversight::default();
        let running = || ["a".to_owned()].into_iter();
        assert!(oversight.lost(&config(0), running()).is_empty());
        oversight.probe("sys_exit", Some("detached"));
        assert!(oversight.lost(&config(60), running()).is_empty());
        assert_eq!(oversight.lost(&config(0), running()).len(), 1);
        assert!(oversight.lost(&config(0), running()).is_empty(), "once");
        oversight.probe("sys_exit", None);
        oversight.forget("a");
        assert!(oversight.lost(&config(0), running()).is_empty());
    }
}
