"use strict";
// The daemons, and how callers reach them. The Rust suite (tests/suite/oci.rs) gives their addresses in
// the environment: OPGATE_OPEN asks for no signatures, OPGATE_SIGNED does; OPGATE_KEYS has the keys.

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { after } = require("node:test");
const common = require("oci-common");

const TENANCY = "ocid1.tenancy.oc1..main";
const key = (name) => fs.readFileSync(path.join(process.env.OPGATE_KEYS, `${name}.pem`), "utf8");

/** What the SDK signs with: a user, and the key that they use. */
function provider(user, used = user) {
  const pem = key(used);
  const der = crypto.createPublicKey(pem).export({ type: "spki", format: "der" });
  const hex = crypto.createHash("md5").update(der).digest("hex");
  const fingerprint = hex.match(/../g).join(":");
  return new common.SimpleAuthenticationDetailsProvider(
    TENANCY,
    `ocid1.user.oc1..${user}`,
    fingerprint,
    pem,
    null,
    common.Region.US_PHOENIX_1,
  );
}

const GATEWAYS = {
  open: { address: process.env.OPGATE_OPEN, provider: undefined },
  signed: { address: process.env.OPGATE_SIGNED, provider: () => provider("alice") },
};

/** A client of the SDK that calls a gateway, beneath a prefix of its paths if there is one. */
function client(kind, gateway, { prefix = "", as = gateway.provider } = {}) {
  const made = new kind({ authenticationDetailsProvider: as?.() });
  made.endpoint = `http://${gateway.address}${prefix}`;
  // Its breaker would keep the process alive.
  after(() => made.shutdownCircuitBreaker());
  return made;
}

const compartment = () => `ocid1.compartment.oc1..${crypto.randomUUID().replaceAll("-", "")}`;

/** Polls often, and not for ever. */
const SOON = {
  delayStrategy: new common.FixedTimeDelayStrategy(0.05),
  terminationStrategy: new common.MaxTimeTerminationStrategy(30),
};

module.exports = { GATEWAYS, SOON, TENANCY, client, compartment, provider };
