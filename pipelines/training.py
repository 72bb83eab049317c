"""The end of a pipeline: train, with and without the method side by side if asked, and report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commands import run

from mama_augment.core.shared.say import tell

Settings = Mapping[str, Any]
SIDE_BY_SIDE: Mapping[str, Settings] = {
    "contrastive": {"margin_kind": "none", "weights": "none"},
    "MAMA": {},
}
"""Arms of a comparison that asks what margin and learned weights are worth."""


def room_for_shards(
    shards: Path, clips: Path, captions: Path, *runs: Path, reviews: Path | None = None
) -> tuple[str, ...]:
    """Options of `balance` for clips, captions or reviews that may have grown since it ran.

    Shards of other ones move to SHARDS-before, and what was trained on them likewise. The new ones
    are made with `--splits-from` it, so that no video changes sides; reviews say themselves what
    their clips are for. Nothing moves where nothing grew, and a kill in between costs nothing: the
    next call goes on.
    """
    from mama_augment.balance.source.inputs import Inputs
    from mama_augment.balance.source.reviews import Reviews
    from mama_augment.core.store.step_dir import StepDir

    judged = None if reviews is None else Reviews.open(str(reviews)).fingerprint
    if (shards / "manifest.json").is_file():
        made = StepDir.open(str(shards), step="balance")
        source = Inputs.open(str(clips), [str(captions)]).fingerprint()
        was = made.manifest.input_fingerprint, made.manifest.config.get("reviews")
        if was != (source, judged):
            for folder in (*runs, shards):
                if folder is shards and made.units_to_do():
                    shutil.rmtree(shards)  # half of it, of clips that have grown meanwhile
                elif folder.exists():
                    shutil.rmtree(before(folder), ignore_errors=True)
                    folder.rename(before(folder))
    if reviews is not None:
        return ("--reviews", str(reviews))
    return ("--splits-from", str(before(shards))) if before(shards).is_dir() else ()


def before(folder: Path) -> Path:
    """Where the last one goes."""
    return folder.with_name(f"{folder.name}-before")


def train(
    out: Path, shards: Path, settings: Settings, *, seeds: int = 1, compare: bool = False
) -> list[Any]:
    """Train on the shards; sections of a page about it. A finished training is not repeated.

    One run lies in OUT/run; several seeds, or both arms of `SIDE_BY_SIDE`, below OUT/runs.
    """
    if (compare or seeds > 1) and not has_split(shards, "test"):
        tell(f"{shards} has no test split, so there is nothing to compare on: one run is trained")
    elif compare or seeds > 1:
        arms = SIDE_BY_SIDE if compare else {"MAMA": SIDE_BY_SIDE["MAMA"]}
        return train_arms(out, shards, settings, arms, range(seeds))
    given = [word for k, v in settings.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    run("mama-train", "run", shards, "--out", out / "run", *given)
    from mama_train.report.page import training_sections

    return training_sections(out / "run")


def train_arms(
    out: Path,
    shards: Path,
    common: Settings,
    arms: Mapping[str, Settings],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
) -> list[Any]:
    """`mama-train compare` of the arms, the first one being the baseline; sections of a page about
    it, and about the last arm's first run."""
    lines = [f"shards = {json.dumps(str(shards))}", f"seeds = {list(seeds)}", "", "[common]"]
    lines += toml_lines(common)
    for name, settings in arms.items():
        lines += ["", f"[arms.{json.dumps(name)}]", *toml_lines(settings)]
    file, folder = out / "arms.toml", out / "runs"
    file.write_text("\n".join(lines) + "\n")
    run("mama-train", "compare", file, "--out", folder, "--jobs", str(jobs))
    from mama_train.compare.arms import run_folder
    from mama_train.compare.table import comparison_sections
    from mama_train.report.page import training_sections

    last = run_folder(folder, list(arms)[-1], seeds[0])
    return [*comparison_sections(str(file), folder), *training_sections(last)]


def toml_lines(settings: Settings) -> list[str]:
    """JSON's texts, numbers, booleans and lists are TOML's, too."""
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]


def has_split(shards: Path, split: str) -> bool:
    """Whether any row of the shards is of the split."""
    stats = json.loads((shards / "stats.json").read_text())
    return bool(stats["splits"][split]["num_rows"])


def write_report(out: Path, clips: Path, captions: Path, sections: Sequence[Any]) -> Path:
    """One self-contained HTML file about the data and the training, OUT/report.html."""
    from mama_augment.people.report import build_report

    path = build_report(
        str(out / "report.html"),
        clips_dir=str(clips),
        captions_dirs=[str(captions)],
        shards_dir=str(out / "shards"),
        extra_sections=sections,
    )
    return Path(path)
