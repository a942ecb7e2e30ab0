"use strict";
// Oracle's SDK for TypeScript: deletions and moves, waiters, pages, and requests signed with x-date.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { OciError } = require("oci-common");
const { IdentityClient, IdentityWaiter } = require("oci-identity");
const { WorkRequestClient, WorkRequestWaiter, waitForWorkRequest } = require("oci-workrequests");
const { GATEWAYS, SOON, TENANCY, client, compartment, provider } = require("./gateway");

const ABSENT = `ocid1.identityworkrequest.oc1..${"a".repeat(60)}`;

/** The error that a call ends with. */
async function refused(call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof OciError, String(error));
    return error;
  }
  assert.fail("it was not refused");
}

for (const [name, gateway] of Object.entries(GATEWAYS)) {
  const of = (what) => `${name}: ${what}`;

  test(of("a compartment is deleted, and its work request waited for"), async () => {
    const identity = client(IdentityClient, gateway);
    const compartmentId = compartment();
    const { opcWorkRequestId: workRequestId, opcRequestId } = await identity.deleteCompartment({
      compartmentId,
    });
    assert.match(opcRequestId, /^[^/]+\/[^/]+/);
    const { workRequest: read } = await identity.getWorkRequest({ workRequestId });
    assert.equal(read.id, workRequestId);
    // The SDK declares a Date, and gives the text.
    assert(!Number.isNaN(Date.parse(read.timeAccepted)));
    const waiter = new IdentityWaiter(identity, SOON);
    const { workRequest } = await waiter.forWorkRequest({ workRequestId });
    assert.equal(workRequest.status, "SUCCEEDED");
    assert.equal(workRequest.operationType, "DELETE_COMPARTMENT");
    assert.equal(workRequest.percentComplete, 100);
    assert.equal(workRequest.compartmentId, compartmentId);
    assert(new Date(workRequest.timeAccepted) <= new Date(workRequest.timeFinished));
    const [resource] = workRequest.resources;
    assert.equal(resource.identifier, compartmentId);
    assert.equal(resource.actionType, "DELETED");
  });

  test(of("a failure ends the waiters, with its reason"), async () => {
    const identity = client(IdentityClient, gateway, { prefix: "/failing" });
    const { opcWorkRequestId: workRequestId } = await identity.deleteCompartment({
      compartmentId: compartment(),
    });
    const { workRequest } = await new IdentityWaiter(identity, SOON).forWorkRequest({
      workRequestId,
    });
    assert.equal(workRequest.status, "FAILED");
    assert.deepEqual(
      workRequest.errors.map((error) => error.message),
      ["the compartment is not empty"],
    );
    assert.equal(workRequest.resources[0].actionType, "RELATED");
    const requests = client(WorkRequestClient, gateway, { prefix: "/failing" });
    const waited = await waitForWorkRequest(SOON, requests, workRequestId);
    assert.equal(waited.workRequest.status, "FAILED");
    const errors = await requests.listWorkRequestErrors({ workRequestId });
    assert.equal(errors.items[0].message, "the compartment is not empty");
    const lines = [];
    const logs = requests.listWorkRequestLogsRecordIterator({
      workRequestId,
      limit: 3,
      sortOrder: "ASC",
    });
    for await (const entry of logs) lines.push(entry.message);
    assert.deepEqual(lines, ["step 1 of 4", "step 2 of 4", "step 3 of 4", "step 4 of 4"]);
  });

  test(of("a tag is deleted, and its tagging work request waited for"), async () => {
    const identity = client(IdentityClient, gateway);
    const { opcWorkRequestId: workRequestId } = await identity.deleteTag({
      tagNamespaceId: compartment(),
      tagName: "cost-center",
    });
    const waiter = new IdentityWaiter(identity, SOON);
    const { taggingWorkRequest } = await waiter.forTaggingWorkRequest({ workRequestId });
    assert.equal(taggingWorkRequest.status, "SUCCEEDED");
    const errors = await identity.listTaggingWorkRequestErrors({ workRequestId });
    assert.deepEqual(errors.items, []);
  });

  test(of("a running one says so, and when to ask again"), async () => {
    const identity = client(IdentityClient, gateway, { prefix: "/held" });
    const compartmentId = compartment();
    const { opcWorkRequestId: workRequestId } = await identity.deleteCompartment({ compartmentId });
    const response = await identity.getWorkRequest({ workRequestId });
    assert(["ACCEPTED", "IN_PROGRESS"].includes(response.workRequest.status));
    assert(!response.workRequest.timeFinished);
    assert(Number.isInteger(response.retryAfter) && response.retryAfter >= 1);
    const again = await identity.deleteCompartment({ compartmentId });
    assert.equal(again.opcWorkRequestId, workRequestId);
  });

  test(of("a list comes in pages, the newest first"), async () => {
    const identity = client(IdentityClient, gateway);
    const compartmentId = compartment();
    const moved = [];
    for (let n = 0; n < 5; n += 1) {
      const { opcWorkRequestId } = await identity.moveCompartment({
        compartmentId,
        moveCompartmentDetails: { targetCompartmentId: TENANCY },
      });
      moved.unshift(opcWorkRequestId);
    }
    const records = [];
    const request = { compartmentId, limit: 2 };
    for await (const one of identity.listWorkRequestsRecordIterator({ ...request }))
      records.push(one.id);
    assert.deepEqual(records, moved);
    const sizes = [];
    for await (const page of identity.listWorkRequestsResponseIterator({ ...request }))
      sizes.push(page.items.length);
    assert.deepEqual(sizes, [2, 2, 1]);
  });

  test(of("a retry token moves once, and not to somewhere else"), async () => {
    const identity = client(IdentityClient, gateway);
    const compartmentId = compartment();
    const move = async (targetCompartmentId) =>
      identity.moveCompartment({
        compartmentId,
        moveCompartmentDetails: { targetCompartmentId },
        opcRetryToken: compartmentId.slice(-30),
      });
    const { opcWorkRequestId } = await move(TENANCY);
    assert.equal((await move(TENANCY)).opcWorkRequestId, opcWorkRequestId);
    const error = await refused(() => move("ocid1.compartment.oc1..elsewhere"));
    assert.equal(error.statusCode, 409);
    assert.equal(error.serviceCode, "InvalidatedRetryToken");
  });

  test(of("what is not there is an error with its code, text and request"), async () => {
    const identity = client(IdentityClient, gateway);
    const error = await refused(() => identity.getWorkRequest({ workRequestId: ABSENT }));
    assert.equal(error.statusCode, 404);
    assert.equal(error.serviceCode, "NotAuthorizedOrNotFound");
    assert(error.message);
    assert.match(error.opcRequestId, /\//);
    const limit = await refused(() =>
      identity.listWorkRequests({ compartmentId: TENANCY, limit: 1001 }),
    );
    assert.equal(limit.statusCode, 400);
    assert.equal(limit.serviceCode, "InvalidParameter");
    assert.match(limit.message, /limit/);
  });
}

test("who has no key, or another one, is not let in", async () => {
  for (const as of [undefined, () => provider("alice", "stranger"), () => provider("mallory", "stranger")]) {
    const made = client(IdentityClient, GATEWAYS.signed, { as: as ?? null });
    for (const call of [
      () => made.deleteCompartment({ compartmentId: compartment() }),
      () => made.listRegions({}),
    ]) {
      const error = await refused(call);
      assert.equal(error.statusCode, 401);
      assert.equal(error.serviceCode, "NotAuthenticated");
    }
  }
});

test("what identity started is waited for at the work requests service", async () => {
  const identity = client(IdentityClient, GATEWAYS.signed);
  const { opcWorkRequestId: workRequestId } = await identity.moveCompartment({
    compartmentId: compartment(),
    moveCompartmentDetails: { targetCompartmentId: TENANCY },
  });
  const requests = client(WorkRequestClient, GATEWAYS.signed);
  const waiter = new WorkRequestWaiter(requests, SOON);
  const { workRequest } = await waiter.forWorkRequest({ workRequestId });
  assert.equal(workRequest.operationType, "MOVE_COMPARTMENT");
  assert.equal(workRequest.status, "SUCCEEDED");
});
