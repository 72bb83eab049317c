"""Captions whole groups of units in one stream, and commits each unit as its last caption ends."""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mama_augment.caption import engines
from mama_augment.caption.breaker import unless_systematic
from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import CaptionRequest, Completion, EngineError, Result
from mama_augment.caption.engines.supervised import StartEngine, SupervisedEngine
from mama_augment.caption.input.present import laid_out
from mama_augment.caption.journal import open_journal
from mama_augment.caption.judge.verdict import judge
from mama_augment.caption.known import CaptionIndex, FirstOf, Known, finished_captions
from mama_augment.caption.requests import CaptionSettings, ClipRow, Prepared, prepare
from mama_augment.caption.source import captions_of_unit, read_clips
from mama_augment.core.ledger import Reject
from mama_augment.core.schema import CAPTIONS
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime.prefetch import prefetch
from mama_augment.runtime.tally import Tally

PREPARE_THREADS = 2
PREPARE_AHEAD = 64


@dataclass(kw_only=True)
class _Unit:
    """A unit in flight: what is finished so far, by (position, caption_index)."""

    num_open: int
    attempts: Mapping[str, int]
    rows: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    rejects: dict[tuple[int, int], Reject] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CaptionWork:
    """What a worker is told: what to caption and how, from where to where; picklable."""

    sources: Mapping[str, CommittedUnit]
    """By unit: the clips that it is made from; those that have none are not named."""
    out: StepDir
    settings: CaptionSettings
    engine: EngineConfig
    start_engine: StartEngine = make_engine
    groups: Mapping[str, Sequence[str]]
    """The units that are one stream, by the group's name."""
    reuse: StepDir | None = None


