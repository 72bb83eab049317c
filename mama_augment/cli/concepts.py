"""The command `concepts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mama_augment.concepts.base import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.shared import say

if TYPE_CHECKING:
    from mama_augment.concepts.listing import Listed

EXAMPLE_CHARACTERS = 70


@dataclass(frozen=True, kw_only=True)
class ConceptsCommand:
    """Show what texts are about, before anything is balanced: concepts, counts, examples, and how
    good they are."""

    texts: tuple[str, ...] = field(metadata=option(positional=True))
    """Files of texts (.txt with one a line; .csv, .tsv or .parquet with a column `text`), or
    outputs of `keyframes` and of `caption`."""
    concepts: ConceptConfig = field(metadata=option(panel="Concepts"))
    show: int = 20
    """Concepts to print from the head of the list, and as many from its tail."""
    judge: bool = True
    """Measure coherence and stability, by finding concepts anew on halves of the texts."""
    out: str | None = None
    """Write a file to strike, merge and rename concepts in, for --concept-edits; with all names and
    counts as comments."""
    model: str | None = field(default=None, metadata=option("--save-model"))
    """Write what was found to this folder, for --concept-model."""

    def __call__(self) -> int:
        from mama_augment.concepts import fit_assigner
        from mama_augment.concepts.judge import judge
        from mama_augment.concepts.language.texts import batches_of, read_texts
        from mama_augment.concepts.listing import list_concepts, write_edits
        from mama_augment.core.store.files import Folder

        if self.show < 1:
            raise InputError(f"--show is {self.show}; at least 1 is needed")
        if self.concepts.column:
            raise InputError("--concept-column: `concepts` reads texts alone; leave it out")
        with say.terminal() as tell:
            tell.phase("reading")
            texts = read_texts(self.texts)
            tell.phase(f"finding concepts ({self.concepts.assigner})")
            assigner = fit_assigner(self.concepts, batches_of(texts))
            listed = list_concepts(assigner, texts)
            figures = None
            if self.judge and not self.concepts.model:
                tell.phase("judging")
                figures = judge(self.concepts, texts)
        show_concepts(listed, self.show)
        num_without = sum(not ids for ids in listed.ids)
        say.say(
            f"{len(texts):,} texts, {len(listed.names):,} concepts, "
            f"{sum(map(len, listed.ids)) / len(texts):.2f} per text; "
            f"{num_without:,} texts ({num_without / len(texts):.1%}) without one"
        )
        if figures is not None:
            found = figures.coherence
            coherence = "unknown: too few texts" if found is None else f"{found:.3f}"
            say.say(
                f"coherence {coherence} (NPMI on held-out halves), stability "
                f"{figures.stability:.3f} (three seeds and halves, matched concepts)"
            )
        if self.out is not None:
            write_edits(self.out, listed)
            say.say(f"edits: {self.out}; `balance` and `plan` take it with --concept-edits")
        if self.model is not None:
            assigner.save(Folder(self.model))
            say.say(f"model: {self.model}; `balance` and `plan` take it with --concept-model")
        say.summary(
            {
                "texts": len(texts),
                "concepts": len(listed.names),
                "without": num_without,
                "judged": None if figures is None else figures.to_json(),
                "edits": self.out,
                "model": self.model,
            }
        )
        return 0


def show_concepts(listed: Listed, most: int) -> None:
    """The head and the tail of the list."""
    order = listed.order
    if len(order) <= 2 * most:
        _show("concepts", listed, order)
    else:
        _show("most frequent concepts", listed, order[:most])
        _show("rarest concepts", listed, order[-most:])


def _show(title: str, listed: Listed, chosen: Sequence[int]) -> None:
    rows = []
    for i in chosen:
        example = listed.examples.get(i, "")
        if len(example) > EXAMPLE_CHARACTERS:
            example = example[: EXAMPLE_CHARACTERS - 1] + "…"
        rows.append((listed.names[i], f"{listed.counts[i]:,}", example))
    say.table(title, ("concept", "texts", "for example"), rows, right=["texts"])
