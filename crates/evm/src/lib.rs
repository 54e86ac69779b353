//! Runs a proposal's calls on a state that is given, and tells the effects that really happened. Offline: what the state
//! does not hold is empty, and said to be missing. Bounded by gas alone, so that the same input gives the same answer.

#![forbid(unsafe_code)]

mod effects;
mod state;

use muster_web3::Party;
use muster_web3::alloy_primitives::{Address, U256};
use muster_web3::effect::Effect;
use muster_web3::proposal::Proposal;
use muster_web3::unwrap::Call;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::result::ExecutionResult;
use revm::database::CacheDB;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Bytes, TxKind};
use revm::{Context, InspectCommitEvm, MainBuilder, MainContext};

use effects::Watcher;
use state::{State, missing};

/// As a block of the main chain: a proposal that takes more can never be executed.
const GAS_CALL_MAX: u64 = 30_000_000;
/// Of all calls together: a second of the machine's time at worst.
const GAS_MAX: u64 = 60_000_000;
/// What is not in the state is named up to here.
const MISSING_MAX: usize = 10;

/// What running the calls gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub effects: Vec<Effect>,
    /// What failed, was missing or was cut short.
    pub problems: Vec<String>,
    pub gas: u64,
}

/// The proposal's calls, as its executor would make them; `None` where it comes without a state.
#[must_use]
pub fn simulate(proposal: &Proposal) -> Option<Run> {
    let json = proposal.context.state.as_ref()?;
    let state = match State::read(json) {
        Ok(state) => state,
        Err(problem) => return Some(Run { problems: vec![problem], ..Run::default() }),
    };
    let executor = proposal.context.executor.as_ref().and_then(Party::address);
    let mut run = run(
        state,
        executor.unwrap_or(Address::repeat_byte(0xee)),
        &proposal.calls,
        proposal.context.fork.as_deref(),
    );
    if executor.is_none() {
        run.problems
            .push("no `executor` is given: the calls were made by an account without rights".to_owned());
    }
    Some(run)
}

fn run(state: State, executor: Address, calls: &[Call], fork: Option<&str>) -> Run {
    let fork = fork_of(fork);
    let mut cfg = CfgEnv::new_with_spec(fork);
    cfg.disable_nonce_check = true;
    cfg.disable_balance_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_base_fee = true;
    cfg.disable_block_gas_limit = true;
    cfg.tx_gas_limit_cap = Some(GAS_CALL_MAX);
    cfg.tx_chain_id_check = false;
    let block = BlockEnv { timestamp: state.time, number: state.block, ..BlockEnv::default() };
    let mut run = Run::default();
    let mut left = GAS_MAX;
    let slots = state.slots();
    let mut evm = Context::mainnet()
        .with_db(CacheDB::new(state))
        .with_cfg(cfg)
        .with_block(block)
        .build_mainnet_with_inspector(Watcher::new(executor));
    for (at, call) in calls.iter().enumerate() {
        let path = format!("run of call {}", at + 1);
        if left == 0 {
            run.problems.push(format!("{path}: no gas was left for it and what follows"));
            break;
        }
        let Some(to) = call.to.address() else {
            run.problems.push(format!("{path}: `{}` is no address of this chain", call.to));
            continue;
        };
        let data = match data_of(call) {
            Ok(data) => data,
            Err(problem) => {
                run.problems.push(format!("{path}: {problem}"));
                continue;
            }
        };
        // Code that runs in the executor's place: the executor stands in front of it as a minimal proxy.
        let (from, target) =
            if call.delegate { (Address::repeat_byte(0xee), executor) } else { (executor, to) };
        if call.delegate {
            state::put_proxy(&mut evm.ctx.journaled_state.database, executor, to);
        }
        let gas_limit = left.min(GAS_CALL_MAX);
        let tx = TxEnv {
            caller: from,
            gas_limit,
            gas_price: 0,
            kind: TxKind::Call(target),
            value: call.value,
            data: Bytes::from(data),
            chain_id: None,
            ..TxEnv::default()
        };
        evm.inspector.begin(&path);
        match evm.inspect_tx_commit(tx) {
            Ok(result) => {
                let used = result.tx_gas_used();
                left = left.saturating_sub(used);
                run.gas += used;
                match &result {
                    ExecutionResult::Success { logs, .. } => {
                        evm.inspector.logs(logs);
                        run.effects.append(&mut evm.inspector.take());
                    }
                    ExecutionResult::Revert { output, .. } => {
                        run.problems.push(format!("{path}: it reverts{}", reason(output)));
                        evm.inspector.drop_all();
                    }
                    ExecutionResult::Halt { reason, .. } => {
                        run.problems.push(format!("{path}: it halts ({reason:?})"));
                        evm.inspector.drop_all();
                    }
                }
            }
            Err(error) => {
                run.problems.push(format!("{path}: it cannot be run: {error}"));
                evm.inspector.drop_all();
            }
        }
    }
    let database = &evm.ctx.journaled_state.database;
    run.effects.extend(state::slot_effects(database, &slots));
    let gone = missing(database);
    if !gone.is_empty() {
        let names: Vec<String> = gone.iter().take(MISSING_MAX).map(Address::to_string).collect();
        run.problems.push(format!(
            "{} accounts are not in the state and were taken as empty: {}",
            gone.len(),
            names.join(", ")
        ));
    }
    run
}

fn data_of(call: &Call) -> Result<Vec<u8>, String> {
    if call.signature.is_empty() {
        return Ok(call.data.clone());
    }
    let function = muster_web3::abi::Function::parse(&call.signature).map_err(|error| error.to_string())?;
    Ok([&function.selector, call.data.as_slice()].concat())
}

/// `Error(string)`, as Solidity reverts.
fn reason(output: &[u8]) -> String {
    let Some(rest) = output.strip_prefix(&[0x08, 0xc3, 0x79, 0xa0]) else { return String::new() };
    let length = rest.get(32..64).and_then(U256::try_from_be_slice).and_then(|n| usize::try_from(n).ok());
    let text = length.and_then(|length| rest.get(64..64usize.checked_add(length.min(200))?));
    text.map(|text| format!(": {}", String::from_utf8_lossy(text))).unwrap_or_default()
}

fn fork_of(name: Option<&str>) -> SpecId {
    match name.map(str::to_lowercase).as_deref() {
        Some("london") => SpecId::LONDON,
        Some("paris" | "merge") => SpecId::MERGE,
        Some("shanghai") => SpecId::SHANGHAI,
        Some("cancun") => SpecId::CANCUN,
        Some("istanbul") => SpecId::ISTANBUL,
        Some("berlin") => SpecId::BERLIN,
        Some("osaka") => SpecId::OSAKA,
        _ => SpecId::PRAGUE,
    }
}

#[cfg(test)]
mod tests;
