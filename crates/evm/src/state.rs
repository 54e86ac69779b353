//! The state that calls run on: Geth's `prestateTracer`, an object of accounts by address.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use muster_web3::alloy_primitives::{Address, B256, U256, address, b256};
use muster_web3::effect::{Act, Effect, Power, Seen};
use muster_web3::{Party, abi};
use revm::bytecode::Bytecode;
use revm::database::CacheDB;
use revm::database_interface::DatabaseRef;
use revm::primitives::Bytes;
use revm::state::AccountInfo;
use serde_json::Value as Json;

/// More accounts and slots than a block touches.
const ACCOUNTS_MAX: usize = 50_000;
const SLOTS_MAX: usize = 1_000_000;

const IMPLEMENTATION: B256 = b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
const ADMIN: B256 = b256!("b53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103");
const BEACON: B256 = b256!("a3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50");

#[derive(Debug, Default)]
pub struct State {
    accounts: BTreeMap<Address, (AccountInfo, BTreeMap<U256, U256>)>,
    pub time: U256,
    pub block: U256,
    missing: RefCell<BTreeSet<Address>>,
}

impl State {
    pub fn read(json: &Json) -> Result<Self, String> {
        let object = json.get("pre").or_else(|| json.get("accounts")).unwrap_or(json);
        let object = object.as_object().ok_or("the state is no object of accounts")?;
        let mut state =
            Self { time: U256::from(1_900_000_000u64), block: U256::from(30_000_000u64), ..Self::default() };
        for (name, target) in [("timestamp", &mut state.time), ("number", &mut state.block)] {
            if let Some(value) = json.get("block").and_then(|block| block.get(name)).and_then(number) {
                *target = value;
            }
        }
        let mut slots = 0;
        for (name, about) in object {
            let Ok(address) = name.parse::<Address>() else { continue };
            if state.accounts.len() >= ACCOUNTS_MAX {
                return Err(format!("the state has more than {ACCOUNTS_MAX} accounts"));
            }
            let code = about.get("code").and_then(Json::as_str).unwrap_or("0x");
            let code = abi::hex(code).ok_or_else(|| format!("the code of `{name}` is not hexadecimal"))?;
            let code = Bytecode::new_raw_checked(Bytes::from(code))
                .map_err(|error| format!("the code of `{name}`: {error}"))?;
            let info = AccountInfo {
                balance: about.get("balance").and_then(number).unwrap_or_default(),
                nonce: about
                    .get("nonce")
                    .and_then(number)
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or_default(),
                code_hash: code.hash_slow(),
                code: Some(code),
                ..AccountInfo::default()
            };
            let mut storage = BTreeMap::new();
            for (slot, value) in about.get("storage").and_then(Json::as_object).into_iter().flatten() {
                slots += 1;
                if slots > SLOTS_MAX {
                    return Err(format!("the state has more than {SLOTS_MAX} slots"));
                }
                if let (Some(slot), Some(value)) = (text_number(slot), number(value)) {
                    storage.insert(slot, value);
                }
            }
            state.accounts.insert(address, (info, storage));
        }
        Ok(state)
    }

    /// What the slots of proxies held before.
    pub fn slots(&self) -> BTreeMap<Address, [U256; 3]> {
        let of = |storage: &BTreeMap<U256, U256>| {
            [IMPLEMENTATION, ADMIN, BEACON].map(|slot| storage.get(&slot.into()).copied().unwrap_or_default())
        };
        self.accounts.iter().map(|(address, (_, storage))| (*address, of(storage))).collect()
    }
}

fn number(json: &Json) -> Option<U256> {
    match json {
        Json::Number(number) => number.as_u64().map(U256::from),
        Json::String(text) => text_number(text),
        _ => None,
    }
}

fn text_number(text: &str) -> Option<U256> {
    match text.strip_prefix("0x") {
        Some("") => Some(U256::ZERO),
        Some(digits) => U256::from_str_radix(digits, 16).ok(),
        None => U256::from_str_radix(text, 10).ok(),
    }
}

impl DatabaseRef for State {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        let found = self.accounts.get(&address).map(|(info, _)| info.clone());
        // Precompiles, the coinbase and the accounts that stand in for callers are no one's state.
        let ours = address == Address::repeat_byte(0xee)
            || address < address!("0000000000000000000000000000000000001000");
        if found.is_none() && !ours {
            self.missing.borrow_mut().insert(address);
        }
        Ok(found)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        let code = self
            .accounts
            .values()
            .find(|(info, _)| info.code_hash == hash)
            .and_then(|(info, _)| info.code.clone());
        Ok(code.unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self
            .accounts
            .get(&address)
            .and_then(|(_, storage)| storage.get(&slot))
            .copied()
            .unwrap_or_default())
    }

    fn block_hash_ref(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

/// What was asked for and is not in the state.
pub fn missing(database: &CacheDB<State>) -> BTreeSet<Address> {
    database.db.missing.borrow().clone()
}

/// Lets the executor run another's code in its own place: EIP-1167's minimal proxy as its code.
pub fn put_proxy(database: &mut CacheDB<State>, executor: Address, to: Address) {
    let code = [
        &[0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73][..],
        to.as_slice(),
        &[0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3],
    ]
    .concat();
    let code = Bytecode::new_legacy(Bytes::from(code));
    let mut info = database.basic_ref(executor).ok().flatten().unwrap_or_default();
    info.code_hash = code.hash_slow();
    info.code = Some(code);
    database.insert_account_info(executor, info);
}

/// Proxies whose code, admin or beacon is another than before, also where no event says so.
pub fn slot_effects(database: &CacheDB<State>, before: &BTreeMap<Address, [U256; 3]>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut changed: Vec<(&Address, _)> = database.cache.accounts.iter().collect();
    changed.sort_by_key(|(address, _)| **address);
    for (address, account) in changed {
        for (at, slot) in [IMPLEMENTATION, ADMIN, BEACON].into_iter().enumerate() {
            let Some(now) = account.storage.get(&U256::from_be_bytes(slot.0)) else { continue };
            let old = before.get(address).and_then(|slots| slots.get(at)).copied().unwrap_or_default();
            if *now == old {
                continue;
            }
            let (act, what) = match at {
                0 => (Act::Upgrade, "implementation slot"),
                1 => (Act::Own, "admin slot"),
                _ => (Act::Upgrade, "beacon slot"),
            };
            effects.push(Effect {
                act,
                on: Party::from(*address),
                who: Some(Party::from(Address::from_word(B256::from(*now)))),
                what: what.to_owned(),
                amount: None,
                power: Power::Control,
                chain: None,
                path: "run".to_owned(),
                seen: Seen::Simulated,
            });
        }
    }
    effects
}
