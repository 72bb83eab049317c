"""Published features of VGT read as they are: BUTD regions and ResNet frames, in HDF5 or NPZ.

A folder with .h5 files of regions (ids [N], feat [N,C,F,R,W], bbox [N,C,F,R,4] in pixels) and of
frames (ids [N], resnet_features [N,C,F,W]); or a file `<clip_id>.npz` per video (feat, bbox and,
where there is one, frame). Official weights fit these vectors and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mama_augment.core.errors import InputError
from mama_augment.regions.base import NoRegionsError

PREFIX = "butd:"
EXTRACTOR = "butd"
COLUMNS = ("width_px", "height_px")
USUAL_SIZE = (320, 240)
"""What the published code takes where a video's size is not known."""


class PublishedFeatures:
    """Regions of clips by their ids."""

    def __init__(self, folder: Path, num_regions: int) -> None:
        """num_regions: the first so many of a frame are taken, as the published code does.

        Raises:
            InputError: no such files, or h5py is not installed.
        """
        self.folder, self.num_regions = folder, num_regions
        if not folder.is_dir():
            raise InputError(f"--model {PREFIX}{folder}: there is no such folder")
        self._places: dict[str, tuple[Any, int]] = {}
        self._frames: dict[str, tuple[Any, int]] = {}
        files = sorted(folder.glob("*.h5")) + sorted(folder.glob("*.hdf5"))
        if not files and not any(folder.glob("*.npz")):
            raise InputError(f"--model {PREFIX}{folder}: it holds neither .h5 nor .npz files")
        for path in files:
            self._index(path)

    def _index(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as error:
            raise InputError(
                f"{path}: HDF5 needs the package h5py: pip install 'mama-video[regions]'"
            ) from error
        file = h5py.File(path, "r")
        is_frames = "resnet_features" in file
        if "ids" not in file or not (is_frames or {"feat", "bbox"} <= set(file)):
            raise InputError(
                f"{path} has {', '.join(file)}; needed: ids with feat and bbox, or with "
                "resnet_features"
            )
        into = self._frames if is_frames else self._places
        for row, name in enumerate(file["ids"][:]):
            into[name.decode() if isinstance(name, bytes) else str(name)] = (file, row)

    def row(self, clip: Mapping[str, Any]) -> dict[str, Any]:
        """`core.schema.REGIONS` of a clip.

        Raises:
            NoRegionsError: the files lack it.
        """
        clip_id = clip["clip_id"]
        feat, bbox, frame = self._arrays(clip_id)
        if feat.ndim != 4 or bbox.shape != (*feat.shape[:3], 4):
            raise NoRegionsError(
                "no_features",
                f"{clip_id}: feat {feat.shape} and bbox {bbox.shape}, where [C,F,R,W] and "
                "[C,F,R,4] are needed",
            )
        feat, bbox = feat[:, :, : self.num_regions], bbox[:, :, : self.num_regions]
        c, f, r, width = feat.shape
        if r < self.num_regions or frame.shape != (c, f, width):
            raise NoRegionsError(
                "no_features",
                f"{clip_id}: {r} regions of {width} numbers and frames {frame.shape}; needed: "
                f"{self.num_regions} regions, and frames {(c, f, width)}",
            )
        known = clip["width_px"] and clip["height_px"]
        size = (clip["width_px"], clip["height_px"]) if known else USUAL_SIZE
        return {
            "extractor": EXTRACTOR,
            "width_px": size[0],
            "height_px": size[1],
            "num_clips": c,
            "num_frames": f,
            "num_regions": r,
            "boxes": (bbox / np.array([*size, *size])).astype(np.float32).ravel(),
            "scores": np.ones(c * f * r, np.float32),
            "is_region": np.ones(c * f * r, bool),
            "vectors": feat.astype(np.float16).ravel(),
            "frame_vectors": frame.astype(np.float16).ravel(),
        }

    def _arrays(self, clip_id: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        path = self.folder / f"{clip_id}.npz"
        if path.is_file():
            with np.load(path) as found:
                feat, bbox = found["feat"], found["bbox"]
                frame = dict(found).get("frame")
        elif clip_id in self._places:
            file, row = self._places[clip_id]
            feat, bbox, frame = file["feat"][row], file["bbox"][row], None
        else:
            raise NoRegionsError("no_features", f"{clip_id}: not in {self.folder}")
        if frame is None:
            if clip_id not in self._frames:
                raise NoRegionsError(
                    "no_features", f"{clip_id}: {self.folder} has no frame features"
                )
            file, row = self._frames[clip_id]
            frame = file["resnet_features"][row]
        return feat, bbox, frame
