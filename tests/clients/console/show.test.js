"use strict";
// The console as it is by default: it shows.

const assert = require("node:assert/strict");
const net = require("node:net");
const { after, before, test } = require("node:test");
const { ADMIN, PATIENCE, ids, launch, live, open, row, shot, until } = require("./browser");
const starts = require("./starts");

const HOLD = { hold: true };
let browser;
before(async () => {
  browser = await launch();
}, PATIENCE);
after(() => browser.close());

/** A worker's next operation, and what it tells of it. */
async function leased(queue) {
  const { leases } = await starts.api(`/queues/${queue}:lease`, { wait: "20s", lease: "300s", worker: "w" });
  const [{ lease, operation }] = leases;
  const tell = (action, body) => starts.api(`/leases/${lease}:${action}`, body);
  return { id: operation.id, report: (body) => tell("report", body), finish: (outcome) => tell("finish", { outcome }) };
}

/** Waits until the table shows an operation in this state. */
const stated = (page, id, state) => row(page, id).locator("td.state", { hasText: state }).waitFor();
const cancel = (id) => starts.api(`/operations/${id}:cancel`, { reason: "enough" });
const text = (page, id, cell) => row(page, id).locator(`td.${cell}`).innerText();
/** A part of the detail, by its heading. */
const part = (page, title) => page.locator("#detail section", { has: page.locator(`h3:text-matches("^${title}", "i")`) });

test("what is started over any face appears by itself, goes on and ends", PATIENCE, async (t) => {
  const page = await open(t, browser);
  await live(page);
  await page.evaluate(() => { window.sameAsBefore = true; });
  const started = {};
  for (const face of ["native", "grpc", "rest", "oci", "nexus", "amqp"]) {
    const begin = face === "native" ? starts.run : starts[face];
    started[face] = await begin(HOLD);
    await row(page, started[face]).waitFor();
    assert.match(await text(page, started[face], "way"), new RegExp(`^${face} → showcase`));
  }
  const shown = await ids(page);
  const known = Object.values(started);
  assert.deepEqual(shown.filter((id) => known.includes(id)), [...known].sort().reverse(), "newest first");
  await starts.native({ route: "render", input: { json: {} } });
  const work = await leased("render");
  await work.report({ progress: { percent: 41.7, message: "frame 417" } });
  await row(page, work.id).getByText("frame 417").waitFor();
  assert.match(await text(page, work.id, "progress"), /41 %/);
  assert.equal(await row(page, work.id).locator("progress").evaluate((bar) => bar.value), 41.7);
  assert.equal(await text(page, work.id, "state"), "running");
  await work.finish({ succeeded: { json: { frames: 1000 } } });
  await stated(page, work.id, "succeeded");
  for (const id of known) await cancel(id);
  for (const id of known) await stated(page, id, "canceled");
  await starts.api(`/operations/${work.id}`, undefined, "DELETE");
  await row(page, work.id).waitFor({ state: "detached" });
  assert.ok(await page.evaluate(() => window.sameAsBefore), "nothing was loaded anew");
});

