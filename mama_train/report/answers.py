"""The answers of a run in its report."""

from __future__ import annotations

from typing import Any

from mama_augment.core.shared.page import note, table


def answers_html(metrics: dict[str, Any]) -> str:
    """Accuracy on every split that was measured, beside chance and the most frequent answer; then
    by group of questions."""
    measured = {
        "test": metrics.get("test"),
        "val": metrics.get("val"),
        "val before the first step": metrics.get("val_at_start"),
        **{f"test of {name}": more for name, more in metrics.get("eval_shards", {}).items()},
    }
    rows, by_group = [], []
    for split, found in measured.items():
        if not found:
            continue
        every = found["answers"]
        numbers = (every["acc"], every["acc@10"], found["chance"]["answers"]["acc"])
        of_all = (*numbers, found["majority"], found["joint"]["acc"])
        counts = (found["num_questions"], found["num_outside"], found["num_left_out"])
        rows.append([split, *(f"{n:.1f}" for n in of_all), *map(str, counts)])
        by_group += [
            [split, name or "no type", f"{of['acc']:.1f}", str(of["num_questions"])]
            for name, of in found["by_group"].items()
        ]
    head = [
        "",
        "accuracy %",
        "top 10 %",
        "by chance %",
        "most frequent answer %",
        "joint %",
        "questions",
        "outside the vocabulary",
        "left out",
    ]
    words = note(
        "Accuracy is over all questions with a known answer; one outside the vocabulary is wrong. "
        "Joint: the questions of one group count once, and are right together or not at all."
    )
    notes = "".join(map(note, metrics["notes"]))
    if not rows:
        return "<p>No split to evaluate on.</p>" + notes
    more = table(["", "questions", "accuracy %", "number"], by_group, num_left=2)
    return words + table(head, rows) + more + notes
