"""How evenly concepts are spread, as cells of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SPREAD_COLUMNS = ("visits", "effective number", "Gini", "head/tail ratio")


def spread_cells(row: Mapping[str, Any], num_visits: int) -> tuple[str, ...]:
    """One cell for each of `SPREAD_COLUMNS`. row: the fields of `concepts.histogram.Spread`."""
    ratio = row["head_tail_ratio"]
    return (
        f"{num_visits:,}",
        f"{row['effective_number']:.2f} of {row['num_concepts']}",
        f"{row['gini']:.3f}",
        "no tail" if ratio is None else f"{ratio:,.1f}",
    )
