//! One mandate for every agent, without a signature: for tests of the gate (`watch --only-mandate`, hidden).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use muster_engine::AgentState;
use muster_mandate::{Binding, Chain, Link, Mandate};

use crate::exit::usage;
use crate::gate::Gate;

pub struct Rehearsed {
    id: String,
    mandate: Mandate,
    home: Option<String>,
    /// Whose chain is made, and for which product.
    given: HashMap<String, String>,
}

impl Rehearsed {
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mandate = Mandate::parse(&text).map_err(|error| usage(error.to_string()))?;
        let home = std::env::var("HOME").ok();
        Ok(Self { id: muster_mandate::id_of(text.as_bytes()), mandate, home, given: HashMap::new() })
    }

    pub fn give(&mut self, gate: &Gate, state: &AgentState) {
        if self.given.get(&state.agent) == Some(&state.product) {
            return;
        }
        self.given.insert(state.agent.clone(), state.product.clone());
        let link = Link {
            id: self.id.clone(),
            stands_for: self.id.clone(),
            mandate: self.mandate.clone(),
            policy: None,
        };
        let binding =
            Binding { product: state.product.clone(), home: self.home.clone(), ..Binding::default() };
        match Chain::new(vec![link], &binding) {
            Ok(chain) => gate.mandate(&state.agent, Some(Arc::new(chain))),
            Err(refused) => eprintln!("watch: the mandate does not hold for {}: {refused}", state.agent),
        }
    }
}
