"use strict";
// rhea-promise: what @azure/core-amqp is built on, by itself.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { AwaitableSender, Connection, ReceiverEvents } = require("rhea-promise");
const { OPEN, OPERATION, PATIENCE, SHOWCASE, at } = require("./gateway");

test("a request's reply comes, and the request is settled", PATIENCE, async (t) => {
  const connection = new Connection(at(OPEN));
  await connection.open();
  t.after(() => connection.close());
  const session = await connection.createSession();
  // One name for both directions, as its own samples of requests and responses have it.
  const receiver = await session.createReceiver({
    name: "both",
    source: { address: "$management" },
    target: { address: "both" },
  });
  const sender = await session.createAwaitableSender({
    name: "both",
    target: { address: "$management" },
  });
  assert.ok(sender instanceof AwaitableSender);

  const ask = async (operation, type, properties = {}) => {
    const id = Math.random().toString(36);
    const reply = new Promise((resolve) => {
      receiver.once(ReceiverEvents.message, (context) => resolve(context.message));
    });
    const delivery = await sender.send({
      message_id: id,
      reply_to: "both",
      application_properties: { operation, type, ...properties },
      body: {},
    });
    assert.ok(delivery.settled);
    assert.equal((await reply).correlation_id, id);
    return reply;
  };
  const started = await ask("run", SHOWCASE);
  assert.equal(started.application_properties.statusCode, 202);
  const { identity } = started.body;
  const read = await ask("READ", OPERATION, { identity });
  assert.equal(read.body.identity, identity);
  await sender.close();
  await receiver.close();
});
