"""The caption step: accounting, rejects, resume, reuse, and every kind of trouble on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import EngineDiedError, SamplingConfig
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.input.layout import GridLayout, PictureSize
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.step import Caption
from mama_augment.core import schema
from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.scripted_engine import Script, start_plain
from tests.augment.steps import CaptionRun, open_job, run_caption
from tests.augment.worlds import clip, write_clips

SETTINGS = CaptionSettings(
    model="tiny",
    model_revision="1",
    size=PictureSize(width_px=48, height_px=48),
    prompt=resolve("process"),
    grid=GridLayout(rows=2, columns=2),
    sampling=SamplingConfig(temperature=0.5),
)
NUM_CLIPS = 20


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    """Clips of different pictures, in units of 7."""
    rows = [
        clip(f"c{i:02d}") | {"frames": [jpeg(grey=10 * i + 5), jpeg(grey=10 * i)]}
        for i in range(NUM_CLIPS)
    ]
    return write_clips(tmp_path / "clips", rows)


def caption(
    clips_dir: str | Sequence[str],
    out: Path | str,
    *,
    start: StartEngine = start_plain,
    runtime: RuntimeConfig | None = None,
    max_in_flight: int = 4,
    settings: CaptionSettings = SETTINGS,
    **run: Any,
) -> Ledger:
    engine = EngineConfig(name="transformers", model="none", max_in_flight=max_in_flight)
    job = open_job(
        clips_dir,
        str(out),
        settings,
        engine,
        runtime or RuntimeConfig(num_workers=1),
        CaptionRun(**run),
        start,
    )
    return run_caption(job)


def step_of(clips_dir: str | Sequence[str], start: StartEngine = start_plain) -> Caption:
    engine = EngineConfig(name="transformers", model="none", max_in_flight=4)
    runtime = RuntimeConfig(num_workers=1)
    return Caption(clips_dir, SETTINGS, engine, runtime, start_engine=start)


def rows(out: Path) -> list[dict[str, Any]]:
    tables = list(StepDir.open(str(out)).tables())
    return pa.concat_tables(tables).to_pylist() if tables else []


def texts(out: Path) -> dict[tuple[str, int], str]:
    return {(row["clip_id"], row["caption_index"]): row["raw_text"] for row in rows(out)}


def rejects(out: Path) -> dict[str, tuple[str, str, int]]:
    step_dir = StepDir.open(str(out))
    found = [r for record in step_dir.records().values() for r in step_dir.read_rejects(record)]
    return {r.id: (r.verdict, r.reason, r.attempts) for r in found}


def files(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.glob("**/*.parquet"))}


def jpeg(height: int = 30, width: int = 40, grey: int = 99) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), grey, np.uint8))[1])


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A small file whose header announces a picture of another size."""
    content = bytearray(jpeg())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(content)


def test_every_clip_has_its_captions_in_order_and_with_their_origin(
    clips_dir: str, tmp_path: Path
) -> None:
    out = tmp_path / "captions"
    settings = replace(SETTINGS, num_captions=3)
    ledger = caption(clips_dir, out, settings=settings)
    assert (ledger.num_in, ledger.num_ok, ledger.exit_code) == (3 * NUM_CLIPS, 3 * NUM_CLIPS, 0)
    found = rows(out)
    assert [(r["clip_id"], r["caption_index"]) for r in found] == [
        (f"c{i:02d}", index) for i in range(NUM_CLIPS) for index in range(3)
    ]
    assert len({r["raw_text"] for r in found}) == 3 * NUM_CLIPS
    assert all(r["text"] == r["raw_text"] for r in found)
    first = found[0]
    assert (first["model"], first["model_revision"], first["prompt_name"]) == (
        "tiny",
        "1",
        "process",
    )
    assert (first["grid_rows"], first["grid_columns"]) == (2, 2)
    assert first["sampling"] == '{"max_tokens": 128, "temperature": 0.5, "top_p": 1.0}'
    assert found[1]["seed"] == first["seed"] + 1
    assert pa.concat_tables(StepDir.open(str(out)).tables()).schema == schema.CAPTIONS
    assert not (out / "journal").exists() or not list((out / "journal").iterdir())


def test_poisoned_rows_are_rejected_with_their_reasons_and_cost_no_other(tmp_path: Path) -> None:
    good = [clip(f"c{i:02d}", title="short") for i in range(8)]
    bad = {
        "broken": clip("broken", title="x") | {"frames": [jpeg(), jpeg()[:100]]},
        "text": clip("text", title="x") | {"frames": [b"no picture"]},
        "none": clip("none", title="x") | {"frames": [], "num_key_frames": 0},
        "huge": clip("huge", title="x") | {"frames": [jpeg_that_claims(60_000, 60_000)]},
        "wordy": clip("wordy", title="x" * 200_000),
    }
    source = write_clips(
        tmp_path / "clips", [*good[:4], *bad.values(), *good[4:]],
        extra=[pa.field("title", pa.string())],
    )  # fmt: skip
    out = tmp_path / "captions"
    settings = replace(SETTINGS, num_captions=2, prompt=resolve("Describe it, {{ title }}."))
    ledger = caption(source, out, settings=settings)
    assert (ledger.num_ok, ledger.num_rejected, ledger.exit_code) == (16, 10, 0)
    reasons = {"broken": "broken_frame", "text": "broken_frame", "none": "no_frames",
               "huge": "broken_frame", "wordy": "prompt_error"}  # fmt: skip
    assert rejects(out) == {
        f"{name}#{index}": ("rejected", reason, 1)
        for name, reason in reasons.items()
        for index in range(2)
    }


