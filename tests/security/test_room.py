"""What a process that decodes a stranger's file can do once somebody has taken it over: nothing."""

from __future__ import annotations

import os
import pickle
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.decode.errors import ClipError
from mama_augment.keyframes.config import ClipFrames
from mama_augment.runtime import child, room
from mama_augment.runtime.answers import (
    BadAnswerError,
    check,
    packed,
    packed_error,
    unpacked,
    unpacked_error,
)
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig, IsolationError
from tests.security.hostile import listener

TARGET = "tests.security.taken_over:act"
SECRETS = ("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MY_PASSWORD", "SSH_AUTH_SOCK")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedFunction]:
    """A process that does what it is told."""
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    for name in SECRETS:
        monkeypatch.setenv(name, "sk-OPERATOR")
    config = IsolationConfig(time_limit_seconds=60, memory_limit_mb=300)
    function = IsolatedFunction(TARGET, config)
    yield function
    function.close()


def test_no_secret_is_in_its_environment(taken: IsolatedFunction) -> None:
    assert "sk-OPERATOR" not in str(taken("environment"))
    assert "PATH" in taken("environment")
    fetching = IsolatedFunction(
        TARGET, IsolationConfig(time_limit_seconds=60, memory_limit_mb=300, has_network=True)
    )
    try:
        assert set(SECRETS) <= set(fetching("environment"))  # to fetch with
    finally:
        fetching.close()


@pytest.mark.skipif(bool(room.lacking()), reason=room.lacking())
@pytest.mark.parametrize(
    "what", ["connect", "unix socket", "run a program", "fork", "kill its parent", "trace"]
)
def test_the_kernel_refuses_what_no_decoder_needs(taken: IsolatedFunction, what: str) -> None:
    with listener() as (port, heard):
        assert taken(what, port) == "PermissionError"
        assert heard == []
    assert taken("threads") == 4  # decoders have some


def test_it_fills_neither_the_disk_nor_the_memory_nor_the_table_of_files(
    taken: IsolatedFunction,
) -> None:
    assert taken("fill the disk") <= (room.FILE_MB + 1) * room.MEGABYTE
    assert taken("ask for 100 GB") == "MemoryError"
    assert taken("open many files") <= room.OPEN_FILES
    assert taken("no new privileges") == "1"


def test_a_room_is_said_to_be_lacking_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert "pyseccomp" in room.lacking()
    monkeypatch.setattr(room, "SECCOMP", "/nowhere")
    assert "kernel" in room.lacking()


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch PWNED",)


@pytest.mark.parametrize(
    "what",
    [
        "pickle",
        "raw bytes",
        "deep",
        "huge",
        "half",
        "outside",
        "other type",
        "hang up",
        "many keys",
    ],
)
def test_an_answer_is_never_more_than_an_answer(
    taken: IsolatedFunction, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "STALL_SECONDS", 1)
    function = IsolatedFunction(
        "tests.security.taken_over:answer",
        IsolationConfig(time_limit_seconds=60, memory_limit_mb=300),
        ClipFrames,
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    try:
        with pytest.raises(IsolationError) as caught:
            function(what)
    finally:
        function.close()
    assert caught.value.reason == "crashed"
    assert not list(tmp_path.iterdir())


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text().filter(lambda key: key != "$bytes"), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_what_is_packed_comes_back(value: object) -> None:
    assert unpacked(packed(value)) == value


@given(st.binary(max_size=200))
def test_whatever_comes_instead_is_refused(content: bytes) -> None:
    for some in (content, struct.pack(">I", len(content)) + content, pickle.dumps(Bomb())):
        try:
            unpacked(some)
        except BadAnswerError:
            continue
    assert not Path("PWNED").exists()


def test_an_exception_comes_back_only_if_it_is_ours_or_built_in() -> None:
    error, trace = unpacked_error(unpacked(packed_error(ClipError("no_video", "none"))))
    assert isinstance(error, ClipError)
    assert (error.reason, error.message) == ("no_video", "none")
    assert "ClipError" in trace[-1]
    error, _ = unpacked_error(unpacked(packed_error(FileNotFoundError(2, "gone"))))
    assert isinstance(error, FileNotFoundError)
    full = OSError(28, "No space left on device", "/out/x")
    error, _ = unpacked_error(unpacked(packed_error(full)))
    assert str(error) == str(full)
    for named in (
        ["os", "system", ["touch PWNED"]],
        ["builtins", "eval", ["1"]],
        ["builtins", "SystemExit", [1]],
        ["mama_augment.core.store.files", "Folder.delete", ["x"]],
        ["mama_augment.no_such_module", "X", []],
        ["subprocess", "CalledProcessError", [1, "x"]],
    ):
        assert unpacked_error({"error": named, "trace": []}) == (None, [])
    wrongs: list[object] = [{}, [], None, {"error": [1], "trace": []}, {"error": None, "trace": 3}]
    for wrong in wrongs:
        with pytest.raises(BadAnswerError):
            unpacked_error(wrong)


def test_key_frames_that_do_not_fit_are_no_answer() -> None:
    good = {
        "width_px": 8, "height_px": 8, "fps": 25.0, "transfer": None, "num_frames": 1,
        "strategy": "peaks", "frame_index": [0], "frame_seconds": [0.0], "frames": [b"x"],
        "frame_hashes": [1], "flags": [],
    }  # fmt: skip
    assert isinstance(check(ClipFrames, good), ClipFrames)
    changes: list[dict[str, object]] = [
        {"frames": []},
        {"frames": [b"x", b"y"]},
        {"frame_index": [2**70]},
        {"frame_hashes": [2**63]},
        {"width_px": 2**31},
        {"num_frames": "many"},
        {"frame_seconds": [float("nan")]},
        {"flags": 7},
    ]
    for change in changes:
        with pytest.raises(BadAnswerError):
            check(ClipFrames, good | change)


def test_the_answers_of_threads_do_not_mix(taken: IsolatedFunction) -> None:
    """Each worker has a process of its own; nothing is shared between their rooms."""
    results: list[object] = []

    def call() -> None:
        config = IsolationConfig(time_limit_seconds=60, memory_limit_mb=300)
        function = IsolatedFunction(TARGET, config)
        results.append(function("pid"))
        function.close()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 2
