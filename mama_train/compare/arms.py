"""What a comparison file says: arms, their settings and seeds; lists of values make arms.

    shards = "shards"
    seeds = [0, 1, 2, 3, 4]
    baseline = "contrastive"
    [common]
    steps = 300
    [arms.contrastive]
    margin_kind = "none"
    weights = "none"
    [arms.margin]
    margin = [0.05, 0.1, 0.2]
    weights = "none"
    [arms.more-captions]
    shards = "other-shards"

The arm `margin` stands for three: "margin, margin 0.05" and so on. Several lists in an arm make all
combinations of their values.
"""

from __future__ import annotations

import itertools
import json
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig, settings
from mama_train.settings import flat


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Which arm of the file an arm comes from, and the values that make it one of several."""

    of: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`arms` maps a name to its settings by flat name, which may name other shards; `common` are
    settings of all arms. `sweeps`: of the arms that lists of values made."""

    shards: str
    seeds: tuple[int, ...]
    baseline: str
    arms: dict[str, dict[str, Any]]
    common: dict[str, Any]
    sweeps: dict[str, Sweep] = field(default_factory=dict)

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
    told = content.get("arms", {})
    if not told or "shards" not in content:
        raise InputError(f"{path}: needs `shards` and at least one `[arms.NAME]`")
    common = content.get("common", {})
    _check_own({"[common]": common} | {f"[arms.{arm}]": s for arm, s in told.items()}, path)
    arms, sweeps = _spread(told, path)
    baseline = content.get("baseline", next(iter(told)))
    if baseline not in arms:
        baseline = next((arm for arm, sweep in sweeps.items() if sweep.of == baseline), baseline)
    if baseline not in arms:
        raise InputError(f"{path}: baseline {baseline!r} is not one of the arms: {', '.join(arms)}")
    comparison = Comparison(
        shards=content["shards"],
        seeds=_seeds(content.get("seeds", [0, 1, 2]), path),
        baseline=baseline,
        arms=arms,
        common=common,
        sweeps=sweeps,
    )
    for arm in arms:
        try:
            comparison.config(arm, 0, Path("out"))
        except InputError as error:
            raise InputError(f"{path}, arm {arm!r}: {error}") from error
    return comparison


def _spread(
    told: dict[str, dict[str, Any]], path: str
) -> tuple[dict[str, dict[str, Any]], dict[str, Sweep]]:
    """The arms that there are when lists of values have become arms of their own, and of those
    where they come from."""
    arms: dict[str, dict[str, Any]] = {}
    sweeps: dict[str, Sweep] = {}
    for name, given in told.items():
        try:
            flat_given = flat(given, settings())
        except InputError as error:
            raise InputError(f"{path}, arm {name!r}: {error}") from error
        lists = {k: v for k, v in flat_given.items() if isinstance(v, list) and not _takes_list(k)}
        for setting, values in lists.items():
            if not values or len({json.dumps(v) for v in values}) < len(values):
                raise InputError(
                    f"{path}, arm {name!r}: {setting} is {values!r}; give one or more different "
                    "values to make an arm of each"
                )
        for combination in itertools.product(*lists.values()):
            chosen = dict(zip(lists, combination, strict=True))
            words = ", ".join(f"{setting} {value}" for setting, value in chosen.items())
            arm = f"{name}, {words}" if words else name
            if arm in arms:
                raise InputError(f"{path}: two arms are called {arm!r}; rename one")
            arms[arm] = flat_given | chosen
            if chosen:
                sweeps[arm] = Sweep(of=name, values=chosen)
    return arms, sweeps


def _takes_list(setting: str) -> bool:
    """Whether a list is one value of a setting."""
    hint = settings()[setting].hint
    inner = typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return typing.get_origin(inner) is tuple


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
    return out / f"{arm.replace('/', '_')}-seed{seed}"
