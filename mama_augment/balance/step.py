"""The step `balance`: clips and captions in, concept-balanced training shards out.

The plan is made anew on every run, from the input, the config and the seed alone; a resumed run
writes only the shards that are missing.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mama_augment.balance import shards
from mama_augment.balance.decide import BalanceStep, make_plan
from mama_augment.balance.stats import write_sidecars
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.core.store.records import Manifest, check_same, fingerprint, versions
from mama_augment.core.store.sidecars import CONCEPTS_NAME, STATS_NAME
from mama_augment.core.store.step_dir import MANIFEST_NAME, StepDir
from mama_augment.runtime import OnUnitDone, RuntimeConfig, run_units

STEP = "balance"
SCRATCH = ".scratch"


def run_step(
    clips: str,
    captions: Sequence[str],
    out: str,
    step: BalanceStep,
    runtime: RuntimeConfig,
    *,
    overwrite: bool = False,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_start: Callable[[StepDir], None] = lambda step_dir: None,
    on_done: OnUnitDone = lambda unit_id, num_items: None,
) -> StepDir:
    """Balance `clips` with `captions` into `out`, or finish an interrupted run of the same.

    Raises:
        InputError: an input step is unfinished, or `out` holds something else.
    """
    clips_dir = finished(clips, "keyframes")
    captions_dirs = [finished(uri, "caption") for uri in captions]
    source = fingerprint([d.input_fingerprint() for d in (clips_dir, *captions_dirs)])
    config = step.manifest_config()
    if not overwrite and (done := _already_done(out, config, source)):
        on_start(done)
        return done
    scratch = _scratch(out)
    try:
        plan = make_plan(clips_dir, captions_dirs, step, scratch, on_phase)
        manifest = Manifest(
            step=STEP,
            config=config,
            input_fingerprint=source,
            units=plan.units,
            versions=versions("ahocorasick-rs", "numpy", "pyarrow", "scikit-learn"),
        )
        out_dir = StepDir.create_or_resume(out, manifest, overwrite=overwrite)
        todo = out_dir.units_to_do()
        if todo:
            out_dir.folder.delete(STATS_NAME)
        on_start(out_dir)
        worker = partial(shards.ShardWorker, out=out_dir, scratch=scratch)
        for unit_ids in shards.groups(todo):
            shards.spill_frames(clips_dir, plan.placement, unit_ids, scratch, step.balance.seed)
            run_units(unit_ids, worker, runtime, on_done)
        plan.assigner.save(out_dir.folder.child("concept_model"))
        write_sidecars(out_dir.folder, plan.stats)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out_dir


def finished(uri: str, step: str) -> StepDir:
    """Open a step's output that nothing is pending in.

    Raises:
        InputError: units are pending: what is balanced now would differ from the rest later.
    """
    step_dir = StepDir.open(uri, step=step)
    if pending := step_dir.units_to_do():
        raise InputError(
            f"{uri!r} is unfinished: {len(pending)} of {len(step_dir.manifest.units)} units are "
            f"pending. Run the same `mama-augment {step}` command again; it continues"
        )
    return step_dir


def _already_done(out: str, config: dict[str, Any], source: str) -> StepDir | None:
    """The output when it is complete; None when there is work to do.

    Raises:
        InputError: `out` holds another step, config or input; said before any work is done.
    """
    if not Folder(out).exists(MANIFEST_NAME):
        return None
    existing = StepDir.open(out)
    wanted = dataclasses.replace(
        existing.manifest, step=STEP, config=config, input_fingerprint=source
    )
    check_same(existing.manifest, wanted, out)
    sidecars = all(existing.folder.exists(name) for name in (CONCEPTS_NAME, STATS_NAME))
    complete = not existing.units_to_do() and sidecars
    return existing if complete else None


def _scratch(out: str) -> Path:
    """An empty folder for the passes' files: inside a local output, else a temporary one."""
    folder = Folder(out)
    if not folder.is_local:
        return Path(tempfile.mkdtemp(prefix="mama-augment-"))
    scratch = Path(folder.path(SCRATCH))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch
