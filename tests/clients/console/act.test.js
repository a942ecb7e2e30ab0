"use strict";
// The console with actions on.

const assert = require("node:assert/strict");
const http = require("node:http");
const { after, before, test } = require("node:test");
const { PATIENCE, launch, live, open, row, shot } = require("./browser");
const starts = require("./starts");

const { OPGATE_ACTING_HTTP: HTTP, OPGATE_ACTING_ADMIN: ADMIN } = process.env;
const HOLD = { hold: true };
let browser;
before(async () => {
  browser = await launch();
}, PATIENCE);
after(() => browser.close());

const detail = (page) => page.locator("#detail");

test("an operation is canceled with a reason, and who changes their mind changes nothing", PATIENCE, async (t) => {
  const held = await starts.run(HOLD, {}, HTTP);
  const page = await open(t, browser, { admin: ADMIN });
  await live(page);
  await row(page, held).locator("a").click();
  await detail(page).getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Keep it" }).click();
  assert.equal((await starts.read(held, HTTP)).cancel, undefined);
  await detail(page).getByRole("button", { name: "Cancel" }).click();
  await page.getByLabel("Reason").fill("not needed <b>any more</b>");
  await shot(page, "cancel");
  await page.getByRole("button", { name: "Cancel it" }).click();
  await row(page, held).locator("td.state", { hasText: "canceled" }).waitFor();
  await detail(page).getByText("not needed <b>any more</b>").first().waitFor();
  const { cancel, state } = await starts.read(held, HTTP);
  assert.deepEqual([cancel.by, cancel.reason, state], ["console", "not needed <b>any more</b>", "CANCELED"]);
  assert.equal(await detail(page).getByRole("button", { name: "Cancel" }).count(), 0, "it has ended");
});

test("an operation is redriven", PATIENCE, async (t) => {
  const held = await starts.run(HOLD, {}, HTTP);
  const page = await open(t, browser, { admin: ADMIN, hash: `#op=${held}` });
  await detail(page).getByRole("button", { name: "Redrive", exact: true }).click();
  await page.getByRole("button", { name: "Redrive it" }).click();
  await detail(page).getByText("now under lease 2").waitFor();
});

test("a page of another origin can neither act nor read", PATIENCE, async (t) => {
  const held = await starts.run(HOLD, {}, HTTP);
  const server = http.createServer((_, reply) => reply.end("<!doctype html><title>elsewhere</title>"));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  // Its own, so that what it is kept from is no fault of it.
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const path = `http://${ADMIN}/console/operations/${held}`;
  const tried = await page.evaluate(async (path) => {
    const of = async (go) => {
      try { const reply = await go(); return reply.type === "opaque" ? "opaque" : reply.status; } catch { return "refused"; }
    };
    return {
      plain: await of(() => fetch(`${path}:cancel`, { method: "POST", mode: "no-cors", body: "{}" })),
      header: await of(() => fetch(`${path}:cancel`, { method: "POST", body: "{}", headers: { "opgate-console": "1" } })),
      reads: await of(() => fetch(path)),
      frames: await new Promise((done) => {
        const source = new EventSource(`${path.replace(/operations.*/, "events")}`);
        source.onopen = () => done("opened");
        source.onerror = () => { source.close(); done("refused"); };
      }),
    };
  }, path);
  assert.ok(["opaque", "refused"].includes(tried.plain), JSON.stringify(tried));
  assert.deepEqual({ ...tried, plain: 0 }, { plain: 0, header: "refused", reads: "refused", frames: "refused" });
  assert.equal((await starts.read(held, HTTP)).cancel, undefined);
  // Under a name that somebody else may have, nothing answers.
  const reply = await new Promise((done, failed) => {
    const [host, port] = ADMIN.split(":");
    http.get({ host, port, path: "/console/operations", headers: { host: "evil.example" } }, done).on("error", failed);
  });
  assert.equal(reply.statusCode, 403);
  reply.resume();
});
