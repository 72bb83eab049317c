"""A review over real directories, served on a free port; and a real browser to open it in."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mama_augment.balance.source.inputs import Inputs
from mama_augment.concepts import ConceptConfig
from mama_augment.people.review.config import SampleConfig
from mama_augment.people.review.open import open_session
from mama_augment.people.review.server import bind, make_app, make_server
from mama_augment.people.review.session import Session
from tests.augment.numbered import write_numbered
from tests.augment.worlds import caption, clip, write_captions, write_clips

TOKEN = "a-token"
THINGS = ("dog", "dog", "dog", "cat", "cat", "horse")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def write_world(path: Path, num_clips: int = 24, *, videos: int = 0) -> tuple[str, str]:
    """Clips, the first `videos` of which have their video, and a caption for each."""
    path.mkdir(parents=True, exist_ok=True)
    real = [str(write_numbered(path / f"v{i}.mp4", 30)) for i in range(videos)]
    rows = [
        clip(
            f"c{i:03d}",
            video=real[i] if i < videos else str(path / f"gone-{i}.mp4"),
            num_frames=4,
            start_seconds=0.2 if i < videos else None,
            end_seconds=0.8 if i < videos else None,
        )
        for i in range(num_clips)
    ]
    captions = [
        caption(f"c{i:03d}", 0, f"A {THINGS[i % 6]} runs over <b>field</b> number {i}.")
        for i in range(num_clips)
    ]
    captions.append(caption("c000", 1, None, raw_text="I cannot see it."))
    return write_clips(path / "clips", rows), write_captions(path / "captions", captions)


def open_world(world: tuple[str, str], out: Path, scratch: Path, sizes: SampleConfig) -> Session:
    scratch.mkdir(exist_ok=True)
    concepts = ConceptConfig(vocabulary=_words(scratch))
    return open_session(Inputs.sort(world), str(out), sizes, concepts, scratch)


def _words(scratch: Path) -> str:
    path = scratch / "words.txt"
    path.write_text("dog\ncat\nhorse\n")
    return str(path)


@contextmanager
def served(session: Session) -> Iterator[str]:
    """The page's address, without the token."""
    with bind(0) as bound:
        server = make_server(make_app(session, TOKEN))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def answer(
    address: str, path: str, body: Any = None, *, token: str = TOKEN, **headers: str
) -> tuple[int, Any]:
    """(status, JSON or bytes) of a request."""
    mark = "&" if "?" in path else "?"
    request = urllib.request.Request(
        f"{address}{path}{mark}token={token}",
        data=None if body is None else json.dumps(body).encode(),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            status, content, kind = response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        status, content, kind = error.code, error.read(), error.headers
    is_json = "json" in (kind.get("Content-Type") or "")
    return status, json.loads(content) if is_json else content


@contextmanager
def browser() -> Iterator[Any]:
    """A real Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as program:
        opened = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()
