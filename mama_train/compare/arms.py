"""Several configurations × seeds on the same shards: runs, a table with intervals, a paired test.

A comparison file (TOML or JSON):

    shards = "shards"
    seeds = [0, 1, 2, 3, 4]
    baseline = "contrastive"
    [common]
    steps = 300
    [arms.contrastive]
    margin_kind = "none"
    weights = "none"
    [arms.margin]
    weights = "none"
    [arms.more-captions]
    shards = "other-shards"
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from mama_augment.core.errors import InputError, TerminatedError
from mama_train.config import TrainConfig, settings
from mama_train.settings import flat

Metrics = dict[str, Any]
MEASURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("t→v R@1 %", ("text_to_video", "R@1")),
    ("t→v R@5 %", ("text_to_video", "R@5")),
    ("t→v MdR", ("text_to_video", "MdR")),
    ("v→t R@1 %", ("video_to_text", "R@1")),
    ("tail R@1 %", ("by_frequency", "tail", "R@1")),
)
"""Columns of the table: name, and where the value lies in a split's metrics."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`arms` maps a name to its settings, which may name other shards; `common` are settings of
    all arms."""

    shards: str
    seeds: tuple[int, ...]
    baseline: str
    arms: dict[str, dict[str, Any]]
    common: dict[str, Any]

    def config(self, arm: str, seed: int, out: Path) -> TrainConfig:
        """What a run does: the arm's settings, which win over those of all arms.

        Raises:
            InputError: a name does not exist, or a value is not allowed.
        """
        fields = {"tensorboard": False, "shards": self.shards}
        for given in (self.common, self.arms[arm]):
            fields |= flat(given, settings())
        own = {"seed": seed, "out": str(run_folder(out, arm, seed))}
        return TrainConfig.of(**fields | own)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measure of one arm over the seeds; `half_width` of the 95 % t interval of the mean.

    difference: mean over the seeds of (arm − baseline); p_value: two-sided paired t-test of it
    (None for the baseline itself, or with one seed).
    """

    mean: float
    half_width: float | None
    difference: float
    difference_half_width: float | None
    p_value: float | None
    values: tuple[float, ...]


def read_comparison(path: str) -> Comparison:
    """Raises InputError when the file cannot be read, or a name or value in it is wrong."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path!r} does not exist; give a TOML or JSON file of arms and seeds")
    try:
        text = file.read_text()
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    arms = content.get("arms", {})
    if not arms or "shards" not in content:
        raise InputError(f"{path}: needs `shards` and at least one `[arms.NAME]`")
    baseline = content.get("baseline", next(iter(arms)))
    if baseline not in arms:
        raise InputError(f"{path}: baseline {baseline!r} is not one of the arms: {', '.join(arms)}")
    common = content.get("common", {})
    _check_own({"[common]": common} | {f"[arms.{arm}]": s for arm, s in arms.items()}, path)
    comparison = Comparison(
        shards=content["shards"],
        seeds=_seeds(content.get("seeds", [0, 1, 2]), path),
        baseline=baseline,
        arms=arms,
        common=common,
    )
    for arm in arms:
        try:
            comparison.config(arm, 0, Path("out"))
        except InputError as error:
            raise InputError(f"{path}, arm {arm!r}: {error}") from error
    return comparison


def _check_own(tables: dict[str, Any], path: str) -> None:
    """Refuse settings that the comparison itself makes, instead of overriding them in silence."""
    for name, given in tables.items():
        if not isinstance(given, dict):
            raise InputError(f"{path}: {name} is {given!r}; give a table of settings")
        if "seed" in given:
            raise InputError(
                f"{path}: {name} sets seed = {given['seed']!r}, but every arm runs with every "
                "seed; give `seeds = [...]` at the top"
            )
        if "out" in given:
            raise InputError(
                f"{path}: {name} sets out = {given['out']!r}, but runs lie below --out; drop it"
            )
    if "shards" in tables["[common]"]:
        raise InputError(f"{path}: [common] sets shards; give them at the top, or in an arm")


def _seeds(seeds: Any, path: str) -> tuple[int, ...]:
    is_list = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not is_list or not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            f"{path}: seeds is {seeds!r}; give one or more different integers, as [0, 1, 2]"
        )
    return tuple(seeds)


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where the run of an arm with a seed lies."""
    return out / f"{arm}-seed{seed}"


