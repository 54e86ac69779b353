// Keeps the page true (the server tells what changed, the page asks for it whole), moves through time, and sends what an
// operator does. Whatever comes from the server as data is put in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const tables = byId("tables");

// --- live -----------------------------------------------------------------------------------------------------------
const PAUSE_MS = tables ? 300 : 1500;
let wanted = false;
let busy = false;

function state(text, on) {
  const live = byId("live");
  if (!live) return;
  live.textContent = text;
  live.classList.toggle("on", on);
}

async function refresh() {
  if (busy || byId("ask")?.open) { wanted = true; return; }
  busy = true;
  try {
    if (tables) {
      const answer = await fetch(tables.dataset.src, { credentials: "same-origin" });
      if (answer.ok) replace(tables, await answer.text());
    } else if (byId("stretch") && !moved && !byId("stretch").matches(":hover, :focus-within")) {
      // Not under somebody's hand.
      await show(null, null, false);
    }
  } catch (error) {
    state("the server does not answer", false);
  } finally {
    setTimeout(() => { busy = false; if (wanted) { wanted = false; refresh(); } }, PAUSE_MS);
  }
}

// What the server made is its own markup: it escapes what agents wrote. Focus and selection stay where they were.
function replace(place, markup) {
  const focused = document.activeElement;
  const id = focused && place.contains(focused) ? focused.id || focused.closest("tr")?.id : null;
  const at = current();
  place.innerHTML = markup;
  if (at) mark(at, false);
  if (id) byId(id)?.focus({ preventScroll: true });
}

const stream = new EventSource("/api/v1/stream");
stream.onopen = () => { state("live", true); refresh(); };
stream.onerror = () => state("the server does not answer", false);
for (const name of ["agent", "finding", "notice", "lagged", "approval"]) stream.addEventListener(name, refresh);

// --- acts -----------------------------------------------------------------------------------------------------------
function toast(text) {
  const place = byId("toast");
  place.textContent = text;
  place.classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => place.classList.remove("on"), 6000);
}

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Muster": "1" },
    body: JSON.stringify(body),
  });
  let value = null;
  try { value = await answer.json(); } catch (error) { value = null; }
  if (!answer.ok) throw new Error(value?.error ? `${value.error}. ${value.hint || ""}` : `the server said ${answer.status}`);
  return value;
}

// Asks in the page's own dialog. Gives whether the answer was yes.
function ask(title, lead, text, yes, grave) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-lead").textContent = lead;
  byId("ask-text").textContent = text;
  const go = byId("ask-yes");
  go.textContent = yes;
  go.hidden = !yes;
  go.classList.toggle("grave", grave);
  byId("ask-no").textContent = yes ? "Leave it" : "Close";
  return new Promise((resolve) => {
    const end = (answer) => { go.onclick = byId("ask-no").onclick = dialog.oncancel = null; if (dialog.open) dialog.close(); resolve(answer); };
    go.onclick = () => end(true);
    byId("ask-no").onclick = () => end(false);
    dialog.oncancel = () => end(false);
    if (!dialog.open) dialog.showModal();
    byId("ask-no").focus();
  });
}

// An object as lines that a person can read.
function lines(value, depth = 0) {
  const pad = "  ".repeat(depth);
  if (Array.isArray(value)) {
    if (value.length === 0) return `${pad}none\n`;
    return value.map((it) => (it !== null && typeof it === "object" ? brief(it, pad) : `${pad}${it}\n`)).join("");
  }
  return Object.entries(value)
    .filter(([, it]) => it !== null)
    .map(([name, it]) => (typeof it === "object" ? `${pad}${name}:\n${lines(it, depth + 1)}` : `${pad}${name}: ${it}\n`))
    .join("");
}

function brief(object, pad) {
  // A step of mustering out, with how long it took.
  if ("step" in object && "micros" in object) {
    const ms = (object.micros / 1000).toFixed(1).padStart(9);
    return `${pad}${object.step.padEnd(11)}${ms} ms  ${object.state === "done" ? "" : `${object.state}: `}${object.text}\n`;
  }
  const parts = Object.entries(object)
    .filter(([, it]) => it !== null && it !== "")
    .map(([name, it]) => `${name} ${typeof it === "object" ? JSON.stringify(it) : it}`);
  return `${pad}${parts.join(", ")}\n`;
}

