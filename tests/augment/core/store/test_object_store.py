"""The same command with videos and output on an S3-compatible server of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.store.audit import audit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.step_dir import StepDir
from tests.augment.numbered import write_numbered
from tests.augment.s3 import S3, s3  # noqa: F401


@pytest.mark.slow
def test_objects_in_objects_out(s3: S3, tmp_path: Path) -> None:  # noqa: F811
    local = tmp_path / "videos"
    local.mkdir()
    for number in range(5):
        path = write_numbered(local / f"{number}.mp4", 20, size=(96, 64))
        Folder("s3://bucket/videos").write_bytes(path.name, path.read_bytes())
    (local / "broken.mp4").write_bytes(b"no video")
    Folder("s3://bucket/videos").write_bytes("broken.mp4", b"no video")
    rows = [f"{number}.mp4,text {number}" for number in range(5)]
    rows += ["broken.mp4,none", "gone.mp4,none"]
    manifest = "\n".join(["video,text", *rows]).encode()
    Folder("s3://bucket/videos").write_bytes("manifest.csv", manifest)
    (local / "manifest.csv").write_bytes(manifest)

    def run(videos: str, out: str, *more: str) -> int:
        arguments = ["keyframes", videos, "--out", out, "-q", "4", "--clips-per-unit", "2"]
        result = CliRunner().invoke(app, [*arguments, *more])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.exit_code

    assert run("s3://bucket/videos", "s3://bucket/folder") == 0
    assert audit(StepDir.open("s3://bucket/folder"), deep=True).num_ok == 5

    out = "s3://bucket/out"
    assert run("s3://bucket/videos/manifest.csv", out) == 1
    ledger = audit(StepDir.open(out), deep=True)
    assert (ledger.num_ok, ledger.num_rejected, ledger.num_failed) == (5, 1, 1)
    # The failed object arrives; only it is fetched.
    Folder("s3://bucket/videos").write_bytes("gone.mp4", (local / "0.mp4").read_bytes())
    Folder("s3://bucket/videos").delete("1.mp4")
    assert run("s3://bucket/videos/manifest.csv", out, "--retry-failed") == 0

    (local / "gone.mp4").write_bytes((local / "0.mp4").read_bytes())
    assert run(str(local / "manifest.csv"), str(tmp_path / "out")) == 0
    pictures = {
        uri: [
            (row["clip_id"], row["frames"], row["frame_index"], row["texts"])
            for table in StepDir.open(uri).tables()
            for row in table.to_pylist()
        ]
        for uri in (out, str(tmp_path / "out"))
    }
    assert len(pictures[out]) == 6
    assert pictures[out] == pictures[str(tmp_path / "out")]
