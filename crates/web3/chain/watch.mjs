// `muster check watch` on a local chain with OpenZeppelin's Governor, Timelock and token. By hand:
//   cd SOMEWHERE && npm install @foundry-rs/anvil @openzeppelin/contracts@5.0.2 solc@0.8.28 ethers@6
//   NODE_PATH=… node watch.mjs /path/to/muster
// Honest proposals, attacks, a reorg and a restart; a line for each, and what was missed at the end.
import { createRequire } from "node:module";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import os from "node:os";

const require = createRequire(process.cwd() + "/");
const solc = require("solc");
const { ethers } = require("ethers");
const here = path.dirname(new URL(import.meta.url).pathname);
const muster = process.argv[2];
const port = 18545 + (process.pid % 1000);
const anvil = spawn("./node_modules/.bin/anvil", ["--port", String(port), "--silent"], { stdio: "ignore" });
const stop = () => anvil.kill();
process.on("exit", stop);

const input = {
  language: "Solidity",
  sources: { "Chain.sol": { content: fs.readFileSync(path.join(here, "Chain.sol"), "utf8") } },
  settings: { evmVersion: "paris", optimizer: { enabled: true, runs: 1 }, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
};
const read = (name) => ({ contents: fs.readFileSync(path.join("node_modules", name), "utf8") });
const out = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
const errors = (out.errors ?? []).filter((e) => e.severity === "error");
if (errors.length) throw new Error(errors[0].formattedMessage);
const artifact = (file, name) => out.contracts[file][name];

const provider = new ethers.JsonRpcProvider(`http://127.0.0.1:${port}`, undefined, { cacheTimeout: -1, staticNetwork: true });
for (let n = 0; n < 100; n++) {
  try { await provider.send("eth_blockNumber", []); break; } catch { await new Promise((r) => setTimeout(r, 200)); }
}
const accounts = await provider.send("eth_accounts", []);
const signer = (n) => provider.getSigner(accounts[n]);
const me = await signer(0);
const deploy = async (a, ...args) => {
  const c = await new ethers.ContractFactory(a.abi, a.evm.bytecode.object, me).deploy(...args);
  await c.waitForDeployment();
  return c;
};
const token = await deploy(artifact("Chain.sol", "Token"));
const lock = await deploy(artifact("@openzeppelin/contracts/governance/TimelockController.sol", "TimelockController"), 1, [], [ethers.ZeroAddress], accounts[0]);
const gov = await deploy(artifact("Chain.sol", "Gov"), await token.getAddress(), await lock.getAddress());
const governor = await gov.getAddress();
await (await lock.grantRole(ethers.id("PROPOSER_ROLE"), governor)).wait();
await (await token.delegate(accounts[0])).wait();
await provider.send("anvil_mine", ["0x5"]);

const T = await token.getAddress(), L = await lock.getAddress();
const call = (sig, ...args) => new ethers.Interface([`function ${sig}`]).encodeFunctionData(sig.split("(")[0], args);
const stranger = "0x2f5e3c8dbb1a4c7790d2a85b6fca3e90d1c77a41", named = "0x91c32893216de3ea0a55abb9851f581d4503d39b";
const twin = "0x91c3289300000000aaaaaaaaaaaaaaaaaaaad39b";
const role = (name) => ethers.id(name);
const keepers = Array.from({ length: 11 }, (_, n) => ethers.getAddress("0x" + ethers.id("keeper" + n).slice(26)));
const state = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "gov-chain-")), "state.json");
let from = await provider.getBlockNumber();

const watch = () => {
  const r = spawnSync(muster, ["check", "watch", "--rpc", `http://127.0.0.1:${port}`, "--governor", governor, "--state", state, "--from", String(from), "--once", "--json"], { encoding: "utf8" });
  if (r.status !== 0 && r.status !== 1) throw new Error(r.stderr);
  return r.stdout.split("\n").filter(Boolean).map((l) => JSON.parse(l));
};
let missed = 0;
const tell = (name, ok, answers) => {
  if (!ok) missed++;
  const a = answers.at(-1);
  console.log(`${ok ? "ok    " : "MISSED"} ${name}: ${a ? a.verdict + " " + a.reasons.filter((r) => r.verdict !== "info").map((r) => r.code).join(",") : "nothing"}`);
};
const propose = async (text, calls, by = 0) => {
  const c = gov.connect(await signer(by));
  await (await c.propose(calls.map((x) => x[0]), calls.map(() => 0), calls.map((x) => x[1]), text)).wait();
};
const scenario = async (name, text, calls, want, by) => {
  await propose(text, calls, by);
  const answers = watch();
  tell(name, answers.length === 1 && want(answers[0]), answers);
};
const high = (a) => a.verdict === "high", quiet = (a) => a.verdict === "info" || a.verdict === "notice";
const warned = (a) => a.verdict === "high" || a.verdict === "warning";

