"""A run's folder: what it may be used for, and nothing lost in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from mama_augment.core.errors import InputError
from mama_augment.core.store.lock import LOCK_NAME
from mama_train import ranks
from mama_train.config import TrainConfig, settings
from mama_train.data.index import fingerprint
from mama_train.run import checkpoint
from mama_train.run.history import read_history, write_json


def find_run(
    config: TrainConfig, notes: list[str], *, resume: bool, overwrite: bool
) -> Path | None:
    """The checkpoint to resume from, or None to start at step 0.

    Raises:
        InputError: the folder is in use, holds another run, or one whose checkpoints are gone.
    """
    run = config.run_folder()
    known = run / "config.json"
    if known.is_file() and resume:
        _check_unchanged(config, run)
        return _checkpoint(run, notes)
    if known.is_file() and not overwrite:
        raise InputError(
            f"{str(run)!r} holds a run: --resume continues it, --overwrite replaces it, or give "
            "another --out"
        )
    if not known.is_file() and _files_of(run):
        raise InputError(f"{str(run)!r} holds files but not a run; give another --out")
    return None


def changes(config: TrainConfig, run: Path) -> list[str]:
    """In which settings, and in which data, the run in a folder differs, in words."""
    before = json.loads((run / "config.json").read_text())
    found = config.changed_since(TrainConfig.of(**before["config"]))
    if unknown := sorted(set(settings()) - set(before["config"])):
        found.append(f"it is of an earlier version, without the settings {', '.join(unknown)}")
    if before["shards"] != fingerprint(config.shards):
        found.append(f"the files in {config.shards!r} have changed")
    return found


def _check_unchanged(config: TrainConfig, run: Path) -> None:
    if changed := changes(config, run):
        raise InputError(f"cannot resume {str(run)!r}: {'; '.join(changed)}")


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


def start_run(config: TrainConfig, *, resume: bool) -> None:
    """Make the run folder, empty unless a run in it is resumed."""
    run = config.run_folder()
    ranks.barrier()
    if ranks.is_first() and not (resume and (run / "config.json").is_file()):
        run.mkdir(parents=True, exist_ok=True)
        for path in _files_of(run):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        content = {"config": config.to_json(), "shards": fingerprint(config.shards)}
        write_json(run / "config.json", content)
    ranks.barrier()


def _files_of(run: Path) -> list[Path]:
    """What lies in a run folder, but for the lock on it."""
    return [p for p in run.iterdir() if p.name != LOCK_NAME] if run.is_dir() else []
