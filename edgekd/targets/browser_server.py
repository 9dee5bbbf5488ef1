"""What the browser is given: the page, the runtimes' packages, one model and its inputs, from this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
# Without these a page has no threads, no clock finer than 100 µs, and no measureUserAgentSpecificMemory.
# Source: https://web.dev/articles/coop-coep
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@contextmanager
def served(packages: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """Serve the page with ``packages`` (a node_modules folder) and ``files`` by path; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(packages, files))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(packages: Path, files: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            content = content_of(path, packages, files)
            self.send_response(HTTPStatus.NOT_FOUND if content is None else HTTPStatus.OK)
            kind = TYPES.get(PurePosixPath("/index.html" if path == "/" else path).suffix, "application/octet-stream")
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content or b""))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class calls it so)
            """Say nothing."""

    return Handler


def content_of(path: str, packages: Path, files: Mapping[str, bytes]) -> bytes | None:
    """The bytes behind a path of the address; None where there are none, or where it leads out of its folder."""
    if path in files:
        return files[path]
    root, inside = (packages, path[10:]) if path.startswith("/packages/") else (PAGE, path[1:] or "index.html")
    found = (root / inside).resolve()
    return found.read_bytes() if found.is_relative_to(root.resolve()) and found.is_file() else None
