//! `muster hook tool`: run by a product before each tool call. It asks the gate, and says no whatever goes wrong: exit 2 is the
//! one answer that all products take for a no. It stands in the way of every call, so it is reached before the command line
//! is parsed in full.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use muster_mandate::{Action, GateWay};

use crate::gate::client::{Asking, lets_through};
use crate::gate::line::AskAll;
use crate::hooks::event::{INPUT_MAX, ToolEvent, parse};
use crate::hooks::{Product, resolve};

/// How long a person may take, as far as the hook goes: the gate's own limit is lower.
const WAIT_MS: u64 = 580_000;
const DENIED: u8 = 2;

/// Of the whole command line: `None`, unless it is exactly this hook's.
pub fn early(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next()?;
    if arguments.next()? != "hook" || arguments.next()? != "tool" {
        return None;
    }
    let mut data =
        std::env::var_os("MUSTER_DATA").map_or_else(|| PathBuf::from(crate::DATA_DEFAULT), PathBuf::from);
    let mut product = None;
    while let Some(option) = arguments.next() {
        match option.to_str()? {
            "--agent" => product = Some(arguments.next()?.into_string().ok()?),
            "--data" => data = PathBuf::from(arguments.next()?),
            _ => return None,
        }
    }
    let product = <Product as clap::ValueEnum>::from_str(&product?, false).ok()?;
    Some(run(product, &data))
}

pub fn run(product: Product, data: &Path) -> ExitCode {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().take(INPUT_MAX as u64 + 1).read_to_end(&mut input);
    let answer = match read {
        Ok(length) if length > INPUT_MAX => Err("the call is too long".to_owned()),
        Ok(_) => decide(product, data, &input),
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        // An agent is told no more.
        Ok(false) => {
            eprintln!("denied by policy");
            ExitCode::from(DENIED)
        }
        Err(error) => {
            let error = muster_event::sanitize(error.lines().next().unwrap_or_default());
            eprintln!("denied by policy: the gate cannot be asked ({error})");
            ExitCode::from(DENIED)
        }
    }
}

fn decide(product: Product, data: &Path, input: &[u8]) -> Result<bool, String> {
    let Some(event) = parse(product.name(), input)? else { return Ok(true) };
    let (decision, _) = Asking::connect(data)?.ask(question(product, event))?;
    Ok(lets_through(&decision))
}

/// What the gate is asked about a call.
fn question(product: Product, event: ToolEvent) -> AskAll {
    let home = std::env::var("HOME").ok();
    let found = muster_engine::actions(product.name(), &event.call, &event.cwd, home.as_deref());
    let mut actions: Vec<Action> = resolve::resolved(found, Path::new(&event.cwd));
    actions.dedup();
    AskAll {
        actions,
        tool: Some(event.tool),
        call: event.call_id,
        said: event.said,
        by: GateWay::Hook,
        wait_ms: WAIT_MS,
        process: None,
    }
}
