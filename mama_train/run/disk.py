"""State of any shape in a file that is not a pickle; and libraries that write files themselves, and
say in words of their own that the disk is full."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from mama_augment.core.errors import InputError

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


def save_tree(tree: Any, path: Path) -> None:
    """Nested dicts and lists of tensors, numbers, texts and None, as safetensors: the tensors by
    number, and where they belong as JSON in the header."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    shape = json.dumps(_shape(tree, tensors))
    save_file(tensors, path, metadata={"tree": shape})


def load_tree(path: Path, device: str) -> Any:
    """What `save_tree` saved; tuples come back as lists.

    Raises:
        InputError: it is not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt", device=device) as file:
            shape = json.loads((file.metadata() or {})["tree"])
            return _filled(shape, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is damaged: {error}") from error


def _shape(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree with a tensor's number for the tensor; keys keep their types."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[key, _shape(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"list": [_shape(value, tensors) for value in tree]}
    assert isinstance(tree, str | int | float | bool | None), type(tree)
    return tree


def _filled(shape: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(shape, dict):
        return shape
    if "tensor" in shape:
        return tensors[shape["tensor"]]
    if "list" in shape:
        return [_filled(value, tensors) for value in shape["list"]]
    return {key: _filled(value, tensors) for key, value in shape["dict"]}
