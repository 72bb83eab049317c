"""Finding captions that are there already: the same as a dict of all of them, in a few bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.caption.engines.base import Completion
from mama_augment.caption.known import TEXT_COLUMNS, CaptionIndex, FirstOf
from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import CAPTIONS
from mama_augment.core.store import committed
from mama_augment.core.store.step_dir import StepDir
from tests.augment.worlds import caption, write_captions

HEX = st.text("0123456789abcdef", min_size=16, max_size=16)


def plain(step_dir: StepDir) -> dict[str, Completion]:
    """All captions of a directory as a dict; of equal keys the last counts."""
    found = {}
    for table in step_dir.tables([*TEXT_COLUMNS, "caption_key"]):
        for row in table.to_pylist():
            key, text = row.pop("caption_key"), row.pop("raw_text")
            found[key] = Completion(text=text, **row)
    return found


@settings(max_examples=50, deadline=None)
@given(
    highs=st.lists(HEX, min_size=1, max_size=4, unique=True),
    lows=st.lists(HEX, min_size=1, max_size=4, unique=True),
    picks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40),
)
def test_it_holds_what_a_dict_holds(
    tmp_path_factory: pytest.TempPathFactory,
    highs: list[str],
    lows: list[str],
    picks: list[tuple[int, int]],
) -> None:
    """Few words for many keys: halves are shared, and whole keys come twice."""
    keys = [highs[i % len(highs)] + lows[j % len(lows)] for i, j in picks]
    rows = [
        caption(f"c{i}", i, f"text {i}" if i % 5 else None, caption_key=key)
        | {"raw_text": f"raw {i}", "num_prompt_tokens": None if i % 3 else i}
        for i, key in enumerate(keys)
    ]
    found = StepDir.open(write_captions(tmp_path_factory.mktemp("known") / "captions", rows))
    expected, index = plain(found), CaptionIndex(found)
    assert len(index) == len(expected)
    for high in [*highs, "0" * 16, "f" * 16]:
        for low in [*lows, "0" * 16, "f" * 16]:
            assert ((high + low) in index) == ((high + low) in expected)
            assert index.get(high + low) == expected.get(high + low)


def test_keys_that_are_none_of_ours_and_empty_units_are_passed_over(tmp_path: Path) -> None:
    manifest = Manifest(
        step="caption", config={}, input_fingerprint="x", versions={},
        units={"00000": 1, "00001": 0, "00002": 2},
    )  # fmt: skip
    found = StepDir.create_or_resume(str(tmp_path / "captions"), manifest)
    rows = [caption("a", 0, "a", caption_key="by hand"), caption("b", 0, "b", caption_key="0" * 32)]
    rows.append(caption("c", 0, "c", caption_key="AB" * 16))
    found.commit("00000", pa.Table.from_pylist(rows[:1], CAPTIONS))
    found.commit("00001", None)
    found.commit("00002", pa.Table.from_pylist(rows[1:], CAPTIONS))
    index = CaptionIndex(found)
    assert len(index) == 1
    known = index.get("0" * 32)
    assert known is not None
    assert known.text == "b"
    assert "ab" * 16 not in index


def test_an_empty_directory_knows_nothing(tmp_path: Path) -> None:
    manifest = Manifest(step="caption", config={}, input_fingerprint="x", units={}, versions={})
    index = CaptionIndex(StepDir.create_or_resume(str(tmp_path / "captions"), manifest))
    assert len(index) == 0
    assert "0" * 32 not in index
    assert index.get("0" * 32) is None


def test_the_first_layer_that_has_a_caption_gives_it() -> None:
    one, two = (
        Completion(text=t, num_prompt_tokens=1, num_output_tokens=1, finish_reason="stop")
        for t in ("one", "two")
    )
    known = FirstOf({"a": one}, {"a": two, "b": two})
    assert (known.get("a"), known.get("b"), known.get("c")) == (one, two, None)
    assert "b" in known
    assert "c" not in known


def test_texts_are_read_unit_by_unit_and_no_caption_costs_more_than_a_few_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, per_unit = 60_000, 2_000
    rows = [caption("c", i, f"some words on clip {i}") for i in range(per_unit)]
    table = pa.Table.from_pylist(rows, CAPTIONS)
    units = {f"{n:05d}": per_unit for n in range(number // per_unit)}
    manifest = Manifest(step="caption", config={}, input_fingerprint="x", units=units, versions={})
    found = StepDir.create_or_resume(str(tmp_path / "captions"), manifest)
    keys = [f"{i * 2654435761 % 2**32:032x}" for i in range(number)]
    for n, unit_id in enumerate(units):
        own = pa.array(keys[n * per_unit : (n + 1) * per_unit])
        column = table.schema.get_field_index("caption_key")
        found.commit(unit_id, table.set_column(column, CAPTIONS.field("caption_key"), own))
    tracemalloc.start()
    try:
        index = CaptionIndex(found)
        in_memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(index), index.num_bytes) == (number, 20 * number)
    assert in_memory < 22 * number
    opened: list[Any] = []
    original = committed.read

    def counted(part: Any, columns: Sequence[str] | None = None) -> pa.Table:
        opened.append(part.path)
        return original(part, columns)

    monkeypatch.setattr(committed, "read", counted)
    assert all(key in index for key in keys)
    assert not opened
    texts = [index.get(key) for key in keys[::100]]
    assert [t.text for t in texts if t] == [
        f"some words on clip {i % per_unit}" for i in range(0, number, 100)
    ]
    assert len(opened) == len(units)
