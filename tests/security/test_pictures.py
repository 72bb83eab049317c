"""Pictures in tables of a stranger: JPEG or nothing, and its size is looked at first."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg, jpeg_size_px
from mama_train.data.frames import decode_frames
from mama_train.models.specs import FrameSpec
from tests.augment.worlds import clip, jpeg, write_clips
from tests.security.hostile import run
from tests.train.program import call
from tests.train.shards_helper import write_shards

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(touch PWNED) run\n%%EOF\n"


def png(side: int) -> bytes:
    """A black picture of any size, which packs to almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def huge_jpeg(side: int) -> bytes:
    """One whose header states a size that its content does not have."""
    content = bytearray(jpeg(1))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def many_scans() -> bytes:
    """Small, and a pass over all pixels for every few bytes."""
    sink = io.BytesIO()
    Image.new("RGB", (64, 64)).save(sink, "JPEG", progressive=True)
    content = sink.getvalue()
    at = content.rindex(b"\xff\xda")
    return content[:at] + content[at:-2] * 5000 + content[-2:]


def other(format: str) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8)).save(sink, format)
    return sink.getvalue()


HOSTILE = {
    "eps": EPS,
    "eps behind a jpeg's start": b"\xff\xd8\xff" + EPS,
    "png": png(13_000),
    "huge": huge_jpeg(60_000),
    "many scans": many_scans(),
    "gif": other("GIF"),
    "webp": other("WEBP"),
    "tiff": other("TIFF"),
    "bmp": other("BMP"),
    "icon": other("ICO"),
    "nothing": b"",
}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Ghostscript that tells that it was called."""
    called = tmp_path / "called"
    program = tmp_path / "bin/gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {called}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return called


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_a_jpeg_of_a_sensible_size_reaches_a_decoder(name: str, stub: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for look in (jpeg_size_px, decode_jpeg):
        with pytest.raises(BrokenFrameError):
            look(HOSTILE[name])
    spec = FrameSpec(num_frames=1, size_px=32)
    with pytest.raises(InputError, match="clip 'a': one of its frames"):
        decode_frames([HOSTILE[name]], np.array([0]), spec, clip_id="a")
    assert not stub.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_progressive_picture_is_a_picture() -> None:
    sink = io.BytesIO()
    Image.effect_noise((256, 256), 90).convert("RGB").save(sink, "JPEG", progressive=True)
    assert decode_jpeg(sink.getvalue()).shape == (256, 256, 3)


@pytest.mark.parametrize("name", ["eps", "png", "huge"])
def test_no_command_opens_another_picture(name: str, stub: Path, tmp_path: Path) -> None:
    rows = [
        clip(
            f"c{n}", frames=[HOSTILE[name] if n == 1 else jpeg(n)], texts=[("a dog", "human", True)]
        )
        for n in range(3)
    ]
    clips = write_clips(tmp_path / "clips", rows)
    result = run("inspect", clips)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "clips/contact_sheet.png").stat().st_size < 10**6
    shards = tmp_path / "shards"
    run("balance", clips, "--out", shards, "--num-concepts", 1)
    assert run("validate", shards).exit_code == 1
    line = ("caption", clips, "--out", tmp_path / "captions", "--model", "llava-shapes")
    code = (
        "import sys; sys.argv = ['mama-augment', *sys.argv[1:]]\n"
        "from mama_augment.cli import main; main()"
    )
    said = subprocess.run([sys.executable, "-c", code, *map(str, line)], capture_output=True)
    assert b"Traceback" not in said.stderr
    status = run("status", tmp_path / "captions")
    assert "broken_frame" in status.output
    assert not stub.exists()
    assert not list(tmp_path.rglob("PWNED"))


def test_the_trainer_ends_with_a_message(stub: Path, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 8, "val": 2, "meta": 2, "test": 2})
    import pyarrow.parquet as pq

    for file in (shards / "train").glob("*.parquet"):
        table = pq.read_table(file)
        frames = [[EPS] * len(row) for row in table["frames"].to_pylist()]
        place = table.schema.get_field_index("frames")
        made = table.set_column(place, table.schema.field(place), [frames])
        pq.write_table(made, file)
    line = ("run", str(shards), "--out", str(tmp_path / "run"), "--steps", "1", "--no-tensorboard")
    assert call(*line, "--num-frames", "2", "--weights", "none") == 2
    assert not stub.exists()
