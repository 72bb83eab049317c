"""What the tests of this folder share: a listener that must hear nothing, and commands run here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from mama_augment.cli import app
from mama_augment.core.ledger import Reject
from mama_augment.core.store.step_dir import StepDir


def run(*words: object) -> Result:
    """A command of mama-augment in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def rejects_of(out: Path) -> list[Reject]:
    """Everything that left a step, in the order of its units."""
    step_dir = StepDir.open(str(out))
    return [
        reject for record in step_dir.records().values() for reject in step_dir.read_rejects(record)
    ]


def clip_rows(out: Path) -> list[dict[str, object]]:
    """Rows of a step's tables."""
    return [row for table in StepDir.open(str(out)).tables() for row in table.to_pylist()]


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine, and the first bytes of whatever connects to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    try:
                        heard.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    except OSError:
                        heard.append(b"")

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
