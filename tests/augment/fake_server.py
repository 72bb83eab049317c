"""A real HTTP server in this process that speaks as much of OpenAI's protocol as captions need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any, dict[str, str]]
"""Status, what is sent as JSON (bytes as they are), headers."""


class Server(ThreadingHTTPServer):
    """Answers what `behave(body, number of the request)` returns; counts what runs at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave: Callable[[dict[str, Any], int], Answer] = lambda body, number: says(body)
        self.models = ["m"]
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.num_running = self.max_running = 0
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer(200, {"data": [{"id": name} for name in self.server.models]}, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            number = len(server.bodies)
            server.num_running += 1
            server.max_running = max(server.max_running, server.num_running)
        try:
            answer = server.behave(body, number)
        finally:
            with server.lock:
                server.num_running -= 1
        self.answer(*answer)

    def answer(self, status: int, content: Any, headers: dict[str, str]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def says(
    body: dict[str, Any], num_choices: int | None = None, finish: str | None = "stop"
) -> Answer:
    choices = [
        {"index": i, "finish_reason": finish, "message": {"content": f" seed {body['seed'] + i} "}}
        for i in range(num_choices or body["n"])
    ]
    usage = {"prompt_tokens": 30, "completion_tokens": 4 * len(choices)}
    return 200, {"choices": choices[::-1], "usage": usage}, {}


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers until the block ends."""
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield started
        finally:
            started.shutdown()
            thread.join()
