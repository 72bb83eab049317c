"""What a decoder would do if the file that it decodes had taken it over."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from mama_augment.runtime.answers import ANSWER, packed

PTRACE_TRACEME = 0


def act(what: str, port: int = 0) -> Any:
    """Try something; the name of the error, or what came of it."""
    try:
        return ACTIONS[what](port)
    except Exception as error:
        return type(error).__name__


def _trace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_TRACEME, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")


def _threads() -> int:
    seen: list[int] = []
    threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(seen)


def _fill() -> int:
    with tempfile.NamedTemporaryFile() as file:
        with suppress(OSError):
            while file.write(bytes(2**20)):
                file.flush()
        return os.stat(file.name).st_size


def _open_many() -> int:
    files: list[int] = []
    with suppress(OSError):
        while len(files) < 10_000:
            files.append(os.open("/dev/null", os.O_RDONLY))
    for file in files:
        os.close(file)
    return len(files)


def _status(name: str) -> str:
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(f"{name}:"))


ACTIONS: dict[str, Callable[[int], Any]] = {
    "pid": lambda port: os.getpid(),
    "environment": lambda port: dict(os.environ),
    "connect": lambda port: str(socket.create_connection(("127.0.0.1", port))),
    "unix socket": lambda port: str(socket.socket(socket.AF_UNIX)),
    "run a program": lambda port: subprocess.run(["true"]).returncode,
    "fork": lambda port: os.fork(),
    "kill its parent": lambda port: os.kill(os.getppid(), signal.SIGKILL),
    "trace": lambda port: _trace(),
    "threads": lambda port: _threads(),
    "fill the disk": lambda port: _fill(),
    "ask for 100 GB": lambda port: len(bytearray(100 * 2**30)),
    "open many files": lambda port: _open_many(),
    "no new privileges": lambda port: _status("NoNewPrivs"),
}


def answer(what: str) -> Any:
    """Write to the parent oneself, in place of an answer."""
    connection = _socket()
    match what:
        case "pickle":
            connection.send_bytes(b"\x80\x04c" + b"posix\nsystem\n(S'touch PWNED'\ntR.")
        case "raw bytes":
            connection.send_bytes(os.urandom(1000))
        case "deep":
            connection.send_bytes(ANSWER + (10**6).to_bytes(4, "big") + b"[" * 10**6)
        case "huge":
            os.write(connection.fileno(), (2**31 - 1).to_bytes(4, "big"))
        case "half":
            os.write(connection.fileno(), (1000).to_bytes(4, "big") + b"+")
        case "outside":
            connection.send_bytes(ANSWER + packed({"$bytes": [10**6, 5]}))
        case "other type":
            connection.send_bytes(ANSWER + packed({"width_px": "wide"}))
        case "many keys":
            connection.send_bytes(ANSWER + packed({str(n): n for n in range(10**5)}))
        case "hang up":
            os.close(connection.fileno())
    time.sleep(60)


def _socket() -> Connection:
    """The way to the parent: the one socket that is open here."""
    for number in range(3, 100):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                return Connection(number)
    raise AssertionError("no socket")
