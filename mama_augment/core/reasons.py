"""Why items leave the flow of a step: every reason there is, with its verdict and its words.

A reason is a short code that tables and summaries show; its words stand here alone, and the tables
of the docs are made from them (docs/generate.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

Verdict = Literal["rejected", "failed", "left_out"]
"""`rejected`: on the input, the same every run. `failed`: worth a retry. `left_out`: no item of the
step at all, but told of beside its ledger."""
Where = Literal["rejects", "rows", "manifest"]
"""A row of `rejects/`, a row of the step's own table, or a count in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why an item left; the same code may be a reason of several steps."""

    code: str
    step: str
    verdict: Verdict
    text: str
    """What happened, for messages: no capital, no full stop."""
    more: str = ""
    """What the docs add: limits, options, ways out."""
    where: Where = "rejects"
    shared: bool = False
    """It may be everybody's: a fault of engine, store or network (`core.breaker`)."""


_REASONS: dict[tuple[str, str], Reason] = {}


def register(*reasons: Reason) -> None:
    """Add reasons, once each."""
    for reason in reasons:
        key = (reason.step, reason.code)
        assert key not in _REASONS, key
        _REASONS[key] = reason


@contextmanager
def registered(*reasons: Reason) -> Iterator[None]:
    """Add reasons for as long as the block lasts, in this process."""
    register(*reasons)
    try:
        yield
    finally:
        for reason in reasons:
            del _REASONS[reason.step, reason.code]


def reason_of(step: str, code: str) -> Reason:
    """The reason that a step means by a code; asserts that there is one."""
    assert (step, code) in _REASONS, f"{code!r} is not a registered reason of {step!r}"
    return _REASONS[step, code]


def verdict_of(step: str, code: str) -> Verdict:
    """`rejected`, `failed` or `left_out`."""
    return reason_of(step, code).verdict


def is_shared(step: str, code: str) -> bool:
    """Whether a reason may be everybody's; not one that this version does not know."""
    reason = _REASONS.get((step, code))
    return reason is not None and reason.shared


def reasons_of(step: str) -> list[Reason]:
    """All of a step's reasons, in the order in which they are checked or told of."""
    return [reason for reason in _REASONS.values() if reason.step == step]


def _table(
    step: str,
    verdict: Verdict,
    *rows: tuple[str, str] | tuple[str, str, str],
    where: Where,
    shared: bool = False,
) -> None:
    """Register (code, text[, more]) rows."""
    for code, text, *more in rows:
        register(
            Reason(
                code=code,
                step=step,
                verdict=verdict,
                text=text,
                more="".join(more),
                where=where,
                shared=shared,
            )
        )


_table(
    "keyframes",
    "rejected",
    ("unreadable", "no frame can be decoded: damaged, empty, a directory, or not a video at all"),
    ("no_video", "the file has no video stream: sound only, or cover pictures only"),
    ("too_short", "the span lies outside the video, or has fewer frames than `--least-frames`"),
    (
        "too_large",
        "the picture has more pixels than `--max-pixels`, the frames together more than "
        "`--max-decoded-pixels`, or a copied file more bytes than `--max-bytes`",
    ),
    ("outside", "the file lies outside `--root`", "by its path, or where a link leads"),
    (
        "bad_name",
        "the file's name is not UTF-8, or holds a NUL",
        "tables show its other bytes as `\\xff`; rename the file",
    ),
    where="rejects",
)
_table(
    "keyframes",
    "failed",
    ("missing", "the file is not there"),
    ("io_error", "the disk or the server does not give the file"),
    (
        "unknown_scheme",
        "the URI is not opened: of a kind that is not allowed (`--allow-scheme`), with a user, "
        "with options or a chain, or nothing installed here opens it",
        "`https://` needs aiohttp: install it, then `--retry-failed`",
    ),
    where="rejects",
    shared=True,
)
_table(
    "keyframes",
    "failed",
    ("timeout", "the clip took longer than `--time-limit-seconds` and was killed"),
    ("out_of_memory", "the clip needed more than `--memory-limit-mb` and was killed"),
    ("crashed", "the decoder's process died"),
    where="rejects",
)
for _reason in reasons_of("keyframes"):  # frames of clips are decoded again
    register(replace(_reason, step="regions"))
