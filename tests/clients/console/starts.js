"use strict";
// Operations, started over each face as its clients do it on the wire.

const assert = require("node:assert/strict");
const { once } = require("node:events");
const http2 = require("node:http2");
const rhea = require("rhea");

const HTTP = process.env.OPGATE_HTTP;

/** A request of HTTP's, answered with JSON. */
async function call(address, method, path, body, headers = {}) {
  const reply = await fetch(`http://${address}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
  return { head: reply.headers, json: text ? JSON.parse(text) : undefined };
}

/** opgate's own API. */
const api = async (path, body, method = body ? "POST" : "GET", address = HTTP) =>
  (await call(address, method, `/opgate/v1${path}`, body)).json;
const read = (name, address) => api(`/operations/${name}`, undefined, "GET", address);
const ended = (id) => api(`/operations/${id}:wait?timeout=60s`);

/** Over opgate's own API. */
const native = async (body, address) => (await api("/operations", body, "POST", address)).id;
const run = (instruction, more = {}, address) => native({ route: "showcase-run", input: { json: instruction }, ...more }, address);

/** Over REST, as Google's clients do. */
async function rest(instruction) {
  const path = "/v1/projects/p/locations/l/workflows?workflowId=w";
  const { json } = await call(HTTP, "POST", path, {}, { "opgate-showcase": JSON.stringify(instruction) });
  return (await read(json.name)).id;
}

/** Over OCI's identity service. */
async function oci(instruction) {
  const path = "/20160918/compartments/ocid1.compartment.oc1..victim";
  const { head } = await call(HTTP, "DELETE", path, undefined, { "opgate-showcase": JSON.stringify(instruction) });
  return (await read(head.get("opc-work-request-id"))).id;
}

/** Over Nexus. */
async function nexus(instruction) {
  const { json } = await call(HTTP, "POST", "/nexus/showcase/run", instruction);
  return (await read(json.token)).id;
}

/** Over gRPC: a message of bytes, as the instruction comes in metadata. */
async function grpc(instruction) {
  const client = http2.connect(`http://${HTTP}`);
  const stream = client.request({
    ":method": "POST",
    ":path": "/google.cloud.workflows.v1.Workflows/CreateWorkflow",
    "content-type": "application/grpc",
    te: "trailers",
    "opgate-showcase": JSON.stringify(instruction),
  });
  // CreateWorkflowRequest{parent: "projects/p/locations/g", workflow: {}, workflow_id: "w"}.
  const text = (field, value) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const message = Buffer.concat([text(1, "projects/p/locations/g"), text(2, ""), text(3, "w")]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  await once(stream, "end");
  client.close();
  // Operation{name: 1, ...}.
  const reply = Buffer.concat(chunks);
  assert.equal(reply[5], 10, reply.toString("latin1"));
  return (await read(reply.subarray(7, 7 + reply[6]).toString())).id;
}

/** Over AMQP 1.0 management. */
async function amqp(instruction) {
  const [host, port] = process.env.OPGATE_AMQP.split(":");
  const connection = rhea.create_container().connect({ host, port: Number(port), reconnect: false });
  const receiver = connection.open_receiver({ source: { dynamic: true } });
  await once(receiver, "receiver_open");
  const sender = connection.open_sender("$management");
  await once(sender, "sendable");
  sender.send({
    message_id: "1",
    reply_to: receiver.source.address,
    application_properties: { operation: "run", type: "org.opgate.showcase" },
    body: instruction,
  });
  const [{ message }] = await once(receiver, "message");
  connection.close();
  return (await read(message.body.identity)).id;
}

module.exports = { amqp, api, call, ended, grpc, native, nexus, oci, read, rest, run };
