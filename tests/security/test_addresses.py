"""Addresses in a stranger's manifest: which are opened, and what of them is kept."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import fsspec
import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.core.safe import addresses
from mama_augment.core.safe.addresses import checked, local_path, open_filesystem
from mama_augment.core.safe.trust import is_untrusted, more_schemes, trusting
from mama_augment.core.store.files import Folder
from tests.augment.numbered import write_numbered
from tests.security.hostile import clip_rows, listener, rejects_of, run

PWNED = "{{ cycler.__init__.__globals__.os.system('touch PWNED') }}"
REFERENCE = {"version": 1, "gen": [{"key": PWNED, "url": "x", "dimensions": {"i": {"stop": 1}}}]}
CHAINED = f"reference://x::data:;base64,{base64.b64encode(json.dumps(REFERENCE).encode()).decode()}"
REFUSED = [
    CHAINED,
    "reference://x",
    "zip://x.mp4::file:///bomb.zip",
    "tar://x.mp4::https://host/x.tar",
    "simplecache::https://host/x.mp4",
    "simplecache://x",
    "libarchive://x.mp4::file:///x.7z",
    "data://;base64,AAAA",
    "local:///etc/passwd",
    "hf://datasets/o/d/x.mp4",
    "ftp://127.0.0.1:1/x.mp4",
    "sftp://host/x.mp4",
    "smb://host/x.mp4",
    "git://x.mp4",
    "github://o:r@main/x.mp4",
    "memory://x.mp4",
    "http://127.0.0.1:1/x.mp4",
    "S3A://bucket/x.mp4",
    "concat://a|b",
    "s3://bucket/x.mp4?endpoint_override=127.0.0.1:1&scheme=http",
    "S3://bucket/x.mp4?region=x",
    "s3://bucket/x.mp4?anonymous=true",
    "gs://bucket/x.mp4?endpoint_override=127.0.0.1:1&scheme=http",
    "s3://AKIA:SECRET@bucket/x.mp4",
    "s3://AKIA:SEC/RET@bucket/x.mp4",
    "gs://anonymous@bucket/x.mp4",
    "https://me:secret@host/x.mp4",
    "s3://127.0.0.1:9000/x.mp4",
    "s3://[::1]/x.mp4",
    "s3:///x.mp4",
    "file://host/x.mp4",
    "://x.mp4",
]


@pytest.fixture
def no_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may ask fsspec, whatever version is installed: some render what an address holds."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("fsspec was asked")

    for name in ("url_to_fs", "get_filesystem_class", "filesystem"):
        monkeypatch.setattr(fsspec.core, name, asked)
    monkeypatch.setattr(fsspec, "filesystem", asked)


@pytest.mark.parametrize("uri", REFUSED)
@pytest.mark.usefixtures("no_fsspec")
def test_an_address_that_is_not_on_the_list_opens_nothing(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("pyarrow was asked")

    class Nothing(pafs.FileSystem):
        from_uri = asked

    monkeypatch.setattr(pafs, "FileSystem", Nothing)
    with pytest.raises(InputError, match="cannot open") as caught:
        open_filesystem(uri)
    assert "SECRET" not in str(caught.value)
    assert "SEC/RET" not in str(caught.value)
    with pytest.raises(InputError, match="cannot open"):
        Folder(uri).exists()


@given(st.text(max_size=40))
def test_whatever_follows_a_kind_that_is_not_allowed_is_refused(rest: str) -> None:
    with pytest.raises(InputError):
        checked(f"reference://{rest}")


def test_options_of_a_store_come_from_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class Recorded(pafs.FileSystem):
        @staticmethod
        def from_uri(uri: str) -> tuple[pafs.FileSystem, str]:
            asked.append(uri)
            return pafs.LocalFileSystem(), ""

    monkeypatch.setattr(pafs, "FileSystem", Recorded)
    addresses._store.cache_clear()
    assert open_filesystem("s3://one/a%20b/%3F.mp4")[1] == "one/a b/?.mp4"
    assert open_filesystem("s3://one/other.mp4")[1] == "one/other.mp4"
    assert open_filesystem("gs://two/")[1] == "two"
    assert asked == ["s3://one?allow_delayed_open=true", "gs://two"]
    addresses._store.cache_clear()


def test_local_files_may_be_written_as_uris(tmp_path: Path) -> None:
    assert local_path(f"file://{tmp_path}/a%20b") == f"{tmp_path}/a b"
    assert local_path("file://localhost/x") == "/x"
    assert local_path("a:b") == "a:b"
    assert local_path("https://host/x?token=1") is None
    assert open_filesystem(f"file://{tmp_path}") == (pafs.LocalFileSystem(), str(tmp_path))


def test_more_kinds_are_the_operators_to_allow() -> None:
    with pytest.raises(InputError, match="--allow-scheme memory"):
        checked("memory://x")
    with trusting(schemes=["MEMORY://"]):
        assert checked("memory://x") == ("memory", "x")
        assert more_schemes() == ("memory",)
        with fsspec.open("memory://x", "wb") as stream:
            stream.write(b"here")
        assert Folder("memory://").read_bytes("x") == b"here"
        with pytest.raises(InputError, match="chains"):
            checked("memory://x::file:///y")
        with trusting(schemes=["abfs"], untrusted=True):
            assert checked("abfs://container@account.dfs.core.windows.net/x")[0] == "abfs"
            with pytest.raises(InputError, match="no user"):
                checked("abfs://container:KEY@account.dfs.core.windows.net/x")
            assert is_untrusted()
    assert more_schemes() == ()
    assert not is_untrusted()
    for wrong in ("reference", "zip", "simplecache", "a b", ""):
        with pytest.raises(InputError, match="--allow-scheme"), trusting(schemes=[wrong]):
            raise AssertionError(wrong)


def test_no_row_of_a_manifest_runs_code_asks_a_host_or_costs_another_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
        "AWS_SECRET_ACCESS_KEY": "sekret",
        "AWS_SESSION_TOKEN": "OPERATORTOKEN",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    write_numbered(tmp_path / "good.mp4", 12, size=(64, 48))
    with listener() as (port, heard):
        rows = [
            CHAINED,
            f"s3://bucket/secret.mp4?endpoint_override=127.0.0.1:{port}&scheme=http",
            f"ftp://127.0.0.1:{port}/",
            f"http://127.0.0.1:{port}/x.mp4",
            "s3://AKIACRED:SECRETKEYINURI@bucket/x.mp4",
            "good.mp4",
        ]
        (tmp_path / "m.csv").write_text("video\n" + "".join(f'"{row}"\n' for row in rows))
        result = run("keyframes", "m.csv", "--out", "out", "-q", 2)
        assert heard == []
    assert result.exit_code == 1
    assert not list(tmp_path.rglob("PWNED"))
    assert [row["video_uri"] for row in clip_rows(tmp_path / "out")] == [str(tmp_path / "good.mp4")]
    rejects = rejects_of(tmp_path / "out")
    assert {reject.reason for reject in rejects} == {"unknown_scheme"}
    assert len(rejects) == len(rows) - 1
    said = result.output + run("status", "out").output
    kept = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    for secret in ("SECRETKEYINURI", "OPERATORTOKEN", "sekret"):
        assert secret not in said
        assert secret.encode() not in kept
        assert not any(secret in reject.message for reject in rejects)


def test_what_opens_a_link_is_nowhere_in_what_is_kept(tmp_path: Path) -> None:
    link = "https://127.0.0.1:1/x.mp4?part=1&X-Amz-Signature=PRESIGNEDSIG&token=TOKENSIG"
    write_numbered(tmp_path / "good.mp4", 12, size=(64, 48))
    (tmp_path / "m.csv").write_text(f'video,text\n"{link}",a dog\ngood.mp4,a dog runs\n')
    result = run("keyframes", tmp_path / "m.csv", "--out", tmp_path / "out", "-q", 2)
    shards, report = tmp_path / "shards", tmp_path / "report.html"
    run("balance", tmp_path / "out", "--out", shards, "--num-concepts", 1)
    run("report", tmp_path / "out", shards, "--out", report)
    assert report.exists()
    (reject,) = rejects_of(tmp_path / "out")
    assert "127.0.0.1:1/x.mp4?part=1" in reject.message
    said = result.output + run("status", tmp_path / "out").output + reject.message
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "m.csv"]
    for secret in ("PRESIGNEDSIG", "TOKENSIG"):
        assert secret not in said
        assert not [p for p in files if secret.encode() in p.read_bytes()]


@pytest.mark.parametrize("switch", ["flag", "environment"])
def test_strangers_rows_stay_in_their_folder(
    tmp_path: Path, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    (inside / "below").mkdir(parents=True)
    secret.mkdir()
    private = write_numbered(secret / "private.mp4", 12, size=(64, 48))
    copies = [shutil.copy(private, secret / f"{number}.mp4") for number in range(6)]
    for name in ("good", "other"):
        write_numbered(inside / f"below/{name}.mp4", 12, size=(64, 48))
    (inside / "link.mp4").symlink_to(private)
    (inside / "folder").symlink_to(secret)
    (inside / "sideways.mp4").symlink_to("below/good.mp4")
    rows = [
        *("below/good.mp4", "sideways.mp4", f"{inside}/./below/../below/other.mp4"),
        *("../secret/0.mp4", str(copies[1]), f"file://{copies[2]}", "link.mp4"),
        *("folder/3.mp4", "below/../../secret/4.mp4", f"/proc/self/root{copies[5]}"),
    ]
    (inside / "m.csv").write_text(
        "video,clip_id\n" + "".join(f"{row},{number}\n" for number, row in enumerate(rows))
    )
    more = ["--untrusted"] if switch == "flag" else []
    if switch == "environment":
        monkeypatch.setenv("MAMA_UNTRUSTED", "1")
    run("keyframes", inside / "m.csv", "--out", tmp_path / "out", "-q", 2, *more)
    assert sorted(str(row["clip_id"]) for row in clip_rows(tmp_path / "out")) == ["0", "1", "2"]
    rejects = rejects_of(tmp_path / "out")
    assert {(r.verdict, r.reason) for r in rejects} == {("rejected", "outside")}
    assert len(rejects) == len(rows) - 3
    assert is_untrusted() == (switch == "environment")
    # One's own lists may point anywhere, and folders may be full of links.
    monkeypatch.delenv("MAMA_UNTRUSTED", raising=False)
    run("keyframes", inside / "m.csv", "--out", tmp_path / "own", "-q", 2)
    assert rejects_of(tmp_path / "own") == []
    run("keyframes", inside / "m.csv", "--out", tmp_path / "root", "-q", 2, "--root", secret)
    assert {str(row["clip_id"]) for row in clip_rows(tmp_path / "root")} == set("3456789")


def test_a_scanned_folder_of_a_stranger_shows_nothing_else(tmp_path: Path) -> None:
    private = write_numbered(tmp_path / "private.mp4", 12, size=(64, 48))
    scanned = tmp_path / "scanned"
    scanned.mkdir()
    write_numbered(scanned / "good.mp4", 12, size=(64, 48))
    (scanned / "x.mp4").symlink_to(private)
    os.link(private, scanned / "hard.mp4")  # only who may read a file can link to it so
    run("keyframes", scanned, "--out", tmp_path / "out", "-q", 2, "--untrusted")
    names = sorted(os.path.basename(str(row["video_uri"])) for row in clip_rows(tmp_path / "out"))
    assert names == ["good.mp4", "hard.mp4"]
    assert [reject.reason for reject in rejects_of(tmp_path / "out")] == ["outside"]
    run("keyframes", scanned / "*.mp4", "--out", tmp_path / "glob", "-q", 2, "--untrusted")
    assert [reject.reason for reject in rejects_of(tmp_path / "glob")] == ["outside"]
