"use strict";
// What it looks like: pictures, as products of the build, of operations as they may be; and that all of it fits.

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { PATIENCE, launch, live, open, row, shot } = require("./browser");
const starts = require("./starts");

let browser;
let shown;
before(async () => {
  browser = await launch();
  const parent = "projects/film/locations/eu";
  const work = async (input, told, outcome) => {
    await starts.native({ route: "render", parent, requestId: input.scene, input: { json: input } });
    const { leases: [{ lease, operation: { id } }] } = await starts.api("/queues/render:lease", { wait: "20s", lease: "300s", worker: "farm-1" });
    if (told) await starts.api(`/leases/${lease}:report`, told);
    if (outcome) await starts.api(`/leases/${lease}:finish`, { outcome });
    return id;
  };
  await work({ scene: "credits" }, undefined, { succeeded: { json: { frames: 240 } } });
  await work({ scene: "storm" }, undefined, { failed: { code: "RESOURCE_EXHAUSTED", message: "the farm is out of memory", reason: "oom", retryable: true } });
  await starts.ended(await starts.oci({ duration: "0s", steps: 1 }));
  await starts.oci({ hold: true });
  const canceled = await starts.nexus({ hold: true });
  await starts.api(`/operations/${canceled}:cancel`, { reason: "a newer one was asked for" });
  await starts.ended(canceled);
  await starts.grpc({ hold: true });
  await starts.rest({ hold: true });
  await starts.amqp({ hold: true });
  await work({ scene: "harbour" }, { progress: { percent: 12, message: "reading textures" }, waiting: "a licence" });
  shown = await work({ scene: "intro", camera: { lens: 35, path: ["dolly", "crane"] }, frames: 250 }, {
    progress: { percent: 62, done: 155, total: 250, message: "frame 155 of 250" },
    log: [{ message: "scene loaded, 1,204 objects" }, { message: "tile 17 of 64 done" },
      { error: true, code: "TEXTURE", message: "wood_04.exr is missing, the default is used" }, { message: "tile 40 of 64 done" }],
    resources: [{ entityType: "film", action: "CREATED", identifier: "films/intro", uri: "/films/intro" }],
    links: [{ url: "temporal:///namespaces/film/workflows/intro", type: "temporal.api.common.v1.Link" }],
  });
  await starts.api("/operations", { route: "render", parent, input: { json: { scene: "dunes" } } });
}, PATIENCE);
after(() => browser.close());

/** Whether anything is wider than the window. */
const fits = async (page) =>
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is cut off at the side");

for (const [name, options, detail] of [
  ["light", { viewport: { width: 1440, height: 900 } }],
  ["dark", { viewport: { width: 1440, height: 900 }, colorScheme: "dark" }],
  ["light-detail", { viewport: { width: 1440, height: 1300 } }, true],
  ["dark-detail", { viewport: { width: 1440, height: 1300 }, colorScheme: "dark" }, true],
  ["narrow", { viewport: { width: 1024, height: 768 } }],
  ["narrow-detail", { viewport: { width: 1024, height: 768 } }, true],
  ["phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 }],
  ["phone-detail", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" }, true],
]) {
  test(`a picture: ${name}`, PATIENCE, async (t) => {
    const page = await open(t, browser, { ...options, hash: detail ? `#op=${shown}` : "" });
    await live(page);
    await row(page, shown).waitFor({ state: detail ? "attached" : "visible" });
    if (detail) await page.locator("#detail h3", { hasText: "Names" }).waitFor();
    await fits(page);
    await shot(page, name);
  });
}
