"""Every known misbehaviour of a server, against the whole command: what is committed, what left
and why, how it ends; and a run against a good server afterwards completes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.augment.fake_server import serving
from tests.augment.server_faults import (
    FAULTS,
    KEY,
    NUM_CLIPS,
    Fault,
    always,
    clips_in,
    good,
    meet,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    return clips_in(tmp_path_factory.mktemp("faults"))


QUICK = ("400: no `seed`", "402", "200: nothing", "429 while", "a header that", "hangs up on all")
"""One of each kind; all of them take a minute."""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(f, id=f.name, marks=[] if f.name.startswith(QUICK) else pytest.mark.slow)
        for f in FAULTS
    ],
)
def test_each_fault_costs_what_it_must_and_nothing_else(
    clips: str, tmp_path: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    seen = meet(fault, clips, tmp_path / "out")
    assert (seen.exit_code, seen.holds) == (fault.exit_code, True), seen.said
    assert seen.reasons == fault.reasons
    num_left = sum(fault.reasons.values())
    if fault.ok >= 0:
        assert (seen.num_ok, seen.num_pending) == (fault.ok, NUM_CLIPS - fault.ok - num_left)
    else:
        assert seen.num_ok + seen.num_pending == NUM_CLIPS
        assert seen.num_pending > 0
    told = " ".join([*seen.said.split(), *seen.messages, caplog.text])
    assert fault.words in told
    assert "Traceback" not in seen.said
    assert KEY not in told
    assert KEY.encode() not in seen.files
    # What was not captioned is, once the server is well.
    again = meet(Fault(name="good", behave=good), clips, tmp_path / "out")
    assert (again.num_pending, again.num_ok) == (0, NUM_CLIPS - num_left)
    if fault.ok >= 0:
        assert again.num_requests == NUM_CLIPS - fault.ok - num_left


def test_a_redirect_is_not_followed_and_nobody_else_sees_the_key(
    clips: str, tmp_path: Path
) -> None:
    with serving() as other:
        location = {"Location": f"{other.base_url}/chat/completions?signature=secret"}
        elsewhere = Fault(name="redirect", behave=always((307, {}, location)))
        seen = meet(elsewhere, clips, tmp_path / "out")
        assert (seen.exit_code, seen.num_ok, seen.num_pending) == (1, 0, NUM_CLIPS)
        assert f"redirects to {other.base_url.removesuffix('/v1')};" in " ".join(seen.said.split())
        assert "signature" not in seen.said
        assert other.num_connections == 0
