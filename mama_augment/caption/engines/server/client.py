"""One HTTP exchange of JSON: connections are kept, the time is limited from the first byte to the
last, answers are bounded, redirects are refused, and the key appears in no message."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx2

from mama_augment.caption.engines.server.chat import UnfinishedAnswerError
from mama_augment.caption.engines.server.refusals import ServerRefusalError, seconds_to_wait
from mama_augment.core.address import shown
from mama_augment.core.errors import InputError

KEY = "OPENAI_API_KEY"
CONNECT_SECONDS = 10.0
MOST_ANSWER_BYTES = 16 * 2**20
"""A caption with log-probabilities takes some thousand."""
MOST_ERROR_BYTES = 64 * 2**10
MOST_SAID = 500
"""Characters of an error that messages and rejects keep."""
LEAST_SECRET = 8
"""Servers without keys are given words such as EMPTY, which are not cut out of what they say."""


class UnreachableError(ConnectionError):
    """Nobody takes a connection at the server's address."""


class BrokenOffError(ConnectionError):
    """The server took the connection, and dropped it before its answer was whole."""


class Client:
    """The connections to one server; for one event loop."""

    def __init__(self, base_url: str, key: str | None = None) -> None:
        """
        Raises:
            InputError: the address is none of HTTP, or no header can carry the key.
        """
        self.shown_url = shown(base_url).rstrip("/")
        self._key = checked_key(os.environ.get(KEY, "") if key is None else key)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            self._url = httpx2.URL(base_url.rstrip("/"))
        except httpx2.InvalidURL as error:
            raise InputError(f"--base-url {self.shown_url!r} is no address: {error}") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise InputError(
                f"--base-url is {self.shown_url!r}; an address such as http://localhost:8000/v1 is "
                "needed"
            )
        self._http = httpx2.AsyncClient(
            headers=headers,
            follow_redirects=False,
            # How many is for `pace` to say; the whole exchange has a limit of its own.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, path: str, body: bytes | None, seconds: float) -> Any:
        """What the server answers, as Python's values; without a body it is a GET.

        seconds: for all of it, from connecting to the last byte.

        Raises:
            ServerRefusalError: it answered with an error, or with a redirect.
            UnfinishedAnswerError: its answer is not JSON, or has no end.
            UnreachableError, BrokenOffError: nobody is there, or hung up.
            TimeoutError: it did not answer in time.
        """
        try:
            async with asyncio.timeout(seconds):
                status, headers, content = await self._exchange(path, body)
        except TimeoutError as error:
            raise TimeoutError(f"no whole answer in {seconds:g} s") from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise UnreachableError(self._clean(str(error) or type(error).__name__)) from error
        except httpx2.DecodingError as error:
            raise UnfinishedAnswerError(
                f"the server's answer cannot be unpacked: {error}"
            ) from None
        except httpx2.TransportError as error:
            said = self._clean(str(error) or type(error).__name__)
            raise BrokenOffError(f"the server hung up: {said}") from error
        if status != 200:
            raise self._refusal(status, headers, content)
        try:
            # Whatever a server does with the key: it is in no caption.
            return json.loads(self._without_key(content))
        except (ValueError, RecursionError) as error:
            raise UnfinishedAnswerError(f"the server's answer is not JSON: {error}") from error

    async def _exchange(self, path: str, body: bytes | None) -> tuple[int, httpx2.Headers, bytes]:
        url = self._url.copy_with(raw_path=self._url.raw_path.rstrip(b"/") + f"/{path}".encode())
        method = "GET" if body is None else "POST"
        async with self._http.stream(method, url, content=body) as answer:
            is_good = answer.status_code == 200
            content = await _bounded(answer, is_good)
            return answer.status_code, answer.headers, content

    def _refusal(self, status: int, headers: httpx2.Headers, content: bytes) -> ServerRefusalError:
        said = self._without_key(content).decode(errors="replace").strip()[:MOST_SAID]
        if 300 <= status < 400:
            said = f"it redirects to {_origin(headers.get('Location', ''))}; redirects are refused"
        return ServerRefusalError(
            status, said or httpx2.codes.get_reason_phrase(status), seconds_to_wait(headers)
        )

    def _without_key(self, content: bytes) -> bytes:
        if len(self._key) < LEAST_SECRET:
            return content
        return content.replace(self._key.encode(), f"[{KEY}]".encode())

    def _clean(self, said: str) -> str:
        return self._without_key(said.encode(errors="replace")).decode()[:MOST_SAID]


def checked_key(given: str) -> str:
    """The key without the line end that files give it.

    Raises:
        InputError: no header can carry it. It is not shown.
    """
    key = given.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            f"the environment variable {KEY} holds a space, a control character or one that is "
            "not ASCII, which no key has; set it anew"
        )
    return key


async def _bounded(answer: httpx2.Response, is_good: bool) -> bytes:
    """The body; of an error its beginning.

    Raises:
        UnfinishedAnswerError: it is larger than any answer, or packed in an unknown way.
    """
    packed = answer.headers.get("Content-Encoding", "identity").lower()
    if packed not in ("", "identity", "gzip", "deflate"):
        raise UnfinishedAnswerError(f"the server's answer is packed as {packed[:50]!r}")
    content = bytearray()
    async for piece in answer.aiter_bytes():
        content += piece
        if not is_good and len(content) >= MOST_ERROR_BYTES:
            break
        if len(content) > MOST_ANSWER_BYTES:
            raise UnfinishedAnswerError(
                f"the server's answer is larger than {MOST_ANSWER_BYTES / 2**20:g} MB"
            )
    return bytes(content)


def _origin(location: str) -> str:
    """Where a redirect leads, without the path and parameters, which may hold secrets."""
    try:
        url = httpx2.URL(location)
    except httpx2.InvalidURL:
        return "an address that is none"
    if not url.host:
        return "another path"
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}"
