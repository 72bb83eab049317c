"""What is said of a split that is not drawn, or not as it was asked for."""

from __future__ import annotations

from collections.abc import Iterator


def is_given(split: str, asked: float | None) -> str:
    return (
        f"--{split}-size {asked} has no effect: the input gives the {split} split, "
        "and splits that are given are kept. Blank it in the input manifest to have one drawn"
    )


def too_few_rows(split: str, num_rows: int, num_concepts: int, num_without: int) -> str:
    return (
        f"the {split} split has no row of {num_without:,} concepts that trusted clips are about: "
        f"its {num_rows:,} rows are too few for {num_concepts:,} concepts. Give a larger "
        f"--{split}-size, or fewer concepts"
    )


def why_not(
    split: str, asked: float | None, size: int, num_kept: int, num_free: int
) -> Iterator[str]:
    """Nothing is drawn: the warning to give, where one is due. size: rows that are lacking."""
    if not num_kept:
        if asked != 0:
            yield too_few(split, size, num_free)
    elif size > 0:
        yield (
            f"the {split} split keeps its {num_kept:,} rows of --splits-from: {size:,} more are "
            f"wanted, {num_free:,} trusted clips of new videos are left"
        )
    elif size < 0 and asked is not None:
        yield (
            f"--{split}-size {asked} is less than the {num_kept:,} rows of the {split} split that "
            "--splits-from keeps; none is taken out"
        )


def too_few(split: str, size: int, num_free: int) -> str:
    use = {
        "meta": "training will use no learned weights",
        "val": "training will not be validated",
        "test": "the model will not be tested",
    }[split]
    if size:
        reason = f"{size} rows wanted, {num_free} trusted clips of unused videos left"
    else:
        reason = f"too few trusted clips of videos without a given split ({num_free})"
    # A size is no advice where there is nothing to draw from.
    smaller = "a smaller " if size else ""
    other = f", or give {smaller}--{split}-size" if num_free else ""
    return (
        f"the {split} split stays empty: {reason}; {use}. `mama-augment review` makes trusted rows "
        f"in the browser; or mark rows `trusted` in the input manifest{other}"
    )


def costs_too_much(split: str, num_rows: int, num_wanted: int) -> str:
    """The default size is not reached, because whole videos would leave train."""
    what = f"has {num_rows:,} of {num_wanted:,} rows" if num_rows else "stays empty"
    return (
        f"the {split} split {what}: a video serves on one side only, and drawing more would cost "
        "train more than a fifth of its clips (one video may hold most of them). Give splits in "
        "the input manifest, where a long video may be several"
    )
