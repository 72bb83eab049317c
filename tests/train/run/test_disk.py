"""A full disk is an OSError, whichever library meets it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from mama_train.run import disk
from mama_train.run.disk import disk_errors

FULL = "I/O error: No space left on device (os error 28)"


def test_rusts_words_become_the_error_that_they_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, disk_errors(tmp_path):
        raise Exception(FULL)
    assert raised.value.errno == errno.ENOSPC


def test_torchs_words_are_about_the_disk_where_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> None:
        with disk_errors(tmp_path):
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        write()
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="No space left"):
        write()
