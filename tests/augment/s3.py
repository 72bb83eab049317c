"""An S3-compatible server of this machine behind a proxy that counts requests; `s3` is a fixture.

from tests.augment.s3 import S3, s3  # noqa: F401

@pytest.mark.slow
def test_…(s3: S3) -> None:
    Folder("s3://bucket/a").write_bytes("name", b"…")
    before = s3.counts()
    …
    assert (s3.counts() - before)["GET"] <= 3
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow.fs as pafs
import pytest

BUCKET = "bucket"
HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "upgrade",
    "expect",
)


class Requests:
    """What was asked of the store: (kind, key) in the order of arrival; safe to use from threads.

    Kinds: HEAD, GET (each range is one), LIST, PUT, POST (begins or ends an upload in parts) and
    DELETE (one or many).
    """

    def __init__(self) -> None:
        self._log: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        self.most_in_flight = 0
        """Requests that waited for an answer at the same time."""

    def reset(self) -> None:
        with self._lock:
            self._log, self.most_in_flight = [], 0

    def log(self) -> list[tuple[str, str]]:
        with self._lock:
            return list(self._log)

    def counts(self, below: str = "") -> Counter[str]:
        """Requests by kind; of keys that begin with `below`."""
        return Counter(kind for kind, key in self.log() if key.startswith(below))

    def keys(self, kind: str) -> Counter[str]:
        """How often each key was asked for."""
        return Counter(key for found, key in self.log() if found == kind)

    def begin(self, kind: str, key: str) -> None:
        with self._lock:
            self._log.append((kind, key))
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)

    def end(self) -> None:
        with self._lock:
            self._in_flight -= 1


class S3(Requests):
    """The store, and what was asked of it through `s3://bucket/…`."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.filesystem = pafs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        )
        """Beside the proxy: nothing is counted."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A bucket `s3://bucket` for this process and its children."""
    pytest.importorskip(
        "moto", reason="pip install --target DIR moto[s3] flask flask-cors, then PYTHONPATH=DIR"
    )
    server_port = _free_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(server_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _listens(server_port):
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.1)
        store = S3(server_port)
        store.filesystem.create_dir(BUCKET)
        proxy = _Proxy(server_port, store)
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
        yield store
        proxy.shutdown()
        proxy.server_close()
        thread.join()
    finally:
        server.kill()
        server.wait()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, target_port: int, requests: Requests) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target_port = target_port
        self.requests = requests

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no fault."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _pass_on(self) -> None:
        self.server.requests.begin(*kind_and_key(self.command, self.path))
        try:
            self._answer()
        finally:
            self.server.requests.end()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _answer(self) -> None:
        body = self._body()
        target = http.client.HTTPConnection("127.0.0.1", self.server.target_port, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        target.request(self.command, self.path, body, headers | {"Connection": "close"})
        answer = target.getresponse()
        content = answer.read()
        target.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        of_head = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", of_head or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            """Trailers."""
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def kind_and_key(method: str, target: str) -> tuple[str, str]:
    """The kind of a request, as `Requests` counts it, and the key below the bucket."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    _, _, key = unquote(parts.path).lstrip("/").partition("/")
    if method == "GET" and not key:
        return "LIST", (query.get("prefix") or [""])[0]
    if method == "POST" and "delete" in query:
        return "DELETE", key
    return method, key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
