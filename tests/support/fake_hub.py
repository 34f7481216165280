"""A stand-in for the Hugging Face hub: one data set's Parquet copy over HTTP, and who asked for what."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_API, _FILES, _REVISION = "/api/datasets/owner/name", "/datasets/owner/name/resolve/", "refs/convert/parquet"


@dataclass
class FakeHub:
    """Where it answers, and the requests so far: path, bytes asked for, and the token that was sent."""

    address: str
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)


@contextmanager
def serve(root: Path) -> Iterator[FakeHub]:
    """Serves the files under `root` as the Parquet copy of owner/name."""
    hub = FakeHub("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
            path = unquote(self.path.split("?")[0])
            if path == f"{_API}/revision/{_REVISION}":
                self._say(200, {"id": "owner/name", "_id": "1", "sha": "1" * 40, "private": False, "siblings": []})
            elif path.startswith(f"{_API}/tree/{_REVISION}"):
                folder = root / path.removeprefix(f"{_API}/tree/{_REVISION}").strip("/")
                self._say(200, [_entry(root, found) for found in sorted(folder.iterdir())])
            elif path.startswith(_FILES):
                self._send_part((root / path.removeprefix(f"{_FILES}{_REVISION}/")).read_bytes())
            else:
                self._say(404, {"error": "not found"})

        def _send_part(self, data: bytes) -> None:
            first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
            self._say(206, data[first : last + 1], ("Content-Range", f"bytes {first}-{last}/{len(data)}"))

        def _say(self, status: int, body: Any, *headers: tuple[str, str]) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(data))), ("ETag", '"1"')):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _entry(root: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(root))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40}
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": "1" * 40}
