"""Answers of a model to the questions of a split, and how many are right.

The rank of an answer is 1 + the number of other classes or options with a logit at least as high:
a model that says the same of all is right by no tie. An answer outside the vocabulary is behind all
that are in it. Accuracy is over all questions whose answer is known.

Shapes: Q questions, K options or classes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mama_train import ranks
from mama_train.data.asked import QuestionSource
from mama_train.data.batch import same_text
from mama_train.data.questions import Question
from mama_train.models.base import DualEncoder

CLIPS_AT_ONCE = 64
QUESTIONS_AT_ONCE = 64
FAMILIES = {
    **dict.fromkeys(("CW", "CH"), "causal"),
    **dict.fromkeys(("TN", "TP", "TC"), "temporal"),
    **dict.fromkeys(("DC", "DL", "DO"), "descriptive"),
    **dict.fromkeys(("pa", "pr"), "predictive"),
    **dict.fromkeys(("ca", "cr"), "counterfactual"),
    "d": "descriptive",
    "e": "explanatory",
}
"""Types of questions that benchmarks report together: NExT-QA's and Causal-VidQA's."""


@torch.no_grad()
def evaluate_answers(
    model: DualEncoder,
    source: QuestionSource,
    *,
    autocast: torch.dtype | None = None,
    with_queries: bool = False,
) -> dict[str, Any]:
    """Accuracy, top-10 accuracy, the same by type and group, and what chance and the most frequent
    answer would give. Each process answers its share of the clips' questions."""
    index = source.rows.index
    was_training = model.training
    model.eval()
    asked = list(zip(index.clip_C.tolist(), index.caption_C.tolist(), strict=True))
    questions = [source.questions.at(row, place) for row, place in asked]
    mine = ranks.share(len(asked))
    found: list[torch.Tensor] = [torch.empty(0, dtype=torch.int64)]
    device = model.logit_scale.device
    for piece in _pieces(mine, [row for row, _ in asked]):
        rows = sorted({asked[i][0] for i in piece})
        video = torch.from_numpy(np.stack([source.shown(row) for row in rows])).to(device)
        with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            seen = model.look(video)
            for start in range(0, len(piece), QUESTIONS_AT_ONCE):
                numbers = piece[start : start + QUESTIONS_AT_ONCE]
                some = [questions[i] for i in numbers]
                place = torch.tensor([rows.index(asked[i][0]) for i in numbers], device=device)
                found.append(_ranks(model, source, some, seen[place]))
    rank_Q = ranks.gather(torch.cat(found).to(device), len(asked)).cpu().numpy()
    model.train(was_training)
    metrics = answer_metrics(rank_Q, questions, [row for row, _ in asked], source)
    if with_queries:
        metrics["queries"] = {"answers": rank_Q.tolist(), "bucket": []}
    return metrics


def _pieces(mine: slice, row_Q: Sequence[int]) -> Iterator[list[int]]:
    """Questions by number, of a few clips at a time."""
    piece: list[int] = []
    clips: set[int] = set()
    for number in range(mine.start, mine.stop):
        if row_Q[number] not in clips and len(clips) == CLIPS_AT_ONCE:
            yield piece
            piece, clips = [], set()
        piece.append(number)
        clips.add(row_Q[number])
    if piece:
        yield piece


def _ranks(
    model: DualEncoder, source: QuestionSource, some: Sequence[Question], seen: torch.Tensor
) -> torch.Tensor:
    asked = source.asked_of(some, slice(0, len(some))).changed(lambda t: t.to(seen.device))
    logits_QK = model.answer(seen, asked.ids_bKS, asked.mask_bKS).double()
    if torch.isnan(logits_QK).any():
        bad = some[int(torch.isnan(logits_QK).any(dim=1).nonzero()[0])]
        raise ValueError(f"logits are NaN, the first for question {bad.id!r}")
    if asked.counts_bK is not None:
        logits_QK = logits_QK.masked_fill(~asked.counts_bK, -torch.inf)
    rank_Q = answer_ranks(logits_QK, asked.answer_b)
    outside = [source.asking.answer(q) is None for q in some]
    behind = torch.full_like(rank_Q, logits_QK.shape[1] + 1)
    return torch.where(torch.tensor(outside, device=rank_Q.device), behind, rank_Q).cpu()


