"""`caption --plan`: each clip gets the captions that the plan gives it, and no other."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mama_augment.budget.plan_file import PlannedCaptions, read_plan
from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import SamplingConfig
from mama_augment.caption.requests import CaptionSettings
from mama_augment.cli import app, main
from mama_augment.core.errors import InputError
from mama_augment.core.safe.trust import trusting
from mama_augment.core.schema import PLAN
from mama_augment.core.store import committed
from mama_augment.core.store import layout as store
from mama_augment.core.store.audit import audit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.caption.test_step import (
    SETTINGS,
    caption,
    fail_writing,
    files,
    jpeg,
    rejects,
    rows,
    texts,
)
from tests.augment.scripted_engine import Script
from tests.augment.steps import CaptionRun, forecast_of
from tests.augment.worlds import clip, write_clips

NUM_CLIPS = 20
COUNTS = {f"c{i:02d}": 0 for i in range(NUM_CLIPS)} | {"c00": 3, "c05": 1, "c06": 2, "c15": 4}
"""Nothing for the second unit of 7 clips, and for none of the last six but one."""


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    pictures = [{"frames": [jpeg(grey=10 * i + 5), jpeg(grey=10 * i)]} for i in range(NUM_CLIPS)]
    found = [clip(f"c{i:02d}") | pictures[i] for i in range(NUM_CLIPS)]
    return write_clips(tmp_path / "clips", found)


def write_plan(path: Path, counts: Mapping[str, int], reason: str = "rare: x") -> str:
    columns = [list(counts), list(counts.values()), [reason] * len(counts)]
    pq.write_table(pa.table(columns, schema=PLAN), path)
    return str(path)


def following(path: Path, counts: Mapping[str, int], **change: Any) -> CaptionSettings:
    return replace(SETTINGS, plan=read_plan(write_plan(path, counts)), **change)


def wanted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(clip_id, i) for clip_id, number in sorted(counts.items()) for i in range(number)]


def test_each_clip_gets_what_the_plan_says_and_every_unit_is_committed(
    clips_dir: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = Script()
    ledger = caption(
        clips_dir, out, start=script.start, settings=following(tmp_path / "p.parquet", COUNTS)
    )
    assert [(row["clip_id"], row["caption_index"]) for row in rows(out)] == wanted(COUNTS)
    assert (ledger.num_in, ledger.num_ok, ledger.exit_code) == (10, 10, 0)
    assert script.asked.count("00000:0:0") == 1  # the captions of a clip share a request
    assert len(script.asked) == 4
    found = StepDir.open(str(out))
    assert dict(found.manifest.units) == {"00000": 6, "00001": 0, "00002": 4}
    deep = audit(found, deep=True)
    assert deep.holds
    assert (deep.num_in, deep.num_units, deep.num_units_pending) == (10, 3, 0)


def test_planned_captions_are_those_of_a_run_without_a_plan(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "all", settings=replace(SETTINGS, num_captions=4))
    caption(clips_dir, tmp_path / "some", settings=following(tmp_path / "p.parquet", COUNTS))
    everything = texts(tmp_path / "all")
    assert texts(tmp_path / "some") == {place: everything[place] for place in wanted(COUNTS)}


def test_a_plan_without_captions_needs_no_engine(clips_dir: str, tmp_path: Path) -> None:
    script = Script()
    settings = following(tmp_path / "p.parquet", dict.fromkeys(COUNTS, 0))
    ledger = caption(clips_dir, tmp_path / "out", start=script.start, settings=settings)
    assert (ledger.num_in, ledger.exit_code, ledger.num_units_pending) == (0, 0, 0)
    assert script.num_starts == 0
    assert audit(StepDir.open(str(tmp_path / "out")), deep=True).holds


def test_clips_that_the_plan_does_not_name_get_none(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "out", settings=following(tmp_path / "p.parquet", {"c03": 2}))
    assert list(texts(tmp_path / "out")) == [("c03", 0), ("c03", 1)]


def test_a_broken_clip_is_rejected_as_often_as_it_was_planned(tmp_path: Path) -> None:
    bad = {"frames": [b"no picture"]}
    found = [clip("a"), clip("bad") | bad, clip("c"), clip("spared") | bad]
    source = write_clips(tmp_path / "clips", found)
    counts = {"a": 1, "bad": 3, "c": 2, "spared": 0}
    settings = following(tmp_path / "p.parquet", counts)
    ledger = caption(source, tmp_path / "out", settings=settings)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (6, 3, 3)
    expected = {f"bad#{i}": ("rejected", "broken_frame", 1) for i in range(3)}
    assert rejects(tmp_path / "out") == expected


def test_a_run_that_stops_continues_with_the_same_plan_only(clips_dir: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = following(tmp_path / "p.parquet", COUNTS)
    failing = Script(fails=frozenset({"00000:5:0", "00002:1:0"}))
    ledger = caption(clips_dir, out, start=failing.start, settings=settings)
    assert (ledger.num_ok, ledger.num_failed) == (5, 5)
    next(out.glob("units/000/00001.*")).unlink()  # the unit that has nothing to do
    script = Script()
    ledger = caption(clips_dir, out, start=script.start, settings=settings)
    assert (ledger.num_units_pending, script.num_starts) == (0, 0)
    ledger = caption(clips_dir, out, start=script.start, settings=settings, retry_failed=True)
    assert script.asked == ["00000:5:0", "00002:1:0"]
    assert ledger.exit_code == 0
    caption(clips_dir, tmp_path / "undisturbed", settings=settings)
    assert files(out) == files(tmp_path / "undisturbed")


def test_captions_of_a_unit_that_was_cut_short_are_not_asked_for_again(
    clips_dir: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = following(tmp_path / "p.parquet", COUNTS)
    # Answers come from the last clip to the first: 2 of c15's 4 captions are finished.
    make_room = fail_writing(after=2)
    try:
        with pytest.raises(OSError, match="No space left"):
            caption(clips_dir, out, settings=settings)
    finally:
        make_room()
    ledger = audit(StepDir.open(str(out)), deep=True)
    assert ledger.holds
    assert (ledger.num_ok, ledger.num_pending) == (0, 10)
    script = Script()
    caption(clips_dir, out, start=script.start, settings=settings)
    assert sorted(script.asked) == ["00000:0:0", "00000:5:0", "00000:6:0", "00002:1:2"]
    caption(clips_dir, tmp_path / "undisturbed", settings=settings)
    assert files(out) == files(tmp_path / "undisturbed")


def test_another_plan_refuses_and_the_same_one_elsewhere_does_not(
    clips_dir: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    caption(clips_dir, out, settings=following(tmp_path / "p.parquet", COUNTS))
    # Other rows order, other reasons, another place: the same plan.
    turned = dict(sorted(COUNTS.items(), reverse=True))
    same = read_plan(write_plan(tmp_path / "elsewhere.parquet", turned, reason="because"))
    script = Script()
    caption(clips_dir, out, start=script.start, settings=replace(SETTINGS, plan=same))
    assert script.num_starts == 0
    # As many captions in each unit, to other clips.
    other = COUNTS | {"c05": 2, "c06": 1}
    with pytest.raises(InputError, match=r"plan was '.*', now '"):
        caption(clips_dir, out, settings=following(tmp_path / "other.parquet", other))
    with pytest.raises(InputError, match=r"num_captions was None, now 1; plan was"):
        caption(clips_dir, out)


def test_a_larger_plan_reuses_what_is_there(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "one", settings=following(tmp_path / "p.parquet", COUNTS))
    more = COUNTS | {"c00": 4, "c01": 2, "c06": 1, "c08": 1}
    settings = following(tmp_path / "more.parquet", more)
    script = Script()
    caption(
        clips_dir, tmp_path / "more", start=script.start, settings=settings,
        reuse_uri=str(tmp_path / "one"),
    )  # fmt: skip
    # The fourth of c00, both of c01, the one of c08; the rest is copied.
    assert sorted(script.asked) == ["00000:0:3", "00000:1:0", "00001:1:0"]
    caption(clips_dir, tmp_path / "fresh", settings=settings)
    assert files(tmp_path / "more") == files(tmp_path / "fresh")


def test_several_workers_make_the_same_files(clips_dir: str, tmp_path: Path) -> None:
    settings = following(tmp_path / "p.parquet", COUNTS)
    caption(clips_dir, tmp_path / "one", settings=settings)
    caption(clips_dir, tmp_path / "three", settings=settings, runtime=RuntimeConfig(num_workers=3))
    assert files(tmp_path / "one") == files(tmp_path / "three")


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_ray_follows_a_plan_to_the_same_bytes(
    clips_dir: str, tmp_path: Path, stopped: bool
) -> None:
    settings, ray = following(tmp_path / "p.parquet", COUNTS), tmp_path / "ray"
    caption(clips_dir, tmp_path / "local", settings=settings)
    on_ray = RuntimeConfig(runtime="ray", num_workers=2)
    if stopped:  # half of it is there from a run of this process, its rest in a journal
        make_room = fail_writing(after=2)
        try:
            with pytest.raises(OSError, match="No space left"):
                caption(clips_dir, ray, settings=settings)
        finally:
            make_room()
        assert list((ray / "journal").iterdir())
    ledger = caption(clips_dir, ray, settings=settings, runtime=on_ray)
    assert (ledger.num_in, ledger.num_ok, ledger.exit_code) == (10, 10, 0)
    assert files(tmp_path / "local") == files(ray)
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("local", "ray")]
    assert manifests[0] == manifests[1]
    assert audit(StepDir.open(str(ray)), deep=True).holds


def test_a_plan_for_other_clips_is_refused_by_name(clips_dir: str, tmp_path: Path) -> None:
    strange = COUNTS | {"x1": 1, "x2": 1, "x3": 2, "x4": 1, "unasked": 0}
    settings = following(tmp_path / "p.parquet", strange)
    message = r"p.parquet' asks for captions of 4 clips: 'x1', 'x2', 'x3' and 1 more, which .*clips"
    with pytest.raises(InputError, match=message):
        caption(clips_dir, tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


def test_clips_that_are_not_there_yet_may_be_planned(clips_dir: str, tmp_path: Path) -> None:
    next(Path(clips_dir).glob("units/000/00002.*")).unlink()
    settings = following(tmp_path / "p.parquet", COUNTS)
    ledger = caption(clips_dir, tmp_path / "out", settings=settings, allow_partial=True)
    assert ledger.num_ok == 6
    elsewhere = following(tmp_path / "other.parquet", {"x1": 1})
    with pytest.raises(InputError, match="captions of clip 'x1', which"):
        caption(clips_dir, tmp_path / "other", settings=elsewhere, allow_partial=True)


def test_several_captions_at_temperature_0_are_refused(clips_dir: str, tmp_path: Path) -> None:
    greedy = SamplingConfig(temperature=0)
    settings = following(tmp_path / "p.parquet", COUNTS, sampling=greedy)
    with pytest.raises(InputError, match=r"3 captions of clip 'c00'; --temperature 0 .* 3 times"):
        caption(clips_dir, tmp_path / "out", settings=settings)
    settings = following(tmp_path / "one.parquet", {"c00": 1, "c01": 1}, sampling=greedy)
    assert caption(clips_dir, tmp_path / "out", settings=settings).num_ok == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"clip_id": ["a"]}, "has no column num_captions; it has clip_id"),
        ({"clip_id": ["a", "b"], "num_captions": [1, None]}, "row 1: num_captions is empty"),
        ({"clip_id": ["a", None], "num_captions": [1, 1]}, "row 1: clip_id is empty"),
        ({"clip_id": ["a", "b"], "num_captions": [1, -2]}, "row 1: num_captions of clip 'b' is -2"),
        ({"clip_id": ["a", "b", "a"], "num_captions": [1, 0, 2]}, "several rows for clip 'a'"),
        ({"clip_id": ["a"], "num_captions": [1.5]}, "is not a plan: .*1.5"),
        ({"clip_id": ["a"], "num_captions": [[1]]}, "is not a plan"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, columns: dict, message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=message):
        read_plan(str(tmp_path / "p.parquet"))


def test_a_missing_or_torn_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.parquet': no such file; `mama-augment plan`"):
        read_plan(str(tmp_path / "none.parquet"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="is not a plan"):
        read_plan(str(tmp_path / "torn.parquet"))


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 5), max_size=20))
def test_plans_are_read_from_uris_and_known_by_what_they_ask(counts: dict[str, int]) -> None:
    import fsspec

    columns = [list(counts), list(counts.values())]
    with fsspec.open("memory://plans/p.parquet", "wb") as stream:
        pq.write_table(pa.table(columns, schema=pa.schema(list(PLAN)[:2])), stream)
    with trusting(schemes=["memory"]):
        found = read_plan("memory://plans/p.parquet")
    assert found.counts == {clip_id: number for clip_id, number in counts.items() if number}
    assert found.num_captions == sum(counts.values())
    more = Counter(counts) + Counter({"one more": 1})
    with fsspec.open("memory://plans/p.parquet", "wb") as stream:
        pq.write_table(
            pa.table([list(more), list(more.values())], schema=pa.schema(list(PLAN)[:2])), stream
        )
    with trusting(schemes=["memory"]):
        assert read_plan("memory://plans/p.parquet").fingerprint != found.fingerprint


def test_the_dry_run_counts_what_the_plan_asks(clips_dir: str, tmp_path: Path) -> None:
    engine = EngineConfig(name="transformers", model="none", max_in_flight=4)
    settings = following(tmp_path / "p.parquet", COUNTS)
    found = forecast_of(clips_dir, settings, engine)
    assert (found.num_clips, found.num_captions, found.num_requests) == (4, 10, 4)
    assert found.num_output_tokens == 10 * SETTINGS.sampling.max_tokens
    script = Script()
    found = forecast_of(clips_dir, settings, engine, with_sample=True, start_engine=script.start)
    assert (found.num_output_tokens, found.num_prompt_tokens) == (10 * 7, 10 * 20)
    assert set(script.asked) == {"00000:0:0", "00000:5:0", "00000:6:0", "00002:1:0"}
    caption(clips_dir, tmp_path / "one", settings=settings)
    more = following(tmp_path / "more.parquet", COUNTS | {"c00": 4, "c01": 2})
    found = forecast_of(clips_dir, more, engine, how=CaptionRun(reuse_uri=str(tmp_path / "one")))
    assert (found.num_captions, found.num_there, found.num_requests) == (13, 10, 2)
    nothing = following(tmp_path / "nothing.parquet", {"c00": 0})
    found = forecast_of(clips_dir, nothing, engine, with_sample=True, start_engine=script.start)
    assert (found.num_clips, found.num_requests, found.is_measured) == (0, 0, False)


def test_a_plan_and_a_number_for_all_contradict_each_other(
    clips_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = write_plan(tmp_path / "p.parquet", COUNTS)
    for number in ("1", "2"):
        arguments = ["caption", clips_dir, "--out", str(tmp_path / "out"), "--plan", uri]
        arguments += ["--engine", "transformers", "--num-captions", number]
        monkeypatch.setattr(sys, "argv", ["mama-augment", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        message = capsys.readouterr().err
        assert f"--plan {uri} and --num-captions {number} both" in message
    plan = PlannedCaptions(uri=uri, counts={"c00": 1}, fingerprint="x")
    with pytest.raises(InputError, match="and --num-captions 2 both"):
        caption(clips_dir, tmp_path / "out", settings=replace(SETTINGS, plan=plan, num_captions=2))


class Counting(io.FileIO):
    """A file that notes how many bytes of it are read."""

    num_bytes = 0

    def readinto(self, buffer: Any) -> int:
        number = super().readinto(buffer)
        Counting.num_bytes += number
        return number

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        Counting.num_bytes += len(data)
        return data


class CountingFiles(pafs.FSSpecHandler):
    """Gives such files."""

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(Counting(path), mode="r")


def test_row_groups_without_a_planned_clip_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP_BYTES", 400_000)  # 4 clips
    noise = np.random.default_rng(0)
    found = [
        clip(f"c{i:02d}") | {"frames": [jpeg(grey=i) + noise.bytes(100_000)]}
        for i in range(NUM_CLIPS)
    ]
    source = write_clips(tmp_path / "clips", found, rows_per_unit=NUM_CLIPS)
    (file,) = Path(source).glob("*.parquet")
    assert pq.ParquetFile(file).num_row_groups >= 5
    counting = pafs.PyFileSystem(CountingFiles(fsspec.filesystem("file")))

    def fragment(folder: Folder, name: str, num_bytes: int | None = None) -> Any:
        file = pads.ParquetFileFormat()
        return file.make_fragment(folder.path(name), filesystem=counting, file_size=num_bytes)

    monkeypatch.setattr(committed, "fragment", fragment)

    def num_read(counts: Mapping[str, int], name: str) -> int:
        Counting.num_bytes = 0
        settings = following(tmp_path / f"{name}.parquet", counts)
        caption(source, tmp_path / name, settings=settings)
        return Counting.num_bytes

    everything = num_read({f"c{i:02d}": 1 for i in range(NUM_CLIPS)}, "all")
    few = num_read({"c05": 1, "c18": 2}, "few")
    assert everything > 2_000_000
    assert few < 0.5 * everything  # 2 groups of 5, and what names and counts take
    every, planned = texts(tmp_path / "all"), texts(tmp_path / "few")
    assert set(planned) == {("c05", 0), ("c18", 0), ("c18", 1)}
    assert all(planned[place] == every[place] for place in planned if place in every)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.mark.slow
def test_plan_caption_balance_through_the_commands(tmp_path: Path) -> None:
    from mama_augment.shapes.world.make import WorldConfig, make_world

    world = make_world(tmp_path / "world", WorldConfig(num_videos=6, meta=1, val=1, test=1))
    clips, out, shards = tmp_path / "clips", tmp_path / "captions", tmp_path / "shards"
    plan = tmp_path / "plan.parquet"
    run("keyframes", world.manifest, "--out", clips, "--workers", 1)
    run("plan", clips, "--budget", 5, "--concepts", "vocabulary", "--out", plan)
    asked = {row["clip_id"]: row["num_captions"] for row in pq.read_table(plan).to_pylist()}
    assert sum(asked.values()) == 5
    assert 0 in asked.values()
    follow = ["caption", clips, "--out", out, "--model", "llava-shapes", "--plan", plan]
    follow += ["--engine", "transformers"]
    dry = run(*follow, "--dry-run")
    assert "captions" in dry
    assert not out.exists()
    run(*follow)
    made = Counter(row["clip_id"] for row in rows(out))
    assert made == Counter({clip_id: number for clip_id, number in asked.items() if number})
    run("balance", clips, out, "--out", shards, "--concepts", "vocabulary", "--workers", 1)
    run("status", shards, "--deep")
    generated = Counter(
        row["clip_id"]
        for table in StepDir.open(str(shards)).tables()
        for row in table.to_pylist()
        for text in row["captions"]
        if text["source"].startswith("generated:")
    )
    assert generated
    assert generated <= made  # what a clip says twice is kept once
