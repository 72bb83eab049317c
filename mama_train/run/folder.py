"""A run's folder: what it may be used for, and nothing lost in it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.store.lock import LOCK_NAME
from mama_train import ranks
from mama_train.config import TrainConfig, settings
from mama_train.data.index import fingerprint
from mama_train.run import checkpoint
from mama_train.run.history import read_history, write_json


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in a run's folder.

    checkpoint: to continue from, or None to start at step 0. is_new: nothing that is to stay.
    lengthens: a finished run of the same settings but for its length, which is now to be longer.
    """

    checkpoint: Path | None = None
    is_new: bool = True
    lengthens: bool = False

    def first_step(self) -> int:
        """Steps that are done."""
        return 0 if self.checkpoint is None else checkpoint.load_progress(self.checkpoint)[0].step


def find_run(config: TrainConfig, notes: list[str], *, overwrite: bool) -> Found:
    """What to continue: a run of the same settings and data, finished or not, continues by itself.

    Raises:
        InputError: the folder holds another run, or one whose checkpoints are gone, or other files.
    """
    run = config.run_folder()
    known = run / "config.json"
    if known.is_file() and not overwrite:
        lengthens = _is_longer(config, run)
        return Found(checkpoint=_checkpoint(run, notes), is_new=False, lengthens=lengthens)
    if not known.is_file() and _files_of(run):
        raise InputError(f"{str(run)!r} holds files but not a run; give another --out")
    return Found()


def finished_metrics(run: Path) -> dict[str, Any] | None:
    """The metrics of a run whose last step is saved, if nothing of it is missing."""
    path = run / "metrics.json"
    is_whole = path.is_file() and (run / "checkpoints" / "last").exists()
    return json.loads(path.read_text()) if is_whole else None


def changes(config: TrainConfig, run: Path) -> list[str]:
    """In which settings, and in which data, the run in a folder differs, in words."""
    before = json.loads((run / "config.json").read_text())
    found = config.changed_since(TrainConfig.of(**before["config"]))
    if unknown := sorted(set(settings()) - set(before["config"])):
        found.append(f"it is of an earlier version, without the settings {', '.join(unknown)}")
    if before["shards"] != fingerprint(config.shards):
        found.append(f"the files in {config.shards!r} have changed")
    return found


def _is_longer(config: TrainConfig, run: Path) -> bool:
    """Whether a finished run differs in its length; False where it does not differ at all."""
    changed = changes(config, run)
    if not changed:
        return False
    before = json.loads((run / "config.json").read_text())["config"]
    length = {name: before[name] for name in ("steps", "epochs")}
    if finished_metrics(run) and not changes(dataclasses.replace(config, **length), run):
        return True
    raise InputError(
        f"cannot resume {str(run)!r}: {'; '.join(changed)}. Give the settings that it has, "
        "--overwrite to replace it, or another --out"
    )


def check_longer(config: TrainConfig, found: Found, num_steps: int) -> None:
    """Raises InputError where a finished run would have to become shorter."""
    if found.lengthens and num_steps <= (done := found.first_step()):
        raise InputError(
            f"{config.out!r} holds a finished run of {done} steps, which can be lengthened, but "
            f"not cut to {num_steps}: give more, --overwrite to replace it, or another --out"
        )


def _checkpoint(run: Path, notes: list[str]) -> Path | None:
    found = checkpoint.newest_complete(run)
    if found is not None:
        if not (run / "checkpoints" / "last").exists():
            notes.append(f"checkpoints/last is gone; {found.name} is the newest that is complete")
        return found
    folder = run / "checkpoints"
    if folder.is_dir():
        has_saved = any(not path.name.startswith(".") for path in folder.iterdir())
    else:
        has_saved = bool(read_history(run))
    if has_saved:
        raise InputError(
            f"{str(run)!r} holds a run but no complete checkpoint to resume from: restore its "
            "checkpoints, --overwrite starts the run anew, or give another --out"
        )
    notes.append("the run was stopped before its first checkpoint was complete: step 0 again")
    return None


def start_run(config: TrainConfig, found: Found) -> None:
    """Make the run folder, empty unless a run in it goes on; a longer run gets its new config."""
    run = config.run_folder()
    ranks.barrier()
    if ranks.is_first() and (found.is_new or found.lengthens):
        run.mkdir(parents=True, exist_ok=True)
        for path in _files_of(run) if found.is_new else []:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        content = {"config": config.to_json(), "shards": fingerprint(config.shards)}
        write_json(run / "config.json", content)
        # Last: a kill before leaves a run that is known to be longer than its last step.
        (run / "metrics.json").unlink(missing_ok=True)
    ranks.barrier()


def _files_of(run: Path) -> list[Path]:
    """What lies in a run folder, but for the lock on it."""
    return [p for p in run.iterdir() if p.name != LOCK_NAME] if run.is_dir() else []
