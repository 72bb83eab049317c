"""What a plan expects of new captions, beside the plan: its concepts, and visits of each.

`plan.parquet` has `plan.concepts/` beside it: the assigner, so that captions are later counted in
the same concepts, and forecast.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.concepts.base import FittedAssigner
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

FORECAST_NAME = "forecast.json"


def concepts_beside(plan_uri: str) -> str:
    """The folder that `plan` writes beside its plan."""
    return f"{plan_uri.removesuffix('.parquet')}.concepts"


def write_forecast(plan_uri: str, assigner: FittedAssigner, expected: npt.NDArray) -> None:
    """expected: [concepts], new visits."""
    folder = Folder(concepts_beside(plan_uri))
    assigner.save(folder)
    content = {"names": list(assigner.names), "expected": [int(n) for n in expected]}
    folder.write_bytes(FORECAST_NAME, json.dumps(content, indent=1, ensure_ascii=False).encode())


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """New visits that a plan expects of each concept."""

    names: tuple[str, ...]
    expected: npt.NDArray[np.int64]

    @classmethod
    def read(cls, plan_uri: str) -> Forecast:
        """
        Raises:
            InputError: there is none beside the plan.
        """
        folder = Folder(concepts_beside(plan_uri))
        if not folder.exists(FORECAST_NAME):
            raise InputError(
                f"--plan {plan_uri!r}: {folder.uri!r} holds no {FORECAST_NAME}; "
                "`mama-augment plan` writes it beside the plan"
            )
        content = json.loads(folder.read_bytes(FORECAST_NAME))
        expected = np.array(content["expected"], np.int64)
        return cls(names=tuple(content["names"]), expected=expected)

    def compare(self, names: Sequence[str], brought: npt.NDArray[np.int64]) -> dict[str, Any]:
        """For stats.json: expected and actual visits, by concept.

        brought: [concepts], visits of the generated captions in train.

        Raises:
            InputError: they are counted in other concepts than the plan's.
        """
        if tuple(names) != self.names:
            raise InputError(
                "--plan: these shards count other concepts than the plan; leave --concept-model "
                "and --concept-edits out, or --plan"
            )
        met = np.minimum(self.expected, brought)
        order = np.argsort(-np.maximum(self.expected, brought), kind="stable")
        rows = [
            {"name": names[i], "expected": int(self.expected[i]), "brought": int(brought[i])}
            for i in order
            if self.expected[i] or brought[i]
        ]
        return {
            "num_expected": int(self.expected.sum()),
            "num_brought": int(brought.sum()),
            "share_met": float(met.sum() / max(1, self.expected.sum())),
            "concepts": rows,
        }
