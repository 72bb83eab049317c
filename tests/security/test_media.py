"""Files under a video's name that are none, and videos made to cost more than they are worth."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import av
import pytest

from mama_augment.core.errors import InputError
from mama_augment.decode import isolated
from mama_augment.decode.config import LimitsConfig, Span
from mama_augment.decode.errors import ClipError
from mama_augment.decode.isolated import IsolatedDecoder
from mama_augment.decode.local_file import LocalFiles, copy
from mama_augment.decode.media import CONTAINERS, MediaFile, open_container
from mama_augment.decode.source import open_video
from mama_augment.keyframes.config import ClipConfig, ClipFrames, CutConfig, KeyFramesStep
from mama_augment.keyframes.cut import cut_video
from mama_augment.keyframes.extract import extract_clip
from mama_augment.runtime.isolate import IsolationConfig
from tests.augment.numbered import write_numbered
from tests.security.hostile import clip_rows, listener, rejects_of, run

LIMITS = LimitsConfig(time_limit_seconds=20)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Somebody's video that nobody named."""
    folder = tmp_path / "secret"
    folder.mkdir()
    return write_numbered(folder / "private.ts", 12, size=(64, 48))


def playlist(secret: Path, port: int) -> dict[str, str]:
    """Texts that FFmpeg would follow, by name."""
    segment = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    host = f"http://127.0.0.1:{port}/x.ts"
    return {
        "hls.m3u8": segment.format(secret),
        "hls.mp4": segment.format(secret),
        "relative.m3u8": segment.format("../secret/private.ts"),
        "uri.m3u8": segment.format(f"file://{secret}"),
        "away.m3u8": segment.format(host),
        "concat.mp4": f"ffconcat version 1.0\nfile {secret}\n",
        "beside.mp4": "ffconcat version 1.0\nfile beside.ts\n",
        "below.ts": "ffconcat version 1.0\nfile sub/neighbour.ts\n",
        "away.mp4": f"ffconcat version 1.0\nfile {host}\n",
        "call.mp4": f"v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "dash.mp4": f'<?xml version="1.0"?><MPD><BaseURL>{host}</BaseURL></MPD>',
        "asx.wmv": f'<asx><entry><ref href="{host}"/></entry></asx>',
        "script.avi": "AviSource('x')\n",
    }


def test_no_text_under_a_videos_name_shows_another_file_or_asks_a_host(
    tmp_path: Path, secret: Path
) -> None:
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    for neighbour in ("beside.ts", "sub/neighbour.ts"):
        (folder / neighbour).write_bytes(secret.read_bytes())
    with listener() as (port, heard):
        texts = playlist(secret, port)
        for name, text in texts.items():
            (folder / name).write_text(text)
            with pytest.raises(ClipError) as caught:
                extract_clip(str(folder / name), Span(), ClipConfig(limits=LIMITS))
            assert caught.value.reason == "unreadable", name
            with pytest.raises(ClipError):
                cut_video(str(folder / name), Span(), CutConfig(seconds=1), ClipConfig())
        assert heard == []
    # The list, and not the suffix or a lucky guess, is what keeps them out.
    with pytest.raises(av.error.FFmpegError), MediaFile(str(folder / "concat.mp4")) as file:
        open_container(file)
    assert not {"concat", "hls", "dash", "sdp", "rtsp", "image2", "lavfi", "avs"} & set(CONTAINERS)


def test_a_playlist_in_a_manifest_costs_its_row(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "list.m3u8").write_text(playlist(secret, 1)["relative.m3u8"])
    write_numbered(tmp_path / "good.mp4", 12, size=(64, 48))
    (tmp_path / "m.csv").write_text("video\nlist.m3u8\ngood.mp4\n")
    run("keyframes", tmp_path / "m.csv", "--out", tmp_path / "out", "-q", 2)
    assert len(clip_rows(tmp_path / "out")) == 1
    assert [reject.reason for reject in rejects_of(tmp_path / "out")] == ["unreadable"]


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder", "loop", "terminal"])
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_is_no_regular_file_is_told_at_once(tmp_path: Path, kind: str, prefix: str) -> None:
    path = tmp_path / "x.mp4"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            server = socket.socket(socket.AF_UNIX)
            server.bind(str(path))
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "terminal":
            path.symlink_to("/dev/tty")
    decoder = IsolatedDecoder("mama_augment.keyframes.extract:extract_clip", LIMITS, ClipFrames)
    try:
        with pytest.raises(ClipError) as caught:
            decoder(f"{prefix}{path}", Span(), ClipConfig(limits=LIMITS))
    finally:
        decoder.close()
    assert caught.value.reason in ("unreadable", "io_error")


