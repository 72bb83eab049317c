"""Engines that share a server: one pace, few connections, nothing left behind."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.server import shared
from mama_augment.caption.engines.server.client import KEY
from mama_augment.caption.engines.server.engine import OpenAIEngine
from mama_augment.caption.engines.server.find import check_server
from mama_augment.core.errors import InputError
from tests.augment.fake_server import Answer, Handler, Server, says
from tests.augment.server_engine import opened
from tests.augment.tiny_models import requests


def threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("openai")}


def test_connections_are_used_again(server: Server) -> None:
    with opened(server.base_url, max_in_flight=3) as engine:
        results = dict(engine.generate(requests(60)))
    assert all(isinstance(result, list) for result in results.values())
    assert (len(server.bodies), server.num_connections <= 3) == (60, True)


def test_engines_of_one_server_share_its_pace_and_the_last_one_closes_it(server: Server) -> None:
    before = threads()
    config = EngineConfig(name="openai", model="m", base_url=server.base_url, max_in_flight=8)
    engines = [OpenAIEngine(config) for _ in range(2)]
    pace = shared._servers[server.base_url].pace
    assert pace.most == 16

    def too_much(body: dict[str, Any], number: int) -> Answer:
        if server.num_running > 3:
            return 429, {"error": "slow down"}, {"Retry-After": "0.01"}
        time.sleep(0.002)
        return says(body)

    server.behave = too_much
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda engine: dict(engine.generate(requests(40))), engines))
    assert all(isinstance(r, list) for results in found for r in results.values())
    assert [len(results) for results in found] == [40, 40]
    assert pace.limit < 16
    assert pace.num_running == 0
    engines[0].close()
    assert pace.most == 8
    engines[1].close()
    assert server.base_url not in shared._servers
    assert threads() <= before


def test_a_stream_that_is_given_up_waits_for_no_server(server: Server) -> None:
    before = threads()

    def hangs(handler: Handler) -> None:
        handler.server.is_over.wait(30)

    server.behave = lambda body, number: says(body) if body["seed"] == 0 else hangs
    began = time.monotonic()
    with opened(server.base_url, max_in_flight=2) as engine:
        results = engine.generate(requests(5))
        assert next(results)[0] == "0"
        results.close()
    assert time.monotonic() - began < 10
    assert threads() <= before


@pytest.mark.parametrize("key", ["two words", "with\nline", "schlüssel", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("mama_augment.caption.engines.server.client.os.environ", {KEY: key})
    with pytest.raises(InputError, match=KEY) as refused:
        check_server(server.base_url, "m")
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("localhost:8000/v1", "an address such as"),
        ("ftp://host/v1", "an address such as"),
        ("http://", "an address such as"),
        ("http://host:port/v1", "is no address"),
        ("http://user:secret@127.0.0.1:1/v1", "does not answer"),
    ],
)
def test_addresses_that_cannot_be_are_named_without_their_secrets(address: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        check_server(address, "m")
    assert "secret" not in str(refused.value)


def test_a_server_that_moved_is_named_at_once(server: Server) -> None:
    server.list_answer = 308, {}, {"Location": "https://elsewhere.example/v1/models?token=secret"}
    with pytest.raises(InputError, match=r"redirects to https://elsewhere\.example;") as refused:
        check_server(server.base_url, "m")
    assert "secret" not in str(refused.value)