def answer_ranks(logits_QK: torch.Tensor, answer_Q: torch.Tensor) -> torch.Tensor:
    """[Q] 1 + the number of others at least as high as the answer; −inf does not count."""
    right_Q1 = logits_QK.gather(1, answer_Q[:, None])
    as_high = (logits_QK >= right_Q1) & (logits_QK > -torch.inf)
    return as_high.sum(dim=1)  # the answer itself is one of them


def answer_metrics(
    rank_Q: NDArray[np.int64],
    questions: Sequence[Question],
    row_Q: Sequence[int],
    source: QuestionSource,
) -> dict[str, Any]:
    """The metrics of ranks. Causal-VidQA's joint accuracies: a `question_group` of a clip counts
    once, and is right only if all of its questions are; `joint` is over those and the questions
    without one. majority_by_type: of saying each type's most frequent answer."""
    classes = source.asking.class_of
    is_right = rank_Q <= 1
    by_type: dict[str, list[bool]] = defaultdict(list)
    for question, right in zip(questions, is_right.tolist(), strict=True):
        by_type[question.type].append(right)
    num_of = [len(classes) if classes is not None else len(q.options) for q in questions]
    outside = [classes is not None and source.asking.answer(q) is None for q in questions]
    said = [same_text(q.answer or "") if classes is not None else str(q.right) for q in questions]
    said_of: dict[str, list[str]] = defaultdict(list)
    for question, answer in zip(questions, said, strict=True):
        said_of[question.type].append(answer)
    most = {name: Counter(all_of).most_common(1)[0][0] for name, all_of in said_of.items()}
    usual = [most[q.type] == answer for q, answer in zip(questions, said, strict=True)]
    chance_Q = [0.0 if out else 1 / n for n, out in zip(num_of, outside, strict=True)]
    top_Q = [0.0 if out else min(1, 10 / n) for n, out in zip(num_of, outside, strict=True)]
    return {
        "num_clips": len(set(row_Q)),
        "num_questions": len(questions),
        "num_left_out": len(source.questions) - len(questions),
        "num_outside": sum(outside),
        "answers": {
            "acc": _percent(is_right),
            "acc@10": _percent(rank_Q <= 10),
            "num_questions": len(questions),
        },
        "by_type": {name: _share(rights) for name, rights in sorted(by_type.items())},
        **_joint(is_right.tolist(), questions, row_Q, source),
        "majority": _percent(np.array(said) == Counter(said).most_common(1)[0][0]) if said else 0,
        "majority_by_type": _percent(usual),
        "chance": {"answers": {"acc": _percent(chance_Q), "acc@10": _percent(top_Q)}},
    }


def family_of(kind: str) -> str:
    """What a type of question is reported with; of `temporal:first`, that is `temporal`."""
    return FAMILIES.get(kind, kind.partition(":")[0])


def _joint(
    is_right: Sequence[bool],
    questions: Sequence[Question],
    row_Q: Sequence[int],
    source: QuestionSource,
) -> dict[str, Any]:
    units: dict[Any, list[tuple[bool, str]]] = defaultdict(list)
    for number, (question, right) in enumerate(zip(questions, is_right, strict=True)):
        alone = question.group is None
        key = number if alone else (row_Q[number], question.group)
        units[key].append((right, family_of(question.type)))
    size: Counter[Any] = Counter()
    for row in sorted(set(row_Q)):
        first, end = source.questions.first_R[row : row + 2].tolist()
        size.update((row, source.questions.at(row, i).group) for i in range(end - first))
    whole = {k: u for k, u in units.items() if isinstance(k, int) or len(u) == size[k]}
    by_family: dict[str, list[bool]] = defaultdict(list)
    for unit in whole.values():
        by_family["+".join(sorted({family for _, family in unit}))].append(all(r for r, _ in unit))
    every = [right for rights in by_family.values() for right in rights]
    return {
        "by_group": {name: _share(rights) for name, rights in sorted(by_family.items())},
        "joint": {**_share(every), "num_broken": len(units) - len(whole)},
    }


def _share(rights: Sequence[bool]) -> dict[str, float]:
    return {"acc": _percent(rights), "num_questions": len(rights)}


def _percent(shares: Any) -> float:
    values = np.asarray(shares, np.float64)
    return 100 * float(values.mean()) if len(values) else 0.0
