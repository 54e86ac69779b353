//! From calls to effects, through all that calls are wrapped in: timelocks, Safes, batches, bridges, new code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use alloy_primitives::U256;

use crate::abi::{self, Function, Kind, Value, to_hex};
use crate::effect::{Act, Effect, Power, Seen};
use crate::{Party, known};

/// More calls than the largest honest proposals have (ENS EP 6.23: some 700), wrapped ones included.
pub const CALLS_MAX: usize = 10_000;
/// How deep calls may be in calls. Honest ones: timelock, bridge, executor, Safe, multiSend, Safe.
pub const NESTING_MAX: usize = 12;
/// Of all calls' data together, each as often as it is pointed to.
pub const BYTES_MAX: usize = 64 << 20;
/// Words that are looked through in a call that nobody knows.
const WORDS_MAX: usize = 4_096;

/// One call of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub to: Party,
    pub value: U256,
    /// With the selector, unless there is a signature.
    pub data: Vec<u8>,
    /// As Governor Bravo keeps it apart.
    pub signature: String,
    pub delegate: bool,
    pub chain: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unwrapped {
    pub effects: Vec<Effect>,
    /// Contracts that are called, also as part of another call.
    pub targets: BTreeSet<Party>,
    /// All calls, wrapped ones included.
    pub calls: usize,
    /// Selectors of which nothing is known, with their number.
    pub unknown: BTreeMap<String, usize>,
    /// What could not be read to its end, and why.
    pub problems: Vec<String>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Many,
    Tuples,
    Own,
    Packed,
    Cut,
    Code,
    Message,
}

struct Wrapper {
    function: Function,
    form: Form,
    places: BTreeMap<&'static str, usize>,
    bridge: Option<&'static str>,
    delegate: bool,
}

