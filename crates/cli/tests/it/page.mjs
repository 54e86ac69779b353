// Drives the page in a real browser. What it sees goes out as one JSON object per line; where the test has to do something
// meanwhile, it waits for a line. Arguments: folder of packages, browser, address, reader's token, operator's token,
// folder for pictures.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const [packages, browser, base, reader, operator, pictures] = process.argv.slice(2);
const require = createRequire(`${packages}/x.js`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (value) => console.log(JSON.stringify(value));
const next = async () => (await lines.next()).value;

const running = await chromium.launch({ executablePath: browser, args: ["--no-sandbox"] });
const complaints = [];

async function enter(token, options) {
  const context = await running.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) complaints.push(`asked ${request.url()}`); });
  page.on("dialog", (dialog) => { complaints.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(`${base}/login?token=${token}`);
  return page;
}

// The agent comes to the roll of a page that is open already.
const page = await enter(operator);
await page.waitForSelector("#live.on");
say({ step: "open" });
const name = await next();
const begun = Date.now();
await page.waitForSelector("table.roll tbody tr", { timeout: 60000 });
const agent = await page.locator("table.roll tbody tr td a").first().textContent();
say({ step: "roll", ms: Date.now() - begun, agent: agent.trim(), name });
await page.waitForSelector(".badge.medium, .badge.high, .badge.critical", { timeout: 90000 });
say({ step: "finding", reloads: await page.evaluate(() => performance.getEntriesByType("navigation").length) });

// Its lanes: calls, acts, lines between them; closer by the wheel.
await page.click(`a[href="/agents/${agent.trim()}"]`);
await page.waitForSelector("svg.lanes .call");
await page.hover("#stretch .zoom");
const before = await page.evaluate(() => document.getElementById("lanes").dataset.from);
await page.hover("#stretch .zoom");
const box = await page.locator("svg.lanes").boundingBox();
await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2);
await page.mouse.wheel(0, -200);
await page.waitForFunction((old) => document.getElementById("lanes").dataset.from !== old, before);
await page.waitForURL(/from=\d+&to=\d+/);
await page.keyboard.press("0");
await page.waitForURL((url) => !url.search);
say({
  step: "lanes",
  calls: await page.locator("svg.lanes .call").count(),
  done: await page.locator("svg.lanes .done").count(),
  joins: await page.locator("svg.lanes .join").count(),
  graph: await page.locator("svg.graph circle").count(),
  verdicts: await page.locator(".reported .verdict").count(),
});

// The inbox, by keyboard; then one finding and its place in the log.
await page.goto(`${base}/findings`);
await page.waitForSelector("table.inbox tr");
await page.keyboard.press("j");
const finding = await page.locator("table.inbox tr.at").getAttribute("data-finding");
await page.keyboard.press("f");
await page.waitForFunction((id) => !document.getElementById(id), `f${finding}`);
await page.goto(`${base}/findings/${finding}`);
await page.click("#prove");
await page.waitForFunction(() => /holds/i.test(document.getElementById("proof").textContent), null, { timeout: 20000 });
say({ step: "finding page", finding, proof: await page.locator("#proof").textContent(), judged: await page.locator(".judged").textContent() });

// Every place, wide and on a phone, in light and dark: no serious hindrance, nothing wider than the screen.
const places = ["/", `/agents/${agent.trim()}`, "/findings", `/findings/${finding}`, "/drills", "/ledger", "/health"];
for (const [kind, options] of [["wide", { colorScheme: "light" }], ["phone", { colorScheme: "dark", viewport: { width: 390, height: 844 }, isMobile: true }]]) {
  const looked = await enter(reader, options);
  for (const path of places) {
    const asked = Date.now();
    await looked.goto(base + path);
    const painted = await looked.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null);
    await looked.waitForTimeout(150);
    // A policy of the page's keeps scripts out: the check is put in from outside of it.
    const world = await looked.context().newCDPSession(looked);
    await world.send("Page.enable");
    const { frameTree } = await world.send("Page.getFrameTree");
    const { executionContextId } = await world.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
    await world.send("Runtime.evaluate", { contextId: executionContextId, expression: axe });
    const found = await world.send("Runtime.evaluate", {
      contextId: executionContextId, awaitPromise: true, returnByValue: true,
      expression: "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => v.id + ': ' + v.nodes[0].html.slice(0, 160)))",
    });
    say({
      step: "place", kind, path, ms: Date.now() - asked, painted,
      wider: await looked.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
      buttons: await looked.locator("[data-act], [data-judgement]").count(),
      axe: found.result.value ?? [JSON.stringify(found)],
    });
    if (pictures) await looked.screenshot({ path: `${pictures}/${kind}-${path === "/" ? "roll" : path.split("/")[1]}${path.split("/").length > 2 ? "-one" : ""}.png`, fullPage: true });
  }
  await looked.context().close();
}

// Mustered out from here, after a look at what that would touch.
await page.goto(`${base}/`);
const row = page.locator("table.roll tr", { hasText: agent.trim() });
await row.locator('button[data-act="out"]').click();
await page.waitForSelector("dialog[open]");
await page.waitForSelector("#ask-yes:visible");
say({ step: "plan", text: await page.locator("#ask-text").textContent() });
await next();
await page.click("#ask-yes");
await page.waitForFunction(() => /left/.test(document.getElementById("ask-lead").textContent), null, { timeout: 60000 });
say({ step: "out", lead: await page.locator("#ask-lead").textContent(), text: await page.locator("#ask-text").textContent() });
await page.click("#ask-no");
await page.waitForFunction((id) => [...document.querySelectorAll("table.roll tr")].some((row) => row.textContent.includes(id) && /out|ended/.test(row.querySelector(".state").textContent)), agent.trim());
say({ step: "end", complaints });
await running.close();
process.exit(0);
