"""Work done ahead of its use: in order, on background threads, never more than asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetch(
    function: Callable[[Item], Made], items: Iterable[Item], *, num_threads: int, lookahead: int
) -> Iterator[Made]:
    """`map(function, items)`, computed up to `lookahead` items ahead; results keep their order.

    Threads suffice where the work releases the interpreter lock, as decoding, resizing and
    tokenizing do. `items` is advanced in the caller's thread. An exception of `function` or of
    `items` surfaces where its result would have come.
    """
    assert num_threads >= 1, num_threads
    assert lookahead >= 1, lookahead
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="prefetch") as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > lookahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # Also when the consumer stops early: what was not begun is not wanted any more.
            for future in pending:
                future.cancel()