static WRAPPERS: LazyLock<BTreeMap<[u8; 4], Wrapper>> = LazyLock::new(|| {
    let lines = include_str!("../data/wrappers.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(wrapper).map(|wrapper| (wrapper.function.selector, wrapper)).collect()
});

/// In what a message to another chain may be encoded.
static MESSAGES: LazyLock<Vec<(Vec<Kind>, [Option<usize>; 4])>> = LazyLock::new(|| {
    // Places: targets, values, signatures, data.
    [
        ("f((address[],uint256[],bytes[],bytes32))", [Some(0), Some(1), None, Some(2)]),
        ("f(address[],uint256[],bytes[],bytes32)", [Some(0), Some(1), None, Some(2)]),
        ("f(address[],uint256[],bytes[])", [Some(0), Some(1), None, Some(2)]),
        ("f(address[],uint256[],string[],bytes[],bool[])", [Some(0), Some(1), Some(2), Some(3)]),
        ("f(address[],uint256[],string[],bytes[])", [Some(0), Some(1), Some(2), Some(3)]),
        ("f(bytes,uint256)", [None; 4]),
    ]
    .into_iter()
    .filter_map(|(signature, places)| Some((Function::parse(signature).ok()?.inputs, places)))
    .collect()
});

/// All calls of a proposal.
#[must_use]
pub fn unwrap(calls: &[Call]) -> Unwrapped {
    let mut found = Unwrapped::default();
    for (at, call) in calls.iter().enumerate() {
        let place = Place { path: format!("call {}", at + 1), depth: 0, chain: call.chain.clone() };
        let data;
        let bytes: &[u8] = if call.signature.is_empty() {
            &call.data
        } else {
            data = with_selector(&call.signature, &call.data, &mut found);
            &data
        };
        let signature = (!call.signature.is_empty()).then_some(call.signature.as_str());
        found.call(&call.to, call.value, bytes, call.delegate, signature, &place);
    }
    found
}

#[derive(Clone)]
struct Place {
    path: String,
    depth: usize,
    chain: Option<String>,
}

impl Place {
    fn inner(&self, name: &str, at: Option<usize>) -> Self {
        let at = at.map(|at| format!(" > call {}", at + 1)).unwrap_or_default();
        Self { path: format!("{} > {name}{at}", self.path), depth: self.depth + 1, chain: self.chain.clone() }
    }
}

impl Unwrapped {
    fn problem(&mut self, text: String) {
        // A few are enough to say that not all was read.
        if self.problems.len() < 20 && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn push(&mut self, mut effect: Effect, place: &Place) {
        effect.chain = place.chain.clone();
        self.effects.push(effect);
    }

    fn call(
        &mut self,
        to: &Party,
        value: U256,
        data: &[u8],
        delegate: bool,
        signature: Option<&str>,
        place: &Place,
    ) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.calls >= CALLS_MAX || self.bytes > BYTES_MAX {
            self.problem(format!("only the first {} calls were read", self.calls));
            return;
        }
        if place.depth > NESTING_MAX {
            self.problem(format!("calls are nested deeper than {NESTING_MAX}"));
            return;
        }
        self.calls += 1;
        self.targets.insert(to.clone());
        let effect = |act, power, what: &str, amount| Effect {
            act,
            on: to.clone(),
            who: None,
            what: what.to_owned(),
            amount,
            power,
            chain: None,
            path: place.path.clone(),
            seen: Seen::Decoded,
        };
        if delegate {
            self.push(
                Effect { who: Some(to.clone()), ..effect(Act::Delegatecall, Power::Lesser, "", None) },
                place,
            );
        }
        let selector = data.first_chunk::<4>().copied();
        let wrapper = selector.and_then(|selector| WRAPPERS.get(&selector));
        let pays = !value.is_zero() && wrapper.is_none();
        if pays {
            let coin = Effect {
                on: Party::coin(),
                who: Some(to.clone()),
                ..effect(Act::Move, Power::Value, "coin", Some(value))
            };
            self.push(coin, place);
        }
        let Some(selector) = selector else {
            if data.is_empty() {
                if !pays && !delegate {
                    self.push(effect(Act::Call, Power::None, "an empty call", None), place);
                }
            } else {
                self.problem(format!("{}: {} bytes are no call", place.path, data.len()));
            }
            return;
        };
        let arguments = data.get(4..).unwrap_or_default();
        if let Some(wrapper) = wrapper {
            match wrapper.function.decode(arguments) {
                Ok(values) => return self.wrapped(wrapper, &values, to, place),
                Err(error) => {
                    self.problem(format!("{}: `{}`: {error}", place.path, wrapper.function.name));
                    return self.inside(to, arguments, &wrapper.function.name, place);
                }
            }
        }
        if let Some(known) = known::find(selector) {
            match known.function.decode(arguments) {
                Ok(values) => {
                    if let Some(effect) = known.effect(&values, to, &place.path) {
                        self.push(effect, place);
                    }
                }
                Err(error) => self.problem(format!("{}: `{}`: {error}", place.path, known.function.name)),
            }
            return;
        }
        let told = signature.and_then(|signature| Function::parse(signature).ok());
        if let Some(function) = told
            && let Ok(values) = function.decode(arguments)
        {
            let by_name = known::by_name(&function, &values, to, &place.path);
            self.push(by_name.unwrap_or_else(|| effect(Act::Call, Power::None, &function.name, None)), place);
            return;
        }
        let name = to_hex(&selector);
        *self.unknown.entry(name.clone()).or_insert(0) += 1;
        self.push(effect(Act::Call, Power::None, &name, None), place);
        self.inside(to, arguments, &name, place);
    }

    fn wrapped(&mut self, wrapper: &Wrapper, values: &[Value], to: &Party, place: &Place) {
        let name = wrapper.function.name.as_str();
        let at = |key: &str| wrapper.places.get(key).and_then(|at| values.get(*at));
        let mut place = place.clone();
        if let Some(bridge) = wrapper.bridge {
            let effect = Effect {
                act: Act::Bridge,
                on: to.clone(),
                who: None,
                what: bridge.to_owned(),
                amount: None,
                power: Power::None,
                chain: None,
                path: place.path.clone(),
                seen: Seen::Decoded,
            };
            self.push(effect, &place);
            place.chain = Some(bridge.to_owned());
        }
        match wrapper.form {
            Form::One => {
                let operation = at("op").and_then(Value::number).is_some_and(|op| !op.is_zero());
                let target = at("to").and_then(Value::address).map_or_else(|| to.clone(), Party::from);
                let value = at("value").and_then(Value::number).unwrap_or_default();
                let data = at("data").and_then(Value::bytes).unwrap_or_default();
                let signature = at("sig").and_then(Value::bytes);
                let inner = place.inner(name, None);
                self.signed(&target, value, data, operation || wrapper.delegate, signature, &inner);
            }
            Form::Many => {
                let list = |key: &str| at(key).map(Value::list).unwrap_or_default();
                self.many([list("to"), list("value"), list("sig"), list("data")], to, name, &place);
            }
            Form::Tuples => {
                let places = &wrapper.places;
                for (number, tuple) in at("list").map(Value::list).unwrap_or_default().iter().enumerate() {
                    let part = |key: &str| places.get(key).and_then(|at| tuple.list().get(*at));
                    let target = part("to").and_then(Value::address).map_or_else(|| to.clone(), Party::from);
                    let value = part("value").and_then(Value::number).unwrap_or_default();
                    let data = part("data").and_then(Value::bytes).unwrap_or_default();
                    self.call(&target, value, data, false, None, &place.inner(name, Some(number)));
                }
            }
            Form::Own => {
                for (number, data) in at("list").map(Value::list).unwrap_or_default().iter().enumerate() {
                    let data = data.bytes().unwrap_or_default();
                    self.call(to, U256::ZERO, data, false, None, &place.inner(name, Some(number)));
                }
            }
            Form::Packed => self.packed(at("data").and_then(Value::bytes).unwrap_or_default(), name, &place),
            Form::Cut => self.cut(values, to, &place),
            Form::Code => {
                let code = at("who").and_then(Value::address).map(Party::from);
                let proxy = at("on").and_then(Value::address).map_or_else(|| to.clone(), Party::from);
                let effect = Effect {
                    act: Act::Upgrade,
                    on: proxy.clone(),
                    who: code,
                    what: name.to_owned(),
                    amount: None,
                    power: Power::Control,
                    chain: None,
                    path: place.path.clone(),
                    seen: Seen::Decoded,
                };
                self.push(effect, &place);
                let data = at("data").and_then(Value::bytes).unwrap_or_default();
                if !data.is_empty() {
                    self.call(&proxy, U256::ZERO, data, false, None, &place.inner(name, None));
                }
            }
            Form::Message => {
                let target = at("to").and_then(Value::address).map_or_else(|| to.clone(), Party::from);
                let mut parts = Vec::new();
                if let Some(value) = at("data") {
                    byte_strings(value, &mut parts);
                    // A tuple of lists is a batch as it stands.
                    if let [targets, amounts, data, ..] = value.list()
                        && targets.list().iter().all(|value| value.address().is_some())
                        && data.list().iter().all(|value| value.bytes().is_some())
                        && !targets.list().is_empty()
                    {
                        self.many([targets.list(), amounts.list(), &[], data.list()], to, name, &place);
                        return;
                    }
                }
                for part in parts {
                    self.message(&target, part, &place.inner(name, None));
                }
            }
        }
    }

    fn many(
        &mut self,
        [to, values, signatures, data]: [&[Value]; 4],
        own: &Party,
        name: &str,
        place: &Place,
    ) {
        if to.len() != data.len() {
            self.problem(format!("{}: {} targets and {} calls", place.path, to.len(), data.len()));
        }
        for (number, target) in to.iter().enumerate() {
            let target = target.address().map_or_else(|| own.clone(), Party::from);
            let value = values.get(number).and_then(Value::number).unwrap_or_default();
            let signature = signatures.get(number).and_then(Value::bytes);
            let data = data.get(number).and_then(Value::bytes).unwrap_or_default();
            self.signed(&target, value, data, false, signature, &place.inner(name, Some(number)));
        }
    }

    fn signed(
        &mut self,
        to: &Party,
        value: U256,
        data: &[u8],
        delegate: bool,
        signature: Option<&[u8]>,
        place: &Place,
    ) {
        match signature.map(String::from_utf8_lossy).filter(|signature| !signature.is_empty()) {
            None => self.call(to, value, data, delegate, None, place),
            Some(signature) => {
                let data = with_selector(&signature, data, self);
                self.call(to, value, &data, delegate, Some(&signature), place);
            }
        }
    }

    /// Operation, target, value, length, data; one after the other.
    fn packed(&mut self, mut data: &[u8], name: &str, place: &Place) {
        let mut number = 0;
        while !data.is_empty() {
            let Some((head, rest)) = data.split_at_checked(85) else {
                self.problem(format!("{}: `{name}` ends within a call", place.path));
                return;
            };
            let word =
                |from: usize| head.get(from..from + 32).and_then(U256::try_from_be_slice).unwrap_or_default();
            let target =
                head.get(1..21).map(|bytes| Party::from(alloy_primitives::Address::from_slice(bytes)));
            let length = usize::try_from(word(53)).unwrap_or(usize::MAX);
            let (Some(target), Some((call, rest))) = (target, rest.split_at_checked(length)) else {
                self.problem(format!("{}: `{name}` has a call of {length} bytes", place.path));
                return;
            };
            let delegate = head.first() == Some(&1);
            self.call(&target, word(21), call, delegate, None, &place.inner(name, Some(number)));
            number += 1;
            data = rest;
            if self.calls >= CALLS_MAX {
                self.problem(format!("only the first {} calls were read", self.calls));
                return;
            }
        }
    }

    fn cut(&mut self, values: &[Value], to: &Party, place: &Place) {
        let mut upgrade = |who: Option<Party>, what: &str| {
            let effect = Effect {
                act: Act::Upgrade,
                on: to.clone(),
                who,
                what: what.to_owned(),
                amount: None,
                power: Power::Control,
                chain: None,
                path: place.path.clone(),
                seen: Seen::Decoded,
            };
            self.push(effect, place);
        };
        for facet in values.first().map(Value::list).unwrap_or_default() {
            let address = facet.list().first().and_then(Value::address).map(Party::from);
            let action = facet.list().get(1).and_then(Value::number).unwrap_or_default();
            let action = match action.try_into().unwrap_or(u8::MAX) {
                0 => "facet added",
                1 => "facet replaced",
                _ => "facet removed",
            };
            upgrade(address.filter(|address| !address.is_zero()), action);
        }
        let init =
            values.get(1).and_then(Value::address).filter(|address| !address.is_zero()).map(Party::from);
        let data = values.get(2).and_then(Value::bytes).unwrap_or_default();
        if let Some(init) = init {
            self.call(&init, U256::ZERO, data, true, None, &place.inner("diamondCut", None));
        }
    }

    fn message(&mut self, to: &Party, data: &[u8], place: &Place) {
        for (kinds, places) in MESSAGES.iter() {
            let Ok(values) = abi::decode(kinds, data) else { continue };
            let values = match values.as_slice() {
                [Value::List(inner)] if kinds.len() == 1 => inner.as_slice(),
                values => values,
            };
            let list =
                |at: Option<usize>| at.and_then(|at| values.get(at)).map(Value::list).unwrap_or_default();
            let [targets, amounts, signatures, calls] = places.map(list);
            if !targets.is_empty() && targets.len() == calls.len() {
                self.many([targets, amounts, signatures, calls], to, "message", place);
                return;
            }
            if let [Value::Bytes(inner), Value::Number(_)] = values
                && inner.len() < data.len()
                && place.depth < NESTING_MAX
            {
                return self.message(to, inner, &place.inner("message", None));
            }
        }
        if data.first_chunk::<4>().is_some_and(|s| known::find(*s).is_some() || WRAPPERS.contains_key(s)) {
            self.call(to, U256::ZERO, data, false, None, place);
        } else {
            self.inside(to, data, "message", place);
        }
    }

    /// Calls that are in a call that nobody knows: a length, and what begins with a selector whose arguments can be read.
    fn inside(&mut self, to: &Party, data: &[u8], name: &str, place: &Place) {
        let mut at = 0usize;
        let mut number = 0;
        let mut last = to.clone();
        for _ in 0..WORDS_MAX {
            let Some(word) = data.get(at..at + 32) else { return };
            let after = data.get(at + 32..).unwrap_or_default();
            let (high, low) = word.split_at(24);
            if high.iter().all(|byte| *byte == 0) {
                let length = low.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
                let call = (length >= 4 && length % 32 == 4).then(|| after.get(..length)).flatten();
                if let Some(call) = call
                    && readable(call)
                {
                    let inner = place.inner(&format!("inside {name}"), Some(number));
                    self.call(&last, U256::ZERO, call, false, None, &inner);
                    number += 1;
                    at += 32 + length.next_multiple_of(32);
                    continue;
                }
            } else if word.get(..12).is_some_and(|front| front.iter().all(|byte| *byte == 0))
                && let Some(address) = word.get(12..)
            {
                last = Party::from(alloy_primitives::Address::from_slice(address));
            }
            at += 32;
        }
    }
}

fn readable(call: &[u8]) -> bool {
    let Some((selector, arguments)) = call.split_first_chunk::<4>() else { return false };
    let function = WRAPPERS.get(selector).map(|wrapper| &wrapper.function);
    let function = function.or_else(|| known::find(*selector).map(|known| &known.function));
    function.is_some_and(|function| function.decode(arguments).is_ok())
}

fn byte_strings<'a>(value: &Value<'a>, into: &mut Vec<&'a [u8]>) {
    match value {
        Value::Bytes(bytes) if !bytes.is_empty() => into.push(bytes),
        Value::List(values) => values.iter().for_each(|value| byte_strings(value, into)),
        _ => {}
    }
}

