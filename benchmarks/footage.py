"""Generated footage with known cuts: textured shots, pans, fast motion and flashes, as H.264."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

FPS = 30
MARGIN_PX = 96


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What to generate; everything follows from the seed."""

    width_px: int = 426
    height_px: int = 240
    num_frames: int = 300
    num_shots: int = 6
    num_flashes: int = 0
    fast_motion: bool = False
    gop_frames: int = 60
    """Largest distance of the encoder's I-frames; as long as the clip makes one group."""
    scenecut: bool = True
    """Whether the encoder puts an I-frame at every cut that it sees."""
    preset: str = "veryfast"
    seed: int = 0
    least_shot_frames: int = 6


@dataclass(frozen=True, kw_only=True)
class Truth:
    """First frame of every shot, and of every flash."""

    shot_starts: list[int] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)


def write_footage(path: Path, footage: Footage) -> Truth:
    """Render and encode; the cuts lie at random times."""
    rng = np.random.default_rng(footage.seed)
    starts = _random_starts(rng, footage)
    flashes = _random_flashes(rng, footage, starts)
    brightness = np.zeros(footage.num_frames)
    for flash in flashes:
        brightness[flash : flash + int(rng.integers(1, 4))] = rng.uniform(0.5, 1.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = footage.width_px, footage.height_px
        stream.pix_fmt = "yuv420p"
        gop = footage.gop_frames
        stream.options = {
            "preset": footage.preset,
            "crf": "25",
            "x264-params": f"keyint={gop}:min-keyint=2:scenecut={40 if footage.scenecut else 0}",
        }
        ends = [*starts[1:], footage.num_frames]
        for start, end in zip(starts, ends, strict=True):
            shot = _Shot(rng, footage)
            for index in range(start, end):
                picture = shot.picture(index - start, brightness[index])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Truth(shot_starts=starts, flashes=flashes)


def repeat_footage(path: Path, part: Path, num_times: int) -> None:
    """Write `part` several times in a row; every repetition starts a group of its own."""
    partial = path.with_suffix(".part.mp4")
    with av.open(str(partial), "w") as output:
        stream = None
        shift = 0
        for _ in range(num_times):
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    output.mux(packet)
                shift += video.duration
    partial.rename(path)


def _random_starts(rng: np.random.Generator, footage: Footage) -> list[int]:
    while True:
        cuts = np.sort(rng.choice(footage.num_frames - 1, footage.num_shots - 1, replace=False) + 1)
        edges = np.concatenate([[0], cuts, [footage.num_frames]])
        if np.diff(edges).min() >= footage.least_shot_frames:
            return [int(e) for e in edges[:-1]]


def _random_flashes(rng: np.random.Generator, footage: Footage, starts: list[int]) -> list[int]:
    flashes: list[int] = []
    edges = np.array([*starts, footage.num_frames])
    for _ in range(200):
        if len(flashes) == footage.num_flashes:
            break
        flash = int(rng.integers(6, footage.num_frames - 6))
        near = np.abs(np.concatenate([edges, flashes]) - flash).min()
        if near > 6:
            flashes.append(flash)
    return sorted(flashes)


class _Shot:
    """A large random texture with a moving window on it, and a few things moving inside."""

    def __init__(self, rng: np.random.Generator, footage: Footage) -> None:
        import cv2

        self._size = footage.height_px, footage.width_px
        height, width = footage.height_px + 2 * MARGIN_PX, footage.width_px + 2 * MARGIN_PX
        base = rng.uniform(30, 225, 3)
        texture = np.tile(base, (height, width, 1))
        for cells, contrast in ((3, 50), (8, 40), (24, 25), (96, 12)):
            coarse = rng.normal(0, contrast, (cells, cells * 16 // 9, 3)).astype(np.float32)
            texture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        self._texture = np.clip(texture, 0, 255).astype(np.uint8)
        fast = footage.fast_motion and rng.random() < 0.5
        self._speed = rng.uniform(-1, 1, 2) * (20.0 if fast else 1.5) * footage.height_px / 240
        self._sprites = [
            (
                rng.uniform(0, 1, 2),
                rng.uniform(-0.01, 0.01, 2) * (6 if fast else 1),
                rng.integers(0, 255, 3),
                int(footage.height_px * rng.uniform(0.05, 0.2)),
            )
            for _ in range(3)
        ]

    def picture(self, index: int, brightness: float) -> np.ndarray:
        """RGB uint8 of frame `index` of the shot; brightness 0 to 1 mixes in white."""
        height, width = self._size
        # A triangle wave keeps the window inside the texture at any speed.
        offset = np.abs((MARGIN_PX + self._speed * index) % (4 * MARGIN_PX) - 2 * MARGIN_PX)
        top, left = np.minimum(offset, 2 * MARGIN_PX).astype(int)
        picture = self._texture[top : top + height, left : left + width].copy()
        for place, speed, colour, size in self._sprites:
            y, x = ((place + speed * index) % 1.0 * (height, width)).astype(int)
            picture[y : y + size, x : x + size] = colour
        if brightness:
            picture = (picture + (255 - picture) * brightness).astype(np.uint8)
        return np.ascontiguousarray(picture)