async function act(agent, what) {
  try {
    if (what === "thaw") {
      if (!(await ask(`Thaw ${agent}`, "It goes on where it was frozen.", "", "Thaw", false))) return;
      await post("/api/v1/out", { act: "thaw", agent });
      toast(`${agent} goes on`);
      return refresh();
    }
    const until = what === "out" ? "verify" : what;
    const request = { act: "out", agent, until };
    toast("looking what that would touch …");
    const plan = await post("/api/v1/out", { ...request, dry_run: true });
    const word = { freeze: "Freeze", cut: "Freeze and cut off", out: "Muster out" }[what];
    const lead = "This is what it would touch now. Nothing has been touched yet.";
    if (!(await ask(`${word}: ${agent}`, lead, lines(plan), word, what === "out"))) return;
    toast("working …");
    const report = await post("/api/v1/out", request);
    const left = report.left?.length ? `${report.left.length} things are left` : "nothing is left";
    refresh();
    await ask(`${word}: ${agent}`, `Done: ${left}.`, lines(report), "", false);
  } catch (error) {
    await ask("That was not done", error.message, "", "", false);
  }
}

async function judge(finding, judgement, note) {
  try {
    await post("/api/v1/reviews", { finding, judgement, note: note || "" });
    toast(judgement.replace("_", " "));
    if (tables) refresh(); else location.reload();
  } catch (error) {
    await ask("That was not kept", error.message, "", "", false);
  }
}

async function answer(question, how) {
  const { question: id, pattern } = question.dataset;
  const request = { id, allow: how !== "deny" };
  if (how === "pattern") request.pattern = pattern;
  try {
    await post("/api/v1/approvals/answer", request);
    toast(how === "deny" ? "refused" : "allowed");
    refresh();
  } catch (error) {
    await ask("That was not answered", error.message, "", "", false);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.act) act(button.closest("[data-agent]").dataset.agent, button.dataset.act);
  if (button?.dataset.judgement) {
    const form = button.closest("form");
    judge(form.dataset.finding, button.dataset.judgement, form.elements.note.value);
  }
  if (button?.dataset.answer) answer(button.closest("[data-question]"), button.dataset.answer);
  if (button?.id === "prove") prove(byId("proof"));
});
for (const form of document.querySelectorAll("form.judge")) form.addEventListener("submit", (event) => event.preventDefault());

// --- the inbox, by keyboard -----------------------------------------------------------------------------------------
const current = () => document.querySelector("table.inbox tr.at")?.id;

function mark(id, scroll = true) {
  for (const row of document.querySelectorAll("table.inbox tr.at")) row.classList.remove("at");
  const row = byId(id);
  if (!row) return;
  row.classList.add("at");
  if (scroll) { row.scrollIntoView({ block: "nearest" }); row.focus({ preventScroll: true }); }
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (byId("stretch") && zoomKey(event)) return;
  const rows = [...document.querySelectorAll("table.inbox tr")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const row = rows[at];
  const judgements = { a: "acknowledged", c: "confirmed", f: "false_alarm", e: "escalated", r: "reopened" };
  if (event.key === "j" || event.key === "ArrowDown") mark(rows[Math.min(at + 1, rows.length - 1)].id);
  else if (event.key === "k" || event.key === "ArrowUp") mark(rows[Math.max(at - 1, 0)].id);
  else if (event.key === "Enter" && row && event.target.tagName !== "A") location.href = `/findings/${row.dataset.finding}`;
  else if (judgements[event.key] && row && operator()) {
    // The next one comes under the hand.
    const next = (rows[at + 1] || rows[at - 1])?.id;
    judge(row.dataset.finding, judgements[event.key]).then(() => next && mark(next));
  } else if (event.key === "o" && row && operator()) act(row.dataset.agent, "out");
  else return;
  event.preventDefault();
});

const operator = () => document.querySelector(".role.operator") !== null;

// --- moving through time --------------------------------------------------------------------------------------------
let moved = new URLSearchParams(location.search).has("from");

// Whole numbers that need more than 53 bits.
const span = () => { const svg = byId("lanes"); return svg && [BigInt(svg.dataset.from), BigInt(svg.dataset.to)]; };

async function show(from, to, keep = true) {
  const place = byId("stretch");
  const query = from === null ? "" : `?from=${from}&to=${to}`;
  const answer = await fetch(`/agents/${place.dataset.agent}/lanes${query}`, { credentials: "same-origin" });
  if (!answer.ok) return;
  replace(place, await answer.text());
  if (!keep) return;
  moved = from !== null;
  history.replaceState(null, "", `/agents/${place.dataset.agent}${query}`);
}

let pending = null;
function soon(from, to) {
  if (from < 0n) from = 0n;
  if (to - from < 1000n) to = from + 1000n;
  const svg = byId("lanes");
  // At once as a guess, then as it is.
  clearTimeout(pending);
  svg.dataset.from = from;
  svg.dataset.to = to;
  pending = setTimeout(() => show(from, to), 120);
}

