"""`status --list` names every item that left."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from tests.augment.worlds import caption, write_captions


def test_every_item_that_left_is_listed_on_request(tmp_path: Path) -> None:
    rows = [caption(f"c{i:02d}", 0, None if i % 2 else f"text {i}") for i in range(30)]
    captions = write_captions(tmp_path / "captions", rows)
    result = CliRunner().invoke(app, ("status", captions, "--list", "rejected", "--json"))
    items = json.loads(result.stdout)["items"]
    assert [item["id"] for item in items] == [f"c{i:02d}#0" for i in range(1, 30, 2)]
    assert {(item["verdict"], item["reason"]) for item in items} == {("rejected", "empty")}
    shown = CliRunner().invoke(app, ("status", captions, "--list", "rejected")).stdout
    assert [line for line in shown.splitlines() if line.startswith("rejected empty c")] == [
        f"rejected empty c{i:02d}#0: (the model said nothing)" for i in range(1, 30, 2)
    ]
    failed = CliRunner().invoke(app, ("status", captions, "--list", "failed", "--json"))
    assert json.loads(failed.stdout)["items"] == []
    assert "items" not in json.loads(CliRunner().invoke(app, ("status", captions, "--json")).stdout)


def test_an_unknown_list_is_refused(tmp_path: Path) -> None:
    captions = write_captions(tmp_path / "captions", [caption("c", 0, "text")])
    result = CliRunner().invoke(app, ("status", captions, "--list", "reject"))
    assert isinstance(result.exception, InputError)
    assert "did you mean 'rejected'" in str(result.exception)
