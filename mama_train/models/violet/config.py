"""Sizes and choices of a VIOLET."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mama_augment.core.errors import InputError
from mama_train.models.crossmodal.bert import BertSize
from mama_train.models.violet.swin import SwinConfig

Form = Literal["open-class", "open-word", "choice-class", "choice-truth", "choice-index", "pair"]
CLASS_FORMS = ("open-class", "choice-class", "pair")
"""Forms that are answered by classes; the others by words at a [MASK]."""
OPTION_FORMS = ("choice-class", "choice-truth", "pair")
"""Forms that score texts of their own, one per option."""

V1_SWIN = SwinConfig(channels=96, num_heads=(3, 6, 12, 24))
"""VIOLET's Swin-S; VIOLETv2's is `SwinConfig`'s default."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class VioletConfig:
    """The defaults are VIOLETv2's.

    num_frames: of a clip; at most max_frames, which is the length of the table of frames.
    max_side: cells along a frame's side that there are positions for.
    num_classes: answers of `open-class`.
    mask_id: the token that stands where a word is asked for (`open-word`, `choice-…`).
    word_ids: `open-word`: the answers' words, so that class k is word_ids[k]; empty: all of
        BERT's. `choice-truth`: the ids of "true" and "false". `choice-index`: of the digits.
    task_token: row of the table of tasks that stands between video and text; None: none does.
    """

    swin: SwinConfig = field(default_factory=SwinConfig)
    bert: BertSize = field(default_factory=BertSize)
    form: Form = "open-class"
    num_frames: int = 5
    max_frames: int = 6
    max_side: int = 14
    image_size_px: int = 224
    num_classes: int = 1500
    word_ids: tuple[int, ...] = ()
    mask_id: int = 103
    task_token: int | None = None
    embed_dim: int = 256

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise InputError(f"form is {self.form!r}; it can be {', '.join(get_args(Form))}")
        if self.num_frames > self.max_frames:
            raise InputError(
                f"num_frames is {self.num_frames}, but there are positions for {self.max_frames} "
                "frames (max_frames); give fewer frames"
            )
        stride = self.swin.stride
        if self.image_size_px % stride or self.image_size_px > stride * self.max_side:
            raise InputError(
                f"image_size_px is {self.image_size_px}; it must be a multiple of {stride}, and "
                f"at most {stride * self.max_side} (max_side is {self.max_side} cells)"
            )
        if self.form == "choice-truth" and len(self.word_ids) != 2:
            raise InputError("choice-truth needs two word_ids: those of 'true' and of 'false'")
        if self.form == "choice-index" and len(self.word_ids) < 2:
            raise InputError("choice-index needs word_ids: those of the options' digits")

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> VioletConfig:
        """Of a checkpoint's `config.json`; what it does not name has its default."""
        lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        of_swin = fields.get("swin", {}).items()
        swin: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in of_swin}
        parts = {"swin": SwinConfig(**swin), "bert": BertSize(**fields.get("bert", {}))}
        return cls(**{**fields, **lists, **parts})

    @property
    def num_outputs(self) -> int:
        """Numbers that the class head gives for one fused text."""
        return self.num_classes if self.form == "open-class" else 1


def tiny_violet(vocab_size: int, *, num_frames: int) -> VioletConfig:
    """For two cores and training from nothing: 0.6 million numbers with 100 words; frames of 32 px
    are 4x4 cells, as in the model `small`."""
    swin = SwinConfig(
        channels=48, depths=(2, 2), num_heads=(2, 4), window=(6, 4, 4), mlp_ratio=2, drop_path=0.0
    )
    bert = BertSize(
        vocab_size=vocab_size,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=32,
        dropout=0.0,
    )
    return VioletConfig(
        swin=swin,
        bert=bert,
        form="choice-class",
        num_frames=num_frames,
        max_frames=num_frames,
        max_side=4,
        image_size_px=32,
        embed_dim=64,
    )
