"""What is everybody's fault is booked on nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mama_augment.caption.breaker import MOST_IN_A_ROW, unless_systematic
from mama_augment.caption.engines.base import Completion, EngineError, Result
from mama_augment.core.errors import StoppedError

CAPTION: Result = [
    Completion(text="A dog.", num_prompt_tokens=1, num_output_tokens=1, finish_reason="stop")
]
REFUSED = EngineError(reason="request_refused", message="400: no pictures, please")
BROKEN = EngineError(reason="server_error", message="500")


def stream(*results: Result) -> Iterator[tuple[str, Result]]:
    return ((str(index), result) for index, result in enumerate(results))


def test_a_row_of_one_reason_stops_and_none_of_it_is_handed_on() -> None:
    results = unless_systematic(stream(CAPTION, *[REFUSED] * MOST_IN_A_ROW))
    assert next(results)[0] == "0"
    with pytest.raises(StoppedError, match="no pictures, please"):
        next(results)


@pytest.mark.parametrize(
    "results",
    [
        [*[REFUSED] * (MOST_IN_A_ROW - 1), CAPTION] * 3,
        [*[REFUSED] * (MOST_IN_A_ROW - 1), BROKEN] * 3,
        [*[REFUSED] * (MOST_IN_A_ROW - 1)],
        [REFUSED, CAPTION] * 100,
        [],
    ],
)
def test_anything_else_is_handed_on_whole_and_in_order(results: list[Result]) -> None:
    assert list(unless_systematic(stream(*results))) == list(stream(*results))
