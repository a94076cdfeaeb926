"""A chat server on loopback for a model under test: what a script says, with log-probabilities."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import LAST_RESORT

TRIAL = "Is this picture blurred?"
Script = Callable[[str, dict[str, Any]], str | int]
"""From the last question and the request: the text of an answer, or an HTTP status. 0 hangs till the end."""


@dataclass
class ChatServer:
    """What it was asked, in order."""

    script: Script
    logprobs: bool = True
    raw: bytes | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    url: str = ""

    def questions(self) -> list[str]:
        return [question_of(request) for request in self.asked]


def question_of(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[1]["text"])


def _reply(text: str, logprobs: bool) -> bytes:
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if logprobs:
        steps = re.findall(r"\s*\S+", text)
        content = [{"token": part, "logprob": -0.01, "bytes": list(part.encode())} for part in steps]
        choice["logprobs"] = {"content": [{**step, "top_logprobs": [step]} for step in content]}
    return json.dumps({"choices": [choice]}).encode()


@contextmanager
def serving(script: Script, **more: Any) -> Iterator[ChatServer]:
    told = ChatServer(script, **more)
    gate, ended = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with gate:
                told.asked.append(request)
                told.keys.add(self.headers.get("Authorization"))
            said = told.script(question_of(request), request)
            if said == 0:
                ended.wait(LAST_RESORT)
                self.close_connection = True
                return
            status = said if isinstance(said, int) else 200
            echoed = f"no, {self.headers.get('Authorization')}".encode()
            wanted = bool(request.get("logprobs")) and told.logprobs
            body = _reply(said, wanted) if isinstance(said, str) else echoed
            body = told.raw if told.raw is not None and status == 200 else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{listening.server_port}/v1"
    try:
        yield told
    finally:
        ended.set()
        listening.shutdown()
        listening.server_close()
        thread.join()
