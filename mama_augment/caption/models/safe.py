"""What a model's folder must not hold, and how large what it says of itself may be.

A folder may come from a stranger. Nothing in it is unpickled, no Python of it runs unless that is
asked for, and sizes that no model has are refused before anything is built by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError

MOST_JSON_BYTES = 32 * 2**20
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
LEAST_PX, MOST_PX = 16, 8192
"""Of the sides of the picture that a model is shown."""
MOST = {
    "num_hidden_layers": 1_000,
    "num_layers": 1_000,
    "depth": 1_000,
    "n_layer": 1_000,
    "hidden_size": 2**17,
    "intermediate_size": 2**20,
    "embed_dim": 2**17,
    "num_attention_heads": 2**12,
    "vocab_size": 2**24,
    "num_experts": 2**14,
    "patch_size": 2**12,
}
"""The largest models known have about a tenth of each."""
BYTES_PER_PARAMETER = 0.25
"""Fewer than any quantisation stores."""


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file.

    Raises:
        InputError: it is not valid, or far too large.
    """
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MOST_JSON_BYTES:
        raise InputError(f"{str(path)!r} has {size:,} bytes; at most {MOST_JSON_BYTES:,} are read")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} holds no JSON object")
    return found


def check_weights(directory: Path) -> None:
    """Refuse weights that are pickles, and files of weights that are all too small.

    Raises:
        InputError: naming a file, and how to convert it.
    """
    if any(directory.glob("*.safetensors")):
        return
    for path in sorted(directory.iterdir()):
        if path.suffix in PICKLES and path.is_file():
            raise InputError(
                f"{str(path)!r} is a pickle, which can run code where it is read; weights are read "
                'from *.safetensors only. If you trust the file, convert it: python -c "import '
                "torch, safetensors.torch as s; s.save_file(torch.load('pytorch_model.bin', "
                "weights_only=True), 'model.safetensors', metadata={'format': 'pt'})\""
            )


def check_sizes(config: Mapping[str, Any], directory: Path) -> None:
    """Refuse what no model has, and more parameters than its files can hold.

    Raises:
        InputError: naming the number.
    """
    where = repr(str(directory / "config.json"))
    for place, part in _parts(config):
        for key, most in MOST.items():
            value = part.get(key)
            numbers = value if isinstance(value, list) else [value]
            for number in numbers:
                if isinstance(number, int | float) and not 0 <= number <= most:
                    raise InputError(f"{where}: {place}{key} is {number}; at most {most:,} is read")
        _check_parameters(part, f"{where}: {place}", directory)


def _check_parameters(part: Mapping[str, Any], where: str, directory: Path) -> None:
    layers, width = part.get("num_hidden_layers"), part.get("hidden_size")
    stored = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    if not (isinstance(layers, int) and isinstance(width, int) and stored):
        return
    # A layer has at least one square matrix of its width.
    if layers * width**2 * BYTES_PER_PARAMETER > stored:
        raise InputError(
            f"{where}{layers} layers of width {width} do not fit into {stored:,} bytes of weights"
        )


def check_picture(width_px: int, height_px: int, directory: Path) -> None:
    """Refuse pictures that no model is shown.

    Raises:
        InputError: naming the size.
    """
    if not (LEAST_PX <= width_px <= MOST_PX and LEAST_PX <= height_px <= MOST_PX):
        raise InputError(
            f"{str(directory)!r}: its image processor makes pictures of {width_px}x{height_px} px; "
            f"allowed: {LEAST_PX} to {MOST_PX}"
        )


def _parts(config: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The config and those inside it."""
    yield place, config
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _parts(value, f"{place}{key}.")
