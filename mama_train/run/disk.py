"""Libraries that write files themselves, and say in words of their own that the disk is full."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LITTLE_BYTES = 2**20
"""With less room than this, a file of weights that could not be written met a full disk."""


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Inside, what safetensors, tokenizers and torch raise about the disk becomes an OSError.

    Rust's libraries name the error's number in their text; torch tells nothing, and the disk is
    asked how much room it has.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is not None:
            code = int(number[1])
        elif isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < LITTLE_BYTES:
            code = errno.ENOSPC
        else:
            raise
        raise OSError(code, os.strerror(code), str(folder)) from error
