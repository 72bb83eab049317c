"""One self-contained HTML file about a training set: what went in, what came out, what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.core.store.files import output_file
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.report.charts import columns, rank_curve
from mama_augment.people.report.facts import Facts, collect
from mama_augment.people.report.samples import pick_samples

MAX_CONCEPT_ROWS = 40
Section = tuple[str, str]


def build_report(
    out_path: str,
    clips_dir: str,
    captions_dirs: Sequence[str],
    shards_dir: str,
    extra_sections: Sequence[Section] = (),
) -> str:
    """Write the report and return its path.

    Args:
        extra_sections: (title, HTML fragment) pairs of another program, such as the trainer's
            plots; inserted as they are.

    Raises:
        InputError: a directory is not the output of the step it is given for, or they do not
            belong together; or `out_path` is a directory.
    """
    folder, name = output_file(out_path)
    facts = collect(clips_dir, captions_dirs, shards_dir)
    page = render(facts, extra_sections)
    folder.write_bytes(name, page.encode())
    return out_path


def sort_directories(uris: Sequence[str]) -> tuple[str, list[str], str]:
    """(clips, captions, shards) among step directories given in any order.

    Raises:
        InputError: there is not exactly one clips and one shards directory.
    """
    by_step: dict[str, list[str]] = {"keyframes": [], "caption": [], "balance": []}
    for uri in uris:
        by_step[StepDir.open(uri).step].append(uri)
    for step in ("keyframes", "balance"):
        if len(by_step[step]) != 1:
            raise InputError(
                f"{len(by_step[step])} of the directories hold the output of `mama-augment {step}`"
                f" ({', '.join(by_step[step]) or 'none'}); a report needs exactly one"
            )
    return by_step["keyframes"][0], by_step["caption"], by_step["balance"][0]


def render(facts: Facts, extra_sections: Sequence[Section] = ()) -> str:
    """The page itself."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    files = resources.files("mama_augment.people.report")
    template = environment.from_string(files.joinpath("report.html").read_text())
    stats = facts.stats
    visited = [c for c in facts.concepts if c["num_before"] or c["num_after"]]
    return template.render(
        style=files.joinpath("report.css").read_text(),
        facts=facts,
        stats=stats,
        splits=SPLITS,
        visits=_visits(stats),
        concept_rows=_concept_rows(visited),
        num_concepts=len(visited),
        never=[c["name"] for c in facts.concepts if c not in visited],
        most_visits=max([1, *(max(c["num_before"], c["num_after"]) for c in facts.concepts)]),
        rank_chart=_rank_chart(visited),
        word_chart=_word_chart(stats["caption_words"]),
        samples=pick_samples(facts.shards_dir, facts.concepts),
        configs=[
            (uri, json.dumps(d.manifest.config, indent=1), dict(d.manifest.versions))
            for (uri, _), d in zip(
                facts.ledgers,
                (facts.clips_dir, *facts.captions_dirs, facts.shards_dir),
                strict=True,
            )
        ],
        extra_sections=extra_sections,
    )


def _visits(stats: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table of spreads, from the texts given to the balanced set."""
    labels = {
        "given": "texts that came with the videos",
        "before": "with generated captions",
        "after": "after balancing",
    }
    return [{"label": label, **stats["train_visits"][key]} for key, label in labels.items()]


def _concept_rows(concepts: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Concepts by frequency; of very many the two ends, with None for what is left out."""
    ordered = sorted(concepts, key=lambda c: (-c["num_before"], c["id"]))
    if len(ordered) <= MAX_CONCEPT_ROWS:
        return list(ordered)
    half = MAX_CONCEPT_ROWS // 2
    return [*ordered[:half], None, *ordered[-half:]]


def _rank_chart(concepts: Sequence[dict[str, Any]]) -> str:
    series = {name: [c[key] for c in concepts] for name, key in _SERIES.items()}
    return rank_curve(
        series, alt="Visits per concept, most frequent first, before and after balancing"
    )


_SERIES = {"before": "num_before", "after": "num_after"}


def _word_chart(lengths: dict[str, dict[str, int]]) -> str:
    """Share of texts by number of words, given and generated apart."""
    longest = max((int(n) for counts in lengths.values() for n in counts), default=0)
    width = max(1, -(-(longest + 1) // 24))
    bins = range(0, longest + 1, width)
    series = {}
    for kind in ("given", "generated"):
        counts = {int(n): c for n, c in lengths.get(kind, {}).items()}
        total = sum(counts.values()) or 1
        series[kind] = [
            100 * sum(counts.get(n, 0) for n in range(start, start + width)) / total
            for start in bins
        ]
    labels = [str(b) if width == 1 else f"{b}-{b + width - 1}" for b in bins]
    return columns(
        series,
        labels,
        x="words",
        y="share of texts (%)",
        alt="Share of texts by number of words: given texts and generated captions",
    )
