// Keeps the tables true: what changed is told by the server, the tables come from it whole.
"use strict";
const tables = document.getElementById("tables");
const live = document.getElementById("live");
let wanted = false;
let busy = false;

async function refresh() {
  if (busy) { wanted = true; return; }
  busy = true;
  try {
    const answer = await fetch("/fragment", { credentials: "same-origin" });
    if (answer.ok) tables.innerHTML = await answer.text();
  } finally {
    busy = false;
    if (wanted) { wanted = false; setTimeout(refresh, 250); }
  }
}

function state(text, on) {
  live.textContent = text;
  live.classList.toggle("on", on);
}

const stream = new EventSource("/api/v1/stream");
stream.onopen = () => { state("live", true); refresh(); };
stream.onerror = () => state("the server does not answer", false);
for (const name of ["agent", "finding", "notice", "lagged"]) stream.addEventListener(name, refresh);
