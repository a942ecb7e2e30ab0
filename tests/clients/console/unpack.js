"use strict";
// Unpacks the browser that a package holds, with the libraries it needs and a font, where TMPDIR says.

const fs = require("node:fs");
const path = require("node:path");

// With this the package unpacks the libraries too, for machines that have none of them.
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs20.x";
const chromium = require("@sparticuz/chromium");

/** The machine's fonts where it has any, and the package's. */
const fonts = (directory) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>${directory}/fonts/fonts</dir>
  <cachedir>${directory}/fonts-cache</cachedir>
</fontconfig>
`;

async function main() {
  const directory = process.env.TMPDIR;
  const browser = await chromium.executablePath();
  if (path.dirname(browser) !== directory) throw new Error(`${browser} is not in ${directory}`);
  fs.writeFileSync(path.join(directory, "fonts.conf"), fonts(directory));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
