"""One self-contained HTML file about a training set: what went in, what came out, what it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib import resources
from typing import Any

from mama_augment.balance.source.inputs import Inputs, by_step
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.core.shared.page import Section, page
from mama_augment.core.store.files import output_file
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.report.facts import Facts, collect
from mama_augment.people.report.judged import pick_judged
from mama_augment.people.report.plots import rank_curve, words_per_text
from mama_augment.people.report.samples import pick_samples

MAX_CONCEPT_ROWS = 40
SECTIONS = {
    "flow": ("Flow", "From videos to rows"),
    "concepts": ("Concepts", "Concepts before and after"),
    "samples": ("Samples", "Samples, rarest concepts first"),
    "captions": ("Captions", "Captions"),
    "ledger": ("Ledger", "Ledger"),
    "made": ("How it was made", "How it was made"),
}
"""Name and title of each block of report.html, in order."""
NUM_BEFORE_EXTRA = 4
"""Sections of other programs stand after the captions."""


def build_report(
    out_path: str,
    clips_dir: str | Sequence[str],
    captions_dirs: Sequence[str],
    shards_dir: str,
    extra_sections: Sequence[Section] = (),
) -> str:
    """Write the report and return its path.

    Args:
        clips_dir: one clips directory or more.
        extra_sections: parts of another program, such as the trainer's plots; used as they are.

    Raises:
        InputError: a directory is not the output of the step it is given for, or they do not
            belong together; or `out_path` is a directory.
    """
    inputs = Inputs.open(clips_dir, captions_dirs)
    return write_report(out_path, inputs, StepDir.open(shards_dir, step="balance"), extra_sections)


def write_report(
    out_path: str, inputs: Inputs, shards_dir: StepDir, extra_sections: Sequence[Section] = ()
) -> str:
    """As `build_report`, of directories that are open."""
    folder, name = output_file(out_path)
    facts = collect(inputs, shards_dir)
    folder.write_bytes(name, render(facts, extra_sections).encode())
    return out_path


def sort_directories(uris: Sequence[str]) -> tuple[Inputs, StepDir]:
    """(clips and captions, shards) among step directories given in any order.

    Raises:
        InputError: there are no clips, or there is not exactly one shards directory.
    """
    opened = by_step(uris)
    shards = opened.pop("balance", [])
    if len(shards) != 1:
        named = ", ".join(step_dir.folder.uri for step_dir in shards)
        raise InputError(
            f"{len(shards)} of the directories hold the output of `mama-augment balance` "
            f"({named or 'none'}); a report needs exactly one"
        )
    return Inputs.of(opened), shards[0]


def render(facts: Facts, extra_sections: Sequence[Section] = ()) -> str:
    """The page itself."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    files = resources.files("mama_augment.people.report")
    template = environment.from_string(files.joinpath("report.html").read_text())
    context = template.new_context(_values(facts))

    def block(name: str) -> str:
        return "".join(template.blocks[name](context))

    own = [Section(name=n, title=t, html=block(key)) for key, (n, t) in SECTIONS.items()]
    num_captions = facts.stats["splits"]["train"]["num_captions"]
    return page(
        f"From {facts.num_videos:,} videos to {num_captions:,} training captions",
        [*own[:NUM_BEFORE_EXTRA], *extra_sections, *own[NUM_BEFORE_EXTRA:]],
        made_by="mama-augment",
        lead="What mama-augment made, what left on the way and why, and how evenly the concepts "
        "are visited.",
        top=block("top"),
        css=files.joinpath("report.css").read_text(),
    )


def _values(facts: Facts) -> dict[str, Any]:
    """What report.html shows."""
    stats = facts.stats
    visited = [c for c in facts.concepts if c["num_before"] or c["num_after"]]
    rejected, cleaned = pick_judged(facts.inputs)
    steps = (*facts.inputs.dirs, facts.shards_dir)
    return {
        "facts": facts,
        "stats": stats,
        "splits": SPLITS,
        "visits": _visits(stats),
        "concept_rows": _concept_rows(visited),
        "num_concepts": len(visited),
        "forecast_rows": stats.get("forecast", {}).get("concepts", [])[:MAX_CONCEPT_ROWS],
        "never": [c["name"] for c in facts.concepts if c not in visited],
        "most_visits": max([1, *(max(c["num_before"], c["num_after"]) for c in facts.concepts)]),
        "rank_chart": rank_curve(
            [c["num_before"] for c in visited], [c["num_after"] for c in visited]
        ),
        "word_chart": _word_chart(stats["caption_words"]),
        "samples": pick_samples(facts.shards_dir, facts.inputs.clips, facts.concepts),
        "rejected": rejected,
        "cleaned": cleaned,
        "review": " ".join(shlex.quote(str(step_dir.folder)) for step_dir in facts.inputs.dirs),
        "configs": [
            (uri, json.dumps(step.manifest.config, indent=1), dict(step.manifest.versions))
            for (uri, _), step in zip(facts.ledgers, steps, strict=True)
        ],
    }


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
    return words_per_text(series, labels)