def test_the_file_that_was_looked_at_is_the_one_that_is_read(tmp_path: Path, secret: Path) -> None:
    """A link that is bent between two looks shows nothing new."""
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_numbered(inside / "x.ts", 30, size=(64, 48))
    with MediaFile(str(path), str(inside)) as file:
        before = file.again().read()
        path.unlink()
        path.symlink_to(secret)
        assert file.again().read() == before != secret.read_bytes()
        with pytest.raises(ClipError) as caught:
            MediaFile(str(path), str(inside))
        assert caught.value.reason == "outside"
    # A folder whose name begins alike is another one.
    (tmp_path / "inside-not").mkdir()
    other = write_numbered(tmp_path / "inside-not/x.mp4", 12, size=(64, 48))
    with pytest.raises(ClipError, match="outside"):
        MediaFile(str(other), str(inside))


class ManyBytes:
    """A file system whose file states one size and gives another."""

    def __init__(self, stated: int, given: int) -> None:
        self.stated, self.left = stated, given

    def open_input_file(self, path: str) -> ManyBytes:
        return self

    def __enter__(self) -> ManyBytes:
        return self

    def __exit__(self, *_: object) -> None: ...

    def size(self) -> int:
        return self.stated

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


@pytest.mark.parametrize(("stated", "given"), [(10**9, 10**9), (10, 10**9), (10**7 + 1, 0)])
def test_a_copy_never_has_more_bytes_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: int, given: int
) -> None:
    from mama_augment.decode import local_file

    store = ManyBytes(stated, given)
    monkeypatch.setattr(local_file, "open_filesystem", lambda uri: (store, "x"))
    monkeypatch.setattr(local_file.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ClipError, match="--max-bytes") as caught:
        copy("https://host/x.mp4", 10**7)
    assert caught.value.reason == "too_large"
    assert given - store.left <= 10**7 + local_file.CHUNK_BYTES
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(local_file, "open_filesystem", lambda uri: (ManyBytes(5, 5), "x"))
    path = Path(copy("https://host/x.mp4?X.../../y", 10**7))
    assert (path.read_bytes(), path.parent) == (bytes(5), tmp_path)


def test_copies_go_when_they_have_been_read(tmp_path: Path, monkeypatch: Any) -> None:
    files = LocalFiles(IsolationConfig(time_limit_seconds=20, memory_limit_mb=500), max_bytes=10)
    path = tmp_path / "copy.mp4"
    path.write_bytes(b"x")
    monkeypatch.setattr(files, "_copy", lambda uri, most: str(path))
    with files.local("https://host/x.mp4") as (found, is_copy):
        assert (found, is_copy) == (str(path), True)
    assert not path.exists()
    with files.local(f"file://{tmp_path}/a%20b.mp4") as (found, is_copy):
        assert (found, is_copy) == (f"{tmp_path}/a b.mp4", False)


def test_all_frames_together_have_a_limit(tmp_path: Path) -> None:
    path = str(write_numbered(tmp_path / "x.mp4", 60, size=(64, 48)))
    frame = 64 * 48
    enough = ClipConfig(limits=LimitsConfig(max_decoded_pixels=60 * frame))
    assert extract_clip(path, Span(), enough).num_frames == 60
    less = ClipConfig(limits=LimitsConfig(max_decoded_pixels=30 * frame))
    with pytest.raises(ClipError, match="--max-decoded-pixels") as caught:
        extract_clip(path, Span(), less)
    assert caught.value.reason == "too_large"


def test_a_picture_that_grows_on_the_way_meets_the_limit_too(tmp_path: Path) -> None:
    small, large = (
        write_numbered(tmp_path / f"{side}.mjpeg", 3, codec="mjpeg", size=(side, side),
                       pix_fmt="yuvj420p", format="mjpeg")
        for side in (64, 1024)
    )  # fmt: skip
    both = tmp_path / "both.mjpeg"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    limits = LimitsConfig(max_pixels=300 * 300)
    with open_video(str(both), limits, num_threads=1) as video:
        assert video.info.width_px == 64
    with pytest.raises(ClipError, match="1024x1024") as caught:
        extract_clip(str(both), Span(), ClipConfig(limits=limits))
    assert caught.value.reason == "too_large"


