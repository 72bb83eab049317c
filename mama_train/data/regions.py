"""Clips as regions: the shards' column `regions`, in tracks, as a model of regions takes them.

Shapes: C clips of F frames, R regions of a frame, W numbers per vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mama_augment.core.errors import InputError
from mama_augment.core.schema import REGIONS
from mama_train.data.index import SplitIndex
from mama_train.data.rows import ClipRows
from mama_train.models.config import Linking
from mama_train.models.specs import RegionSpec
from mama_train.models.vgt.config import BOX_NUMBERS, box_features
from mama_train.models.vgt.linking import along_tracks, link_regions

Packed = NDArray[np.float32]
HINT = "a model of regions needs shards of `mama-augment balance --regions` (docs/regions.md)"


class RegionReader:
    """Clips as `RegionSpec` lays them out: float32 [C,F,R+1,W+6]."""

    def __init__(self, spec: RegionSpec) -> None:
        self.spec = spec
        self.column = spec.column

    def stored(self, rows: ClipRows, row: int) -> Packed:
        """All of a clip.

        Raises:
            InputError: the clip has no regions, other numbers of them, or another extractor's.
        """
        found, spec = _struct(rows, self.column, row), self.spec
        sizes = spec_of(found, rows.place(row))
        if sizes.extractor != spec.extractor and spec.extractor:
            raise InputError(
                f"{rows.place(row)}: its regions are of {sizes.extractor!r}, the model's of "
                f"{spec.extractor!r}, whose vectors mean something else; make shards with these"
            )
        if sizes.shape != spec.shape:
            raise InputError(
                f"{rows.place(row)}: regions are {_words(sizes)}; the model takes {_words(spec)}"
            )
        return _packed(found, spec)

    def chosen(self, rows: ClipRows, row: int, draw: int | None) -> Packed:
        """The same: no frame is left out."""
        return self.stored(rows, row)

    def picked(self, stored: Packed, draw: int | None) -> Packed:
        """The same."""
        return stored

    def augmented(self, video: Packed, strength: float, draw: int) -> Packed:
        """As it is."""
        return video

    def empty(self, num: int) -> Packed:
        """Room for so many clips."""
        return np.empty((num, *self.spec.shape), np.float32)

    @property
    def bytes_per_clip(self) -> int:
        """Memory for a clip."""
        return 4 * int(np.prod(self.spec.shape))


def region_spec(index: SplitIndex, column: str, linking: Linking) -> RegionSpec:
    """What the shards have, which their first clip with regions stands for.

    Raises:
        InputError: there is no such column, or no clip has regions.
    """
    index.check_column(column, HINT)
    rows = ClipRows(index, column=column)
    for row in range(index.num_clips):
        if rows.clip(column, row).is_valid:
            found = spec_of(_struct(rows, column, row), rows.place(row))
            return RegionSpec(**{**vars(found), "column": column, "linking": linking})
    raise InputError(f"{index.uri!r}: no clip of the {index.split} split has regions; {HINT}")


def spec_of(found: Any, place: str) -> RegionSpec:
    """The sizes of a clip's regions.

    Raises:
        InputError: its lists are not of the lengths that its numbers say.
    """
    c, f, r = (found[name].as_py() for name in ("num_clips", "num_frames", "num_regions"))
    num = c * f * r
    lengths = {name: len(found[name].values) for name in ("boxes", "is_region", "vectors")}
    lengths["frame_vectors"] = len(found["frame_vectors"].values)
    width = lengths["vectors"] // max(num, 1)
    wanted = {"boxes": 4 * num, "is_region": num, "vectors": num * width}
    wanted["frame_vectors"] = c * f * width
    if num < 1 or width < 1 or lengths != wanted:
        raise InputError(f"{place}: regions of {c} x {f} x {r} have lists of {lengths} numbers")
    extractor = found["extractor"].as_py()
    return RegionSpec(num_clips=c, num_frames=f, num_regions=r, width=width, extractor=extractor)


def _words(spec: RegionSpec) -> str:
    return (
        f"{spec.num_clips} clips x {spec.num_frames} frames x {spec.num_regions} regions of "
        f"{spec.width} numbers"
    )


def _struct(rows: ClipRows, column: str, row: int) -> Any:
    found = rows.clip(column, row)
    names = {field.name for field in found.type} if hasattr(found.type, "get_field_index") else ()
    if missing := [field.name for field in REGIONS if field.name not in names]:
        raise InputError(f"{rows.place(row)}: {column} lacks {', '.join(missing)}; {HINT}")
    if not found.is_valid:
        raise InputError(f"{rows.place(row)}: it has no regions; {HINT}")
    return found


def _packed(found: Any, spec: RegionSpec) -> Packed:
    """Tracks of each clip's regions, with their boxes' numbers and the frame's vector."""
    c, f, r, w = spec.num_clips, spec.num_frames, spec.num_regions, spec.width

    def numbers(name: str, *shape: int) -> torch.Tensor:
        values = found[name].values.to_numpy(zero_copy_only=False)
        return torch.from_numpy(values.astype(np.float32)).reshape(shape)

    vectors, frame = numbers("vectors", c, f, r, w), numbers("frame_vectors", c, f, w)
    is_region = numbers("is_region", c, f, r) > 0
    size = torch.tensor([float(found[name].as_py()) for name in ("width_px", "height_px")])
    boxes = numbers("boxes", c, f, r, 4) * size.repeat(2)
    of_boxes = box_features(boxes, size.expand(c, f, r, 2))
    out = np.zeros((c, f, r + 1, w + BOX_NUMBERS), np.float32)
    for i in range(c):
        there = is_region[i]
        values = torch.cat([vectors[i], of_boxes[i], there[..., None].float()], dim=-1)
        if spec.linking != "none":
            mask = None if spec.linking == "published" else there
            tracks = link_regions(boxes[i], vectors[i], mask, spec.linking)
            values, _ = along_tracks(values, tracks)
        out[i, :, :r] = values.masked_fill(values[..., -1:] == 0, 0).numpy()
    out[:, :, r, :w] = frame.numpy()
    return out
