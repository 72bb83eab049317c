"""What a concept assigner is: texts in, concept ids out, saved as arrays and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import pyarrow as pa

from mama_augment.concepts.language.kinds import DEFAULT_KINDS, check_kinds, parse_kinds
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.concepts.registry import ASSIGNERS
from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.store.files import Folder

MODEL_NAME = "model.json"


@dataclass(frozen=True, kw_only=True)
class ConceptConfig:
    """How concepts are found."""

    assigner: str = field(
        default="vocabulary", metadata=option("--concepts", choices=tuple(ASSIGNERS))
    )
    """How concepts are found."""
    num_concepts: int | None = None
    """Number of topics (by default 8) or clusters (64), or the most mined concepts (1,000)."""
    vocabulary: str | None = None
    """The concepts of `vocabulary`: a file with a phrase per line, or lists of the package
    (actions, objects, scenes); several with commas. Without it, concepts are mined from the
    texts."""
    kinds: tuple[str, ...] = field(
        default=DEFAULT_KINDS,
        metadata=option(
            "--concept-kinds", parse=parse_kinds, default_shown=",".join(DEFAULT_KINDS)
        ),
    )
    """Kinds of mined concepts, with commas: objects, actions, scenes, attributes, people."""
    per_text: int | None = field(default=None, metadata=option("--concepts-per-text"))
    """A text has its most specific concepts, at most so many: by default 3 of mined ones and of
    lists of the package, and all of a file."""
    min_texts: int | None = field(default=None, metadata=option("--min-texts"))
    """Texts that a concept needs. Mined ones with fewer are left out (by default 3); those of the
    package's lists count as their parent, such as ferret as animal (5)."""
    language: str = "en"
    """The texts' language, as a code of two letters. In other languages than English, mined
    concepts are lemmas of all kinds."""
    edits: str | None = field(default=None, metadata=option("--concept-edits"))
    """A TOML file that strikes, merges and renames concepts; `mama-augment concepts` begins
    one."""
    column: str | None = field(default=None, metadata=option("--concept-column"))
    """The column of the clips table that `given` (labels) and `embedding` (vectors) read. A saved
    model remembers its own."""
    model: str | None = field(default=None, metadata=option("--concept-model"))
    """Use the `concept_model` folder of other shards instead of finding concepts anew."""
    seed: int = 0
    """Decides every random draw: order, splits and topics."""

    def __post_init__(self) -> None:
        ASSIGNERS.check(self.assigner)
        if self.num_concepts is not None and self.num_concepts < 1:
            raise InputError(f"--num-concepts is {self.num_concepts}; at least 1 is needed")
        check_kinds(self.kinds)
        for name, flag in (("per_text", "--concepts-per-text"), ("min_texts", "--min-texts")):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise InputError(f"{flag} is {number}; at least 1 is needed")
        if ASSIGNERS[self.assigner].reads and not self.column and not self.model:
            raise InputError(
                f"--concepts {self.assigner} reads a column of the clips table: name it with "
                "--concept-column"
            )


@dataclass(frozen=True, kw_only=True)
class ColumnKind:
    """The columns of the clips table that an assigner makes sense of."""

    text: str
    """What they hold, for messages."""
    fits: Callable[[pa.DataType], bool]


class FittedAssigner(Protocol):
    """Says which concepts each text is about."""

    @property
    def names(self) -> Sequence[str]:
        """A readable name for every concept id."""
        ...

    def assign(self, batch: TextBatch) -> list[list[int]]:
        """Ascending, distinct concept ids of each text; empty where none matches."""
        ...

    def save(self, folder: Folder) -> None:
        """Write arrays and JSON below `folder` (never a pickle)."""
        ...


class ConceptAssigner(FittedAssigner, Protocol):
    """A variant of `--concepts`: how one is made."""

    name: ClassVar[str]
    help: ClassVar[str]
    """One line for those who choose an assigner."""
    options: ClassVar[tuple[str, ...]]
    """The fields of ConceptConfig that `fit` takes; nothing else decides its outcome."""
    reads: ClassVar[ColumnKind | None]
    """What is looked at: a column of the clips table, of this kind. None: the texts."""

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Self:
        """Make one from the texts, or from their clips' column.

        Raises:
            InputError: nothing can be made of them.
        """
        ...

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Self:
        """What `save` wrote into `folder`; `content` is its JSON part, read by `read_model`."""
        ...


def write_model(folder: Folder, content: dict[str, Any]) -> None:
    """Write an assigner's JSON part; it names the assigner, so that it can be loaded again."""
    assert content["assigner"] in ASSIGNERS, content["assigner"]
    folder.write_bytes(MODEL_NAME, json.dumps(content, indent=1, ensure_ascii=False).encode())


def read_model(folder: Folder) -> dict[str, Any]:
    """Read an assigner's JSON part.

    Raises:
        InputError: there is none in `folder`, or it is damaged.
    """
    if not folder.exists(MODEL_NAME):
        raise InputError(
            f"--concept-model {folder.uri!r} holds no {MODEL_NAME}; give the `concept_model` "
            "folder of an earlier `balance`"
        )
    try:
        content = dict(json.loads(folder.read_bytes(MODEL_NAME)))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"--concept-model {folder.uri!r}: its {MODEL_NAME} is damaged ({error})"
        ) from error
    if content.get("assigner") not in ASSIGNERS:
        raise InputError(
            f"--concept-model {folder.uri!r}: its {MODEL_NAME} is of the assigner "
            f"{content.get('assigner')!r}; allowed: {', '.join(ASSIGNERS)}"
        )
    return content
