"""The three laws of a step directory, on real files: accounting, resume, determinism."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.store.audit import audit
from mama_augment.core.store.layout import parquet_bytes
from mama_augment.core.store.rejects import count_reasons
from mama_augment.core.store.step_dir import StepDir

UNITS = {"00000": 3, "00001": 2}


def manifest(
    config: dict | None = None, source: str = "abc", units: dict | None = None
) -> Manifest:
    return Manifest(
        step="keyframes",
        config=config or {"num_frames": 12},
        input_fingerprint=source,
        units=UNITS if units is None else units,
        versions={},
    )


def rows(*ids: str) -> pa.Table:
    return pa.table({"clip_id": list(ids)})


def reject(identity: str, verdict: str = "rejected") -> Reject:
    return Reject(id=identity, step="keyframes", verdict=verdict, reason="x", message="m")


def start(path: Path, **kwargs: object) -> StepDir:
    return StepDir.create_or_resume(str(path), manifest(**kwargs))  # type: ignore[arg-type]


def test_a_unit_counts_only_once_its_record_is_there(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    assert step_dir.units_to_do() == ["00000", "00001"]
    step_dir.commit("00000", rows("a", "b"), [reject("c")])
    assert step_dir.units_to_do() == ["00001"]
    ledger = audit(step_dir, deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected, ledger.num_pending) == (5, 2, 1, 2)
    assert ledger.holds
    assert ledger.exit_code == 1


def test_a_vanished_item_cannot_be_committed(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    with pytest.raises(AssertionError, match="2 of 3 items"):
        step_dir.commit("00000", rows("a", "b"))


def test_a_vanished_row_breaks_the_accounting(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    record = step_dir.commit("00000", rows("a", "b", "c"))
    step_dir.commit("00001", rows("d", "e"))
    assert audit(step_dir, deep=True).exit_code == 0
    # Someone rewrites the file with one row fewer, and makes the record agree in all but the count.
    assert record.data is not None
    shorter = parquet_bytes(rows("a", "b"))
    (tmp_path / "out" / record.data.name).write_bytes(shorter)
    data = dataclasses.replace(record.data, num_bytes=shorter.size)
    forged = dataclasses.replace(record, data=data)
    (tmp_path / "out" / record.name).unlink()
    (tmp_path / "out" / forged.name).write_bytes(forged.to_json())
    ledger = audit(step_dir, deep=True)
    assert not ledger.holds
    assert ledger.exit_code == 1
    assert any("00000" in problem for problem in ledger.problems)


def test_a_flipped_bit_is_found_by_the_deep_audit(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out", units={"00000": 3})
    record = step_dir.commit("00000", rows("a", "b", "c"))
    path = tmp_path / "out" / str(record.data_file)
    content = bytearray(path.read_bytes())
    content[8] ^= 1
    path.write_bytes(content)
    assert any(str(record.data_file) in p for p in audit(step_dir, deep=True).problems)


@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_a_damaged_unit_is_pending_again(tmp_path: Path, damage: str) -> None:
    step_dir = start(tmp_path / "out")
    record = step_dir.commit("00000", rows("a", "b", "c"))
    path = tmp_path / "out" / str(record.data_file)
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert step_dir.units_to_do() == ["00000", "00001"]
    assert audit(step_dir).num_pending == 5


def test_leftovers_of_a_killed_run_are_removed_on_resume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    step_dir = start(out)
    step_dir.commit("00000", rows("a", "b", "c"))
    (out / "00001-deadbeef0000.parquet").write_bytes(b"half a file")
    (out / ".00001-x.parquet.1234.tmp").write_bytes(b"half")
    (out / "notes.txt").write_text("a person's own file stays")
    resumed = start(out)
    assert resumed.units_to_do() == ["00001"]
    names = {p.name for p in out.iterdir()}
    assert "notes.txt" in names
    assert not any("deadbeef" in n or n.endswith(".tmp") for n in names)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"config": {"num_frames": 8}}, "num_frames was 12, now 8"),
        ({"source": "other"}, "another input"),
        ({"units": {"00000": 4}}, "another input"),
    ],
)
def test_a_directory_holds_one_config_and_input(tmp_path: Path, kwargs: dict, message: str) -> None:
    start(tmp_path / "out").commit("00000", rows("a", "b", "c"))
    with pytest.raises(InputError, match=message):
        start(tmp_path / "out", **kwargs)


def test_overwrite_starts_afresh_and_foreign_directories_are_refused(tmp_path: Path) -> None:
    start(tmp_path / "out").commit("00000", rows("a", "b", "c"))
    other = manifest({"num_frames": 8})
    fresh = StepDir.create_or_resume(str(tmp_path / "out"), other, overwrite=True)
    assert fresh.units_to_do() == ["00000", "00001"]
    assert not list((tmp_path / "out").glob("*.parquet"))
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"holiday\.jpg"):
            StepDir.create_or_resume(str(foreign), other, overwrite=overwrite)
    assert (foreign / "holiday.jpg").exists()


def test_overwrite_forgets_what_was_finished_of_units_that_were_not(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    step_dir.folder.write_bytes("journal/00000.jsonl", b'{"key": "a caption"}\n')
    assert start(tmp_path / "out").folder.exists("journal/00000.jsonl")
    anew = StepDir.create_or_resume(str(tmp_path / "out"), manifest(), overwrite=True)
    assert not anew.folder.exists("journal/00000.jsonl")


def test_a_worker_is_sent_the_records_of_its_own_units(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    record = step_dir.commit("00000", rows("a", "b", "c"))
    other = step_dir.commit("00001", rows("d", "e"))
    assert record.data_digest.encode() in pickle.dumps(step_dir.for_workers(["00000"]))
    sent = pickle.dumps(StepDir.open(str(tmp_path / "out")).for_workers(["00001"]))
    assert record.data_digest.encode() not in sent
    worker = pickle.loads(sent)
    assert worker.before("00000") is None
    assert worker.before("00001").name == other.name
    done = worker.committed_among(["00000", "00002"])
    assert {unit_id: found.name for unit_id, found in done.items()} == {"00000": record.name}


def test_retry_replaces_a_unit_and_its_old_files(tmp_path: Path) -> None:
    step_dir = start(tmp_path / "out")
    step_dir.commit("00000", rows("a", "b"), [reject("c", "failed")])
    step_dir.commit("00001", rows("d", "e"))
    assert audit(step_dir).exit_code == 1
    assert step_dir.units_to_do() == []
    assert step_dir.units_to_do(retry_failed=True) == ["00000"]
    step_dir.commit("00000", rows("a", "b", "c"))
    assert audit(step_dir, deep=True).exit_code == 0
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2
    assert not list((tmp_path / "out/rejects").iterdir())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    outcomes=st.lists(
        st.lists(st.sampled_from(["ok", "rejected", "failed"]), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    ),
    done=st.data(),
)
def test_the_ledger_adds_up_after_any_history(
    tmp_path_factory: pytest.TempPathFactory, outcomes: list[list[str]], done: st.DataObject
) -> None:
    units = {f"{i:05d}": len(items) for i, items in enumerate(outcomes)}
    out = tmp_path_factory.mktemp("step") / "out"
    step_dir = start(out, units=units)
    committed = done.draw(st.sets(st.sampled_from(sorted(units))))
    for unit_id in committed:
        items = outcomes[int(unit_id)]
        ok = [f"{unit_id}-{i}" for i, o in enumerate(items) if o == "ok"]
        rejects = [reject(f"{unit_id}-{i}", o) for i, o in enumerate(items) if o != "ok"]
        step_dir.commit(unit_id, rows(*ok) if ok else None, rejects)
    ledger = audit(StepDir.open(str(out)), deep=True)
    flat = [o for u in committed for o in outcomes[int(u)]]
    assert ledger.holds
    assert ledger.num_in == sum(units.values())
    assert ledger.num_pending == ledger.num_in - len(flat)
    assert (ledger.num_ok, ledger.num_rejected, ledger.num_failed) == tuple(
        flat.count(verdict) for verdict in ("ok", "rejected", "failed")
    )


def test_equal_tables_give_equal_files_and_bounded_row_groups(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(1000)), "frames": [b"\x00\x01" * 50_000] * 1000})
    assert parquet_bytes(table).equals(parquet_bytes(table))
    metadata = pq.ParquetFile(pa.BufferReader(parquet_bytes(table))).metadata
    assert metadata.num_row_groups == 2
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_a_step_directory_travels_to_workers(tmp_path: Path) -> None:
    step_dir = pickle.loads(pickle.dumps(start(tmp_path / "out")))
    step_dir.commit("00001", rows("d", "e"))
    assert StepDir.open(str(tmp_path / "out"), step="keyframes").units_to_do() == ["00000"]


def test_opening_the_wrong_thing_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mama-augment caption"):
        StepDir.open(str(tmp_path), step="caption")
    start(tmp_path / "out")
    with pytest.raises(InputError, match="holds the output of `mama-augment keyframes`"):
        StepDir.open(str(tmp_path / "out"), step="caption")


def test_a_persons_own_files_are_never_deleted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    step_dir = start(out)
    step_dir.commit("00000", rows("a", "b", "c"))
    own = [
        "mine.parquet",
        "train/mine.parquet",
        "input/photo.jpg",
        "cuts/a.mp4",
        "journal/diary.md",
    ]
    for name in own:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"mine")
    start(out)
    StepDir.create_or_resume(str(out), manifest({"num_frames": 8}), overwrite=True)
    assert all((out / name).read_bytes() == b"mine" for name in own)
    assert not list(out.glob("0*.parquet"))
    app = tmp_path / "app"
    (app / "input").mkdir(parents=True)
    (app / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(InputError, match="is of something else"):
        StepDir.create_or_resume(str(app), manifest(), overwrite=True)
    assert (app / "manifest.json").exists()


@pytest.mark.parametrize("num_reasons", range(1, 30))
def test_a_record_of_many_reasons_has_a_name_that_a_disk_takes(
    tmp_path: Path, num_reasons: int
) -> None:
    step_dir = start(tmp_path / "out", units={"00000": num_reasons})
    rejects = [
        Reject(
            id=str(n), step="keyframes", verdict="rejected", reason=f"why_{'x' * n}", message="m"
        )
        for n in range(num_reasons)
    ]
    record = step_dir.commit("00000", None, rejects)
    (found,) = StepDir.open(str(tmp_path / "out")).records().values()
    assert found.name == record.name
    assert found.num_rejected == num_reasons
    assert count_reasons(step_dir)[0].num_items == 1
    assert len(count_reasons(step_dir)) == num_reasons
    assert audit(step_dir, deep=True).exit_code == 1  # nothing is ok
    assert not audit(step_dir, deep=True).problems
