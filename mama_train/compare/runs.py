"""The runs of a comparison: each once, in processes of their own, with their progress shown."""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError, TerminatedError
from mama_train.compare.arms import Comparison
from mama_train.compare.measures import Run
from mama_train.config import TrainConfig

TELL_EVERY_SECONDS = 0.5
LATE_STEPS = 3
Place = tuple[str, int]
"""(arm, seed)."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a run stands."""

    arm: str
    seed: int
    step: int
    num_steps: int


class Shown:
    """Is told how a comparison goes; this one ignores it."""

    def step(self, step: Step) -> None:
        """A run took a step; told now and then."""

    def done(self, arm: str, seed: int, run: Run) -> None:
        """A run is over."""


def run_comparison(
    comparison: Comparison,
    out: Path,
    *,
    jobs: int = 1,
    shown: Shown | None = None,
    overwrite: bool = False,
    with_report: bool = False,
) -> dict[str, list[Run]]:
    """The runs of every arm, in the order of the seeds.

    A finished run with the same settings and data is read, not repeated; an unfinished one
    continues. A run that diverges is a result, too. With several `jobs`, each run is a process of
    its own with its share of the cores.

    Args:
        overwrite: repeat finished runs. with_report: write each run's report.

    Raises:
        InputError: a setting or the data of an arm are wrong; nothing is summed up then.
    """
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1, the number of runs at a time")
    shown = shown or Shown()
    todo = [(arm, seed) for seed in comparison.seeds for arm in comparison.arms]
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS", 0)) or (os.cpu_count() or 1) // jobs)
    found: dict[Place, Run] = {}
    # Spawned, because torch does not survive a fork after it has used threads.
    context = get_context("spawn")
    told, ending = context.Queue(), context.Event()
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin, initargs=(told, ending, threads)
    ) as pool:
        work = {
            pool.submit(
                _run_one, place, comparison.config(*place, out), overwrite, with_report
            ): place
            for place in todo
        }
        try:
            for future in _finished(work, lambda: _pass_on(told, shown)):
                arm, seed = work[future]
                found[arm, seed] = future.result()
                shown.done(arm, seed, found[arm, seed])
        except BaseException as error:
            # Runs under way end at their next step, with a checkpoint; none of the others begins,
            # not even the one that the pool has handed to a process already.
            ending.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, TerminatedError):  # Ctrl-C reaches them by itself
                for process in active_children():
                    process.terminate()
            raise
    return {arm: [found[arm, s] for s in comparison.seeds] for arm in comparison.arms}


def _finished(
    work: dict[Future[Run], Place], meanwhile: Callable[[], None]
) -> Iterator[Future[Run]]:
    """Futures as they are done; `meanwhile` is called while none is."""
    open_ones = set(work)
    while open_ones:
        done, open_ones = wait(open_ones, TELL_EVERY_SECONDS, FIRST_COMPLETED)
        meanwhile()
        yield from done


def _pass_on(told: Any, shown: Shown) -> None:
    while True:
        try:
            shown.step(told.get_nowait())
        except queue.Empty:
            return


_told: Any = None
"""In a process of a run: where it says how far it is."""
_ending: Any = None
"""Set when the comparison ends early."""


def _begin(told: Any, ending: Any, threads: int) -> None:
    import torch

    global _told, _ending
    _told, _ending = told, ending
    torch.set_num_threads(threads)


def _run_one(place: Place, config: TrainConfig, overwrite: bool, with_report: bool) -> Run:
    from mama_train.errors import NonFiniteLossError
    from mama_train.report.page import write_report
    from mama_train.run.folder import changes
    from mama_train.run.loop import train

    if _ending.is_set():
        raise TerminatedError
    run = config.run_folder()
    is_known = not overwrite and (run / "config.json").is_file() and not changes(config, run)
    if is_known and (reason := _diverged(run)):
        return Run(diverged=reason)
    if not (is_known and (run / "metrics.json").is_file()):
        try:
            with _telling(place) as watch:
                train(config, overwrite=not is_known, watch=watch)
        except NonFiniteLossError as error:
            return Run(diverged=_diverged(run) or str(error))
        except KeyboardInterrupt:  # Ctrl-C may reach this process before it reaches the parent
            _ending.set()
            raise
        if with_report:
            write_report(run)
    return read_run(run)


def read_run(run: Path) -> Run:
    """What a run that is over left in its folder.

    Raises:
        InputError: it is not over.
    """
    from mama_train.run.loop import QUERIES_NAME

    if (reason := _diverged(run)) is not None:
        return Run(diverged=reason)
    if not (run / "metrics.json").is_file():
        raise InputError(
            f"{str(run)!r} holds no finished run; `mama-train compare` ends those of a comparison"
        )
    queries = run / QUERIES_NAME
    return Run(
        metrics=json.loads((run / "metrics.json").read_text()),
        queries=json.loads(queries.read_text()) if queries.is_file() else {},
    )


def _diverged(run: Path) -> str | None:
    """Why a run that has no end ended; None where it has one, or may go on."""
    path = run / "nonfinite.json"
    if (run / "metrics.json").is_file() or not path.is_file():
        return None
    found = json.loads(path.read_text())
    return f"{found['what']} became NaN or infinite at step {found['step']}"


@contextmanager
def _telling(place: Place) -> Iterator[Any]:
    """A watch that tells the parent process how far the run is."""
    from mama_train.run.watch import Watch

    class Telling(Watch):
        def begin(self, first_step: int, num_steps: int) -> None:
            self.num_steps, self.last, self.num_late = num_steps, 0.0, 0

        def step(self, row: dict[str, Any], num_samples: int) -> None:
            if _ending is not None and _ending.is_set():
                # A signal ends a run after its step; one that goes on has lost it.
                self.num_late += 1
                if self.num_late == LATE_STEPS:
                    signal.raise_signal(signal.SIGTERM)
            now = time.monotonic()
            if _told is not None and now - self.last >= TELL_EVERY_SECONDS:
                self.last = now
                arm, seed = place
                _told.put(Step(arm=arm, seed=seed, step=row["step"], num_steps=self.num_steps))

    yield Telling()
