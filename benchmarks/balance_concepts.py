"""Concepts and the keep rule on real captions: lists, figures, the curve, time and memory.

    python benchmarks/balance_concepts.py TEXTS...                     # lists, figures, curve
    python benchmarks/balance_concepts.py TEXTS... --sizes 10000 1000000

TEXTS are what `mama-augment concepts` reads: a file with a column `text`, the manifest that
`mama-augment manifest` makes of a data set's annotations, or outputs of `keyframes` and `caption`.
With --sizes, captions are drawn from them with replacement, a word of each replaced by that of
another caption so that they are not copies, and each size runs in a process of its own. The bound
is the same problem solved without a least probability and until 0.01 % is left to gain.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from mama_augment.balance.keep import even
from mama_augment.balance.keep.even import ConceptSets, Texts, make_even
from mama_augment.balance.keep.rule import (
    cap_for_share,
    choose_rule,
    rarest_fifth,
    union_keep,
)
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.concepts import ConceptConfig, TextBatch, fit_assigner
from mama_augment.concepts.histogram import effective_number, spread
from mama_augment.concepts.judge import judge
from mama_augment.concepts.language.texts import BATCH, batches_of, read_texts
from mama_augment.concepts.listing import list_concepts

ASSIGNERS = {
    "mined": ConceptConfig(),
    "actions, objects, scenes": ConceptConfig(vocabulary="actions,objects,scenes"),
    "topics (8)": ConceptConfig(assigner="topics"),
    "topics (40)": ConceptConfig(assigner="topics", num_concepts=40),
}
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
NUM_NAMED = 30


def show_lists(texts: list[str]) -> None:
    """Heads and tails of each assigner's list."""
    for name, config in ASSIGNERS.items():
        listed = list_concepts(fit_assigner(config, batches_of(texts)), texts)
        named = [f"{listed.names[i]} {listed.counts[i]}" for i in listed.order]
        separator = "; " if config.assigner == "topics" else ", "
        print(f"\n{name}: {len(listed.order)} concepts")
        print("  head:", separator.join(named[:NUM_NAMED]))
        print("  tail:", separator.join(named[-NUM_NAMED:]))


def show_figures(texts: list[str]) -> None:
    print("\n| assigner | concepts | coherence | stability | without a concept | per text |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, config in ASSIGNERS.items():
        found = judge(config, texts)
        print(
            f"| {name} | {found.num_concepts} | {found.coherence or 0:.3f} | "
            f"{found.stability:.3f} | {found.share_without:.1%} | {found.per_text:.2f} |",
            flush=True,
        )


def sets_of(texts: list[str]) -> Texts:
    assigner = fit_assigner(ConceptConfig(), batches_of(texts))
    sets = ConceptSets(num_concepts=len(assigner.names))
    for start in range(0, len(texts), BATCH):
        sets.add(assigner.assign(TextBatch(texts=texts[start : start + BATCH])))
    return sets.finish()


def show_curve(texts: list[str]) -> None:
    """The union rule, the even rule as it is, and the bound, at the same shares."""
    found = sets_of(texts)
    everything = np.ones(len(found.keys))
    counts = found.visits(everything)
    rare = rarest_fifth(counts)

    def cells(visits: np.ndarray) -> str:
        return f"{effective_number(visits):.1f} | {visits[rare].sum() / visits.sum():.2%}"

    print(f"\n{spread(counts.astype(int), counts > 0)}")
    print("| kept | union | its tail | even | its tail | bound | its tail | even / bound |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(f"| 100% | {' | '.join([cells(counts)] * 3)} | |")
    for share in SHARES:
        union = found.visits(union_keep(found, counts, cap_for_share(found, counts, share)))
        rule = found.visits(choose_rule(found, BalanceConfig(keep_share=share)).keep)
        even.MAX_PASSES, even.ENOUGH_GAP = 20_000, 1e-4
        best = make_even(found, share, np.ones(len(counts)), 0 * everything)
        even.MAX_PASSES, even.ENOUGH_GAP = 200, 5e-3
        ratio = effective_number(rule) / effective_number(best.visits)
        print(
            f"| {share:.0%} | {cells(union)} | {cells(rule)} | {cells(best.visits)} | {ratio:.1%} |"
        )
    chosen = choose_rule(found, BalanceConfig())
    visits = found.visits(chosen.keep)
    print(f"\ndefault: {chosen.share:.1%} kept, {cells(visits)}")


def resampled(texts: list[str], num_texts: int) -> list[str]:
    draws = np.random.default_rng(0)
    spoken = [text.split() for text in texts]
    own, other = draws.integers(len(texts), size=(2, num_texts))
    places = draws.random((2, num_texts))
    found = []
    for i, j, (a, b) in zip(own, other, places.T, strict=True):
        words = list(spoken[i])
        words[int(a * len(words))] = spoken[j][int(b * len(spoken[j]))]
        found.append(" ".join(words))
    return found


def measure(texts: list[str], num_texts: int) -> None:
    """CPU seconds of each part, and peak memory, for captions that are held in memory."""
    made = resampled(texts, num_texts)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parts = {}
    started = time.process_time()
    assigner = fit_assigner(ConceptConfig(), batches_of(made))
    parts["mining"] = time.process_time() - started
    started = time.process_time()
    sets = ConceptSets(num_concepts=len(assigner.names))
    for start in range(0, len(made), BATCH):
        sets.add(assigner.assign(TextBatch(texts=made[start : start + BATCH])))
    found = sets.finish()
    parts["assigning"] = time.process_time() - started
    started = time.process_time()
    rule = choose_rule(found, BalanceConfig())
    parts["curve and rule"] = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {name: round(value, 1) for name, value in parts.items()}
    more = {"sets": len(found.keys), "share": round(rule.share, 3)}
    memory = {"mb_of_captions": round(base), "peak_mb": round(peak)}
    print(json.dumps({"captions": num_texts, **seconds, **more, **memory}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--size", type=int, help="measure here: what --sizes starts")
    options = parser.parse_args()
    if options.sizes:
        for size in options.sizes:
            line = [sys.executable, __file__, *options.texts, "--size", str(size)]
            subprocess.run(line, check=True)
        return
    texts = read_texts(options.texts)
    if options.size:
        measure(texts, options.size)
        return
    show_lists(texts)
    show_figures(texts)
    show_curve(texts)


if __name__ == "__main__":
    main()
