"""The engine for servers, against a real HTTP server in this process."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import EngineDiedError, EngineError
from mama_augment.caption.engines.openai import MAX_ATTEMPTS, OpenAIEngine, check_server
from mama_augment.core.errors import InputError
from tests.augment.fake_server import Answer, Server, says, serving
from tests.augment.tiny_models import requests


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


def engine(base_url: str, pauses: list[float] | None = None, **config: Any) -> OpenAIEngine:
    noted = pauses if pauses is not None else []
    settings = EngineConfig(name="openai", model="m", base_url=base_url, **config)
    return OpenAIEngine(settings, pause=noted.append)


def test_a_request_carries_the_picture_the_prompt_and_the_sampling(server: Server) -> None:
    (request,) = requests(1, n=2, temperature=0.3, max_tokens=9)
    ((_, result),) = engine(server.base_url).generate([request])
    assert isinstance(result, list)
    assert [c.text for c in result] == ["seed 0", "seed 1"]
    assert (result[0].num_prompt_tokens, result[0].finish_reason) == (30, "stop")
    (body,) = server.bodies
    sent = {k: body[k] for k in ("model", "n", "temperature", "top_p", "max_tokens", "seed")}
    assert sent == {
        "model": "m", "n": 2, "temperature": 0.3, "top_p": 1.0, "max_tokens": 9, "seed": 0,
    }  # fmt: skip
    picture, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "describe the video"}
    png = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(pixels, request.shown.images[0])


def test_no_more_than_allowed_are_at_the_server_at_once(server: Server) -> None:
    together = threading.Barrier(4)

    def wait_for_three_others(body: dict[str, Any], number: int) -> Answer:
        together.wait(timeout=30)  # breaks, and fails the test, unless 4 run at once
        return says(body)

    server.behave = wait_for_three_others
    results = dict(engine(server.base_url, max_in_flight=4).generate(requests(20)))
    assert len(results) == 20
    assert all(isinstance(result, list) for result in results.values())
    assert server.max_running == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_trouble_is_waited_out_with_growing_pauses(server: Server, status: int) -> None:
    def twice_busy(body: dict[str, Any], number: int) -> Answer:
        return (status, {"error": "busy"}, {}) if number <= 2 else says(body)

    server.behave = twice_busy
    pauses: list[float] = []
    ((_, result),) = engine(server.base_url, pauses).generate(requests(1))
    assert isinstance(result, list)
    assert pauses == [0.5, 1.0]


def test_the_servers_own_waiting_time_is_kept(server: Server) -> None:
    server.behave = lambda body, number: (
        (429, {}, {"Retry-After": "7"}) if number == 1 else says(body)
    )
    pauses: list[float] = []
    list(engine(server.base_url, pauses).generate(requests(1)))
    assert pauses == [7.0]


def test_a_trouble_that_stays_fails_its_row_and_no_other(server: Server) -> None:
    def one_is_cursed(body: dict[str, Any], number: int) -> Answer:
        return (500, {"error": "boom"}, {}) if body["seed"] == 200 else says(body)

    server.behave = one_is_cursed
    results = dict(engine(server.base_url).generate(requests(5)))
    error = results.pop("2")
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("failed", "server_error")
    assert "boom" in error.message
    assert sum(body["seed"] == 200 for body in server.bodies) == MAX_ATTEMPTS
    assert all(isinstance(result, list) for result in results.values())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("This model's maximum context length is 4096 tokens", "prompt_too_long"),
        ("bad picture", "request_refused"),
    ],
)
def test_a_request_that_the_server_refuses_is_rejected_at_once(
    server: Server, message: str, reason: str
) -> None:
    server.behave = lambda body, number: (400, {"error": {"message": message}}, {})
    ((_, error),) = engine(server.base_url).generate(requests(1))
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", reason)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("content_filter", "content_filter"), ("tool_calls", "ended_by_server")],
)
def test_a_filtered_answer_is_rejected(server: Server, finish: str, reason: str) -> None:
    server.behave = lambda body, number: says(body, finish=finish)
    ((_, error),) = engine(server.base_url).generate(requests(1))
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", reason)
    assert repr(finish) in error.message


@pytest.mark.parametrize("finish", [None, "abort"])
def test_an_unfinished_answer_is_asked_again_and_fails_when_it_stays_so(
    server: Server, finish: str | None
) -> None:
    server.behave = lambda body, number: says(body, finish=finish if number <= 2 else "stop")
    pauses: list[float] = []
    ((_, result),) = engine(server.base_url, pauses).generate(requests(1))
    assert isinstance(result, list)
    assert pauses == [0.5, 1.0]
    server.behave = lambda body, number: says(body, finish=finish)
    server.bodies.clear()
    ((_, error),) = engine(server.base_url).generate(requests(1))
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("failed", "engine_error")
    assert repr(finish) in error.message
    assert len(server.bodies) == MAX_ATTEMPTS


def test_a_server_that_knows_no_n_is_asked_one_by_one(server: Server) -> None:
    server.behave = lambda body, number: says(body, num_choices=1)
    request = replace(requests(1, temperature=1.0)[0], n=3)
    ((_, result),) = engine(server.base_url).generate([request])
    assert isinstance(result, list)
    assert [c.text for c in result] == ["seed 0", "seed 1", "seed 2"]


def test_a_server_that_is_gone_is_a_dead_engine_and_marks_nothing(server: Server) -> None:
    gone = server.base_url.replace(str(server.server_address[1]), "1")
    with pytest.raises(EngineDiedError, match="no server answers"):
        list(engine(gone).generate(requests(3)))


def test_a_wrong_key_or_address_stops_at_once(server: Server) -> None:
    server.behave = lambda body, number: (401, {"error": "no key"}, {})
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        list(engine(server.base_url).generate(requests(3)))
    with pytest.raises(InputError, match=r"has m$"):
        check_server(server.base_url, "another")
    with pytest.raises(InputError, match="correct --base-url"):
        check_server(server.base_url.replace("/v1", "").replace("127", "128", 1), "m")
    check_server(server.base_url, "m")
