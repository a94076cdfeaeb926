"""A chat server for a judge on loopback that says what a script tells it, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.waiting import LAST_RESORT

HANG, BROKEN, REFUSED = "hang", "broken", "refused"
Request = dict[str, Any]
Script = Callable[[Request], str]
"""The text of a reply, or `HANG` (none comes), `BROKEN` (HTTP 500), `REFUSED` (by a content filter)."""


class JudgeServer:
    """Serves `script` until the block ends; `requests` are those that came, in order."""

    def __init__(self, script: Script) -> None:
        self.ended = threading.Event()
        self.requests: list[Request] = []
        self.script = script
        gate = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with gate:
                    server.requests.append(request)
                    text = server.script(request)
                if text == HANG:
                    server.ended.wait(LAST_RESORT)
                    self.close_connection = True
                    return
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "content_filter" if text == REFUSED else "stop",
                }
                body = json.dumps({"choices": [choice]}).encode()
                self.send_response(500 if text == BROKEN else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
