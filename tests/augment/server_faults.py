"""Every way in which a server is known to misbehave, and what the command makes of it.

    python -m tests.augment.server_faults     # the table of docs/results/captions.md

Each fault is that of a real server in this process; the whole command captions `NUM_CLIPS` clips.
Pauses take no time; time limits do.
"""  # fmt: skip

from __future__ import annotations

import gzip
import io
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from unittest import mock

from mama_augment.cli import main
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.fake_server import Answer, Handler, Json, Server, serving
from tests.augment.server_engine import FakeTime
from tests.augment.worlds import clip, jpeg, write_clips

NUM_CLIPS = 40
KEY = "sk-never-to-be-seen-0123456789"
Behave = Callable[[Server, dict[str, Any], int], Answer]


def good(server: Server, body: dict[str, Any], number: int) -> Json:
    choice = {"finish_reason": "stop", "message": {"content": "A brown dog runs on a beach."}}
    choices = [{"index": i, **choice} for i in range(body.get("n", 1))]
    return 200, {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 8}}, {}


def always(answer: Answer) -> Behave:
    return lambda server, body, number: answer


def for_one(answer: Answer) -> Behave:
    """One clip meets it at each attempt, and no other."""
    lock = threading.Lock()
    cursed: list[str] = []

    def behave(server: Server, body: dict[str, Any], number: int) -> Answer:
        picture = json.dumps(body["messages"])
        with lock:
            if not cursed:
                cursed.append(picture)
        return answer if picture == cursed[0] else good(server, body, number)

    return behave


def until(last: int, answer: Answer) -> Behave:
    return lambda s, body, number: answer if number <= last else good(s, body, number)


def knows_no(name: str, hint: str = "") -> Behave:
    message = {"error": {"message": f"Unsupported parameter: '{name}'. {hint}"}}
    return lambda s, body, number: (400, message, {}) if name in body else good(s, body, number)


def at_most(most: int) -> Behave:
    """Refuses what comes while `most` others are being answered."""

    def behave(server: Server, body: dict[str, Any], number: int) -> Answer:
        if server.num_running > most:
            return 429, {"error": "slow down"}, {}
        time.sleep(0.005)  # an answer takes its time, so that requests meet
        return good(server, body, number)

    return behave


def gone_after(last: int) -> Behave:
    """Closes its door for good."""

    def behave(server: Server, body: dict[str, Any], number: int) -> Answer:
        status, content, headers = good(server, body, number)
        if number >= last:
            server.socket.close()
        return status, content, {**headers, "Connection": "close"}

    return behave


def asks_to_come_back(server: Server, body: dict[str, Any], number: int) -> Answer:
    """Three times, at a date five minutes from now."""
    date = formatdate(time.time() + 300, usegmt=True)
    return (429, {}, {"Retry-After": date}) if number <= 3 else good(server, body, number)


