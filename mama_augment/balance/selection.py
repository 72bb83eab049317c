"""What becomes of each text: split, concepts, the draw that thins the head; reasons for the rest.

Works on the clips of one bucket at a time. A text's fate depends on its own ids, the concept
counts and the seed, never on the order of work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from mama_augment.balance.corpus import ClipTexts, Text
from mama_augment.balance.keep.rule import KeepRule
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import Candidate, DrawnSplits
from mama_augment.concepts.base import FittedAssigner
from mama_augment.concepts.language.texts import TextBatch
from mama_augment.core.draws import draw_unit


def text_batch(clips: Iterable[ClipTexts]) -> TextBatch:
    """The texts that are still in, with their clips' column values."""
    texts = [(text.text, clip.value) for clip in clips for text in clip.kept()]
    return TextBatch(texts=[t for t, _ in texts], values=[v for _, v in texts])


def assign_concepts(clips: Sequence[ClipTexts], assigner: FittedAssigner) -> None:
    """Give every text that is still in its concept ids."""
    assigned = iter(assigner.assign(text_batch(clips)))
    for clip in clips:
        for text in clip.kept():
            text.concept_ids = next(assigned)


def candidates(clips: Iterable[ClipTexts]) -> list[Candidate]:
    """Clips that may be drawn into a held-out split as far as they tell: no split, trusted."""
    found = []
    for clip in clips:
        trusted = [text for text in clip.kept() if text.trusted]
        if clip.split is None and trusted:
            concept_ids = sorted({i for text in trusted for i in text.concept_ids})
            found.append(Candidate(clip.order, clip.clip_id, clip.video, tuple(concept_ids)))
    return found


def settle_split(clip: ClipTexts, drawn: DrawnSplits) -> None:
    """Fix the clip's split; texts that must not be seen there get the reason `split_reserved`.

    A held-out split takes the trusted texts of its own clips. Any other clip of a video that is
    held out anywhere is used nowhere else: no video is on both sides.
    """
    held_out = drawn.split_of_video.get(clip.video)
    split = clip.split or drawn.split_of_clip.get(clip.clip_id) or "train"
    clip.split = split
    for text in clip.kept():
        if held_out is not None and (held_out != split or not text.trusted):
            text.reason = "split_reserved"


def thin(clips: Sequence[ClipTexts], rule: KeepRule, config: BalanceConfig) -> None:
    """Decide which texts of training clips stay: one seeded draw per text, then the limit.

    Over the limit, texts with the higher keep probability (the rarer concepts) go first.
    """
    texts = [text for clip in clips for text in clip.kept()]
    keep = rule.of([text.concept_ids for text in texts]).tolist()
    for text, probability in zip(texts, keep, strict=True):
        if not text.concept_ids and config.unmatched == "drop":
            text.reason = "unmatched"
            continue
        text.keep_probability = probability
        if config.way == "drop" and draw_unit(config.seed, "keep", text.id) >= probability:
            text.reason = "head_dropped"
    if config.max_captions_per_clip is not None:
        for clip in clips:
            captions = [t for t in clip.kept() if not t.is_question]
            draws = {t.id: draw_unit(config.seed, "keep", t.id) for t in captions}
            order = sorted(captions, key=lambda t: (-t.keep_probability, draws[t.id], t.id))
            for text in order[config.max_captions_per_clip :]:
                text.reason = "over_caption_limit"


def count_visits(
    texts: Iterable[Text], num_concepts: int, into: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """Add one visit per text to each of its concepts."""
    counts = np.zeros(num_concepts, np.int64) if into is None else into
    for text in texts:
        counts[text.concept_ids] += 1
    return counts
