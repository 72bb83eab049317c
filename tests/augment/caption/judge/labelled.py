"""Labelled outputs of captioners: what each is to become. `python -m` prints precision and recall.

Each line of labelled.jsonl was written before the rules were; those `held_out` were first judged
when the rules stood.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from mama_augment.caption.judge.config import JudgeConfig
from mama_augment.caption.judge.verdict import Verdict, judge

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("labelled.jsonl").read_text().splitlines()
]
ENGLISH = JudgeConfig(language="en")


def verdict_of(row: dict[str, Any]) -> Verdict:
    return judge(
        row["raw"],
        prompt=row.get("prompt", ""),
        input=row["input"],
        finish_reason=row.get("finish", "stop"),
        config=ENGLISH,
    )


def scores(rows: list[dict[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Per reason: rows that have it, precision, recall; accepted ones by their text too."""
    wanted = [row.get("reason", "accepted") for row in rows]
    verdicts = [verdict_of(row) for row in rows]
    given = [verdict.reason or "accepted" for verdict in verdicts]
    right = Counter(
        w
        for row, w, g, v in zip(rows, wanted, given, verdicts, strict=True)
        if w == g and (w != "accepted" or v.text == row["text"])
    )
    of_wanted, of_given = Counter(wanted), Counter(given)
    return [
        (
            name,
            number,
            f"{right[name]} of {of_given[name]}",
            f"{right[name]} of {number}",
        )
        for name, number in sorted(of_wanted.items())
    ]


if __name__ == "__main__":
    held_out = [row for row in ROWS if row["held_out"]]
    print(f"{len(held_out)} held-out rows of {len(ROWS)}")
    print("| verdict | rows | precision | recall |\n|---|---|---|---|")
    for name, number, precision, recall in scores(held_out):
        print(f"| {name} | {number} | {precision} | {recall} |")