def run_comparison(
    comparison: Comparison,
    out: Path,
    *,
    jobs: int = 1,
    on_run: Callable[[str, int, Metrics], None] | None = None,
) -> dict[str, list[Metrics]]:
    """The metrics of every run, by arm, in the order of the seeds.

    A finished run with the same settings and data is read, not repeated; an unfinished one
    continues. With several `jobs`, each run is a process of its own with its share of the cores.
    """
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1, the number of runs at a time")
    todo = [(arm, seed) for seed in comparison.seeds for arm in comparison.arms]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    found: dict[tuple[str, int], Metrics] = {}
    # Spawned, because torch does not survive a fork after it has used threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        work = {
            pool.submit(_run_one, comparison.config(arm, seed, out), threads): (arm, seed)
            for arm, seed in todo
        }
        try:
            for future in as_completed(work):
                arm, seed = work[future]
                found[arm, seed] = future.result()
                if on_run is not None:
                    on_run(arm, seed, found[arm, seed])
        except BaseException as error:
            # Runs under way end at their next step, with a checkpoint; none of the others begins.
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, TerminatedError):  # Ctrl-C reaches them by itself
                for process in active_children():
                    process.terminate()
            raise
    return {arm: [found[arm, s] for s in comparison.seeds] for arm in comparison.arms}


def _run_one(config: TrainConfig, threads: int) -> Metrics:
    import torch

    from mama_train.run.folder import changes
    from mama_train.run.loop import train

    torch.set_num_threads(threads)
    run = config.run_folder()
    finished, settings = run / "metrics.json", run / "config.json"
    if not (finished.is_file() and settings.is_file()):
        return train(config).metrics
    if changes(config, run):
        return train(config, overwrite=True).metrics
    return json.loads(finished.read_text())


def estimate(values: Sequence[float], baseline: Sequence[float]) -> Estimate:
    """Mean and interval of `values`, and the paired difference from `baseline`, seed by seed."""
    x = np.array(values, np.float64)
    d = x - np.array(baseline, np.float64)
    p_value = None
    if len(d) > 1 and d.any():
        from scipy import stats

        # Equal differences everywhere have no spread: then the test has nothing to say.
        p_value = float(stats.ttest_1samp(d, 0).pvalue) if d.std() > 0 else None
    return Estimate(
        mean=float(x.mean()),
        half_width=half_width(x),
        difference=float(d.mean()),
        difference_half_width=half_width(d),
        p_value=p_value,
        values=tuple(x.tolist()),
    )


def half_width(x: Any) -> float | None:
    """Half the 95 % Student t interval of the mean; None for a single value."""
    if len(x) < 2:
        return None
    from scipy import stats

    return float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))


def summarise(
    results: dict[str, list[Metrics]], baseline: str, *, split: str = "test"
) -> dict[str, dict[str, Estimate]]:
    """Arm → measure → estimate, for the measures that every run has."""
    found: dict[str, dict[str, Estimate]] = {arm: {} for arm in results}
    for name, place in MEASURES:
        values = {arm: [_value(m[split], place) for m in of_arm] for arm, of_arm in results.items()}
        if any(v is None for of_arm in values.values() for v in of_arm):
            continue
        for arm, of_arm in values.items():
            found[arm][name] = estimate(_floats(of_arm), _floats(values[baseline]))
    return found


def net_states(results: dict[str, list[Metrics]]) -> dict[str, str]:
    """Arm → what became of its weight nets, in words; no arms where no run has one.

    dead: equal weights in the end, because V is saturated or has not learned; collapsed: a few
    samples have all the weight.
    """
    found: dict[str, str] = {}
    for arm, of_arm in results.items():
        nets = [m["weight_net"] for m in of_arm if m.get("weight_net")]
        dead, collapsed = (
            sum(map(test, nets))
            for test in (lambda net: net["dead"], lambda net: net["state"] == "collapsed")
        )
        found[arm] = f"{dead} dead, {collapsed} collapsed of {len(nets)}" if nets else "none"
    return found if set(found.values()) != {"none"} else {}


def _value(metrics: Metrics | None, place: tuple[str, ...]) -> float | None:
    here: Any = metrics
    for key in place:
        if not here or key not in here:
            return None
        here = here[key]
    return float(here)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None]
