"""High dynamic range and wide colours to what an ordinary screen shows (SDR, BT.709).

What is done is what this chain of FFmpeg's does, in tables instead of per pixel:

    zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,
    zscale=t=bt709:m=bt709:r=tv

Light is counted in diffuse white (203 cd/m², BT.2408). PQ (SMPTE ST 2084) and HLG (BT.2100, system
gamma 1.2 at 1000 cd/m²) become linear light; a matrix takes BT.2020's primaries to BT.709's; the
mobius curve leaves what is darker than 0.3 as it is and bends the rest below 1; a gamma of 2.4
(BT.1886) follows. Video with BT.2020's primaries and an ordinary curve gets the matrix only: it has
no light above white that would need bending.
"""

from __future__ import annotations

import struct
from functools import cache

import av
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BT2020 = 9
"""Colour primaries."""
PQ, HLG = 16, 18
"""Transfer characteristics (ITU-T H.273)."""
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    PQ: "smpte2084",
    HLG: "arib-std-b67",
}
"""FFmpeg's names."""

WHITE = 203.0
"""Diffuse white, cd/m²."""
HLG_PEAK = 1000.0
HLG_GAMMA = 1.2
SDR_GAMMA = 2.4
KNEE = 0.3
"""Light (white is 1) up to which the mobius curve changes nothing."""
PEAK_UNIT = 100.0
"""FFmpeg counts a signal's peak in these, cd/m²."""
DEFAULT_PEAK = 10.0
NUM_CODES = 2**16
WHITE_CODE = 0xFF00
NUM_LEVELS = 4096
"""Steps of the table from light to stored level; the square root in front keeps darkness fine."""

MOST_LIGHT = 4.0
TO_709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    np.float32,
)
"""Linear BT.2020 to BT.709 (BT.2407)."""
TO_VIDEO = np.array(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.9278 / 1.8556],
        [0.7874 / 1.5748, -0.7152 / 1.5748, -0.0722 / 1.5748],
    ],
    np.float32,
)
"""R'G'B' to Y'CbCr (BT.709)."""
FROM_VIDEO = np.linalg.inv(TO_VIDEO).astype(np.float32)


def transfer_of(frame: av.VideoFrame) -> str | None:
    """FFmpeg's name of the frame's transfer characteristic; None where the video does not say."""
    return TRANSFERS.get(int(frame.color_trc))


def needs_light(frame: av.VideoFrame) -> bool:
    """Whether its levels mean something else than an ordinary screen's."""
    return int(frame.color_trc) in (PQ, HLG) or int(frame.color_primaries) == BT2020


def to_sdr(codes: npt.NDArray[np.uint16], frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """BT.709 levels of a picture whose R'G'B' codes (full range, 16 bits) mean what `frame` says.

    codes: uint16 [height, width, 3]. Returns uint8 of the same shape.
    """
    transfer = int(frame.color_trc)
    light = _light_of_code(transfer if transfer in (PQ, HLG) else 0)[codes]
    if int(frame.color_primaries) == BT2020:
        light = light @ TO_709.T
    if transfer in (PQ, HLG):
        light = _tone_mapped(light, signal_peak(frame))
    root = np.sqrt(np.minimum(np.abs(light), MOST_LIGHT)) * (NUM_LEVELS - 1) + 0.5
    level = np.copysign(_level_of_light()[root.astype(np.uint16)], light)
    levels = np.clip(_within_video(level), 0, 1) * 255 + 0.5
    return np.asarray(levels, np.uint8)


def _within_video(level: Floats) -> Floats:
    """R'G'B' after 8-bit Y'CbCr, which cannot hold every colour that BT.709 lacks.

    A colour outside has a negative channel; cutting it off in R'G'B' would leave the others
    brighter than players show them.
    """
    video = level @ TO_VIDEO.T
    np.clip(video[..., 1:], -128 / 224, 127 / 224, out=video[..., 1:])
    return np.asarray(video @ FROM_VIDEO.T, np.float32)


def signal_peak(frame: av.VideoFrame) -> float:
    """The brightest light that the video states, in hundreds of cd/m²; 10 where it states none."""
    data = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if data is not None and (brightest := struct.unpack_from("=I", bytes(data))[0]):
        return float(max(brightest / PEAK_UNIT, 1.0))
    data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if data is not None:
        # 8 fractions of primaries, then the least and the greatest luminance, then two flags.
        numerator, denominator, _, has_luminance = struct.unpack_from("=iiii", bytes(data), 72)
        if has_luminance and denominator and numerator > 0:
            return max(numerator / denominator / PEAK_UNIT, 1.0)
    return DEFAULT_PEAK


def _tone_mapped(light: Floats, peak: float) -> Floats:
    """The mobius curve on each pixel's largest channel; the others keep their share of it."""
    largest = np.maximum(light.max(axis=-1), 1e-6)
    a = -KNEE * KNEE * (peak - 1) / (KNEE * KNEE - 2 * KNEE + peak)
    b = (KNEE * KNEE - 2 * KNEE * peak + peak) / max(peak - 1, 1e-6)
    bent = (b * b + 2 * b * KNEE + KNEE * KNEE) / (b - a) * (largest + a) / (largest + b)
    scale = np.where(largest > KNEE, bent / largest, 1.0)
    return np.asarray(light * scale[..., None], np.float32)


@cache
def _light_of_code(transfer: int) -> Floats:
    """[NUM_CODES] linear light, diffuse white being 1."""
    # swscale's 16-bit RGB of a white in studio range is 0xFF00.
    code = np.minimum(np.arange(NUM_CODES) / WHITE_CODE, 1.0)
    if transfer == PQ:
        root = code ** (1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return (light ** (1 / 0.1593017578125) * 10_000 / WHITE).astype(np.float32)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        dark = code * code / 3
        bright = (np.exp((code - c) / a) + b) / 12
        scene = np.where(code <= 0.5, dark, bright)
        # The system gamma on each channel, as zscale has it, not on luminance.
        return (scene**HLG_GAMMA * HLG_PEAK / WHITE).astype(np.float32)
    return (code**SDR_GAMMA).astype(np.float32)


@cache
def _level_of_light() -> Floats:
    """Stored level, 0 to 1 being black to white, by the square root of light; up to MOST_LIGHT."""
    light = (np.arange(round(NUM_LEVELS * MOST_LIGHT**0.5)) / (NUM_LEVELS - 1)) ** 2
    return (light ** (1 / SDR_GAMMA)).astype(np.float32)
