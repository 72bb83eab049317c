"""A real HTTP server in this process that speaks as much of OpenAI's protocol as captions need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Raw = Callable[["Handler"], None]
"""Writes to the handler's socket what it likes, and hangs up."""
Json = tuple[int, Any, dict[str, str]]
"""Status, what is sent as JSON (bytes as they are), headers."""
Answer = Json | Raw


class Server(ThreadingHTTPServer):
    """Answers what `behave(body, number of the request)` returns; counts what runs at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave: Callable[[dict[str, Any], int], Answer] = lambda body, number: says(body)
        self.models: Any = ["m"]
        self.list_answer: Answer | None = None
        """In place of the list of models."""
        self.num_connections = 0
        self.headers: list[dict[str, str]] = []
        self.is_over = threading.Event()
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.num_running = self.max_running = 0
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has hung up, as a stopped command does."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.num_connections += 1

    def do_GET(self) -> None:
        models = {"data": [{"id": name} for name in self.server.models]}
        self.answer(self.server.list_answer or (200, models, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            number = len(server.bodies)
            server.num_running += 1
            server.max_running = max(server.max_running, server.num_running)
        try:
            answer = server.behave(body, number)
        finally:
            with server.lock:
                server.num_running -= 1
        self.answer(answer)

    def answer(self, answer: Answer) -> None:
        if callable(answer):
            self.close_connection = True
            with suppress(OSError):  # whoever asked may hang up first
                answer(self)
            return
        status, content, headers = answer
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def says(body: dict[str, Any], num_choices: int | None = None, finish: str | None = "stop") -> Json:
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
            started.is_over.set()
            started.shutdown()
            thread.join()
