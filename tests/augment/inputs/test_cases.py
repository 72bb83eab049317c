"""Recorded inputs on which manifests once went wrong, with what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mama_augment.inputs.find import find_clips
from mama_augment.inputs.table.notes import Notes


def read(shared_dir: Path, name: str) -> tuple[list[dict[str, Any]], Notes]:
    path = shared_dir / "cases" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    notes = Notes()
    return find_clips(str(path), notes=notes).to_pylist(), notes


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("04_lone_surrogate/surrogate.jsonl", [["dog \ufffd"], ["ok"]]),
        ("05_jsonl_line_separators/bom.jsonl", [["x"]]),
        ("05_jsonl_line_separators/nel.jsonl", [["a dog\x85runs"], ["plain"]]),
        ("05_jsonl_line_separators/u2028.jsonl", [["a dog\u2028runs"], ["plain"]]),
        ("06_texts_ignored_silently/caption_column.csv", [[], []]),
        ("06_texts_ignored_silently/space_header.csv", [[], []]),
        ("07_extra_columns_change/zeros.csv", [["00042"], ["1e5"]]),
        ("08_string_view_traceback/string_view.parquet", [["x"], ["y"]]),
        ("15_manifest_taken_for_video/dot_slash.csv", [["x", "y"], ["z"]]),
        ("15_manifest_taken_for_video/manifest.json", [["hello"]]),
        ("15_manifest_taken_for_video/manifest.tsv", [["hello"]]),
        ("16_folder_leaves_out_silently", [[], []]),
    ],
)
def test_texts(shared_dir: Path, name: str, texts: list[list[str]]) -> None:
    clips, notes = read(shared_dir, name)
    assert [[text["text"] for text in clip["texts"]] for clip in clips] == texts
    assert len(notes.remarks) == name.startswith("06_")
    assert notes.num_mended == name.startswith("04_")


def test_further_columns(shared_dir: Path) -> None:
    clips, _ = read(shared_dir, "07_extra_columns_change/zeros.csv")
    assert [clip["youtube_id"] for clip in clips] == ["00123", "00456"]
    clips, _ = read(shared_dir, "07_extra_columns_change/zeros_date.csv")
    assert [(clip["when"], clip["flag"], clip["big"]) for clip in clips] == [
        ("2020-01-02", "True", "12345678901234567890"),
        ("2020-01-03", "False", "12345678901234567891"),
    ]
    clips, _ = read(shared_dir, "08_string_view_traceback/string_view.parquet")
    assert [clip["note"] for clip in clips] == ["x", "y"]