fn with_selector(signature: &str, arguments: &[u8], found: &mut Unwrapped) -> Vec<u8> {
    match Function::parse(signature) {
        Ok(function) => [&function.selector, arguments].concat(),
        Err(error) => {
            found.problem(error.to_string());
            arguments.to_vec()
        }
    }
}

fn wrapper(line: &'static str) -> Option<Wrapper> {
    let (signature, rest) = line.split_once(" = ")?;
    let mut words = rest.split(' ');
    let form = match words.next()? {
        "one" => Form::One,
        "many" => Form::Many,
        "tuples" => Form::Tuples,
        "self" => Form::Own,
        "packed" => Form::Packed,
        "cut" => Form::Cut,
        "code" => Form::Code,
        "message" => Form::Message,
        _ => return None,
    };
    let function = Function::parse(signature).ok()?;
    let mut wrapper = Wrapper { function, form, places: BTreeMap::new(), bridge: None, delegate: false };
    for word in words {
        match word.split_once('=') {
            None if word == "delegate" => wrapper.delegate = true,
            Some(("bridge", name)) => wrapper.bridge = Some(name),
            Some((key, at)) => {
                wrapper.places.insert(key, at.parse().ok()?);
            }
            None => return None,
        }
    }
    Some(wrapper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_to_its_words() {
        for line in include_str!("../data/wrappers.txt").lines() {
            assert!(line.is_empty() || line.starts_with('#') || wrapper(line).is_some(), "{line}");
        }
    }
}
