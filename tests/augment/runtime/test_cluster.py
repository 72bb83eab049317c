"""Which Ray is used, and how soon a wrong address is answered; no Ray is needed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mama_augment.core.errors import InputError
from mama_augment.runtime import cluster
from mama_augment.runtime.cluster import find_cluster, travelling

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A server that says this to whoever comes; None: nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def work() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.sendall(answer)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No cluster is known, and the environment is this test's own."""
    monkeypatch.setattr(os, "environ", {"RAY_TMPDIR": str(tmp_path)})
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray" / "ray_current_cluster"


def test_without_an_address_ray_is_started_for_this_machine_alone() -> None:
    assert find_cluster(None) is None
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_an_address_is_joined_the_options_first(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(SETTINGS) as one, listening(SETTINGS) as two:
        os.environ["RAY_ADDRESS"] = one
        assert find_cluster(two) == two
        assert capsys.readouterr().err == ""
        assert find_cluster(None) == one
        assert f"joins the Ray cluster of RAY_ADDRESS, at {one}" in capsys.readouterr().err
        assert find_cluster("local") is None


def test_a_cluster_that_runs_here_is_joined_and_a_dead_or_foreign_one_is_not(
    no_ray: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(SETTINGS) as address:
        no_ray.write_text(f"{address}\n")
        assert find_cluster(None) == find_cluster("auto") == address
        assert "joins the Ray cluster that runs here" in capsys.readouterr().err
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert find_cluster(None) is None
        monkeypatch.undo()
    no_ray.write_text(address)
    os.environ["RAY_TMPDIR"] = str(no_ray.parents[1])
    assert find_cluster(None) is None
    with pytest.raises(InputError, match="no Ray cluster runs on this machine"):
        find_cluster("auto")


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n"])
def test_what_is_no_ray_is_answered_soon(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.2)
    began = time.monotonic()
    with listening(answer) as address, pytest.raises(InputError, match="no Ray cluster answers"):
        find_cluster(address)
    with pytest.raises(InputError, match="no Ray cluster answers"):
        find_cluster(f"ray://{address}")  # nobody is there any more
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["host", "host:", ":1", "host:x"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(InputError, match="is not host:port"):
        find_cluster(address)


def test_what_travels_is_what_is_needed() -> None:
    environment = {"HF_HOME": "/hf", "AWS_PROFILE": "p", "VLLM_X": "1", "OPENAI_API_KEY": "k"}
    others = {"HOME": "/root", "MINE": "m", "SECRET": "s"}
    assert travelling(("MINE",), environment | others) == environment | {"MINE": "m"}
    with pytest.raises(InputError, match="--env YOURS"):
        travelling(("YOURS",), environment)
