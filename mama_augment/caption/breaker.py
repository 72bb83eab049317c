"""What is everybody's fault stops the stream, before it is booked on clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mama_augment.caption.engines.base import EngineError, Result
from mama_augment.core.errors import StoppedError

MOST_IN_A_ROW = 32
"""Requests in a row that an engine refused or failed for one reason; then it is not theirs."""


def unless_systematic(
    results: Iterable[tuple[str, Result]], most: int = MOST_IN_A_ROW
) -> Iterator[tuple[str, Result]]:
    """The same results; errors of one reason in a row wait until another result ends their row.

    They are handed on when a caption, another reason or the end of the stream comes, so that none
    of them is recorded when the stream is stopped.

    Raises:
        StoppedError: `most` requests in a row left for one reason.
    """
    held: list[tuple[str, EngineError]] = []
    for request_id, result in results:
        if not isinstance(result, EngineError):
            yield from held
            held.clear()
            yield request_id, result
            continue
        if held and held[0][1].reason != result.reason:
            yield from held
            held.clear()
        held.append((request_id, result))
        if len(held) >= most:
            raise StoppedError(
                f"{most} requests in a row were not captioned, all for one reason "
                f"({result.reason}), so that it is not their clips' fault; they stay pending. The "
                f"last one: {result.message}. Correct the model, its options or the server, and "
                "run the command again"
            )
    yield from held
