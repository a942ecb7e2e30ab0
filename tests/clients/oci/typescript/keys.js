"use strict";
// Makes the key pairs of those who call: `node keys.js DIRECTORY`. The names are those of opgate.toml.

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const NAMES = ["alice", "carol", "eve", "stranger", "issuer", "session"];

for (const name of NAMES) {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const file = path.join(process.argv[2], name);
  fs.writeFileSync(`${file}.pem`, privateKey, { mode: 0o600 });
  fs.writeFileSync(`${file}.pub.pem`, publicKey);
}
