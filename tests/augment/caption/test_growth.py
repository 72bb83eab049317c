"""Clips that become more, or come from several directories: no caption is asked for twice."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from mama_augment.caption.engines.base import Completion
from mama_augment.caption.journal import DiskJournal, ObjectJournal
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest
from mama_augment.core.shares import Share
from mama_augment.core.store.audit import audit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.step_dir import StepDir
from tests.augment.caption.test_step import SETTINGS, caption, files, jpeg, texts
from tests.augment.scripted_engine import Script
from tests.augment.worlds import clip, write_clips

NUM = 6


def pictured(number: int) -> dict[str, object]:
    return clip(f"c{number:02d}") | {"frames": [jpeg(grey=9 * number), jpeg(grey=9 * number + 3)]}


def grow(path: Path, number: int) -> str:
    """A clips directory whose first `number` clips are there, three to a unit."""
    rows = [pictured(n) for n in range(number)]
    whole = path.with_name("made")
    made = write_clips(whole, rows, rows_per_unit=3)
    there = StepDir.open(made)
    grown = replace(there.manifest, grows=True)
    opened = StepDir.create_or_resume(str(path), grown)
    for unit in there.units():
        if unit.record.unit_id in opened.units_to_do():
            opened.commit(unit.record.unit_id, unit.table())
    for file in sorted(whole.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    return str(path)


def test_more_clips_are_captioned_and_the_others_are_not_asked_about(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    caption(grow(clips, NUM), out)
    before = files(out)
    script = Script()
    ledger = caption(grow(clips, 2 * NUM), out, start=script.start)
    assert (ledger.num_in, ledger.num_ok) == (2 * NUM, 2 * NUM)
    assert sorted(script.asked) == [f"0000{unit}:{row}:0" for unit in (2, 3) for row in range(3)]
    assert before.items() <= files(out).items()
    caption(grow(tmp_path / "whole", 2 * NUM), tmp_path / "fresh")
    assert files(out) == files(tmp_path / "fresh")


def test_a_unit_whose_clips_changed_is_made_again_from_the_captions_that_it_has(
    tmp_path: Path,
) -> None:
    rows = [pictured(n) for n in range(NUM)]
    clips = write_clips(tmp_path / "clips", rows, rows_per_unit=3)
    caption(clips, tmp_path / "out")
    before = texts(tmp_path / "out")
    # Another text of a clip, and another picture: as after a correction, and a retried failure.
    opened = StepDir.open(clips)
    opened.records()
    rows[1] |= {"texts": [{"text": "new", "source": "human", "trusted": True}]}
    rows[4] |= {"frames": [jpeg(grey=200), jpeg(grey=201)]}
    other = write_clips(tmp_path / "other", rows, rows_per_unit=3)
    for unit in StepDir.open(other).units():
        opened.commit(unit.record.unit_id, unit.table())
    script = Script()
    ledger = caption(clips, tmp_path / "out", start=script.start)
    assert script.asked == ["00001:1:0"]
    after = texts(tmp_path / "out")
    assert {place for place in after if after[place] != before[place]} == {("c04", 0)}
    assert ledger.exit_code == 0
    assert audit(StepDir.open(str(tmp_path / "out")), deep=True).holds


def test_clips_of_several_directories(tmp_path: Path) -> None:
    one = write_clips(tmp_path / "one", [pictured(n) for n in range(NUM)], rows_per_unit=3)
    two = write_clips(tmp_path / "two", [pictured(n) for n in range(NUM, 10)], rows_per_unit=3)
    out = tmp_path / "out"
    assert caption(one, out).num_ok == NUM
    before = files(out)
    script = Script()
    ledger = caption([two, one], out, start=script.start)  # a known one comes first all the same
    assert (ledger.num_ok, ledger.exit_code) == (10, 0)
    assert len(script.asked) == 4
    assert before.items() <= files(out).items()
    manifest = StepDir.open(str(out)).manifest
    assert list(manifest.units) == ["00000", "00001", "1-00000", "1-00001"]
    assert [source["uri"] for source in manifest.sources] == [one, two]
    with pytest.raises(InputError, match=r"'.*one' was read before"):
        caption(two, out)
    # A directory that has moved is known all the same; other clips in its place are not.
    Path(one).rename(tmp_path / "moved")
    script = Script()
    caption([two, str(tmp_path / "moved")], out, start=script.start)
    assert not script.asked
    three = write_clips(
        tmp_path / "one", [pictured(n) for n in range(20, 26)], rows_per_unit=3, name="others"
    )
    with pytest.raises(InputError, match="holds others by now"):
        caption([three, two], out)
    assert before.items() <= files(out).items()
    one = three
    with pytest.raises(InputError, match="given twice"):
        caption([one, one], tmp_path / "other")


def test_shares_of_captions(tmp_path: Path) -> None:
    from mama_augment.core.step import run
    from mama_augment.core.store.output import StepOutput
    from mama_augment.runtime import RuntimeConfig
    from tests.augment.caption.test_step import step_of

    clips = write_clips(tmp_path / "clips", [pictured(n) for n in range(20)], rows_per_unit=2)
    caption(clips, tmp_path / "whole")
    out = tmp_path / "out"
    for index in (2, 1, 3):
        share = Share(index=index, num=3)
        outcome = run(
            step_of(clips), StepOutput(str(out), share=share), RuntimeConfig(num_workers=1)
        )
        assert outcome.exit_code == 0
        assert outcome.own.num_pending == 0
    assert outcome.ledger.num_ok == 20
    assert files(out) == files(tmp_path / "whole")


def completion(text: str) -> Completion:
    return Completion(text=text, num_prompt_tokens=1, num_output_tokens=2, finish_reason="stop")


@pytest.mark.parametrize("kind", [DiskJournal, ObjectJournal])
def test_a_journal_gives_back_what_a_killed_worker_had(kind: type, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    worker = kind(folder)
    for number in range(300):
        worker.add(f"u{number % 3}", f"k{number}", completion(f"text {number}"))
    worker.forget("u1")
    del worker  # no close: a kill
    found = {unit: kind(folder).read(unit) for unit in ("u0", "u1", "u2")}
    if kind is DiskJournal:
        assert {unit: len(some) for unit, some in found.items()} == {"u0": 100, "u1": 0, "u2": 100}
    else:  # all but the last of them: one object is written every 128 captions
        assert len(found["u0"]) == 86
    assert found["u0"]["k3"] == completion("text 3")
    assert not Path("journal").exists()


def test_objects_go_when_their_units_are_committed(tmp_path: Path) -> None:
    worker = ObjectJournal(Folder(tmp_path))
    for number in range(256):
        worker.add("u0" if number < 100 else "u1", f"k{number}", completion("text"))
    names = Folder(tmp_path).sizes_bytes("journal")
    assert len(names) == 2
    worker.forget("u0")
    assert Folder(tmp_path).sizes_bytes("journal") == names
    worker.forget("u1")
    worker.add("u2", "k", completion("text"))
    worker.forget("u2")  # committed before it was written: nothing is
    worker.close()
    assert not Folder(tmp_path).sizes_bytes("journal")
    assert isinstance(pickle.loads(pickle.dumps(SETTINGS)), type(SETTINGS))


def test_the_journal_of_an_object_store_is_written_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("mama_augment.caption.journal.time.monotonic", lambda: now[0])
    worker = ObjectJournal(Folder(tmp_path))
    worker.add("u0", "k0", completion("text"))
    now[0] += 11
    worker.add("u0", "k1", completion("text"))
    assert set(ObjectJournal(Folder(tmp_path)).read("u0")) == {"k0", "k1"}


def test_a_manifest_that_does_not_grow_is_not_written_again(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", [pictured(n) for n in range(3)])
    caption(clips, tmp_path / "out")
    before = (tmp_path / "out/manifest.json").stat().st_mtime_ns
    caption(clips, tmp_path / "out")
    assert (tmp_path / "out/manifest.json").stat().st_mtime_ns == before
    manifest = StepDir.open(str(tmp_path / "out")).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest
