"""How fast captions are matched against a phrase list, and what memory that takes.

    python benchmarks/balance.py                        # 1,000,000 captions x 10,000 phrases
    python benchmarks/balance.py --num-captions 100000

Captions are made on the fly (Zipf-distributed words of a made-up language, 6 to 18 words each), so
that only the assigner and the counts are held. The naive method, one substring search per phrase
as in MetaCLIP's released code, runs on a stated sample of the same captions in the same process;
both must find the same concepts. Peak memory is the process's own high-water mark.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator

import numpy as np

from mama_augment.balance.keep.union import auto_cap, concept_probabilities, keep_probability
from mama_augment.concepts.language.texts import TextBatch
from mama_augment.concepts.language.words import words
from mama_augment.concepts.vocabulary import Entry, Vocabulary
from mama_augment.core.draws import draw_unit

NUM_WORDS = 30_000
BATCH = 10_000
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()  # noqa: SIM905


def word(number: int) -> str:
    """A pronounceable word of its own for every number."""
    parts = []
    number += len(SYLLABLES)
    while number:
        number, digit = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[digit])
    return "".join(parts)


def captions(num_captions: int, seed: int) -> Iterator[list[str]]:
    """Batches of captions; word frequencies follow a Zipf law with exponent 1."""
    draws = np.random.default_rng(seed)
    language = np.array([word(i) for i in range(NUM_WORDS)])
    odds = 1 / np.arange(1, NUM_WORDS + 1)
    cumulative = np.cumsum(odds / odds.sum())
    for start in range(0, num_captions, BATCH):
        lengths = draws.integers(6, 19, size=min(BATCH, num_captions - start))
        chosen = language[np.searchsorted(cumulative, draws.random(lengths.sum()))]
        parts = np.split(chosen, np.cumsum(lengths)[:-1])
        yield [" ".join(part).capitalize() + "." for part in parts]


def phrase_list(num_phrases: int, seed: int) -> Vocabulary:
    """Phrases of one to three words, distinct, frequent and rare words alike."""
    draws = np.random.default_rng(seed + 1)
    found: dict[str, None] = {}
    while len(found) < num_phrases:
        ranks = (NUM_WORDS ** draws.random(draws.integers(1, 4))).astype(int) - 1
        found.setdefault(" ".join(word(rank) for rank in ranks))
    return Vocabulary(tuple(Entry(phrase, (phrase,)) for phrase in found))


def naive(text: str, phrases: list[str]) -> list[int]:
    """One substring search per phrase, over the same normalised words."""
    padded = f" {' '.join(words(text))} "
    return [i for i, phrase in enumerate(phrases) if f" {phrase} " in padded]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-captions", type=int, default=1_000_000)
    parser.add_argument("--num-phrases", type=int, default=10_000)
    parser.add_argument("--naive-captions", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    started = time.perf_counter()
    vocabulary = phrase_list(options.num_phrases, options.seed)
    build_seconds = time.perf_counter() - started
    base_mb = peak_mb()

    counts = np.zeros(options.num_phrases, np.int64)
    assign_seconds = 0.0
    num_matches = num_matched = 0
    sample: list[str] = []
    assigned_sample: list[list[int]] = []
    memory: dict[str, float] = {}
    for number, texts in enumerate(captions(options.num_captions, options.seed), 1):
        started = time.perf_counter()
        assigned = vocabulary.assign(TextBatch(texts=texts))
        assign_seconds += time.perf_counter() - started
        for concept_ids in assigned:
            counts[concept_ids] += 1
            num_matches += len(concept_ids)
            num_matched += bool(concept_ids)
        if len(sample) < options.naive_captions:
            sample += texts[: options.naive_captions - len(sample)]
            assigned_sample += assigned[: options.naive_captions - len(assigned_sample)]
        if number * BATCH in (options.num_captions // 10, options.num_captions):
            memory[f"{number * BATCH:,} captions"] = round(peak_mb(), 1)

    started = time.perf_counter()
    probabilities = concept_probabilities(counts, auto_cap(counts))
    num_kept = sum(
        draw_unit(options.seed, "keep", i) < keep_probability(ids, probabilities)
        for i, ids in enumerate(assigned_sample)
    )
    draw_seconds = time.perf_counter() - started

    started = time.perf_counter()
    phrases = list(vocabulary.names)
    expected = [naive(text, phrases) for text in sample]
    naive_seconds = time.perf_counter() - started
    assert expected == assigned_sample, "the two methods disagree"

    per_caption = assign_seconds / options.num_captions
    naive_per_caption = naive_seconds / len(sample)
    print(
        json.dumps(
            {
                "num_captions": options.num_captions,
                "num_phrases": options.num_phrases,
                "build_seconds": round(build_seconds, 2),
                "assign_seconds": round(assign_seconds, 2),
                "captions_per_second": round(1 / per_caption),
                "matches_per_caption": round(num_matches / options.num_captions, 2),
                "share_matched": round(num_matched / options.num_captions, 4),
                "naive_sample": len(sample),
                "naive_ms_per_caption": round(1000 * naive_per_caption, 3),
                "ms_per_caption": round(1000 * per_caption, 4),
                "ratio_naive_over_this": round(naive_per_caption / per_caption, 1),
                "peak_mb_before_captions": round(base_mb, 1),
                "peak_mb_after": memory,
                "draw_us_per_caption": round(1e6 * draw_seconds / len(sample), 1),
                "kept_of_sample": num_kept,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
