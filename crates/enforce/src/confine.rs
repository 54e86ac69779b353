//! What the agent's process does to itself before it becomes the agent: from then on, it and all that it starts can do no
//! more than this, whoever they say they are.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use muster_sensor::filter::{NEWEST, program};
use muster_sensor::hold::{Listener, filter_self};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use serde::{Deserialize, Serialize};

use crate::calls::{Needs, rules};
use crate::files::{Grant, Right};

/// What it is told by its supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    pub enforce: bool,
    pub files: bool,
    pub root: bool,
    /// Other processes may be signalled: the mandate says so.
    pub signals: bool,
    /// It may do what only root can: its capabilities stay.
    pub privileged: bool,
    pub grants: Vec<Grant>,
}

impl Orders {
    pub fn needs(&self) -> Needs {
        Needs { enforce: self.enforce, files: self.files, root: self.root }
    }
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Confined {
    /// Why files are not confined; `None`: they are, or need not be.
    pub without_landlock: Option<String>,
}

/// Root without these can still own and read what the mandate lets it, and nothing more.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Newest rights that are known here; an older kernel takes what it has.
const KNOWN: ABI = ABI::V7;

pub fn confine(orders: &Orders) -> io::Result<(Listener, Confined)> {
    let mut confined = Confined::default();
    if orders.enforce {
        if orders.root && !orders.privileged {
            give_up_capabilities()?;
        }
        set_no_new_privs(true)?;
        if let Err(error) = landlock(orders) {
            confined.without_landlock = Some(error);
        }
    } else if !orders.root {
        // The kernel lets nobody else be filtered.
        set_no_new_privs(true)?;
    }
    let program =
        program(&rules(orders.needs()), NEWEST).ok_or_else(|| io::Error::other("the filter is too long"))?;
    Ok((filter_self(&program)?, confined))
}

fn give_up_capabilities() -> io::Result<()> {
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if !KEPT.contains(one) && remove_capability_from_bounding_set(one).is_err() {
            // Beyond the last that this kernel has.
            break;
        }
    }
    let now = capabilities(None)?;
    let kept = now.permitted & KEPT;
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

fn rights(right: Right, is_folder: bool) -> BitFlags<AccessFs> {
    let all = match right {
        Right::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Right::List => AccessFs::ReadDir.into(),
        // The kernel reads what it executes.
        Right::Execute => AccessFs::Execute | AccessFs::ReadFile,
        Right::Write => {
            let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
            AccessFs::from_write(KNOWN) & !devices
        }
    };
    if is_folder { all } else { all & AccessFs::from_file(KNOWN) }
}

fn landlock(orders: &Orders) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .map_err(|e| text(&e))?
        // It connects nothing by itself: its hand does, to where it was decided.
        .handle_access(AccessNet::ConnectTcp)
        .map_err(|e| text(&e))?
        .scope(Scope::AbstractUnixSocket)
        .map_err(|e| text(&e))?;
    if !orders.signals {
        ruleset = ruleset.scope(Scope::Signal).map_err(|e| text(&e))?;
    }
    let mut created = ruleset.create().map_err(|e| text(&e))?;
    for grant in &orders.grants {
        created = add(created, &grant.path, grant.right)?;
    }
    let status = created.restrict_self().map_err(|e| text(&e))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_owned()),
    }
}

fn add(
    created: landlock::RulesetCreated,
    path: &Path,
    right: Right,
) -> Result<landlock::RulesetCreated, String> {
    // Gone since it was planned: nothing to grant.
    let Ok(file) = PathFd::new(path) else { return Ok(created) };
    let rights = rights(right, path.is_dir());
    created.add_rule(PathBeneath::new(file, rights)).map_err(|error| error.to_string())
}
