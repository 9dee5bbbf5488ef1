// node serve.mjs [PORT]: serves the bundle to this machine's browsers, with the headers that WebAssembly threads need.

import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const root = await realpath(fileURLToPath(new URL("../..", import.meta.url)));

const server = createServer(async (request, response) => {
  try {
    const place = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const file = path.join(root, path.normalize(place)); // `place` begins with /, so no .. leads out
    if (!(await stat(file)).isFile()) throw new Error("no file");
    response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream", ...ISOLATED });
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/samples/javascript/index.html`);
});
