"""What may be stored or printed of a path or URI, and what may be handed to another process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mama_augment.core.address import absolute, shown


def test_local_paths_become_absolute_and_uris_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("out/../there") == str(tmp_path / "there")
    assert absolute("/out") == "/out"
    for uri in ("s3://bucket/a/../b", "file:///out", "https://user:pass@host/x?token=1"):
        assert absolute(uri) == uri


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("s3://AKIA:SECRET@bucket/v.mp4", "s3://bucket/v.mp4"),
        ("s3://AKIA:/SEC@bucket/v.mp4", "s3://bucket/v.mp4"),
        ("s3://AKIA:12/SEC@bucket/v.mp4", "s3://bucket/v.mp4"),
        ("s3://AKIA:SEC/RET@bucket/v.mp4", "s3://bucket/v.mp4"),
        ("ftp://me:pa#s?s@host:21/v.mp4", "ftp://host:21/v.mp4"),
        ("gs://anonymous@bucket/a@b.mp4", "gs://bucket/a@b.mp4"),
        ("http://me@[::1]:80/v.mp4", "http://[::1]:80/v.mp4"),
        (
            "abfs://data:KEY@account.dfs.core.windows.net/v",
            "abfs://data@account.dfs.core.windows.net/v",
        ),
        ("https://h/v.mp4?X-Amz-Signature=s&X-Amz-Date=d", "https://h/v.mp4"),
        ("https://h/v?AWSAccessKeyId=a&part=1&Signature=s#t=10", "https://h/v?part=1#t=10"),
        (
            "https://a.blob.core.windows.net/v?sv=2024&sig=abc",
            "https://a.blob.core.windows.net/v?sv=2024",
        ),
        ("https://h/v?a=1;%53IG=x;b=2", "https://h/v?a=1;b=2"),
        ("https://h/v#access_token=abc", "https://h/v"),
        ("zip://a.mp4::https://me:pw@h/x.zip?token=1", "zip://a.mp4::https://h/x.zip"),
        ("s3://b/v?endpoint_override=http%3A%2F%2Fme%3Apw%40h", "s3://b/v"),
    ],
)
def test_secrets_are_left_out(uri: str, wanted: str) -> None:
    assert shown(uri) == wanted


@pytest.mark.parametrize(
    "uri",
    [
        "me@here?token=x.mp4",
        "/data/a:b@c.mp4",
        "s3://bucket/me@here.mp4",
        "s3://bucket/mon&key=1;token.mp4",
        "s3://bucket/what?monkey.mp4",
        "https://host:8080/v.mp4?part=2&sv=3#t=1",
        "http://[::1]:8080/a@b",
        "file:///a/b@c.mp4",
        "abfs://data@account.dfs.core.windows.net/v.mp4",
    ],
)
def test_what_holds_no_secret_stays(uri: str) -> None:
    assert shown(uri) == uri


@given(st.text())
def test_local_paths_stay_whatever_their_letters(path: str) -> None:
    assume("://" not in path)
    assert shown(path) == path
    assert os.path.isabs(absolute(path))


LETTERS = st.text("abcXYZ019-._~", min_size=1, max_size=6)
SECRET_NAME = st.sampled_from(
    [
        "X-Amz-Credential",
        "x-goog-signature",
        "Signature",
        "sig",
        "TOKEN",
        "AccessKeyId",
        "my_secret",
    ]
)


@given(
    st.sampled_from(["s3", "gs", "https", "az", "hdfs"]),
    st.none() | LETTERS,
    st.text("abc:/?#@+%", max_size=8).map(lambda text: f"HID{text}DEN"),
    LETTERS,
    st.lists(LETTERS | st.just("a@b"), max_size=3),
    st.lists(st.tuples(SECRET_NAME | st.none(), st.sampled_from("&;")), max_size=3),
)
def test_no_secret_is_shown_and_all_else_is(
    scheme: str,
    user: str | None,
    password: str,
    host: str,
    parts: list[str],
    parameters: list[tuple[str | None, str]],
) -> None:
    if "@" in "".join([password, *parts]):  # which @ is the last of the user, nobody can know
        password = password.translate(str.maketrans("/?#", "---"))
    path = "".join(f"/{part}" for part in parts)
    account = "" if user is None else f"{user}:{password}@"
    given_, wanted = "", ""
    for name, mark in parameters:
        given_ += (mark if given_ else "?") + (f"{name}=HIDDEN" if name else "part=1")
        wanted += "" if name else (mark if wanted else "?") + "part=1"
    place = f"{user}@" if user is not None and scheme == "az" else ""
    result = shown(f"{scheme}://{account}{host}{path}{given_}")
    assert result == f"{scheme}://{place}{host}{path}{wanted}"
    assert shown(result) == result


@given(st.text("ab:/?#@&;=.%[]", max_size=30))
def test_any_uri_is_shown_and_what_is_shown_stays(rest: str) -> None:
    result = shown(f"s3://{rest}")
    assert shown(result) == result
