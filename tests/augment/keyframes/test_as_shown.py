"""Pictures stand and shine as a player shows them."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mama_augment.decode.config import PictureConfig
from mama_augment.decode.picture.scaler import Scaler
from mama_augment.keyframes.config import ClipFrames
from tests.augment.numbered import extract, write_numbered

NEEDS_FFMPEG = pytest.mark.skipif(
    shutil.which("ffmpeg") is None
    or b" zscale " not in subprocess.run(["ffmpeg", "-filters"], capture_output=True).stdout,
    reason="the ffmpeg program with zscale is the reference here, and is not installed",
)
COLOURS = {"R": (220, 30, 30), "G": (30, 200, 30), "B": (30, 30, 220), "W": (230, 230, 230)}
CORNERS = "RGBW"
"""Top left, top right, bottom left, bottom right of the stored pictures."""


def picture_of(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), np.int16)


def corners_of(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    points = [(y, x) for y in (height // 5, -height // 5) for x in (width // 5, -width // 5)]
    names = list(COLOURS)
    table = np.array([COLOURS[name] for name in names])
    return "".join(names[int(np.abs(table - picture[p]).sum(axis=1).argmin())] for p in points)


def cornered(width: int = 160, height: int = 96) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for index, name in enumerate(CORNERS):
        rows = slice(0, height // 2) if index < 2 else slice(height // 2, None)
        columns = slice(0, width // 2) if index % 2 == 0 else slice(width // 2, None)
        picture[rows, columns] = COLOURS[name]
    return picture


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Sets the display matrix of the track header."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    unit = 1 << 16
    values = (a * unit, b * unit, 0, c * unit, d * unit, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *values)
    path.write_bytes(content)
    return path


MATRICES = {
    "upright": (1, 0, 0, 1),
    "hflip": (-1, 0, 0, 1),
    "vflip": (1, 0, 0, -1),
    "rot180": (-1, 0, 0, -1),
    "rot90": (0, 1, -1, 0),
    "rot270": (0, -1, 1, 0),
    "rot90_hflip": (0, 1, 1, 0),
    "rot270_hflip": (0, -1, -1, 0),
}
SHOWN = {
    "upright": "RGBW",
    "hflip": "GRWB",
    "vflip": "BWRG",
    "rot180": "WBGR",
    "rot90": "BRWG",
    "rot270": "GWRB",
    "rot90_hflip": "RBGW",
    "rot270_hflip": "WGBR",
}


@pytest.mark.parametrize("name", MATRICES)
def test_every_orientation(tmp_path: Path, name: str) -> None:
    path = write_numbered(tmp_path / "a.mp4", 6, pictures=[cornered()] * 6)
    clip = extract(with_matrix(path, *MATRICES[name]), num_frames=2)
    picture = picture_of(clip.frames[0])
    assert corners_of(picture) == SHOWN[name]
    shape = (96, 160) if MATRICES[name][0] else (160, 96)
    assert picture.shape[:2] == shape == (clip.height_px, clip.width_px)


@pytest.mark.parametrize("name", MATRICES)
@NEEDS_FFMPEG
def test_every_orientation_is_what_the_ffmpeg_program_shows(tmp_path: Path, name: str) -> None:
    path = write_numbered(tmp_path / "a.mp4", 6, pictures=[cornered()] * 6)
    with_matrix(path, *MATRICES[name])
    ffmpeg("-i", path, "-frames:v", "1", tmp_path / "shown.png")
    assert corners_of(np.asarray(Image.open(tmp_path / "shown.png"), np.int16)) == SHOWN[name]


@pytest.mark.parametrize("name", ["hflip", "rot90_hflip"])
def test_mirrors_as_phones_write_them(shared_dir: Path, name: str) -> None:
    path = shared_dir / "cases" / "02_mirrored_matrix" / f"matrix_{name}.mp4"
    clip = extract(path)
    colours = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    table = np.array(list(colours.values()))
    picture = picture_of(clip.frames[0])
    points = [picture[y, x] for y in (3, -4) for x in (3, -4)]
    found = "".join("RGBW"[int(np.abs(table - p).sum(axis=1).argmin())] for p in points)
    assert found == SHOWN[name]


def with_pixel_aspect(path: Path, aspect: Fraction) -> Path:
    def prepare(stream: av.video.stream.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    return write_numbered(path, 6, prepare=prepare)


@pytest.mark.parametrize("aspect", [Fraction(65535), Fraction(1, 65535)])
def test_an_absurd_pixel_aspect_is_ignored(tmp_path: Path, aspect: Fraction) -> None:
    clip = extract(with_pixel_aspect(tmp_path / "a.mp4", aspect))
    assert (clip.width_px, clip.height_px) == (160, 96)


def test_an_absurd_pixel_aspect_of_a_container_is_ignored(shared_dir: Path) -> None:
    clip = extract(shared_dir / "cases" / "13_bogus_pixel_aspect" / "sar_wide.mp4")
    assert clip.width_px < 16 * clip.height_px


def test_a_usual_pixel_aspect_counts(tmp_path: Path) -> None:
    assert extract(with_pixel_aspect(tmp_path / "a.mp4", Fraction(2))).width_px == 320


def test_another_shape_within_a_stream_gets_black_bars(shared_dir: Path) -> None:
    clip = extract(shared_dir / "cases" / "14_size_change" / "size_change.ts", num_frames=8)
    sizes = {picture_of(jpeg).shape[:2] for jpeg in clip.frames}
    assert sizes == {(240, 320)}
    assert "size_changes" in clip.flags
    last = picture_of(clip.frames[-1])
    assert last[:, :60].max() < 24
    assert last[:, -60:].max() < 24
    assert last[:, 80:240].max() > 128


def test_the_rate_is_that_of_the_time_stamps(shared_dir: Path) -> None:
    path = shared_dir / "cases" / "10_fps_1000" / "mediarecorder.webm"
    assert extract(path).fps == pytest.approx(51 / 1.82, rel=0.03)
    looked_at = extract(path, num_frames=3, sample_fps=10.0)
    assert looked_at.num_frames == 52
    assert len(looked_at.frames) == 3


def test_the_rate_is_exact_where_the_container_agrees(tmp_path: Path) -> None:
    assert extract(write_numbered(tmp_path / "a.mp4", 20)).fps == 25.0
    slow = write_numbered(tmp_path / "b.mp4", 20, seconds=lambda index: index / 5)
    assert extract(slow).fps == pytest.approx(5.0)


def test_interlaced_frames_show_one_moment(tmp_path: Path) -> None:
    """A bar that is elsewhere in every other line: one of the two bars is left, whole."""
    woven = np.zeros((288, 352, 3), np.uint8)
    woven[0::2, 100:130] = 255
    woven[1::2, 200:230] = 255
    options = {"x264-params": "tff=1", "crf": "10"}
    path = write_numbered(
        tmp_path / "i.mp4", 6, size=(352, 288), pictures=[woven] * 6, options=options
    )
    clip = extract(path, num_frames=2)
    line = picture_of(clip.frames[0]).mean(axis=(0, 2))
    scale = len(line) / 352
    bars = sorted(line[round(x * scale)] for x in (115, 215))
    assert bars[0] < 30
    assert bars[1] > 225
    assert "interlaced" in clip.flags
    plain = write_numbered(tmp_path / "p.mp4", 6, size=(352, 288), pictures=[woven] * 6)
    assert "interlaced" not in extract(plain, num_frames=2).flags


def test_black_and_static_clips_are_known(tmp_path: Path) -> None:
    def flags(name: str, pictures: list[np.ndarray]) -> list[str]:
        path = write_numbered(tmp_path / name, len(pictures), pictures=pictures)
        return extract(path).flags

    rng = np.random.default_rng(0)
    black = np.zeros((96, 160, 3), np.uint8)
    moving = [np.roll(cornered(), 8 * step, axis=1) for step in range(12)]
    noisy = [cornered() + rng.integers(0, 4, (96, 160, 3), np.uint8) for _ in range(12)]
    assert flags("black.mp4", [black] * 12) == ["black", "static"]
    assert flags("static.mp4", noisy) == ["static"]
    assert flags("moving.mp4", moving) == []


def test_hashes_tell_pictures_apart_and_do_not_mind_coding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def scene(seed: int) -> np.ndarray:
        grid = np.random.default_rng(seed).integers(0, 255, (6, 10, 3), np.uint8)
        return np.kron(grid, np.ones((16, 16, 1), np.uint8))

    def hashes(name: str, picture: np.ndarray, crf: int) -> list[int]:
        noise = rng.integers(0, 6, picture.shape)
        noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
        path = write_numbered(tmp_path / name, 6, pictures=[noisy] * 6, options={"crf": str(crf)})
        return extract(path, num_frames=2).frame_hashes

    def distance(a: int, b: int) -> int:
        return ((a ^ b) & (2**64 - 1)).bit_count()

    one, again, other = (
        hashes("a.mp4", scene(1), 15),
        hashes("b.mp4", scene(1), 38),
        hashes("c.mp4", scene(2), 15),
    )
    assert distance(one[0], again[0]) <= 6
    assert distance(one[0], other[0]) >= 16


def ffmpeg(*arguments: object, content: bytes | None = None) -> bytes:
    quiet = ["ffmpeg", "-y", "-v", "error", *map(str, arguments)]
    result = subprocess.run(quiet, input=content, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def hdr_patches(width: int, height: int) -> np.ndarray:
    """24 greys and 72 colours as full-range 16-bit R'G'B', in squares of 32."""
    rng = np.random.default_rng(0)
    values = [(g, g, g) for g in np.linspace(0, 1, 24)]
    values += [tuple(rng.random(3) * 0.75) for _ in range(72)]
    picture = np.zeros((height, width, 3))
    for index, value in enumerate(values):
        row, column = divmod(index, width // 32)
        picture[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32] = value
    return (picture * 65535).round().astype("<u2")


REFERENCE = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv444p,"
    "scale=out_range=full:flags=accurate_rnd+full_chroma_int,format=rgb24"
)