def test_more_frames_than_cells_are_spread_and_fewer_leave_cells_black(tmp_path: Path) -> None:
    many = clip("many") | {"frames": [jpeg()] * 9}
    few = clip("few") | {"frames": [jpeg()]}
    source = write_clips(tmp_path / "clips", [many, few])
    assert caption(source, tmp_path / "captions").num_ok == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_captions": 2, "sampling": SamplingConfig(temperature=0)}, "2 at --temperature 0"),
        ({"num_captions": 0}, "--num-captions is 0"),
        ({"prompt": resolve("Describe the {{ nothing }}.")}, "uses nothing"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused_before_any_work(
    clips_dir: str, tmp_path: Path, change: dict, message: str
) -> None:
    script = Script()
    with pytest.raises(InputError, match=message):
        caption(
            clips_dir, tmp_path / "out", start=script.start, settings=replace(SETTINGS, **change)
        )
    assert not script.num_starts
    assert not (tmp_path / "out").exists()


def test_unfinished_clips_are_refused_unless_partial_is_allowed(
    clips_dir: str, tmp_path: Path
) -> None:
    unit = sorted((Path(clips_dir) / "units/000").iterdir())[1]
    unit.unlink()
    with pytest.raises(InputError, match=r"1 of 3 units are pending.*--allow-partial"):
        caption(clips_dir, tmp_path / "out")
    assert caption(clips_dir, tmp_path / "out", allow_partial=True).num_ok == NUM_CLIPS - 7


@pytest.mark.parametrize("change", [
    {"prompt": resolve("order")}, {"seed": 1}, {"num_captions": 2}, {"model_revision": "2"},
    {"grid": GridLayout(rows=1, columns=4)}, {"sampling": SamplingConfig(temperature=0.6)},
])  # fmt: skip
def test_a_directory_holds_one_config(clips_dir: str, tmp_path: Path, change: dict) -> None:
    caption(clips_dir, tmp_path / "out")
    with pytest.raises(InputError, match="made with another config"):
        caption(clips_dir, tmp_path / "out", settings=replace(SETTINGS, **change))
    caption(clips_dir, tmp_path / "out", settings=replace(SETTINGS, **change), overwrite=True)


def test_a_finished_directory_asks_nothing_more(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "out")
    script = Script()
    assert caption(clips_dir, tmp_path / "out", start=script.start).num_ok == NUM_CLIPS
    assert (script.num_starts, script.asked) == (0, [])


def test_reuse_copies_what_fits_and_asks_for_the_rest(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "one", settings=replace(SETTINGS, num_captions=2))
    script = Script()
    more = replace(SETTINGS, num_captions=3)
    caption(
        clips_dir, tmp_path / "more", start=script.start, settings=more,
        reuse_uri=str(tmp_path / "one"),
    )  # fmt: skip
    assert len(script.asked) == NUM_CLIPS  # one request each, for the third caption
    assert all(request_id.endswith(":2") for request_id in script.asked)
    caption(clips_dir, tmp_path / "fresh", settings=more)
    assert texts(tmp_path / "more") == texts(tmp_path / "fresh")
    # Another prompt shares nothing; the same again needs no engine at all.
    script = Script()
    other = replace(SETTINGS, prompt=resolve("order"))
    caption(
        clips_dir, tmp_path / "other", start=script.start, settings=other,
        reuse_uri=str(tmp_path / "more"),
    )  # fmt: skip
    assert len(script.asked) == NUM_CLIPS
    script = Script()
    caption(clips_dir, tmp_path / "same", start=script.start, reuse_uri=str(tmp_path / "more"))
    assert script.num_starts == 0
    assert texts(tmp_path / "same").items() <= texts(tmp_path / "fresh").items()


def test_retry_failed_asks_only_for_what_failed(clips_dir: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = Script(fails=frozenset({"00000:1:0", "00002:3:0"}))
    ledger = caption(clips_dir, out, start=script.start)
    assert (ledger.num_ok, ledger.num_failed, ledger.exit_code) == (NUM_CLIPS - 2, 2, 1)
    assert set(rejects(out).values()) == {("failed", "engine_error", 1)}
    again = Script(fails=frozenset({"00002:3:0"}))
    ledger = caption(clips_dir, out, start=again.start, retry_failed=True)
    assert sorted(again.asked) == ["00000:1:0", "00002:3:0"]
    assert rejects(out) == {"c17#0": ("failed", "engine_error", 2)}
    assert caption(clips_dir, out, retry_failed=True).exit_code == 0
    caption(clips_dir, tmp_path / "undisturbed")
    assert files(out) == files(tmp_path / "undisturbed")


def test_a_request_that_kills_the_engine_twice_is_set_aside(clips_dir: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = Script(kills=frozenset({"00001:2:0"}))
    ledger = caption(clips_dir, out, start=script.start, max_in_flight=8)
    assert (ledger.num_ok, ledger.num_failed) == (NUM_CLIPS - 1, 1)
    assert rejects(out) == {"c09#0": ("failed", "engine_death", 1)}
    assert script.asked.count("00001:2:0") >= 2
    assert script.num_starts == 4  # at first, after the crowd, after the group, after it alone


def test_an_engine_that_cannot_carry_the_load_gets_half_of_it(
    clips_dir: str, tmp_path: Path
) -> None:
    script = Script(dies_above=8)
    ledger = caption(clips_dir, tmp_path / "out", start=script.start, max_in_flight=9)
    assert (ledger.num_ok, ledger.num_failed) == (NUM_CLIPS, 0)


def test_an_engine_that_only_dies_ends_the_run_and_the_next_one_continues(
    clips_dir: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    class Dead:
        num_starts = 0

        def start(self, config: EngineConfig) -> Any:
            self.num_starts += 1
            raise EngineDiedError("no device")

    dead = Dead()
    with pytest.raises(EngineDiedError, match=r"4 times in a row.*no device"):
        caption(clips_dir, out, start=dead.start)
    assert dead.num_starts == 4
    ledger = audit(StepDir.open(str(out)))
    assert (ledger.num_pending, ledger.holds, ledger.exit_code) == (NUM_CLIPS, True, 1)
    assert caption(clips_dir, out).exit_code == 0


def fail_writing(after: int, *, cut: bool = False) -> Callable[[], None]:
    """The disk is full after `after` journal lines; returns what makes room again."""
    write, num_lines = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal num_lines
        if bytes(data[:8]) == b'{"key": ':
            num_lines += 1
            if num_lines > after:
                if cut and len(data) > 30:
                    return write(descriptor, bytes(data[:30]))  # a part still fits
                raise OSError(errno.ENOSPC, "No space left on device")
        elif num_lines > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    patch = pytest.MonkeyPatch()
    patch.setattr(os, "write", full)
    return patch.undo


@pytest.mark.parametrize("cut", [False, True])
def test_a_full_disk_stops_the_run_and_finished_captions_are_never_asked_for_again(
    clips_dir: str, tmp_path: Path, cut: bool
) -> None:
    out = tmp_path / "out"
    make_room = fail_writing(after=9, cut=cut)
    try:
        with pytest.raises(OSError, match="No space left"):
            caption(clips_dir, out)
    finally:
        make_room()
    ledger = audit(StepDir.open(str(out)))
    assert ledger.holds
    assert (ledger.num_ok, ledger.num_pending) == (7, NUM_CLIPS - 7)  # one unit, and 2 captions
    script = Script()
    assert caption(clips_dir, out, start=script.start).exit_code == 0
    assert len(script.asked) == NUM_CLIPS - 9
    caption(clips_dir, tmp_path / "undisturbed")
    assert files(out) == files(tmp_path / "undisturbed")


def test_one_or_several_workers_make_the_same_files(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "one")
    caption(clips_dir, tmp_path / "three", runtime=RuntimeConfig(num_workers=3))
    assert files(tmp_path / "one") == files(tmp_path / "three")


def test_replicas_in_processes_with_gpus_of_their_own_make_the_same_files(
    clips_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # the engine lies among the tests
    caption(clips_dir, tmp_path / "one")
    apart = RuntimeConfig(num_workers=2, places=(("0",), ("1",)))
    assert caption(clips_dir, tmp_path / "apart", runtime=apart).num_ok == NUM_CLIPS
    assert files(tmp_path / "one") == files(tmp_path / "apart")


@pytest.mark.slow
def test_ray_makes_the_same_files(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "local")
    caption(clips_dir, tmp_path / "ray", runtime=RuntimeConfig(runtime="ray", num_workers=2))
    assert files(tmp_path / "local") == files(tmp_path / "ray")


def test_a_unit_without_clips_is_committed_too(tmp_path: Path) -> None:
    units = {"00000": 1, "00001": 2}
    manifest = Manifest(
        step="keyframes", config={}, input_fingerprint="x", units=units, versions={}
    )
    source = StepDir.create_or_resume(str(tmp_path / "clips"), manifest)
    from mama_augment.core.ledger import Reject

    lost = Reject(id="a", step="keyframes", verdict="rejected", reason="x", message="m")
    source.commit("00000", None, [lost])
    source.commit("00001", pa.Table.from_pylist([clip("b"), clip("c")], schema.CLIPS))
    ledger = caption(str(tmp_path / "clips"), tmp_path / "out")
    assert (ledger.num_in, ledger.num_ok, ledger.num_units_pending) == (2, 2, 0)
