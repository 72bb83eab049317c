"""Run a step from Python as its command does; `from mama_augment import run`."""

from __future__ import annotations

from mama_augment.caption.step import Caption
from mama_augment.core import step as steps
from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Ledger
from mama_augment.core.shares import Share
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig


def run(
    step: steps.Step[StepDir],
    out: str,
    runtime: RuntimeConfig | None = None,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    share: str | None = None,
) -> Ledger:
    """Do what is left of a step in the directory `out`, and account for all of it.

    Called again, it continues; a finished directory is left alone.

    Args:
        runtime: where units run; by default two workers here. A `Caption` has its own.
        overwrite: discard what is in `out`.
        retry_failed: try again what failed, and only that.
        share: the units that this machine takes, such as "2/8"; the ledger is that of all.

    Raises:
        InputError: the input or the settings are wrong, `out` holds something else, or another
            run writes there.
        StoppedError: a fault that is nobody's item's own, such as a dead engine.
        OSError: the disk or the object store is full, read-only or gone.
    """
    if isinstance(step, Caption):
        if runtime not in (None, step.runtime):
            raise InputError(
                "a Caption shares its clips out to its own runtime; give it to "
                "Caption.of(…, runtime=…)"
            )
        runtime = step.runtime
    taken = Share.parse(share) if share is not None else None
    output = StepOutput(str(out), overwrite=overwrite, share=taken)
    outcome = steps.run(step, output, runtime or RuntimeConfig(), retry_failed=retry_failed)
    return outcome.ledger
