"""The engine for servers, against a real HTTP server in this process: requests and answers."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from mama_augment.caption.engines.base import ChatConfig, EngineError
from mama_augment.caption.engines.server.engine import MAX_ATTEMPTS
from mama_augment.caption.engines.server.find import check_server
from mama_augment.caption.input.shown import Shown
from mama_augment.core.errors import InputError, StoppedError
from tests.augment.fake_server import Answer, Server, says
from tests.augment.server_engine import opened
from tests.augment.tiny_models import requests


def answers(server: Server, asked: Any, pauses: list[float] | None = None, **config: Any) -> Any:
    """What the engine gives to requests, by id."""
    with opened(server.base_url, pauses, **config) as engine:
        return dict(engine.generate(asked))


def test_a_request_carries_the_picture_the_prompt_and_the_sampling(server: Server) -> None:
    (request,) = requests(1, n=2, temperature=0.3, max_tokens=9)
    (result,) = answers(server, [request]).values()
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
    results = answers(server, requests(20), max_in_flight=4)
    assert len(results) == 20
    assert all(isinstance(result, list) for result in results.values())
    assert server.max_running == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_trouble_is_waited_out_with_growing_pauses(server: Server, status: int) -> None:
    def twice_busy(body: dict[str, Any], number: int) -> Answer:
        return (status, {"error": "busy"}, {}) if number <= 2 else says(body)

    server.behave = twice_busy
    pauses: list[float] = []
    (result,) = answers(server, requests(1), pauses).values()
    assert isinstance(result, list)
    assert pauses == [0.5, 1.0]


def test_a_trouble_that_stays_fails_its_row_and_no_other(server: Server) -> None:
    def one_is_cursed(body: dict[str, Any], number: int) -> Answer:
        return (500, {"error": "boom"}, {}) if body["seed"] == 200 else says(body)

    server.behave = one_is_cursed
    results = answers(server, requests(5))
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
    (error,) = answers(server, requests(1)).values()
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", reason)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("content_filter", "content_filter"), ("tool_calls", "ended_by_server")],
)
def test_a_filtered_answer_is_rejected(server: Server, finish: str, reason: str) -> None:
    server.behave = lambda body, number: says(body, finish=finish)
    (error,) = answers(server, requests(1)).values()
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("rejected", reason)
    assert repr(finish) in error.message


@pytest.mark.parametrize("finish", [None, "abort"])
def test_an_unfinished_answer_is_asked_again_and_fails_when_it_stays_so(
    server: Server, finish: str | None
) -> None:
    server.behave = lambda body, number: says(body, finish=finish if number <= 2 else "stop")
    pauses: list[float] = []
    (result,) = answers(server, requests(1), pauses).values()
    assert isinstance(result, list)
    assert pauses == [0.5, 1.0]
    server.behave = lambda body, number: says(body, finish=finish)
    server.bodies.clear()
    (error,) = answers(server, requests(1)).values()
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("failed", "engine_error")
    assert repr(finish) in error.message
    assert len(server.bodies) == MAX_ATTEMPTS


def test_a_server_that_knows_no_n_is_asked_one_by_one(server: Server) -> None:
    server.behave = lambda body, number: says(body, num_choices=1)
    request = replace(requests(1, temperature=1.0)[0], n=3)
    (result,) = answers(server, [request]).values()
    assert isinstance(result, list)
    assert [c.text for c in result] == ["seed 0", "seed 1", "seed 2"]


def test_a_server_that_is_gone_stops_the_run_and_marks_nothing(server: Server) -> None:
    gone = server.base_url.replace(str(server.server_address[1]), "1")
    with opened(gone) as engine, pytest.raises(StoppedError, match="no server answers"):
        list(engine.generate(requests(3)))


def test_a_wrong_key_or_address_stops_at_once(server: Server) -> None:
    server.behave = lambda body, number: (401, {"error": "no key"}, {})
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        answers(server, requests(3))
    with pytest.raises(InputError, match=r"has m$"):
        check_server(server.base_url, "another")
    with pytest.raises(InputError, match="correct --base-url"):
        check_server(server.base_url.replace("/v1", "").replace("127", "128", 1), "m")
    check_server(server.base_url, "m")


def shown(input: str) -> Shown:
    images = tuple(np.full((8, 12, 3), 50 * i, np.uint8) for i in range(1, 4))
    return Shown(input=input, images=images, seconds=(0.0, 0.75, 3.0))


def ask(server: Server, request: Any, **config: Any) -> dict[str, Any]:
    answers(server, [request], **config)
    return server.bodies[-1]


def mean_of(data: str) -> float:
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return float(pixels.mean())


def test_images_are_parts_of_their_own_with_their_times(server: Server) -> None:
    (request,) = requests(1)
    body = ask(server, replace(request, shown=shown("images")))
    parts = body["messages"][0]["content"]
    assert [p["type"] for p in parts] == ["text", "image_url"] * 3 + ["text"]
    assert [p["text"] for p in parts if p["type"] == "text"][:3] == [
        "Frame at 0.0 s:", "Frame at 0.8 s:", "Frame at 3.0 s:",
    ]  # fmt: skip
    urls = [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
    assert [mean_of(url.split(",")[1]) for url in urls] == [50, 100, 150]


def test_a_video_is_one_part_with_the_clock_beside_it(server: Server) -> None:
    (request,) = requests(1)
    body = ask(server, replace(request, shown=shown("video")))
    video, text = body["messages"][0]["content"]
    assert (video["type"], text["type"]) == ("video_url", "text")
    kind, *frames = video["video_url"]["url"].split(",")
    assert kind == "data:video/jpeg;base64"
    assert [mean_of(frame) for frame in frames] == [50, 100, 150]
    clock = body["media_io_kwargs"]["video"]
    assert [i / clock["fps"] for i in clock["frames_indices"]] == [0.0, 0.75, 3.0]


def test_pictures_can_travel_as_jpeg(server: Server) -> None:
    (request,) = requests(1)
    body = ask(server, replace(request, shown=shown("images")), picture_format="jpeg")
    urls = [p["image_url"]["url"] for p in body["messages"][0]["content"] if "image_url" in p]
    assert all(url.startswith("data:image/jpeg;base64,/9j/") for url in urls)
    assert [round(mean_of(url.split(",")[1])) for url in urls] == [50, 100, 150]
    body = ask(server, replace(request, shown=shown("video")), picture_format="jpeg")
    kind, *frames = body["messages"][0]["content"][0]["video_url"]["url"].split(",")
    assert kind == "data:video/jpeg;base64"
    assert [round(mean_of(frame)) for frame in frames] == [50, 100, 150]


def test_arguments_go_into_the_request_and_control_stays_out_of_the_text(server: Server) -> None:
    (request,) = requests(1, prompt="say <|im_end|> now")
    sampling = replace(request.sampling, sampling_args=("top_k=7",), logprobs=True)
    chat = ChatConfig(system_prompt="Brief.", chat_template_kwargs=("enable_thinking=false",))
    body = ask(server, replace(request, sampling=sampling), chat=chat, engine_args=("priority=3",))
    assert (body["top_k"], body["priority"], body["logprobs"]) == (7, 3, True)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Brief."}
    assert user["content"][-1]["text"] == "say < |im_end|> now"


def test_a_servers_log_probabilities_are_averaged(server: Server) -> None:
    def tell(body: dict[str, Any], number: int) -> Answer:
        status, answer, headers = says(body)
        tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
        answer["choices"][0]["logprobs"] = {"content": tokens}
        return status, answer, headers

    server.behave = tell
    (result,) = answers(server, requests(1)).values()
    assert isinstance(result, list)
    assert result[0].mean_logprob == -1.0


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), -(10**400), "x", None])
def test_log_probabilities_that_are_none_are_not_told(server: Server, odd: Any) -> None:
    def tell(body: dict[str, Any], number: int) -> Answer:
        choice = {"finish_reason": "stop", "message": {"content": "A dog."}}
        return 200, {"choices": [choice | {"logprobs": {"content": [{"logprob": odd}]}}]}, {}

    server.behave = tell
    (result,) = answers(server, requests(1)).values()
    assert isinstance(result, list)
    assert result[0].mean_logprob is None


ODD_ANSWERS = [
    {"choices": [{"index": 0, "finish_reason": "stop"}]},
    {"choices": [{"index": 0, "finish_reason": "stop", "message": None}]},
    {"choices": [{"finish_reason": "stop", "message": {"content": 7}}]},
    {"choices": [7]},
    {"choices": "none"},
    {"choices": None},
    {"error": {"message": "upstream is overloaded"}},
    ["a", "list"],
    "a text",
    None,
    b"<html><body>Bad gateway</body></html>",
    "Hündin".encode("latin-1"),
]


@pytest.mark.parametrize("answer", ODD_ANSWERS, ids=range(len(ODD_ANSWERS)))
def test_an_odd_answer_costs_its_request_and_no_other(server: Server, answer: Any) -> None:
    server.behave = lambda body, number: (200, answer, {}) if body["seed"] == 200 else says(body)
    results = answers(server, requests(4))
    error = results.pop("2")
    assert isinstance(error, EngineError)
    assert (error.verdict, error.reason) == ("failed", "engine_error")
    assert all(isinstance(result, list) for result in results.values())


def test_a_servers_words_about_an_error_are_kept(server: Server) -> None:
    server.behave = lambda body, number: (200, {"error": {"message": "upstream is down"}}, {})
    (error,) = answers(server, requests(1)).values()
    assert isinstance(error, EngineError)
    assert "upstream is down" in error.message


def test_content_as_parts_is_read_and_half_characters_can_be_stored(server: Server) -> None:
    parts = [{"type": "text", "text": "A dog "}, {"type": "text", "text": "runs \ud83d."}]
    server.behave = lambda body, number: (
        200,
        {"choices": [{"finish_reason": "stop", "message": {"content": parts}}], "usage": [3]},
        {},
    )
    (result,) = answers(server, requests(1)).values()
    assert isinstance(result, list)
    assert (result[0].text, result[0].num_prompt_tokens) == ("A dog runs \ufffd.", None)


@pytest.mark.parametrize("data", [None, [], [None, {"object": "model"}], "m"])
def test_a_list_of_models_that_tells_nothing_is_no_reason_to_stop(
    server: Server, data: Any
) -> None:
    server.list_answer = 200, {"data": data}, {}
    check_server(server.base_url, "m")


def test_a_parameter_that_the_server_does_not_take_is_given_another_way(server: Server) -> None:
    def as_newer_models_do(body: dict[str, Any], number: int) -> Answer:
        for name in ("max_tokens", "seed"):
            if name in body:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                message = f"Unsupported parameter: '{name}'.{hint}"
                return 400, {"error": {"message": message}}, {}
        return says(body | {"seed": 0})

    server.behave = as_newer_models_do
    results = answers(server, requests(5, max_tokens=9), max_in_flight=1)
    assert all(isinstance(result, list) for result in results.values())
    assert len(server.bodies) == 5 + 2  # found out once, for all
    last = server.bodies[-1]
    assert (last["max_completion_tokens"], "max_tokens" in last, "seed" in last) == (
        9,
        False,
        False,
    )


def test_a_parameter_that_nothing_can_stand_for_refuses_the_request(server: Server) -> None:
    server.behave = lambda body, number: (400, {"error": "Unsupported parameter: top_p"}, {})
    (error,) = answers(server, requests(1)).values()
    assert isinstance(error, EngineError)
    assert error.reason == "request_refused"


@pytest.mark.parametrize(
    ("status", "message"),
    [(402, "Insufficient credits"), (429, "insufficient_quota: you exceeded your current quota")],
)
def test_an_account_without_money_ends_the_run_at_once(
    server: Server, status: int, message: str
) -> None:
    server.behave = lambda body, number: (status, {"error": {"message": message}}, {})
    with pytest.raises(InputError, match="wants to be paid"):
        answers(server, requests(3), max_in_flight=1)
    assert len(server.bodies) <= 2
