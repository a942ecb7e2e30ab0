"use strict";
// Azure's SDKs against the port as if it were the emulator of their service: without TLS, and with the
// claims that they put for each link.

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { test } = require("node:test");
const { EventHubConsumerClient } = require("@azure/event-hubs");
const { ServiceBusClient } = require("@azure/service-bus");
const Long = require("long");
const { OPEN, PATIENCE, native } = require("./gateway");

const emulator = (entity) =>
  `Endpoint=sb://${OPEN};SharedAccessKeyName=any;SharedAccessKey=any;` +
  `UseDevelopmentEmulator=true;${entity ? `EntityPath=${entity}` : ""}`;
const retryOptions = { maxRetries: 0, timeoutInMs: 60_000 };

test("a parent is a hub whose events are operations", PATIENCE, async (t) => {
  const name = `hub-${crypto.randomUUID()}`;
  const client = new EventHubConsumerClient("$Default", emulator(name), { retryOptions });
  t.after(() => client.close());
  const hub = await client.getEventHubProperties();
  assert.equal(hub.name, name);
  assert.deepEqual(hub.partitionIds, ["0"]);
  assert.ok(hub.createdOn.getFullYear() >= 2026);
  assert.equal((await client.getPartitionProperties("0")).isEmpty, true);
  await native("POST", "/operations", { route: "showcase-run", parent: name });
  const partition = await client.getPartitionProperties("0");
  assert.equal(partition.partitionId, "0");
  assert.equal(partition.isEmpty, false);
  assert.ok(partition.lastEnqueuedSequenceNumber >= 0);
});

test("Service Bus peeks", PATIENCE, async (t) => {
  const client = new ServiceBusClient(emulator(), { retryOptions });
  t.after(() => client.close());
  assert.deepEqual(await client.createReceiver("queue/peeked").peekMessages(3), []);
});

test("Service Bus is told what there is not", PATIENCE, async (t) => {
  const client = new ServiceBusClient(emulator(), { retryOptions });
  t.after(() => client.close());
  const receiver = client.createReceiver("queue/peeked");
  await assert.rejects(receiver.receiveDeferredMessages(Long.fromNumber(1)), (error) => {
    assert.match(`${error.name} ${error.code} ${error.message}`, /receive-by-sequence-number|501|not/i);
    return true;
  });
});
