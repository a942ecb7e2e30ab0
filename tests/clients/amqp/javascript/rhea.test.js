"use strict";
// rhea: requests and replies, and links of one name in both directions.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { test } = require("node:test");
const rhea = require("rhea");
const { OPEN, OPERATION, PATIENCE, SECURED, SHOWCASE, at, ended, native } = require("./gateway");

/** A connection, closed after the test. */
async function connect(t, options = at(OPEN)) {
  const connection = rhea.create_container().connect(options);
  t.after(() => connection.close());
  await once(connection, "connection_open");
  return connection;
}

/** Sends requests over a pair of links, and gives each its reply by its correlation id. */
async function requester(connection, receiverOptions, senderOptions = "$management", reply) {
  const receiver = connection.open_receiver(receiverOptions);
  await once(receiver, "receiver_open");
  const sender = connection.open_sender(senderOptions);
  await once(sender, "sendable");
  const waiting = new Map();
  receiver.on("message", ({ message }) => {
    waiting.get(String(message.correlation_id))(message);
    waiting.delete(String(message.correlation_id));
  });
  let count = 0;
  return (operation, type, body = {}, properties = {}) => {
    const id = `request-${++count}`;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      sender.send({
        message_id: id,
        reply_to: reply ? reply : receiver.source.address,
        application_properties: { operation, type, ...properties },
        body,
      });
    });
  };
}

const status = (message) => message.application_properties.statusCode;

test("an operation lives and ends, and is the same over HTTP", PATIENCE, async (t) => {
  const call = await requester(await connect(t), { source: { dynamic: true } });
  const started = await call("run", SHOWCASE, { hold: true });
  assert.equal(status(started), 202);
  const { identity } = started.body;
  const read = await call("READ", OPERATION, {}, { identity });
  assert.equal(read.body.identity, identity);
  assert.equal((await native("GET", `/operations/${identity}`)).id, identity);
  assert.equal(status(await call("CANCEL", OPERATION, {}, { identity })), 200);
  assert.equal(await ended(identity), "CANCELED");
  assert.equal(status(await call("DELETE", OPERATION, {}, { identity })), 204);
  const absent = await call("READ", OPERATION, {}, { identity });
  assert.equal(status(absent), 404);
  assert.equal(absent.application_properties["status-code"], 404);
  assert.ok(absent.application_properties.statusDescription);
});

test("replies come to an address of the client's own, whatever else is under way", PATIENCE, async (t) => {
  const call = await requester(
    await connect(t),
    { source: "$management", target: "my-replies" },
    "$management",
    "my-replies",
  );
  const { identity } = (await call("run", SHOWCASE)).body;
  const calls = Array.from({ length: 100 }, () => call("READ", OPERATION, {}, { identity }));
  for (const reply of await Promise.all(calls)) assert.equal(reply.body.identity, identity);
});

test("both links may have one name", PATIENCE, async (t) => {
  const connection = await connect(t);
  const pair = { name: "pair" };
  const call = await requester(
    connection,
    { ...pair, source: "$management", target: "pair-replies" },
    { ...pair, target: "$management" },
    "pair-replies",
  );
  assert.equal(status(await call("run", SHOWCASE)), 202);
});

test("a password is asked for where there are users", PATIENCE, async (t) => {
  const user = { username: "alice", password: "wonder land" };
  const call = await requester(await connect(t, at(SECURED, user)), { source: { dynamic: true } });
  assert.equal(status(await call("run", SHOWCASE)), 202);

  const wrong = rhea.create_container().connect(at(SECURED, { ...user, password: "wonderland" }));
  const [{ error }] = await once(wrong, "connection_error");
  assert.ok(error || wrong.error, "it was not told why");
});

test("a link to nowhere is refused", PATIENCE, async (t) => {
  const sender = (await connect(t)).open_sender("nowhere");
  await once(sender, "sender_error");
  assert.equal(sender.error.condition, "amqp:not-found");
});
