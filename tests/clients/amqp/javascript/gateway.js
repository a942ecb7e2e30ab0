"use strict";
// The daemons, and operations of theirs from another side. The Rust suite (tests/suite/amqp/clients.rs)
// gives their addresses in the environment: OPGATE_AMQP and OPGATE_HTTP are of one that whoever is on
// this machine may use, OPGATE_SECURED of one with users.

const OPEN = process.env.OPGATE_AMQP;
const SECURED = process.env.OPGATE_SECURED;
const OPERATION = "org.opgate.operation";
const SHOWCASE = "org.opgate.showcase";

/** What a slow machine may take for a test. */
const PATIENCE = { timeout: 180_000 };

/** What rhea connects with. */
function at(address, more = {}) {
  const [host, port] = address.split(":");
  return { host, port: Number(port), reconnect: false, ...more };
}

/** opgate's own API as JSON over HTTP. */
async function native(method, path, body) {
  const reply = await fetch(`http://${process.env.OPGATE_HTTP}/opgate/v1${path}`, {
    method,
    headers: { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!reply.ok) throw new Error(`${reply.status}: ${await reply.text()}`);
  return reply.json();
}

/** The state of an operation that has ended. */
const ended = async (identity) =>
  (await native("GET", `/operations/${identity}:wait?timeout=60s`)).state;

module.exports = { OPEN, OPERATION, PATIENCE, SECURED, SHOWCASE, at, ended, native };
