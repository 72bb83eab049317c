"""What is kept of the training texts: the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option

MIN_AUTO_CAP = 16.0
"""Texts of a concept; rarer ones are not thinned unless a share or a cap is asked for."""
UNMATCHED = ("keep", "drop")
RULES = ("even", "union")
TARGETS = ("uniform", "sqrt", "capped")
WAYS = ("drop", "weights")


@dataclass(frozen=True, kw_only=True)
class BalanceConfig:
    """What is kept of the training texts."""

    rule: str = field(default="even", metadata=option("--keep-rule", choices=RULES))
    """even: keep probabilities that bring visits closest to the target for the share that is kept.
    union: a text stays if any of its concepts keeps it (MetaCLIP)."""
    keep_share: float | None = field(
        default=None, metadata=option("--keep-share", default_shown="where the curve bends")
    )
    """The share of the training texts with a concept to keep, above 0 and up to 1. By default where
    the curve of share against evenness bends, never below --keep-at-least."""
    keep_at_least: float = 0.6
    """Where the share is chosen, at least this one."""
    target: str = field(default="uniform", metadata=option("--target", choices=TARGETS))
    """What the visits of concepts should look like. uniform: all alike. sqrt: in proportion to the
    square root of the texts there are. capped: as the texts are, up to --cap."""
    cap: float | None = field(
        default=None, metadata=option(parse=lambda text: parse_cap(text), default_shown="auto")
    )
    """Thin concepts that have more texts than this number; it decides the share that is kept, too.
    auto: no cap (of the union rule: one from the counts). none keeps everything."""
    min_keep: float = 0.02
    """No text is kept with less than this probability."""
    way: str = field(default="drop", metadata=option("--keep-as", "--as", choices=WAYS))
    """drop: texts leave by their probabilities. weights: all stay, and `mama-train run --visit
    weighted` visits each as often as its probability says."""
    unmatched: str = "keep"
    """What to do with texts that match no concept: keep or drop."""
    max_captions_per_clip: int | None = None
    """Captions per clip, at most; those with the rarest concepts stay."""
    max_same_text: int | None = None
    """Of near-identical texts of different clips, keep this many; by default they are only
    counted."""
    seed: int = 0
    """Decides every random draw: order, splits and topics."""

    def __post_init__(self) -> None:
        if self.cap is not None and not self.cap > 0:
            raise InputError(f"--cap is {self.cap}; a number above 0, `auto` or `none` is needed")
        check_choice("--keep-rule", self.rule, RULES)
        check_choice("--target", self.target, TARGETS)
        check_choice("--keep-as", self.way, WAYS)
        check_choice("--unmatched", self.unmatched, UNMATCHED)
        for name in ("keep_share", "keep_at_least"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                flag = "--" + name.replace("_", "-")
                raise InputError(f"{flag} is {share}; a share above 0 and up to 1 is needed")
        if not 0 < self.min_keep <= 1:
            raise InputError(
                f"--min-keep is {self.min_keep}; a probability above 0 and up to 1 is needed"
            )
        if self.target == "capped" and (self.cap is None or math.isinf(self.cap)):
            raise InputError("--target capped needs a --cap: a number of texts")
        if self.rule == "union" and self.target != "uniform":
            raise InputError(
                f"--target {self.target} is for --keep-rule even; the union rule has --cap alone"
            )
        for name in ("max_captions_per_clip", "max_same_text"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is {limit}; at least 1 is needed")


def parse_cap(text: str) -> float | None:
    """Read `--cap`: `auto` (None), `none` (infinity) or a number.

    Raises:
        InputError: `text` is none of these.
    """
    if text == "auto":
        return None
    try:
        cap = float("inf" if text == "none" else text)
    except ValueError:
        cap = float("nan")
    if not cap > 0:
        raise InputError(f"--cap is {text!r}; a number above 0, `auto` or `none` is needed")
    return cap
