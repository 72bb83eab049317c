"""What `balance` would keep and gain, without a pixel read or a file written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.decide import assign_and_draw, count
from mama_augment.balance.gather import gather
from mama_augment.balance.keep.rule import KeepRule, Point, choose_rule, whole_curve
from mama_augment.balance.source.beside import Beside
from mama_augment.balance.source.inputs import Inputs
from mama_augment.balance.stats import ShardStats
from mama_augment.concepts import fit_assigner
from mama_augment.concepts.column import concept_column


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The rule that would be followed, and what others would bring."""

    rule: KeepRule
    curve: tuple[Point, ...]
    num_texts: int
    """Of train, with a concept."""
    num_unmatched: int
    num_concepts: int
    warnings: Sequence[str]


def preview(
    uris: Sequence[str], step: BalanceStep, out: str, on_phase: Callable[[str], None]
) -> Preview:
    """Decide as `decide` does, up to the rule.

    Raises:
        InputError: as `balance` does.
    """
    inputs = Inputs.sort(uris)
    inputs.check_finished()
    beside = Beside.open(step, out)
    scratch = Path(tempfile.mkdtemp(prefix="mama-augment-"))
    try:
        on_phase("joining clips and captions")
        column = concept_column(step.concepts)
        seed = step.balance.seed
        corpus = gather(inputs, scratch, seed=seed, column=column, beside=beside)
        on_phase(f"finding concepts ({step.concepts.assigner})")
        assigner = fit_assigner(step.concepts, corpus.fit_batches)
        on_phase("assigning concepts and drawing splits")
        drawn = assign_and_draw(corpus, assigner, step.sizes)
        stats = ShardStats(names=list(assigner.names), warnings=list(drawn.warnings))
        stats.repeats.limit = step.balance.max_same_text
        texts = count(corpus, drawn, stats, stats.repeats)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rule = choose_rule(texts, step.balance)
    return Preview(
        rule=rule,
        curve=rule.curve or whole_curve(texts, step.balance),
        num_texts=int(texts.total),
        num_unmatched=stats.num_train_texts - int(texts.total),
        num_concepts=int((stats.before > 0).sum()),
        warnings=stats.warnings,
    )
