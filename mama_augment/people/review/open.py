"""Open a review: read the texts, draw the sample or go on with the one that is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mama_augment.balance.source.inputs import Inputs
from mama_augment.concepts import ConceptConfig, fit_assigner, load_assigner
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.core.store.same import WAY_OUT
from mama_augment.core.store.several import identity_of
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.clips import Clips
from mama_augment.people.review.config import SampleConfig
from mama_augment.people.review.sample import Item, draw_sample
from mama_augment.people.review.session import Session
from mama_augment.people.review.texts import Agreement, TextIndex, fit_sample, write_index
from mama_augment.people.review.verdicts import STEP, Verdicts

MODEL_FOLDER = "concept_model"


def open_session(
    inputs: Inputs,
    out: str,
    sample: SampleConfig,
    concepts: ConceptConfig,
    scratch: Path,
    *,
    agreement: Agreement | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Session:
    """Begin the review in `out`, or go on with it.

    scratch: a folder for as long as the session lasts.

    Raises:
        InputError: `out` holds something else, or a review of other clips; there is no text to
            review.
    """
    existing = StepDir.begun(out)
    if existing is not None:
        _check(existing, inputs, out)
    tell("reading clips")
    clips = Clips(inputs.clips)
    model = Folder(out).child(MODEL_FOLDER)
    if existing is not None and model.exists("model.json"):
        assigner = load_assigner(model.uri)
    else:
        tell(f"finding concepts ({concepts.assigner})")
        assigner = fit_assigner(concepts, lambda: fit_sample(inputs, sample.seed))
    tell("reading texts")
    index = write_index(inputs, scratch / "texts.parquet", assigner, agreement)
    if existing is not None:
        return Session(index, clips, Verdicts.resume(existing))
    tell("drawing texts to review")
    num_clips = sum(record.num_rows for record in inputs.clips.records().values())
    items = draw_sample(index, sample.sizes(num_clips), sample.seed)
    if not items:
        raise InputError(
            f"nothing in {inputs.clips.uri} is to be reviewed: no caption or text of a clip "
            "without a given split. Give the captions, too: mama-augment review CLIPS CAPTIONS"
        )
    config = {"sample": dataclasses.asdict(sample), "concepts": concepts.assigner}
    verdicts = Verdicts.open(out, _asked(index, items), config, inputs.clips.sources)
    assigner.save(model)
    return Session(index, clips, verdicts)


def _asked(index: TextIndex, items: list[Item]) -> list[dict[str, Any]]:
    rows = index.rows([item.number for item in items])
    return [
        {
            **{n: row[n] for n in ("clip_id", "video_uri", "source", "caption_index")},
            "raw_text": row["text"],
            "split": item.split,
            "concept": None if item.concept is None else index.names[item.concept],
        }
        for row, item in zip(rows, items, strict=True)
    ]


def _check(existing: StepDir, inputs: Inputs, out: str) -> None:
    if existing.step != STEP:
        raise InputError(f"{out!r} holds the output of `mama-augment {existing.step}`. {WAY_OUT}")
    there = {identity_of(step_dir) for step_dir in inputs.clips.dirs}
    for source in existing.manifest.sources:
        if source["id"] not in there:
            raise InputError(
                f"{out!r} is a review of the clips in {source['uri']!r}, which are not among "
                f"those given ({inputs.clips.uri}). Give them too, or another --out"
            )