// About a place between 0 and 1 of the picture, to a share of its span in thousandths.
function zoom(place, thousandths) {
  const [from, to] = span();
  const wide = to - from;
  const next = (wide * BigInt(thousandths)) / 1000n;
  const at = from + (wide * BigInt(Math.round(place * 1e6))) / 1000000n;
  const start = at - (next * BigInt(Math.round(place * 1e6))) / 1000000n;
  soon(start, start + next);
}

function shift(thousandths) {
  const [from, to] = span();
  const by = ((to - from) * BigInt(thousandths)) / 1000n;
  soon(from + by, to + by);
}

function zoomKey(event) {
  const keys = {
    "+": () => zoom(0.5, 500), "=": () => zoom(0.5, 500), "-": () => zoom(0.5, 2000), 0: () => show(null, null),
    ArrowLeft: () => shift(-250), ArrowRight: () => shift(250), h: () => shift(-250), l: () => shift(250),
  };
  const run = keys[event.key];
  if (!run) return false;
  event.preventDefault();
  run();
  return true;
}

function placeOf(svg, clientX) {
  const box = svg.getBoundingClientRect();
  const x = ((clientX - box.left) / box.width) * Number(svg.dataset.width);
  const left = Number(svg.dataset.left);
  return Math.min(1, Math.max(0, (x - left) / (Number(svg.dataset.right) - left)));
}

const stretch = byId("stretch");
if (stretch) {
  stretch.addEventListener("wheel", (event) => {
    const svg = event.target.closest("svg.lanes");
    if (!svg || !(event.ctrlKey || event.shiftKey || Math.abs(event.deltaY) > 0) || event.altKey) return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) shift(Math.sign(event.deltaX || event.deltaY) * 150);
    else zoom(placeOf(svg, event.clientX), event.deltaY < 0 ? 700 : 1430);
  }, { passive: false });
  let held = null;
  stretch.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest("svg.lanes");
    if (svg && event.button === 0) held = { at: placeOf(svg, event.clientX), span: span(), x: event.clientX };
  });
  addEventListener("pointerup", (event) => {
    const svg = byId("lanes");
    if (held && svg && Math.abs(event.clientX - held.x) > 8) {
      // What was drawn over is what is looked at.
      const there = placeOf(svg, event.clientX);
      const [from, to] = held.span;
      const moment = (place) => from + ((to - from) * BigInt(Math.round(place * 1e6))) / 1000000n;
      soon(moment(Math.min(held.at, there)), moment(Math.max(held.at, there)));
    }
    held = null;
  });
  stretch.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-zoom]");
    if (!link) return;
    event.preventDefault();
    const query = new URL(link.href).searchParams;
    if (query.has("from")) show(query.get("from"), query.get("to"));
    else show(null, null);
  });
}

// --- a finding's place in the log (RFC 6962) ------------------------------------------------------------------------
const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
const hex = (array) => [...array].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function node(left, right) {
  const both = new Uint8Array(1 + left.length + right.length);
  both[0] = 1;
  both.set(left, 1);
  both.set(right, 1 + left.length);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", both));
}

async function rootOf(proof) {
  let at = BigInt(proof.leaf);
  let last = BigInt(proof.size) - 1n;
  let hash = bytes(proof.hash);
  for (const step of proof.path.map(bytes)) {
    if (last === 0n) return null;
    if (at & 1n || at === last) {
      hash = await node(step, hash);
      while (!(at & 1n) && at !== 0n) { at >>= 1n; last >>= 1n; }
    } else {
      hash = await node(hash, step);
    }
    at >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? hex(hash) : null;
}

async function prove(place) {
  try {
    const answer = await fetch(`/api/v1/findings/${place.dataset.finding}/proof`, { credentials: "same-origin" });
    const proof = await answer.json();
    if (!answer.ok) throw new Error(`${proof.error}. ${proof.hint}`);
    const note = proof.checkpoint.split("\n");
    const signed = hex(Uint8Array.from(atob(note[2]), (it) => it.charCodeAt(0)));
    const found = await rootOf(proof);
    const holds = found !== null && found === signed && note[1] === String(proof.size);
    place.textContent = holds
      ? `Holds: leaf ${proof.leaf} is in the tree of ${proof.size} leaves of ${note[0]}, whose root ${signed.slice(0, 16)}… the checkpoint names. Checked in this browser.`
      : `DOES NOT HOLD: leaf ${proof.leaf} does not lead to the root of the checkpoint.`;
    place.className = holds ? "ok" : "warning";
  } catch (error) {
    place.textContent = `Not checked: ${error.message}`;
  }
}