def test_cutting_gives_no_more_clips_than_frames(tmp_path: Path) -> None:
    far = write_numbered(
        tmp_path / "far.mkv", 3, size=(64, 48), seconds=lambda index: 10_000_000.0 * index
    )
    assert far.stat().st_size < 4000
    spans = cut_video(str(far), Span(), CutConfig(seconds=0.1), ClipConfig())
    assert 1 < len(spans) <= 3
    for span in spans:
        assert extract_clip(str(far), span, ClipConfig()).num_frames >= 1
    near = write_numbered(tmp_path / "near.mp4", 60, size=(64, 48))
    even = cut_video(str(near), Span(), CutConfig(seconds=0.6), ClipConfig())
    assert [span.start_seconds for span in even] == [None, 0.6, 1.2, 1.8]
    each = cut_video(str(near), Span(), CutConfig(seconds=0.12), ClipConfig())
    assert len(each) == 20


def test_a_limit_that_was_spent_computing_is_not_spent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of large pictures keeps a worker for the limit once; a disk that hangs gets its second
    try."""
    from mama_augment.keyframes import cut_step, step

    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    write_numbered(tmp_path / "spins.mp4", 12, size=(64, 48))
    write_numbered(tmp_path / "waits.mp4", 12, size=(64, 48))
    for module, name in ((step, "EXTRACT"), (cut_step, "CUT")):
        target = f"tests.security.slow_functions:{name.lower()}"
        monkeypatch.setattr(module, name, target)
    monkeypatch.setenv("MAMA_TEST_LOG", str(tmp_path / "log"))
    limit = ["--time-limit-seconds", 2]
    run("keyframes", tmp_path / "*.mp4", "--out", tmp_path / "out", "-q", 2, *limit)
    rejects = rejects_of(tmp_path / "out")
    assert {reject.reason for reject in rejects} == {"timeout"}
    calls = (tmp_path / "log").read_text().split()
    assert (calls.count("spins.mp4"), calls.count("waits.mp4")) == (1, 2), calls
    assert sorted(reject.attempts for reject in rejects) == [1, 2]
    cutting = ["--cut-seconds", 1, *limit]
    run("keyframes", tmp_path / "*.mp4", "--out", tmp_path / "cut", "-q", 2, *cutting)
    calls = (tmp_path / "log").read_text().split()
    assert (calls.count("cut:spins.mp4"), calls.count("cut:waits.mp4")) == (1, 2)


def test_a_room_without_its_lock_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_numbered(tmp_path / "x.mp4", 12, size=(64, 48))
    monkeypatch.setattr("mama_augment.cli.keyframes.lacking", lambda: "no libseccomp here")
    line = ("keyframes", tmp_path, "--out", tmp_path / "out", "-q", 2)
    assert "no libseccomp here" in run(*line, "--untrusted").output
    assert "libseccomp" not in run(*line, "--overwrite").output


@pytest.mark.parametrize(
    ("uri", "is_inside"),
    [
        ("s3://bucket/tenant/a.mp4", True),
        ("s3://bucket/tenant/a..b/x.mp4", True),
        ("s3://bucket/other/a.mp4", False),
        ("s3://bucket/tenant-2/a.mp4", False),
        ("s3://bucket/tenant/../other/a.mp4", False),
        ("s3://bucket/tenant/%2e%2e/other/a.mp4", False),
        ("https://host/a.mp4", False),
        ("/local/a.mp4", False),
    ],
)
def test_objects_lie_below_a_root_by_their_names(uri: str, is_inside: bool) -> None:
    if is_inside:
        isolated._check_below(uri, "s3://bucket/tenant/")
        return
    with pytest.raises(ClipError) as caught:
        isolated._check_below(uri, "s3://bucket/tenant/")
    assert caught.value.reason == "outside"


def test_strangers_get_lower_limits_and_no_other_decoder() -> None:
    usual = KeyFramesStep()
    strict = usual.for_strangers("/videos")
    for name in ("max_pixels", "time_limit_seconds", "memory_limit_mb", "max_decoded_pixels"):
        assert getattr(strict.clip.limits, name) < getattr(usual.clip.limits, name), name
    assert strict.clip.limits.max_bytes < usual.clip.limits.max_bytes
    assert strict.root == "/videos"
    lower = KeyFramesStep(clip=ClipConfig(limits=LimitsConfig(time_limit_seconds=5)), root="/a")
    assert lower.for_strangers("/videos").clip.limits.time_limit_seconds == 5
    assert lower.for_strangers("/videos").root == "/a"
    pytest.importorskip("decord")
    with pytest.raises(InputError, match="--decoder decord"):
        KeyFramesStep(clip=ClipConfig(decoder="decord")).for_strangers("/videos")