watch();
await scenario("honest payment", `Pay 5 T to the auditors at ${named}`, [[T, call("transfer(address,uint256)", named, 5n * 10n ** 18n)]], quiet);
await scenario("honest grant", `Grant CANCELLER_ROLE to the council ${named}`, [[L, call("grantRole(bytes32,address)", role("CANCELLER_ROLE"), named)]], quiet);
await scenario("honest quorum", "Lower the quorum from 4% to 3%", [[governor, call("updateQuorumNumerator(uint256)", 3)]], quiet);
const revokes = keepers.map((k) => [L, call("revokeRole(bytes32,address)", role("EXECUTOR_ROLE"), k)]);
revokes.splice(6, 0, [L, call("grantRole(bytes32,address)", role("PROPOSER_ROLE"), stranger)]);
await scenario("hidden grant among revokes", "Revoke old roles and cleanup, 12 calls", revokes, high);
await scenario("upgrade swap", `Upgrade the vault to the audited implementation ${named}`, [[T, call("upgradeTo(address)", stranger)]], high);
await scenario("look-alike payee", `Pay 6 T to the auditors at ${named}`, [[T, call("transfer(address,uint256)", twin, 6n * 10n ** 18n)]], high);
await scenario("parameter capture", "Support our community calls", [[L, call("updateDelay(uint256)", 0)], [governor, call("setVotingPeriod(uint32)", 1)]], high);
await scenario("bridge-wrapped drain", "Update the metadata of our documents", [[T, call("sendMessage(address,bytes,uint32)", named, call("transfer(address,uint256)", stranger, 9n * 10n ** 22n), 200000)]], high);
await scenario("unlimited approval", "Renew the brand guidelines", [[T, call("approve(address,uint256)", stranger, ethers.MaxUint256)]], high);
await scenario("mint", "Weekly report of the working group", [[T, call("mint(address,uint256)", stranger, 10n ** 27n)]], high);
await scenario("resubmission by a sibling", "Renewed brand guidelines, second reading", [[T, call("approve(address,uint256)", stranger, ethers.MaxUint256)]], (a) => high(a) && a.reasons.some((r) => r.code === "same-by-another"), 1);
for (let n = 0; n < 4; n++) await propose(`Treasury housekeeping, part ${n}`, [[ethers.ZeroAddress, "0x"]], 2);
watch();
await scenario("decoys", "Treasury housekeeping, part 9", [[T, call("transfer(address,uint256)", stranger, 10n ** 21n)]], warned, 2);

// The code at the payload is another when it is queued: a follower that was there at the proposal tells it. One process.
const payload = "0x00000000000000000000000000000000c0de0001";
await provider.send("anvil_setCode", [payload, "0x6001600155"]);
const live = spawn(muster, ["check", "watch", "--rpc", `http://127.0.0.1:${port}`, "--governor", governor, "--from", String((await provider.getBlockNumber()) + 1), "--every", "100", "--json"]);
let seen = "";
live.stdout.on("data", (d) => (seen += d));
await new Promise((r) => setTimeout(r, 1500));
const text = "Same logic as proposal 16, new list", args = [[payload], [0], [call("execute()")], text];
const start = Date.now();
await (await gov.propose(...args)).wait();
while (!seen && Date.now() - start < 20000) await new Promise((r) => setTimeout(r, 50));
console.log(`told of ${Date.now() - start} ms after it was sent`);
await provider.send("anvil_mine", ["0x2"]);
const id = await gov.getProposalId?.(...args.slice(0, 3), ethers.id(text)) ?? await gov.hashProposal(...args.slice(0, 3), ethers.id(text));
await (await gov.castVote(id, 1)).wait();
await provider.send("anvil_mine", ["0x6"]);
await provider.send("anvil_setCode", [payload, "0x33ff"]);
await (await gov.queue(...args.slice(0, 3), ethers.id(text))).wait();
for (let n = 0; n < 100 && !seen.includes("code-changed"); n++) await new Promise((r) => setTimeout(r, 100));
live.kill();
tell("metamorphic target", seen.includes("code-changed"), seen.split("\n").filter(Boolean).map((l) => JSON.parse(l)));
watch();

// A reorganisation: the proposal's block goes, and it comes again in another.
const before = await provider.send("evm_snapshot", []);
await propose("Text of a poll", [[T, call("transfer(address,uint256)", named, 1)]]);
const first = watch();
await provider.send("evm_revert", [before]);
await provider.send("anvil_mine", ["0x1"]);
await propose("Text of a poll", [[T, call("transfer(address,uint256)", named, 1)]]);
const second = watch();
const again = second.filter((a) => a.input === first[0]?.input);
tell("reorg", first.length === 1 && second.some((a) => a.reasons.some((r) => r.code === "taken-back")) && again.length === 2, second);
tell("restart repeats nothing", watch().length === 0, []);
console.log(missed ? `${missed} missed` : "none missed");
stop();
process.exit(missed ? 1 : 0);
