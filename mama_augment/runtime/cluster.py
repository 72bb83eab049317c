"""Which Ray to use, decided before Ray is imported: the one that is named, the one that runs here,
or one of this command's own, which nobody else can reach."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mama_augment.core.errors import InputError
from mama_augment.core.shared import say

ADDRESS = "RAY_ADDRESS"
AUTO, LOCAL = "auto", "local"
ANSWER_SECONDS = 10.0
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of gRPC opens with; a server answers with a frame of the same kind, 4."""
ONLY_HERE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""With this a Ray that is started listens on the loopback interface; read when it is imported."""
TRAVEL_PREFIXES = ("HF_", "AWS_", "VLLM_")
TRAVEL_NAMES = ("OPENAI_API_KEY", "HUGGING_FACE_HUB_TOKEN")


def find_cluster(given: str | None) -> str | None:
    """The address to join; None: Ray is started here, and the environment says how.

    given: `--ray-address`; else RAY_ADDRESS counts, else a cluster of this user that runs on this
    machine.

    Raises:
        InputError: nobody answers there as Ray does.
    """
    address = given or os.environ.get(ADDRESS)
    if address in (None, "", AUTO):
        running = running_here()
        if running is not None and _greets(running):
            say.tell(f"joins the Ray cluster that runs here, at {running}", "note")
            return running
        if address == AUTO:
            raise InputError(
                f"--ray-address (or {ADDRESS}) is auto, but no Ray cluster runs on this machine. "
                "Start one with `ray start --head`, name another, or leave it out"
            )
    elif address != LOCAL:
        if not _greets(address.removeprefix("ray://")):
            raise InputError(
                f"no Ray cluster answers at {address!r}. Correct --ray-address or the environment "
                f"variable {ADDRESS}, or leave them out to start Ray here"
            )
        if given is None:
            say.tell(f"joins the Ray cluster of {ADDRESS}, at {address}", "note")
        return address
    for name, value in ONLY_HERE.items():
        os.environ.setdefault(name, value)
    return None


def running_here() -> str | None:
    """The address that `ray start` noted on this machine, if it was this user's."""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    note = folder / "ray_current_cluster"
    try:
        # Another user's cluster is not ours to hand keys to.
        return note.read_text().strip() or None if note.stat().st_uid == os.getuid() else None
    except OSError:
        return None


def _greets(address: str) -> bool:
    """Whether something that speaks gRPC answers soon. Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"the Ray address {address!r} is not host:port")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return True  # it answers those only who show a certificate
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(GREETING)
            answer = connection.recv(9)
            return len(answer) > 3 and answer[3] == GREETING[-6]
    except (OSError, OverflowError):
        return False


def travelling(names: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """What of this command's environment its workers elsewhere need: where models, data and keys
    are, and `names`.

    Raises:
        InputError: a name that is not set.
    """
    if missing := [name for name in names if name not in environment]:
        raise InputError(
            f"--env {', '.join(missing)}: no such environment variable is set here; set it, or "
            "leave it out"
        )
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(TRAVEL_PREFIXES) or name in (*TRAVEL_NAMES, *names)
    }
