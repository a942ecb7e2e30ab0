"use strict";
// The browser, its pages, and what they must not do. The Rust suite (tests/suite/console.rs) gives where everything is
// in the environment: OPGATE_CHROMIUM is the browser, OPGATE_SHOTS where pictures go, OPGATE_HTTP, OPGATE_AMQP and
// OPGATE_ADMIN are of a daemon whose console only shows, OPGATE_ACTING_HTTP and OPGATE_ACTING_ADMIN of one whose console
// acts.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { OPGATE_ADMIN: ADMIN, OPGATE_CHROMIUM: BROWSER, OPGATE_SHOTS: SHOTS } = process.env;

/** What a slow machine may take for a test, and for one thing to be seen. */
const PATIENCE = { timeout: 180_000 };
const SEEN = 60_000;

/** The browser; it is closed by who launched it. */
function launch() {
  const directory = path.dirname(BROWSER);
  // What unpack.js put beside it.
  const [libraries, fonts] = ["al2023/lib", "fonts.conf"].map((name) => path.join(directory, name));
  const packaged = fs.existsSync(libraries) && { LD_LIBRARY_PATH: libraries, FONTCONFIG_FILE: fonts };
  return chromium.launch({
    executablePath: BROWSER,
    // It does not sandbox what root runs.
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
    env: { ...process.env, ...packaged },
  });
}

/** A page of a console, whose every request, error and breach of policy is kept. After the test there must be none. */
async function open(t, browser, options = {}) {
  const { admin = ADMIN, hash = "", expected = [], ...more } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(SEEN);
  const wrong = [];
  const origin = `http://${admin}`;
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/console`) && !url.startsWith("data:")) wrong.push(`asked for ${url}`);
  });
  page.on("dialog", async (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  // The browser logs here what its policy keeps a page from, too.
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(message.text());
  });
  t.after(async () => {
    await context.close();
    const left = wrong.filter((text) => !expected.some((known) => known.test(text)));
    assert.deepEqual(left, [], "what a page must not do");
  });
  await page.goto(`${origin}/console/${hash}`);
  return page;
}

/** Waits until the page hears of changes. */
const live = (page) => page.locator('#live[data-is="live"]').waitFor();
/** The row of an operation. */
const row = (page, id) => page.locator(`tr[data-id="${id}"]`);
/** The ids of the rows, from the first on. */
const ids = (page) => page.locator("#rows tr").evaluateAll((all) => all.map((one) => one.dataset.id));
/** Takes a picture. */
const shot = (page, name) => page.screenshot({ path: path.join(SHOTS, `${name}.png`), animations: "disabled" });

/** Waits until what is read is as wanted. */
async function until(read, wanted, what) {
  const ends = Date.now() + SEEN;
  for (;;) {
    const found = await read();
    if (wanted(found)) return found;
    assert.ok(Date.now() < ends, `${what}: ${JSON.stringify(found)}`);
  }
}

module.exports = { ADMIN, PATIENCE, ids, launch, live, open, row, shot, until };
