"""Why items left, whether their reasons stand in a rejects file or in the rows themselves."""

from __future__ import annotations

from pathlib import Path

from mama_augment.core.store.rejects import NUM_EXAMPLES, count_reasons
from mama_augment.core.store.step_dir import StepDir
from tests.augment.worlds import caption, write_captions


def test_rejected_rows_count_with_a_few_of_them_as_examples(tmp_path: Path) -> None:
    rows = [caption(f"c{i}", 0, None) for i in range(5)] + [caption("good", 0, "a red ball")]
    (found,) = count_reasons(StepDir.open(write_captions(tmp_path / "captions", rows)))
    assert (found.step, found.verdict, found.reason) == ("caption", "rejected", "empty")
    assert found.num_items == 5
    said = "(the model said nothing)"
    assert found.examples == tuple((f"c{i}#0", said) for i in range(NUM_EXAMPLES))
