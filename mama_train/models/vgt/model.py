"""VGT: answers to questions about videos that are given as regions.

Words meet the video where it is C clip tokens x: each token attends to the words w of a text,
Y = softmax(x · w) w + x, unscaled; of several options, the largest number of each is kept, so that
options are scored together. No vector of a score is of unit length.

Shapes: B videos, C clips, N tokens of a video, K options or answers, L tokens of a text, D width.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mama_train.models.answers import AnswerConfig, OwnAnswers
from mama_train.models.base import DualEncoder, unit
from mama_train.models.crossmodal.bert import (
    blocks,
    init_like_bert,
    run_blocks,
    word_embeddings,
)
from mama_train.models.specs import RegionSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.vgt.answers import AnswerTexts
from mama_train.models.vgt.config import Regions, VgtConfig
from mama_train.models.vgt.layers import EPS, ClipPosition, Transformer
from mama_train.models.vgt.video import Trace, VideoTokens

FIRST_SCALE = math.log(1 / 0.07)
Video = Any
"""`Regions`, or a tensor."""


class TextEncoder(nn.Module):
    """BERT, and a projection to the model's width."""

    def __init__(self, config: VgtConfig) -> None:
        super().__init__()
        self.embeddings = word_embeddings(config.bert)
        self.encoder = blocks(config.bert)
        self.linear_text = nn.Linear(config.bert.hidden_size, config.width)

    def forward(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """Words [N,L,D]."""
        return self.linear_text(self.bert(ids_NL, mask_NL))

    def bert(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """BERT's last hidden state."""
        return run_blocks(self.encoder, self.embeddings(ids_NL), mask_NL)


class Vgt(DualEncoder):
    """The model. A video is a `Regions`, or a tensor of such as `RegionSpec` lays it out."""

    usual_lr = 1e-5

    def __init__(self, config: VgtConfig, spec: RegionSpec | None = None) -> None:
        """spec: by default, the published 8 clips of 4 frames, of whatever extractor."""
        super().__init__(
            spec
            or RegionSpec(
                num_clips=8,
                num_frames=4,
                num_regions=config.num_regions,
                width=config.feature_dim,
                extractor="",
            )
        )
        self.config = config
        self.embed_dim = config.embed_dim
        width, dropout = config.width, config.dropout
        self.video_tokens = VideoTokens(config)
        self.text = TextEncoder(config)
        self.position_v = ClipPosition(width, dropout)
        self.mmt = Transformer(width, config.hidden, config.num_heads, dropout)
        self.vqproj = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))
        self.vocab_transform = nn.Linear(width, width)
        self.vocab_norm = nn.LayerNorm(width, eps=EPS)
        self.vocab_projector = nn.Linear(width, config.bert.vocab_size)
        self.video_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.text_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.answers = AnswerTexts()
        self.apply(init_like_bert)

    def train(self, mode: bool = True) -> Vgt:
        super().train(mode)
        if self.config.frozen_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.training = False
        return self

    def answer_with(self, config: AnswerConfig, tokenizer: TextTokenizer) -> list[str]:
        """Options, or answers of a vocabulary; both are texts, so that nothing starts anew."""
        self.answer_head = OwnAnswers(config)
        if config.kind == "qa-open":
            self.set_answers(*tokenizer.encode(config.answers))
        return []

    def look(self, video: Video) -> Video:
        """Regions are looked at with the question in mind, and not before."""
        return video

    def answer(self, seen: Video, asked: Tensor, asked_mask: Tensor) -> Tensor:
        """Options [B,K,L], each with its question, or questions [B,L] or [B,1,L] about the
        vocabulary that `set_answers` gave; logits [B,K]."""
        is_open = self.answer_head is not None and self.answer_head.config.kind == "qa-open"
        if asked.ndim == 3 and is_open:
            asked, asked_mask = asked[:, 0], asked_mask[:, 0]
        if asked.ndim == 3:
            return self.option_logits(Regions.of(seen), asked, asked_mask)
        return self.open_logits(Regions.of(seen), asked, asked_mask)

    def option_logits(
        self, video: Regions, ids_BKL: Tensor, mask_BKL: Tensor, trace: Trace | None = None
    ) -> Tensor:
        """f · t_k, [B,K]; f depends on all options."""
        words = self.text(ids_BKL.flatten(0, 1), mask_BKL.flatten(0, 1))
        words_BKLD = words.unflatten(0, ids_BKL.shape[:2])
        text_BKD = self.pool(words_BKLD, mask_BKL)
        video_BD = self.read(video, words_BKLD, self._attended(mask_BKL), trace)
        return torch.einsum("bd,bkd->bk", video_BD, text_BKD)

    def open_logits(
        self, video: Regions, ids_BL: Tensor, mask_BL: Tensor, trace: Trace | None = None
    ) -> Tensor:
        """(f · a_v)(q · a_v), [B,V], of the answers that `set_answers` gave."""
        words_BLD = self.text(ids_BL, mask_BL)
        question_BD = self.pool(words_BLD, mask_BL)
        video_BD = self.read(video, words_BLD[:, None], mask_BL[:, None], trace)
        answer_VD = self.answers(self.embed_answers)
        return (video_BD @ answer_VD.T) * (question_BD @ answer_VD.T)

    def set_answers(self, ids_VL: Tensor, mask_VL: Tensor, *, cached: bool = False) -> None:
        """Take these texts for the answers from now on. `cached`: they are encoded once, here, and
        have no gradient until `refresh_answers` encodes them anew."""
        self.answers.set(ids_VL, mask_VL)
        if cached:
            self.refresh_answers()

    def refresh_answers(self) -> None:
        """Encode cached answers with the weights of now."""
        was_training = self.training
        self.eval()
        with torch.no_grad():
            self.answers.keep(self.embed_answers)
        self.train(was_training)

    def embed_answers(self, ids_VL: Tensor, mask_VL: Tensor) -> Tensor:
        """Texts to [V,D], as they enter a score."""
        return self.pool(self.text(ids_VL, mask_VL), mask_VL)

    def embed_video(self, video: Video) -> Tensor:
        clips = self.video_tokens(Regions.of(video)).mean(2)
        return unit(self.video_projection(self._over_clips(clips, {})))

    def embed_seen(self, seen: Video) -> Tensor:
        return self.embed_video(seen)

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        words = self.text(input_ids_BS, mask_BS)
        return unit(self.text_projection(_masked_mean(words, mask_BS)))

    def word_logits(self, words_BLD: Tensor) -> Tensor:
        """Which word stands at each place of a text, [B,L,vocabulary]: for masked words."""
        hidden = self.vocab_norm(F.gelu(self.vocab_transform(words_BLD)))
        return self.vocab_projector(hidden)

    def pool(self, words: Tensor, mask: Tensor) -> Tensor:
        """Words [...,L,D] to their text's vector [...,D]."""
        if self.config.text_pooling == "padded":
            return words.mean(-2)
        return _masked_mean(words, mask)

    def read(
        self, video: Regions, words_BKLD: Tensor, mask_BKL: Tensor, trace: Trace | None = None
    ) -> Tensor:
        """f, [B,D]: the video with K texts in mind."""
        seen: Trace = {} if trace is None else trace
        tokens = self.video_tokens(video, seen)
        if self.config.frame_level_text:
            frames = tokens.flatten(1, 2)
            frames = attend_words(frames, words_BKLD, mask_BKL, seen, "frame_text")
            tokens = frames.reshape(tokens.shape)
        clips = tokens.mean(2)
        clips = attend_words(clips, words_BKLD, mask_BKL, seen, "clip_text")
        video_BD = seen["video_feat"] = self.vqproj(self._over_clips(clips, seen))
        return video_BD

    def config_json(self) -> dict[str, Any]:
        own = {"vgt": asdict(self.config), "usual_lr": self.usual_lr}
        return {"mama_train": "vgt", "model_type": "mama-vgt", **own}

    def _over_clips(self, clips_BCD: Tensor, seen: Trace) -> Tensor:
        placed = seen["position_v"] = self.position_v(clips_BCD)
        mixed = seen["mmt_out"] = self.mmt(placed)
        return mixed.mean(1)

    def _attended(self, mask_BKL: Tensor) -> Tensor:
        """Which words the video attends to; as published, the padding up to the longest option of
        an item too."""
        if self.config.text_pooling == "masked":
            return mask_BKL
        longest_B = mask_BKL.sum(-1).amax(-1)
        place = torch.arange(mask_BKL.shape[-1], device=mask_BKL.device)
        return (place < longest_B[:, None, None]).expand(mask_BKL.shape)


def attend_words(
    tokens_BND: Tensor, words_BKLD: Tensor, mask_BKL: Tensor, seen: Trace, name: str
) -> Tensor:
    """max over k of softmax(x · w_k) w_k + x, [B,N,D]."""
    seen[f"{name}_in"] = tokens_BND
    scores = torch.einsum("bnd,bkld->bknl", tokens_BND, words_BKLD)
    scores = scores.masked_fill(~mask_BKL[:, :, None, :].bool(), -torch.inf)
    weights = seen[f"{name}_attention"] = scores.softmax(-1)
    with_words = torch.einsum("bknl,bkld->bknd", weights, words_BKLD) + tokens_BND[:, None]
    out = seen[f"{name}_out"] = with_words.max(dim=1).values
    return out


def _masked_mean(words: Tensor, mask: Tensor) -> Tensor:
    share = mask.to(words.dtype) / mask.sum(-1, keepdim=True)
    return (words * share[..., None]).sum(-2)
