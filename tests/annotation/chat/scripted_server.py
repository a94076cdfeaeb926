"""A chat server on loopback that sends set replies, whatever it is asked, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Scripted = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
"""Status, body, and headers."""


@dataclass
class ScriptedServer:
    """`replies` are sent in turn, the last one again and again; `asked` are requests with their path."""

    replies: list[Scripted]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def replying(replies: Sequence[Scripted]) -> Iterator[ScriptedServer]:
    """The server, until the block ends."""
    server = ScriptedServer(list(replies))
    gate = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with gate:
                server.asked.append({"path": self.path, **body})
                server.keys.append(self.headers.get("Authorization"))
                status, reply, *headers = (
                    server.replies[0] if len(server.replies) == 1 else server.replies.pop(0)
                )
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_port}/v1"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