def head(handler: Handler, *lines: str) -> None:
    handler.wfile.write("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode())


def drips(handler: Handler) -> None:
    """A byte now and then, for ever."""
    head(handler, "Content-Length: 100000")
    while not handler.server.is_over.wait(0.05):
        handler.wfile.write(b" ")


def drips_its_head(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.is_over.wait(0.05):
        handler.wfile.write(b"x")


def never_ends(handler: Handler) -> None:
    head(handler, "Connection: close")
    while not handler.server.is_over.is_set():
        handler.wfile.write(b"x" * 2**20)


def claims_much(handler: Handler) -> None:
    head(handler, f"Content-Length: {10**12}")
    never_ends(handler)


def hangs(handler: Handler) -> None:
    handler.server.is_over.wait(30)


def hangs_up(handler: Handler) -> None:
    """Without a word."""


def hangs_up_halfway(handler: Handler) -> None:
    head(handler, "Content-Length: 1000")
    handler.wfile.write(b'{"choices": [')


def talks_nonsense(handler: Handler) -> None:
    handler.wfile.write(b"220 smtp.example.org ready\r\n")


def bomb(handler: Handler) -> None:
    packed = gzip.compress(b" " * 200 * 2**20, 9)
    head(handler, "Content-Encoding: gzip", f"Content-Length: {len(packed)}")
    handler.wfile.write(packed)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a server does, and the ledger, exit code and words that the command ends with."""

    name: str
    behave: Behave
    exit_code: int = 0
    ok: int = NUM_CLIPS
    """-1: what was there by then."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rows that left, by reason."""
    words: str = ""
    """What is said on stderr, or stands in the reject."""
    options: tuple[str, ...] = ()
    models: Answer | None = None


STOPPED: dict[str, Any] = {"exit_code": 1, "ok": 0}
REFUSED: dict[str, Any] = {"exit_code": 2, "ok": 0}
FAILED: dict[str, Any] = {"exit_code": 1, "ok": NUM_CLIPS - 1, "reasons": {"engine_error": 1}}
TIMED_OUT: dict[str, Any] = {
    "exit_code": 1, "ok": NUM_CLIPS - 1, "reasons": {"timeout": 1}, "options": ("--timeout", "0.4"),
    "words": "no whole answer in 0.4 s (2 attempts)",
}  # fmt: skip


def error(text: str) -> dict[str, Any]:
    return {"error": {"message": text}}


IN_PARTS = {
    "choices": [
        {
            "finish_reason": "stop",
            "message": {"content": [{"type": "text", "text": "A brown dog runs on a beach."}]},
        }
    ]
}
FAULTS = (
    Fault(
        name="400: no `max_tokens`, use `max_completion_tokens`",
        behave=knows_no("max_tokens", "Use max_completion_tokens"),
    ),
    Fault(name="400: no `seed`", behave=knows_no("seed")),
    Fault(
        name="400: no pictures, to all",
        behave=always((400, error("model does not support images"), {})),
        **STOPPED,
        words="model does not support images",
    ),
    Fault(
        name="400, to one",
        behave=for_one((400, error("bad picture"), {})),
        ok=NUM_CLIPS - 1,
        reasons={"request_refused": 1},
        words="bad picture",
    ),
    Fault(
        name="400 with the key in its words, to one",
        behave=for_one((400, error(f"no: {KEY}"), {})),
        ok=NUM_CLIPS - 1,
        reasons={"request_refused": 1},
        words="no: [OPENAI_API_KEY]",
    ),
    Fault(
        name="402: no credits",
        behave=always((402, error("Insufficient credits"), {})),
        **REFUSED,
        words="wants to be paid",
    ),
    Fault(
        name="413 of a proxy, to all",
        behave=always((413, b"<html>Too large</html>", {})),
        **STOPPED,
        words="Too large",
    ),
    Fault(name="401", behave=always((401, error("no key"), {})), **REFUSED, words="OPENAI_API_KEY"),
    Fault(
        name="404",
        behave=always((404, error("no such model"), {})),
        **REFUSED,
        words="no such model",
    ),
    Fault(
        name="200: a choice without message, to one",
        behave=for_one((200, {"choices": [{"finish_reason": "stop"}]}, {})),
        **FAILED,
        words="has no message",
    ),
    Fault(name="200: content as parts", behave=always((200, IN_PARTS, {}))),
    Fault(
        name="200: a JSON list, to one",
        behave=for_one((200, ["a"], {})),
        **FAILED,
        words="not an object",
    ),
    Fault(
        name="200: an HTML page, to one",
        behave=for_one((200, b"<html>hello</html>", {})),
        **FAILED,
        words="not JSON",
    ),
    Fault(
        name="200: an HTML page, to all",
        behave=always((200, b"<html>hello</html>", {})),
        **STOPPED,
        words="not JSON",
    ),
    Fault(
        name="200: Latin-1, to one",
        behave=for_one((200, '{"a": "Hündin"}'.encode("latin-1"), {})),
        **FAILED,
        words="not JSON",
    ),
    Fault(name="200: nothing, to one", behave=for_one((200, b"", {})), **FAILED, words="not JSON"),
    Fault(
        name="200: brackets nested 10⁶ deep, to one",
        behave=for_one((200, b"[" * 10**6, {})),
        **FAILED,
        words="not JSON",
    ),
    Fault(
        name="200: an error object, to one",
        behave=for_one((200, error("upstream is down"), {})),
        **FAILED,
        words="upstream is down",
    ),
    Fault(name='models: `"data": null`', behave=good, models=(200, {"data": None}, {})),
    Fault(name="429 while 4 others are answered", behave=at_most(4)),
    Fault(name="429, 200 times", behave=until(200, (429, error("slow down"), {}))),
    Fault(
        name="429, Retry-After: 90",
        behave=until(3, (429, {}, {"Retry-After": "90"})),
        words="asks to wait 90 s",
    ),
    Fault(name="429, Retry-After: a date", behave=asks_to_come_back, words="asks to wait"),
    Fault(
        name="429, Retry-After: 86400",
        behave=always((429, {}, {"Retry-After": "86400"})),
        **STOPPED,
        words="24.0 hours",
    ),
    Fault(name="503, 3 times", behave=until(3, (503, error("loading"), {}))),
    Fault(
        name="500, to one",
        behave=for_one((500, b"<html>Oops</html>", {})),
        exit_code=1,
        ok=NUM_CLIPS - 1,
        reasons={"server_error": 1},
        words="Oops",
    ),
    Fault(
        name="503, to all",
        behave=always((503, error("maintenance"), {})),
        **STOPPED,
        words="maintenance",
    ),
    Fault(name="a byte now and then, to one", behave=for_one(drips), **TIMED_OUT),
    Fault(name="a header that has no end, to one", behave=for_one(drips_its_head), **TIMED_OUT),
    Fault(name="no answer at all, to one", behave=for_one(hangs), **TIMED_OUT),
    Fault(
        name="a body that has no end, to one",
        behave=for_one(never_ends),
        **FAILED,
        words="larger than 16 MB",
    ),
    Fault(
        name="a body of 1 TB, to one",
        behave=for_one(claims_much),
        **FAILED,
        words="larger than 16 MB",
    ),
    Fault(
        name="200 MB packed in 200 kB, to one",
        behave=for_one(bomb),
        **FAILED,
        words="larger than 16 MB",
    ),
    Fault(
        name="hangs up without a word, to one", behave=for_one(hangs_up), **FAILED, words="hung up"
    ),
    Fault(
        name="hangs up halfway, to one", behave=for_one(hangs_up_halfway), **FAILED, words="hung up"
    ),
    Fault(name="hangs up on all", behave=always(hangs_up), **STOPPED, words="hung up"),
    Fault(name="no HTTP, to one", behave=for_one(talks_nonsense), **FAILED, words="hung up"),
    Fault(
        name="gone after 10 answers",
        behave=gone_after(10),
        exit_code=1,
        ok=-1,
        words="no server answers",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the command ended, and what it left."""

    exit_code: int
    said: str
    num_ok: int
    num_pending: int
    holds: bool
    reasons: Counter[str]
    messages: list[str]
    files: bytes
    """All that it wrote."""
    num_requests: int


@contextmanager
def quick() -> Iterator[None]:
    """Pauses take no time, and there is a key."""
    time_of = "mama_augment.caption.engines.server.shared.Time"
    with mock.patch(time_of, FakeTime), mock.patch.dict("os.environ", OPENAI_API_KEY=KEY):
        yield


def clips_in(folder: Path) -> str:
    """Clips of different pictures."""
    rows = [clip(f"c{i:02d}") | {"frames": [jpeg(i), jpeg(i + 100)]} for i in range(NUM_CLIPS)]
    return write_clips(folder / "clips", rows)


def meet(fault: Fault, clips: str, out: Path, more: tuple[str, ...] = ()) -> Seen:
    """Run the command against a server with this fault."""
    line = ["mama-augment", "caption", clips, "--out", str(out), "--engine", "openai"]
    with serving() as server, quick():
        server.behave = lambda body, number: fault.behave(server, body, number)
        server.list_answer = fault.models
        line += ["--model", "m", "--base-url", server.base_url, *fault.options, *more]
        code, said = run_command(line)
        num_requests = len(server.bodies)
        assert all(h["Authorization"] == f"Bearer {KEY}" for h in server.headers)
    opened = StepDir.open(str(out))
    ledger = audit(opened, deep=True)
    rejects = [r for record in opened.records().values() for r in opened.read_rejects(record)]
    return Seen(
        exit_code=code,
        said=said,
        num_ok=ledger.num_ok,
        num_pending=ledger.num_pending,
        holds=ledger.holds,
        reasons=Counter(r.reason for r in rejects),
        messages=[r.message for r in rejects],
        files=b"".join(p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()),
        num_requests=num_requests,
    )


def run_command(line: list[str]) -> tuple[int, str]:
    """(exit code, what was said on either stream, or logged)."""
    said = io.StringIO()
    with mock.patch("sys.argv", line), redirect_stdout(said), redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
    return 0, said.getvalue()


def row_of(fault: Fault, seen: Seen) -> str:
    """Of the table in the docs."""
    left = ", ".join(f"{number} {reason}" for reason, number in sorted(seen.reasons.items()))
    cells = [fault.name, f"{seen.num_ok}", left, f"{seen.num_pending}", f"{seen.exit_code}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        made = clips_in(Path(work))
        print("| the server's answers | ok | left | pending | exit code |\n|---|---|---|---|---|")
        for index, each in enumerate(FAULTS):
            print(row_of(each, meet(each, made, Path(work) / str(index))), flush=True)
