// node node.mjs                  checks the bundle by its golden vectors; exit code 0 or 1
// node node.mjs FILE.png …       answers for images; or `node node.mjs "a text"` for texts
// EDGEKD_BUNDLE=FOLDER           another bundle than the one that this file lies in

import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";
import { open } from "./edgekd.mjs";

globalThis.crypto ??= webcrypto; // Node 18 has it under this name alone
const root = process.env.EDGEKD_BUNDLE ?? fileURLToPath(new URL("../..", import.meta.url));
const items = process.argv.slice(2);
try {
  const bundle = await open({
    read: async (place) => new Uint8Array(await readFile(path.join(root, place))),
    decode: async (bytes) => PNG.sync.read(Buffer.from(bytes)), // other kinds of image: bring a decoder of your own
  });
  if (items.length === 0) process.exitCode = (await bundle.check()) ? 0 : 1;
  for (const item of items) {
    const raw = bundle.manifest.preprocessing.kind === "text" ? new TextEncoder().encode(item) : await readFile(item);
    const { best, vector } = await bundle.answer(raw);
    const said = best?.slice(0, 3).map(({ label, share }) => `${label} ${(100 * share).toFixed(1)}%`).join(", ");
    console.log(`${item}: ${said ?? `${vector.length} values, ${vector.slice(0, 8).join(" ")} …`}`);
  }
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
