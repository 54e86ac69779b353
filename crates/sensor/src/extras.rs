//! Probes that not every kernel lets in, and that no coverage rests on: acts of anybody against Muster itself.
//!
//! `lsm` programs. Without them, Muster sees such acts of the lineages that it follows, and of nobody else.

use aya::maps::Array;
use aya::programs::Program;
use aya::{Btf, Ebpf};
use muster_event::ProbeState;

use crate::SensorError;
use crate::probes::{borrow, chain, map_error};

/// Program, the kernel's hook, what it sees.
const EXTRAS: &[(&str, &str, &str)] = &[
    ("task_kill", "task_kill", "signals that any process sends to Muster"),
    ("ptrace_access_check", "ptrace_access_check", "any process that reaches into Muster's memory"),
    ("bpf_call", "bpf", "any process that takes hold of others' probes"),
];
const MODULES: &str = "/sys/kernel/security/lsm";

/// Says who Muster is, loads and attaches what the kernel takes. An error here is a reason, not a failure.
pub(crate) fn attach(ebpf: &mut Ebpf, btf: &Btf) -> Result<Vec<ProbeState>, SensorError> {
    let mut daemon: Array<_, u32> = Array::try_from(borrow(ebpf, "daemon")?).map_err(map_error)?;
    daemon.set(0, std::process::id(), 0).map_err(map_error)?;
    let modules = std::fs::read_to_string(MODULES).ok();
    let state = |(program, hook, _): &(&str, &str, _)| ProbeState {
        probe: (*program).to_owned(),
        error: attach_one(ebpf, btf, program, hook, modules.as_deref()).err(),
    };
    Ok(EXTRAS.iter().map(state).collect())
}

fn attach_one(
    ebpf: &mut Ebpf,
    btf: &Btf,
    program: &str,
    hook: &str,
    modules: Option<&str>,
) -> Result<(), String> {
    let Some(Program::Lsm(program)) = ebpf.program_mut(program) else {
        return Err("the object file has no such program".to_owned());
    };
    program.load(hook, btf).map_err(|e| chain(&e))?;
    // It would load and attach all the same, and never be asked.
    if modules.is_some_and(|list| !list.trim().split(',').any(|it| it == "bpf")) {
        return Err(
            "`bpf` is not among the active security modules (lsm= on the kernel's command line)".to_owned()
        );
    }
    program.attach().map(drop).map_err(|e| chain(&e))
}

pub(crate) fn purpose(probe: &str) -> Option<&'static str> {
    EXTRAS.iter().find(|(name, ..)| *name == probe).map(|(.., purpose)| *purpose)
}