class CaptionWorker:
    """A UnitWorker that is handed groups of units, so that the engine never waits.

    Between the units of a group nothing drains: while the last captions of one are being
    generated, the engine is already fed with the next. A committed unit of a group that is run
    again (after its worker died) is not redone.
    """

    def __init__(self, work: CaptionWork, tally: Tally | None = None) -> None:
        """tally: told after each caption.

        Raises:
            InputError: the model is not on this machine.
        """
        engines.check_here(work.engine)
        self.sources = work.sources
        self.out = work.out
        self.settings = work.settings
        self.groups = work.groups
        self.tally = tally
        self.reusable: Known = CaptionIndex(work.reuse) if work.reuse is not None else {}
        self._journal = open_journal(work.out.folder)
        self._engine = SupervisedEngine(work.engine, work.start_engine)  # starts on first use
        self._lock = threading.Lock()
        self._units: dict[str, _Unit] = {}
        self._asked: dict[str, tuple[Prepared, CaptionRequest, int]] = {}

    def run_unit(self, group_id: str) -> int:
        """Caption every unit of a group; returns the number of captions.

        Raises:
            StoppedError: the engine takes or finishes no request, for one reason.
        """
        unit_ids = self.groups[group_id]
        todo = self._left_of(unit_ids)
        try:
            requests = self._requests(todo)
            first = next(requests, None)
            if first is not None:  # else everything was known already: no model is needed
                # Closed at once when recording fails (a full disk): its threads must not go on.
                with closing(self._engine.generate(_chain(first, requests))) as results:
                    for request_id, result in unless_systematic(results):
                        self._record_result(request_id, result)
            assert not self._units, sorted(self._units)
        finally:
            self._journal.close()
            self._units.clear()
            self._asked.clear()
            if self.tally is not None:
                self.tally.flush()
        return sum(self.out.manifest.units[u] for u in unit_ids)

    def close(self) -> None:
        self._engine.close()

    def _left_of(self, unit_ids: Sequence[str]) -> list[str]:
        """Without those that a worker which died had done by then."""
        done = self.out.committed_among(unit_ids)
        befores = {unit_id: self.out.before(unit_id) for unit_id in unit_ids}
        left = [
            unit_id
            for unit_id, before in befores.items()
            if unit_id not in done
            or (before is not None and done[unit_id].attempt <= before.attempt)
        ]
        for unit_id in set(unit_ids) - set(left):
            self._tell(unit_id, 0)  # it may have died before it could
        return left

    def _tell(self, unit_id: str, num_open: int) -> None:
        if self.tally is not None:
            self.tally(unit_id, self.out.manifest.units[unit_id] - num_open)

    def _requests(self, unit_ids: Iterable[str]) -> Iterator[CaptionRequest]:
        """Requests of all units in order; what needs no engine is recorded on the way."""
        clips = (clip for unit_id in unit_ids for clip in self._start_unit(unit_id))
        for prepared in prefetch(
            functools.partial(prepare, settings=self.settings),
            clips,
            num_threads=PREPARE_THREADS,
            lookahead=PREPARE_AHEAD,
        ):
            with self._lock:
                self._record_settled(prepared)
                for request, first_index in prepared.requests:
                    self._asked[request.request_id] = (prepared, request, first_index)
            for request, _ in prepared.requests:
                yield request

    def _start_unit(self, unit_id: str) -> Iterator[ClipRow]:
        num_open = self.out.manifest.units[unit_id]
        known = FirstOf(finished_captions(self.out, unit_id, self._journal), self.reusable)
        record = self.out.before(unit_id)
        attempts = {r.id: r.attempts for r in self.out.read_rejects(record)} if record else {}
        with self._lock:
            unit = _Unit(num_open=num_open, attempts=attempts)
            self._units[unit_id] = unit
            self._commit_if_done(unit_id)
        if not num_open:
            return  # a plan, or the splits, want nothing of the whole unit
        source = self.sources[unit_id]
        numbers = captions_of_unit(source, self.settings)
        for clip in read_clips(source, numbers, known, self.settings):
            yield dataclasses.replace(clip, unit_id=unit_id)

    def _record_settled(self, prepared: Prepared) -> None:
        clip = prepared.clip
        if prepared.reject is not None:
            reason, message = prepared.reject
            error = EngineError(reason=reason, message=message)
            for index in range(clip.num_captions):
                self._record(prepared, index, error)
            return
        for index, key in enumerate(prepared.keys):
            if (completion := clip.known.get(key)) is not None:
                self._record(prepared, index, completion)

    def _record_result(self, request_id: str, result: Result) -> None:
        with self._lock:
            prepared, request, first = self._asked.pop(request_id)
            for offset in range(request.n):
                index = first + offset
                if isinstance(result, EngineError):
                    self._record(prepared, index, result)
                else:
                    unit_id, key = prepared.clip.unit_id, prepared.keys[index]
                    self._journal.add(unit_id, key, result[offset])
                    self._record(prepared, index, result[offset])

    def _record(self, prepared: Prepared, index: int, outcome: Completion | EngineError) -> None:
        """Note one caption's outcome, and commit its unit if that was the last."""
        clip = prepared.clip
        unit = self._units[clip.unit_id]
        place = (clip.position, index)
        assert place not in unit.rows and place not in unit.rejects, place  # noqa: PT018
        if isinstance(outcome, EngineError):
            unit.rejects[place] = self._reject(unit, f"{clip.clip_id}#{index}", outcome)
        else:
            unit.rows[place] = self._row(prepared, index, outcome)
        unit.num_open -= 1
        self._tell(clip.unit_id, unit.num_open)
        self._commit_if_done(clip.unit_id)

    def _commit_if_done(self, unit_id: str) -> None:
        unit = self._units[unit_id]
        if unit.num_open:
            return
        rows = [unit.rows[place] for place in sorted(unit.rows)]
        rejects = [unit.rejects[place] for place in sorted(unit.rejects)]
        self.out.commit(unit_id, pa.Table.from_pylist(rows, CAPTIONS), rejects)
        self._journal.forget(unit_id)
        del self._units[unit_id]

    def _reject(self, unit: _Unit, identity: str, error: EngineError) -> Reject:
        before = unit.attempts.get(identity, 0) if error.verdict == "failed" else 0
        return Reject.of(
            "caption", error.reason, id=identity, message=error.message, attempts=before + 1
        )

    def _row(self, prepared: Prepared, index: int, completion: Completion) -> dict[str, Any]:
        settings = self.settings
        verdict = judge(
            completion.text,
            prompt=prepared.prompt,
            input=settings.input,
            finish_reason=completion.finish_reason,
            config=settings.judging,
        )
        layout = None
        if settings.input == "grid":
            layout, *_ = laid_out(prepared.clip.frames, settings.grid, settings.size)
        return {
            "clip_id": prepared.clip.clip_id,
            "video_uri": prepared.clip.video_uri,
            "caption_index": index,
            "text": verdict.text,
            "raw_text": completion.text,
            "status": verdict.status,
            "reason": verdict.reason,
            "flags": list(verdict.flags),
            "model": settings.model,
            "model_revision": settings.model_revision,
            "prompt_name": settings.prompt.name,
            "input": settings.input,
            "grid_rows": layout.rows if layout is not None else None,
            "grid_columns": layout.columns if layout is not None else None,
            "sampling": json.dumps(settings.sampling.fields(), sort_keys=True),
            "seed": prepared.seed + index,
            "num_prompt_tokens": completion.num_prompt_tokens,
            "num_output_tokens": completion.num_output_tokens,
            "finish_reason": completion.finish_reason,
            "mean_logprob": completion.mean_logprob,
            "caption_key": prepared.keys[index],
        }


def _chain(first: CaptionRequest, rest: Iterator[CaptionRequest]) -> Iterator[CaptionRequest]:
    yield first
    yield from rest