test("each filter lets its own through, what comes later too", PATIENCE, async (t) => {
  const inside = "shelf/filters";
  const within = { parent: inside };
  const held = await starts.run(HOLD, within);
  const failed = await starts.run({ outcome: "failed", code: "UNAVAILABLE", message: "no" }, { parent: `${inside}/deep` });
  await starts.native({ route: "render", parent: inside, input: { json: {} } });
  const work = await leased("render");
  const nexus = await starts.nexus(HOLD);
  const page = await open(t, browser, { expected: [/status of 400/] });
  await live(page);
  const set = (name, value) => page.locator(`[name=${name}]`)[["state", "face", "backend"].includes(name) ? "selectOption" : "fill"](value);
  const shows = (wanted, what) => until(() => ids(page), (found) => found.join() === [...wanted].sort().reverse().join(), what);
  await set("parent", inside);
  await shows([held, failed, work.id], "parent");
  assert.match(page.url(), /#parent=shelf%2Ffilters/, "it can be passed on");
  for (const [name, value, wanted] of [
    ["state", "failed", [failed]],
    ["state", "live", [held, work.id]],
    ["kind", "studio/render", [work.id]],
    ["kind", "rend", [work.id]],
    ["kind", "showcase/", [held, failed]],
    ["backend", "crew", [work.id]],
    ["face", "native", [held, failed, work.id]],
    ["face", "nexus", []],
    ["filter", "error.code = UNAVAILABLE", [failed]],
    ["filter", 'progress.percent > 1 OR error.message = "n*"', [failed]],
  ]) {
    await set(name, value);
    await shows(wanted, `${name} ${value}`);
    await set(name, "");
    await shows([held, failed, work.id], `no ${name}`);
  }
  await set("parent", "");
  await set("face", "nexus");
  await row(page, nexus).waitFor();
  assert.equal(await row(page, held).count(), 0);
  // Live: what comes to be so appears, and what is not so any more leaves.
  await set("face", "");
  await set("parent", inside);
  await set("state", "live");
  await shows([held, work.id], "live");
  const later = await starts.run(HOLD, within);
  await shows([held, work.id, later], "a later one");
  await starts.run(HOLD, { parent: "elsewhere" });
  await cancel(held);
  await work.finish({ failed: { code: "ABORTED", message: "torn" } });
  await shows([later], "what has ended leaves");
  await cancel(later);
  await shows([], "all have ended");
  await page.getByText("Nothing is like that").waitFor();
  await set("filter", "colour = red");
  await page.locator("#problem", { hasText: "colour" }).waitFor();
  await page.getByRole("button", { name: "Reset" }).click();
  await row(page, later).waitFor();
  await page.locator("#problem").waitFor({ state: "hidden" });
});

test("a detail has all there is, and follows", PATIENCE, async (t) => {
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const big = '{"exact": 12345678901234567890, "plain": [1, true, null, "text"]}';
  const { json } = await starts.call(process.env.OPGATE_HTTP, "POST", "/opgate/v1/operations", {
    route: "render", parent: "studio/a", requestId: "once", input: { data: Buffer.from(big).toString("base64"), mediaType: "application/json" },
    links: [{ url: "temporal:///namespaces/n/workflows/w", type: "temporal.api.common.v1.Link" }],
  }, { traceparent: trace });
  const work = await leased("render");
  assert.equal(work.id, json.id);
  await work.report({
    progress: { percent: 12, done: 12, total: 100, message: "scene 12" },
    log: [{ message: "took the first scene" }, { error: true, code: "E42", message: "a lamp is out" }],
    resources: [{ entityType: "film", action: "CREATED", identifier: "film-1", uri: "/films/1" }],
    links: [{ url: "otel://span/1", type: "span" }],
  });
  const page = await open(t, browser);
  await live(page);
  await row(page, work.id).locator("a").click();
  const whole = await starts.read(work.id);
  await part(page, "Names").waitFor();
  for (const [face, name] of Object.entries({ native: work.id, ...whole.names })) {
    assert.ok((await part(page, "Names").innerText()).includes(name), face);
  }
  assert.equal(Object.keys(whole.names).sort().join(), "amqp,grpc,nexus,oci");
  for (const [title, wanted] of [
    ["Log", ["took the first scene", "E42", "a lamp is out"]],
    ["History", ["accepted by anonymous · native", "given to its backend"]],
    ["Input", ["application/json", '"exact": 12345678901234567890', '"text"']],
    ["Resources", ["film-1", "/films/1"]],
    ["Links", ["temporal:///namespaces/n/workflows/w", "otel://span/1"]],
    ["Facts", ["studio/a", "render", "crew", "once", trace, "12 of 100"]],
  ]) {
    const said = await part(page, title).innerText();
    for (const words of wanted) assert.ok(said.includes(words), `${title}: ${words} is not in ${said}`);
  }
  assert.match(await page.locator("#detail").innerText(), /scene 12/);
  await shot(page, "detail-running");
  // It follows what happens, and stays where it is read.
  await page.locator("#detail").evaluate((detail) => { detail.scrollTop = 200; });
  await work.report({ progress: { percent: 60, message: "scene 60" }, log: [{ message: "half of it" }] });
  await part(page, "Log").getByText("half of it").waitFor();
  assert.equal(await page.locator("#detail").evaluate((detail) => detail.scrollTop), 200);
  await cancel(work.id);
  await part(page, "Cancellation").getByText("enough").waitFor();
  await part(page, "History").getByText("cancellation asked for").waitFor();
  await work.report({ acceptCancel: true });
  await part(page, "Cancellation").getByText("acked").waitFor();
  await work.finish({ canceled: { message: "it was stopped" } });
  await part(page, "Failure").getByText("it was stopped").waitFor();
  await part(page, "History").getByText("ended: canceled").waitFor();
  assert.equal(await page.locator("#detail header .badge").innerText(), "canceled");
  // By its address, and by the keyboard.
  assert.match(page.url(), new RegExp(`#op=${work.id}`));
  await page.reload();
  await part(page, "Names").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#detail").waitFor({ state: "hidden" });
  await page.goBack();
  await part(page, "Names").waitFor();
  await page.keyboard.press("j");
  await until(() => page.url(), (url) => !url.includes(work.id), "another one is selected");
});

test("results of any kind are shown, and only so much of them", PATIENCE, async (t) => {
  const done = async (outcome) => {
    await starts.native({ route: "render", input: { json: {} } });
    const work = await leased("render");
    await work.finish(outcome);
    return work.id;
  };
  const bytes = Buffer.from(Array.from({ length: 4096 }, (_, at) => at % 256));
  const binary = await done({ succeeded: { data: bytes.toString("base64"), mediaType: "application/x-film" } });
  const long = await done({ succeeded: { text: "x".repeat(200_000) } });
  const wrong = await done({ failed: {
    code: "UNAVAILABLE", message: "no light", reason: "power_cut", retryable: true, retryAfter: "3s",
    details: [{ typeUrl: "type.googleapis.com/a.B", value: "CAE=" }], cause: { code: "INTERNAL", message: "a fuse" },
  } });
  const page = await open(t, browser, { hash: `#op=${binary}`, expected: [/status of 404/] });
  const result = part(page, "Result");
  await result.getByText("4096 bytes").waitFor();
  assert.match(await result.innerText(), /000000 {2}00 01 02 03 .*\n000010 {2}10 11/);
  assert.ok((await result.innerText()).length < 4096, "the first bytes are enough");
  await live(page);
  await row(page, long).locator("a").click();
  await result.getByText("More is not shown").waitFor();
  assert.ok((await result.innerText()).length < 70_000);
  await row(page, wrong).locator("a").click();
  const failure = await part(page, "Failure").innerText();
  for (const words of ["UNAVAILABLE no light", "power_cut", "true", "3s", "type.googleapis.com/a.B, 2 bytes", "INTERNAL a fuse"]) {
    assert.ok(failure.includes(words), `${words} is not in ${failure}`);
  }
  await page.goto(`http://${ADMIN}/console/#op=nothing`);
  await page.getByText("It is not there any more.").waitFor();
});

test("nothing that a caller or a backend says is more than text", PATIENCE, async (t) => {
  const markup = '<img src=x onerror="hacked()"><script>hacked()</script>';
  const link = "javascript:hacked()";
  const turned = "gpj.\u202eexe\u0000\u001b[2J";
  const page = await open(t, browser);
  await page.evaluate(() => { window.hacked = () => { window.wasHacked = true; }; });
  await live(page);
  const started = await starts.native({
    route: "markup", parent: `${markup.replaceAll("/", "|")}`, requestId: markup.slice(0, 60),
    input: { json: { [markup]: markup } }, links: [{ url: link, type: "x" }],
    headers: [{ name: "x-odd", value: markup }],
  });
  const work = await leased("markup");
  await work.report({
    progress: { percent: 5, message: markup + turned }, nativeState: markup, waiting: markup,
    log: [{ error: true, code: markup.slice(0, 60), message: markup }], links: [{ url: link, type: "y" }],
    resources: [{ entityType: markup, action: markup, identifier: link, uri: link }],
  });
  await row(page, started).getByText("gpj.\\u202eexe").waitFor();
  await row(page, started).locator("a").click();
  await part(page, "Log").getByText(markup).first().waitFor();
  await work.finish({ failed: { code: "ABORTED", message: markup, reason: markup, cause: { code: "INTERNAL", message: markup } } });
  await part(page, "Failure").getByText(markup).first().waitFor();
  const end = await starts.native({ route: "markup", input: { data: Buffer.from(markup).toString("base64"), mediaType: "text/html" } });
  await row(page, end).locator("a").click();
  await part(page, "Input").getByText("hacked").waitFor();
  await page.locator("[name=filter]").fill(`"${markup.replaceAll('"', '\\"')}"`);
  await row(page, started).waitFor();
  await page.locator("[name=kind]").fill("<img");
  await row(page, started).waitFor();
  assert.equal(await page.evaluate(() => window.wasHacked), undefined);
  assert.equal(await page.locator("main img, main script, main iframe, main a[href^=javascript]").count(), 0);
  assert.equal(await page.locator("body").evaluate((body) => body.textContent.includes("\u202e")), false);
  await (await leased("markup")).finish({ succeeded: {} });
});

test("it only shows, and says so", PATIENCE, async (t) => {
  const held = await starts.run(HOLD);
  const page = await open(t, browser, { hash: `#op=${held}`, expected: [/status of 403/] });
  await part(page, "Names").waitFor();
  await page.getByText("read-only").waitFor();
  assert.equal(await page.getByRole("button", { name: /cancel|redrive/i }).count(), 0);
  const answer = await page.evaluate(async (id) => {
    const headers = { "opgate-console": "1", "content-type": "application/json" };
    const reply = await fetch(`operations/${id}:cancel`, { method: "POST", headers, body: "{}" });
    return [reply.status, (await reply.json()).error.message];
  }, held);
  assert.equal(answer[0], 403);
  assert.match(answer[1], /admin\.console\.actions/);
  assert.equal((await starts.read(held)).cancel, undefined);
  await cancel(held);
});

test("its own policy keeps markup and other places out", PATIENCE, async (t) => {
  const page = await open(t, browser, { expected: [/Content Security Policy|Trusted(HTML|Script)|Refused to|violates/i] });
  await live(page);
  const tried = await page.evaluate(async () => {
    const tries = {
      markup: () => { document.body.innerHTML = "<p>x</p>"; },
      elsewhere: () => fetch("http://127.0.0.1:1/"),
      script: () => {
        const script = document.createElement("script");
        script.append("window.ran = true");
        document.head.append(script);
        if (!window.ran) throw new Error("it did not run");
      },
    };
    const found = {};
    for (const [name, go] of Object.entries(tries)) {
      try { await go(); found[name] = "done"; } catch { found[name] = "refused"; }
    }
    return found;
  });
  assert.deepEqual(tried, { markup: "refused", elsewhere: "refused", script: "refused" });
});

test("a page that has lost its gateway finds it again, and what has happened since", PATIENCE, async (t) => {
  // Between the two, so that it can be cut.
  const [host, port] = ADMIN.split(":");
  const sockets = new Set();
  let cut = false;
  const between = net.createServer((socket) => {
    if (cut) { socket.destroy(); return; }
    const onward = net.connect(Number(port), host);
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      sockets.add(one);
      one.on("error", () => {}).on("close", () => { sockets.delete(one); other.destroy(); });
      one.pipe(other);
    }
  });
  await new Promise((done) => between.listen(0, "127.0.0.1", done));
  t.after(() => between.close());
  const admin = `127.0.0.1:${between.address().port}`;
  const held = await starts.run(HOLD);
  const page = await open(t, browser, { admin, expected: [/ERR_|Failed to load/] });
  await live(page);
  await stated(page, held, "running");
  cut = true;
  for (const socket of sockets) socket.destroy();
  await page.locator('#live[data-is="away"]').waitFor();
  await cancel(held);
  const meanwhile = await starts.run(HOLD);
  assert.equal(await row(page, meanwhile).count(), 0);
  cut = false;
  await live(page);
  await row(page, meanwhile).waitFor();
  await stated(page, held, "canceled");
  await cancel(meanwhile);
  t.after(() => { for (const socket of sockets) socket.destroy(); });
});

test("more than a page is read page by page, and more than is told one by one is read anew", PATIENCE, async (t) => {
  const parent = "shelf/many";
  const page = await open(t, browser, { hash: `#parent=${encodeURIComponent(parent)}` });
  await live(page);
  await page.getByText("Nothing is like that").waitFor();
  // Within moments, more than one event holds.
  const all = await Promise.all(Array.from({ length: 600 }, () => starts.native({ route: "showcase-echo", parent, input: { json: 1 } })));
  const newest = [...all].sort().reverse();
  await until(() => ids(page), (found) => found[0] === newest[0] && found.length >= 100, "the newest come");
  await page.reload();
  await until(() => ids(page), (found) => found.length === 100, "one page");
  await page.getByRole("button", { name: "Older" }).click();
  const two = await until(() => ids(page), (found) => found.length === 200, "two pages");
  assert.equal(new Set(two).size, 200);
  assert.deepEqual(two, [...two].sort().reverse());
});
