//! A node, asked over JSON-RPC. What it answers is read by `muster_web3::chain`.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use muster_event::sanitize;
use serde_json::{Value as Json, json};

use crate::exit::usage;

/// Of one answer: a block's logs are a few MB.
const BODY_MAX: u64 = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Blocks of one question: most nodes take no more than a few thousand.
pub const BLOCKS_MAX: u64 = 2_000;

pub struct Node {
    agent: ureq::Agent,
    url: String,
    id: Cell<u64>,
}

impl Node {
    pub fn new(url: &str) -> Result<Self> {
        let is_tls = url.starts_with("https://");
        if !is_tls && !url.starts_with("http://") {
            return Err(usage(format!("`{url}` is no address of a node\nhint: http://127.0.0.1:8545")));
        }
        if is_tls && !cfg!(feature = "https") {
            return Err(usage(
                "this build of Muster has no TLS (feature `https`)\nhint: name an http:// node",
            ));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, url: url.to_owned(), id: Cell::new(0) })
    }

    pub fn ask(&self, method: &str, params: &Json) -> Result<Json> {
        self.id.set(self.id.get() + 1);
        let body =
            json!({"jsonrpc": "2.0", "id": self.id.get(), "method": method, "params": params}).to_string();
        let mut answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(body.as_bytes())
            .map_err(|error| anyhow!("the node: {error}"))?;
        let bytes = answer.body_mut().with_config().limit(BODY_MAX).read_to_vec()?;
        let json: Json = serde_json::from_slice(&bytes)
            .map_err(|_| anyhow!("the node answers `{method}` with no JSON"))?;
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            let text = error.get("message").and_then(Json::as_str).unwrap_or("no reason");
            bail!("the node refuses `{method}`: {}", sanitize(&text.chars().take(200).collect::<String>()));
        }
        Ok(json.get("result").cloned().unwrap_or(Json::Null))
    }

    pub fn head(&self) -> Result<u64> {
        number(&self.ask("eth_blockNumber", &json!([]))?)
            .ok_or_else(|| anyhow!("the node gives no block number"))
    }

    /// `None` where there is no such block (any more).
    pub fn hash(&self, block: u64) -> Result<Option<String>> {
        let found = self.ask("eth_getBlockByNumber", &json!([format!("0x{block:x}"), false]))?;
        Ok(found.get("hash").and_then(Json::as_str).map(str::to_owned))
    }

    pub fn logs(&self, governor: &str, from: u64, to: u64) -> Result<Vec<Json>> {
        let filter = json!([{"address": governor, "fromBlock": format!("0x{from:x}"), "toBlock": format!("0x{to:x}"),
            "topics": muster_web3::chain::topics()}]);
        Ok(self.ask("eth_getLogs", &filter)?.as_array().cloned().unwrap_or_default())
    }

    pub fn code(&self, address: &str) -> Result<String> {
        let code = self.ask("eth_getCode", &json!([address, "latest"]))?;
        Ok(code.as_str().unwrap_or("0x").to_owned())
    }

    pub fn nonce(&self, address: &str) -> Result<Option<u64>> {
        Ok(number(&self.ask("eth_getTransactionCount", &json!([address, "latest"]))?))
    }
}

pub fn number(json: &Json) -> Option<u64> {
    u64::from_str_radix(json.as_str()?.strip_prefix("0x")?, 16).ok()
}
