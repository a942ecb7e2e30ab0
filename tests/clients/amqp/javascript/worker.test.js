"use strict";
// rhea as a worker: operations come down a link, and its verdicts end them.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { test } = require("node:test");
const rhea = require("rhea");
const { OPEN, PATIENCE, at, ended, native } = require("./gateway");

/** A connection, closed after the test. */
async function connect(t, options = at(OPEN)) {
  const connection = rhea.create_container().connect(options);
  t.after(() => connection.close());
  await once(connection, "connection_open");
  return connection;
}

test("a worker's verdicts end operations", PATIENCE, async (t) => {
  const connection = await connect(t);
  const start = async () => (await native("POST", "/operations", { route: "paint" })).id;
  const receiver = connection.open_receiver({
    source: "queue/paint",
    autoaccept: false,
    credit_window: 0,
  });
  await once(receiver, "receiver_open");

  const next = async (identity) => {
    receiver.add_credit(1);
    const [context] = await once(receiver, "message");
    assert.equal(context.message.application_properties.identity, identity);
    return context;
  };
  const [first, second] = [await start(), await start()];
  (await next(first)).delivery.accept();
  assert.equal(await ended(first), "SUCCEEDED");

  (await next(second)).delivery.release({ undeliverable_here: false });
  const again = await next(second);
  again.delivery.modified({ delivery_failed: true });
  (await next(second)).delivery.reject({ condition: "shop:dry", description: "no paint" });
  assert.equal(await ended(second), "FAILED");
});

test("a worker with ten hands has ten at once", PATIENCE, async (t) => {
  const connection = await connect(t);
  const receiver = connection.open_receiver({
    source: "queue/paint",
    autoaccept: false,
    credit_window: 10,
  });
  const held = new Map();
  const full = new Promise((resolve) => {
    receiver.on("message", ({ message, delivery }) => {
      held.set(message.application_properties.identity, delivery);
      if (held.size === 10) resolve();
    });
  });
  const started = [];
  for (let i = 0; i < 10; i++) started.push((await native("POST", "/operations", { route: "paint" })).id);
  await full;
  assert.deepEqual([...held.keys()].sort(), started.sort());
  for (const delivery of held.values()) delivery.accept();
  for (const identity of started) assert.equal(await ended(identity), "SUCCEEDED");
});