@NEEDS_FFMPEG
@pytest.mark.parametrize(
    ("transfer", "metadata"),
    [
        ("smpte2084", ""),
        ("arib-std-b67", ""),
        ("smpte2084", ":max-cll=1500,400"),
        (
            "smpte2084",
            ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)",
        ),
    ],
)
def test_hdr_is_tone_mapped_as_ffmpeg_does_it(tmp_path: Path, transfer: str, metadata: str) -> None:
    width, height = 384, 256
    path = tmp_path / "hdr.mp4"
    encode = (
        f"zscale=m=bt2020nc:r=tv:rin=full:tin={transfer}:pin=bt2020:t={transfer}:p=bt2020,"
        "format=yuv444p10le"
    )
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{width}x{height}", "-r", "5"),
        *("-i", "-", "-vf", encode, "-c:v", "libx265"),
        *("-x265-params", f"log-level=none:lossless=1{metadata}"),
        *("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", path),
        content=hdr_patches(width, height).tobytes(),
    )
    raw = ffmpeg("-i", path, "-vf", REFERENCE, "-f", "rawvideo", "-")
    expected = np.frombuffer(raw, np.uint8)[: width * height * 3].reshape(height, width, 3)
    with av.open(str(path)) as container:
        scaler = Scaler(PictureConfig(), Fraction(1))
        picture = scaler.rgb(next(container.decode(video=0)))
    assert scaler.transfer == transfer
    error = np.abs(picture.astype(int) - expected)[16::32, 16::32]
    assert error.max() <= 6


def test_the_light_of_hdr_bands(shared_dir: Path) -> None:
    """0, 50, 203 and 1000 cd/m² in PQ."""
    clip = extract(shared_dir / "cases" / "11_hdr_flat" / "hdr_pq.mp4")
    assert clip.transfer == "smpte2084"
    levels = bands(clip, 4)
    assert np.abs(np.array(levels) - [0, 143, 215, 249]).max() <= 6


def bands(clip: ClipFrames, number: int) -> list[int]:
    row = picture_of(clip.frames[0])
    middle = row[row.shape[0] // 2].mean(axis=1)
    width = len(middle) // number
    return [int(np.median(middle[k * width + 8 : (k + 1) * width - 8])) for k in range(number)]


def test_sdr_stays_what_it_was(tmp_path: Path) -> None:
    clip = extract(write_numbered(tmp_path / "a.mp4", 6, pictures=[cornered()] * 6))
    assert clip.transfer is None
    picture = picture_of(clip.frames[0])
    for (y, x), name in zip([(20, 30), (20, 130), (76, 30), (76, 130)], CORNERS, strict=True):
        assert np.abs(picture[y, x] - COLOURS[name]).max() <= 6
