"""Hundreds of damaged files: no hang, no crash, every one accounted for, good ones unharmed."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.numbered import write_numbered

BIT_EXACT = {"container_options": {"fflags": "+bitexact"}}
"""Matroska files have a random id otherwise: the damage would be another in every run."""
ONE_THREAD = {"options": {"x264-params": "threads=1"}}
"""With one per processor the file would depend on the machine."""
GOOD_FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"x264-params": "keyint=10:min-keyint=10:threads=1"}},
    "fragments.mp4": {**ONE_THREAD, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.mkv": {**ONE_THREAD, **BIT_EXACT},
    "h264.ts": {**ONE_THREAD},
    "vp9.webm": {"codec": "libvpx-vp9", **BIT_EXACT},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:pools=1:frame-threads=1"},
    },
    "picture.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
NUM_SEEDS = {"h264.ts": 6, "h264.mp4": 3, "hevc.mp4": 6}
"""Where damage shows rare faults: streams that begin later, sizes that no memory holds."""
NUM_CUTS = 20
NUM_FLIPS = 36
MAIN_REGIONS = ((0.0, 0.05), (0.05, 0.9), (0.9, 1.0))
"""Header, payload, and what is often the index."""


def damage(content: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Named damaged copies of a file's content."""
    for cut in range(NUM_CUTS):
        yield f"cut{cut}", content[: cut * len(content) // NUM_CUTS + rng.randrange(1, 40)]
    for flip in range(NUM_FLIPS):
        low, high = MAIN_REGIONS[flip % len(MAIN_REGIONS)]
        changed = bytearray(content)
        for _ in range(4 ** (flip % 4)):
            place = rng.randrange(int(low * len(content)), max(1, int(high * len(content))))
            changed[place] ^= 1 << rng.randrange(8)
        yield f"flip{flip}", bytes(changed)
    for hole in range(4):
        start = rng.randrange(len(content))
        yield f"zeros{hole}", content[:start] + bytes(2000) + content[start + 2000 :]
        yield f"moved{hole}", content[start:] + content[:start]


def write_damaged(folder: Path, good: Path) -> int:
    """Fills `folder`; the number of entries that a folder listing must find in it."""
    count = 0
    for name in GOOD_FILES:
        path = good / name
        for seed in range(NUM_SEEDS.get(name, 1)):
            for kind, content in damage(path.read_bytes(), random.Random(f"{name} {seed}")):
                (folder / f"{kind}-{seed}-{name}").write_bytes(content)
                count += 1
    rng = random.Random(0)
    for number in range(8):
        (folder / f"random{number}.mp4").write_bytes(rng.randbytes(10 ** (number % 5)))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("video,text\nnone,none\n")
    (folder / "matroska-in-name.mp4").write_bytes((good / "h264.mkv").read_bytes())
    (folder / "zip.mkv").write_bytes(b"PK\x03\x04" + rng.randbytes(500))
    (folder / "folder.mp4").mkdir()
    (folder / "loop-a.mp4").symlink_to("loop-b.mp4")
    (folder / "loop-b.mp4").symlink_to("loop-a.mp4")
    (folder / "nowhere.mp4").symlink_to("gone")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "secret.mp4").write_bytes((good / "h264.mp4").read_bytes())
    (folder / "secret.mp4").chmod(0)
    return count + 18


@pytest.mark.slow
def test_damage_costs_the_damaged_file_only(tmp_path: Path) -> None:
    good, mixed = tmp_path / "good", tmp_path / "mixed"
    good.mkdir()
    mixed.mkdir()
    for name, options in GOOD_FILES.items():
        write_numbered(good / name, 40, size=(96, 64), **options)
        (mixed / f"good-{name}").write_bytes((good / name).read_bytes())
    num_damaged = write_damaged(mixed, good)
    assert num_damaged >= 500

    outcomes = []
    for out in ("first", "second"):
        arguments = ["keyframes", str(mixed), "--out", str(tmp_path / out), "-q", "6"]
        limits = ["--time-limit-seconds", "20", "--memory-limit-mb", "600"]
        result = CliRunner().invoke(app, [*arguments, *limits])
        assert result.exit_code in (0, 1), result.output
        step_dir = StepDir.open(str(tmp_path / out))
        ledger = audit(step_dir, deep=True)
        assert ledger.holds
        assert ledger.num_in == num_damaged + len(GOOD_FILES)
        assert ledger.num_pending == 0
        rejects = [r for rec in step_dir.records().values() for r in step_dir.read_rejects(rec)]
        rows = pa.concat_tables(step_dir.tables()).to_pylist()
        outcomes.append((rows, sorted((r.id, r.reason) for r in rejects)))
    assert outcomes[0] == outcomes[1], "damage must not make the output a matter of luck"

    rows, reasons = outcomes[0]
    print(Counter(reason for _, reason in reasons), len(rows))
    assert not {"crashed", "timeout", "out_of_memory"} & {reason for _, reason in reasons}
    alone = CliRunner().invoke(
        app, ["keyframes", str(good), "--out", str(tmp_path / "alone"), "-q", "6"]
    )
    assert alone.exit_code == 0
    expected = pa.concat_tables(StepDir.open(str(tmp_path / "alone")).tables()).to_pylist()
    found = {Path(row["video_uri"]).name: row["frames"] for row in rows}
    assert len(expected) == len(GOOD_FILES)
    for row in expected:
        assert found["good-" + Path(row["video_uri"]).name] == row["frames"]