_table(
    "regions",
    "rejected",
    ("no_true_regions", "`--model truth`, and the clip has no boxes of its own"),
    ("no_features", "`--model butd:FOLDER`, and its files lack the clip, or what it needs"),
    where="rejects",
)
_table(
    "caption",
    "rejected",
    ("empty", "no letters"),
    ("garbled", "bytes that are not text"),
    ("thinking", "the thoughts of a reasoning model, which did not end"),
    ("echo", "the prompt itself"),
    ("looping", "a phrase or letters over and over"),
    ("no_input", '"No video was provided", "The frames are all black"'),
    ("refusal", '"I\'m sorry, …", "As an AI …"'),
    ("wrong_language", "not in `--language`"),
    ("wrapper", "several answers, code, links, or talk to the user around the caption"),
    ("truncated", "`--max-tokens` ended it before a sentence was complete"),
    ("grid_talk", "talk of frames, panels, rows or the grid"),
    ("too_short", "fewer words than `--min-words`"),
    ("too_long", "more words than `--max-words`"),
    where="rows",
)
_table(
    "caption",
    "rejected",
    ("no_frames", "the clip has no key frames"),
    ("broken_frame", "a JPEG does not decode, or has more than 64 million pixels"),
    (
        "prompt_error",
        "the template fails on the clip's columns",
        "a value that is not there, endless recursion, a text of more than 100,000 characters",
    ),
    ("prompt_too_long", "the prompt and the picture do not fit into the model's context"),
    ("request_refused", "the engine does not take the request, now or later"),
    ("content_filter", "the server's filter ended the caption"),
    ("ended_by_server", "the server ended the caption in a way of its own, named in the message"),
    where="rejects",
)
_table(
    "caption",
    "failed",
    ("out_of_memory", "memory ran out, even with this caption alone"),
    ("engine_death", "the engine died twice while it worked on this request"),
    ("engine_error", "the engine gave an error, or no end"),
    ("server_error", "the server is overloaded or broken, at every attempt"),
    ("timeout", "the server did not answer in time, at every attempt"),
    where="rejects",
)
_table(
    "caption",
    "left_out",
    (
        "split_reserved",
        "given to meta, val or test, where only trusted texts serve; --every-split captions them",
    ),
    ("not_planned", "the plan gives them none"),
    ("flagged", "their pictures have a flag that `--skip-flags` names"),
    where="manifest",
)
_table(
    "features",
    "rejected",
    ("no_frames", "the clip has no key frames"),
    ("broken_frame", "a JPEG does not decode, or has more than 64 million pixels"),
    where="rejects",
)
_table(
    "score",
    "rejected",
    ("no_features", "its clip has no vector: the features are of other clips, or left it out"),
    ("empty_text", "the text is blank"),
    where="rejects",
)
_table(
    "review",
    "rejected",
    ("wrong", "it says what is not there"),
    ("incomplete", "it leaves out what matters"),
    ("vague", "it would fit many other clips"),
    ("bad_language", "it is garbled, or not a sentence"),
    ("unsafe", "it, or the clip, should not be in a training set"),
    ("bad_clip", "the clip itself is of no use"),
    where="rows",
)
# These words stand in `rejects/` of every balanced directory: other words are other bytes.
_table(
    "balance",
    "rejected",
    ("no_clip", "the clips table has no such clip; was the caption made from another one?"),
    ("empty_text", "the text is blank"),
    (
        "low_agreement",
        "it agrees less with its clip than is wanted",
        "only with `--min-agreement`; never a trusted text",
    ),
    (
        "not_best",
        "the model wrote a caption of the clip that agrees more",
        "only with `--keep best`",
    ),
    (
        "near_duplicate",
        "its clip looks like a held-out one",
        "only with `--near-duplicates drop`",
    ),
    ("review_rejected", "a person rejected it", "only with `--reviews`"),
    (
        "duplicate",
        "the clip already has this text",
        "case and spacing aside; of two copies the trusted one stays",
    ),
    (
        "split_reserved",
        "its clip or video is held out, where only trusted texts serve",
        "meta, val and test take texts of their own clips; no other clip of a held-out video "
        "serves anywhere",
    ),
    (
        "near_identical",
        "enough other clips have nearly the same text",
        "only with `--max-same-text`",
    ),
    (
        "unmatched",
        "it matches no concept, and such texts are dropped on request",
        "only with `--unmatched drop`",
    ),
    ("head_dropped", "its concepts are frequent, and the draw did not keep it"),
    (
        "over_caption_limit",
        "the clip has enough captions of rarer concepts",
        "only with `--max-captions-per-clip`",
    ),
    ("no_text", "the clip has no text at all"),
    where="rejects",
)
