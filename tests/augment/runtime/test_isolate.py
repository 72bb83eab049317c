"""A call that hangs, crashes or grows costs itself only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mama_augment.decode.errors import ClipError
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig, IsolationError

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = "tests.augment.isolated_functions:act"


@pytest.fixture(autouse=True)
def _find_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture
def act(request: pytest.FixtureRequest) -> Iterator[IsolatedFunction]:
    is_about_time = "hang" in request.node.name
    config = IsolationConfig(time_limit_seconds=1 if is_about_time else 60, memory_limit_mb=300)
    function = IsolatedFunction(TARGET, config)
    yield function
    function.close()


def test_calls_share_a_process_that_is_not_ours(act: IsolatedFunction) -> None:
    pids = {act("answer"), act("answer")}
    assert len(pids) == 1
    assert os.getpid() not in pids


@pytest.mark.parametrize(
    ("what", "reason", "message"),
    [
        ("hang", "timeout", "1 seconds"),
        ("crash", "crashed", "SIGSEGV"),
        ("leave", "crashed", "exit code 3"),
        ("grow", "out_of_memory", "300 MB"),
        ("bug", "crashed", "LookupError: an unexpected one"),
    ],
)
def test_every_way_to_fail_has_its_reason_and_the_next_call_works(
    act: IsolatedFunction, what: str, reason: str, message: str
) -> None:
    with pytest.raises(IsolationError, match=message) as caught:
        act(what)
    assert caught.value.reason == reason
    assert act("answer")


@pytest.mark.parametrize("what", ["hang with a file", "crash with a file", "grow with a file"])
def test_temporary_files_go_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: IsolatedFunction, what: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(IsolationError) as caught:
        act(what)
    assert caught.value.reason in ("timeout", "crashed", "out_of_memory")
    assert not caught.value.message.startswith("Assertion")
    assert list(tmp_path.iterdir()) == []
    act("answer")
    assert len(list(tmp_path.iterdir())) == 1
    act.close()
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_comes_back_as_it_is_and_the_process_lives_on(act: IsolatedFunction) -> None:
    pid = act("answer")
    with pytest.raises(ClipError, match="there is none") as caught:
        act("reject")
    assert caught.value.reason == "no_video"
    assert act("answer") == pid


def test_signals_to_a_whole_job_are_the_parents_to_handle(act: IsolatedFunction) -> None:
    pid = act("answer")
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert act("answer") == pid


def test_processes_are_replaced_after_their_share_of_calls() -> None:
    config = IsolationConfig(time_limit_seconds=5, memory_limit_mb=300, num_calls_per_process=2)
    act = IsolatedFunction(TARGET, config)
    pids = [act("answer") for _ in range(5)]
    act.close()
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_a_function_that_cannot_be_imported_is_our_fault_not_the_inputs() -> None:
    config = IsolationConfig(time_limit_seconds=5, memory_limit_mb=300)
    missing = IsolatedFunction("tests.augment.no_such_module:act", config)
    with pytest.raises(RuntimeError, match="no_such_module"):
        missing("answer")


def test_a_killed_parent_takes_its_children_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "from mama_augment.runtime.isolate import *\n"
        "config = IsolationConfig(time_limit_seconds=60, memory_limit_mb=300)\n"
        f"act = IsolatedFunction({TARGET!r}, config)\n"
        "print(act('answer'), flush=True)\n"
        "act('hang with a file')\n"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child_pid}/stat").exists():
        if " Z " in Path(f"/proc/{child_pid}/stat").read_text():
            break  # dead; whoever adopted it has not collected it yet
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_ends_without_closing_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "from mama_augment.runtime.isolate import *\n"
        "config = IsolationConfig(time_limit_seconds=60, memory_limit_mb=300)\n"
        f"IsolatedFunction({TARGET!r}, config)('answer')\n"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", program], check=True)
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
