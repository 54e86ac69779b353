//! Is one mandate a part of another? Sound: where that cannot be shown, it is not, and the reason says which line.

use crate::Mandate;
use crate::line::{Kind, Line, Pattern};

impl Mandate {
    /// What this mandate has that `parent` has not.
    ///
    /// Lines of the parent that refuse or ask, and its policies that forbid, need not stand in the part: every link of a
    /// chain is asked about every act.
    pub fn is_part_of(&self, parent: &Mandate) -> Result<(), String> {
        for (kind, lines) in &self.allow {
            for line in lines {
                if !covers(parent, *kind, &line.pattern) {
                    return Err(format!(
                        "`{}` (line {}): `{}` is within no single line of the parent's `scope.{}`",
                        line.rule,
                        line.number,
                        line.text,
                        kind.key()
                    ));
                }
            }
        }
        for (what, own, of_parent) in
            [("agent", &self.agents, &agents(parent)), ("host", &self.hosts, &parent.hosts)]
        {
            if let Some(word) = own.iter().find(|word| !of_parent.iter().any(|outer| outer.includes(word))) {
                let word = word.literal().unwrap_or("a pattern");
                return Err(match what {
                    "agent" => format!("`agent`: the parent's `scope.agents` does not hold `{word}`"),
                    _ => format!("`host`: the parent is not for `{word}`"),
                });
            }
        }
        if self.principal != parent.principal {
            return Err(format!("`principal`: the parent's is `{}`", parent.principal));
        }
        if self.expires_ns > parent.expires_ns {
            return Err("`expires`: later than the parent".to_owned());
        }
        if let Some(from) = parent.not_before_ns
            && self.not_before_ns.is_none_or(|own| own < from)
        {
            return Err("`not_before`: earlier than the parent".to_owned());
        }
        if self.delegation.depth >= parent.delegation.depth {
            return Err(match parent.delegation.depth {
                0 => "the parent's `delegation.depth` is 0: nothing may be handed on".to_owned(),
                depth => format!("`delegation.depth`: below {depth}, the parent's"),
            });
        }
        self.limits_within(parent)
    }

    fn limits_within(&self, parent: &Mandate) -> Result<(), String> {
        let (own, outer) = (&self.limits, &parent.limits);
        for (name, own, outer) in [
            ("limits.time", own.time_ns, outer.time_ns),
            ("limits.cpu", own.cpu_ns, outer.cpu_ns),
            ("limits.processes", own.processes, outer.processes),
            ("limits.sub_agents", own.sub_agents, outer.sub_agents),
            ("limits.calls", own.calls, outer.calls),
            ("limits.tokens", own.tokens, outer.tokens),
            ("limits.money", own.micro_usd, outer.micro_usd),
            ("oversight.silence", self.oversight.silence_ns, parent.oversight.silence_ns),
        ] {
            if let Some(outer) = outer
                && own.is_none_or(|own| own > outer)
            {
                return Err(format!("`{name}`: must be there, and no more than the parent's"));
            }
        }
        if parent.oversight.account && !self.oversight.account {
            return Err("`oversight.account`: the parent requires one".to_owned());
        }
        Ok(())
    }

    /// What else than its time, serial and what it renews is different.
    pub fn is_renewal_of(&self, old: &Mandate) -> Result<(), String> {
        let patterns = |lines: &crate::Lines| -> Vec<(Kind, Vec<Pattern>)> {
            let of = |lines: &Vec<Line>| lines.iter().map(|line| line.pattern.clone()).collect();
            lines.iter().map(|(kind, lines)| (*kind, of(lines))).collect()
        };
        for (name, same) in [
            ("principal", self.principal == old.principal),
            ("agent", self.agents == old.agents),
            ("task", self.task == old.task),
            ("host", self.hosts == old.hosts),
            ("single_use", self.single_use == old.single_use),
            ("parent", self.parent == old.parent),
            ("policy", self.policy == old.policy),
            ("scope", patterns(&self.allow) == patterns(&old.allow)),
            ("scope.deny", patterns(&self.deny) == patterns(&old.deny)),
            ("oversight.ask", patterns(&self.ask) == patterns(&old.ask)),
            ("limits", self.limits == old.limits),
            ("oversight", self.oversight == old.oversight),
            ("delegation", self.delegation == old.delegation),
        ] {
            if !same {
                return Err(format!("`{name}` is not what it was"));
            }
        }
        Ok(())
    }
}

fn covers(parent: &Mandate, kind: Kind, pattern: &Pattern) -> bool {
    // What may be written or executed may be read.
    let kinds: &[Kind] = if kind == Kind::Read {
        &[Kind::Read, Kind::Write, Kind::Execute]
    } else {
        std::slice::from_ref(&kind)
    };
    kinds
        .iter()
        .filter_map(|kind| parent.allow.get(kind))
        .flatten()
        .any(|line| line.pattern.includes(pattern))
}

fn agents(parent: &Mandate) -> Vec<crate::glob::Word> {
    let lines = parent.allow.get(&Kind::Agent).into_iter().flatten();
    lines
        .filter_map(|line| if let Pattern::Word(word) = &line.pattern { Some(word.clone()) } else { None })
        .collect()
}
