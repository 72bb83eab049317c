"""VIOLET: one BERT over a clip's visual tokens and a text's words.

Shapes: B clips or texts, K options, S tokens of a text, V visual tokens, D width, E dimensions of
an embedding.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.answers import AnswerConfig, OwnAnswers
from mama_train.models.base import DualEncoder, unit
from mama_train.models.crossmodal.bert import (
    INIT_STD,
    BertSize,
    blocks,
    init_like_bert,
    run_blocks,
    word_embeddings,
    word_head,
)
from mama_train.models.specs import Fit, FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.violet.config import (
    CLASS_FORMS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    OPTION_FORMS,
    Form,
    VioletConfig,
)
from mama_train.models.violet.visual import VisualTokens

NUM_TASKS = 10
FIRST_SCALE = math.log(1 / 0.07)


class WordEmbeddings(nn.Module):
    """`enc_txt.emb_txt` of the published weights."""

    def __init__(self, size: BertSize) -> None:
        super().__init__()
        self.emb_txt = word_embeddings(size)

    def forward(self, ids_BS: Tensor) -> Tensor:
        return self.emb_txt(ids_BS)


class Violet(DualEncoder):
    """The model."""

    usual_lr = 2e-5

    def __init__(self, config: VioletConfig, *, fit: Fit = "crop") -> None:
        super().__init__(
            FrameSpec(
                num_frames=config.num_frames,
                size_px=config.image_size_px,
                fit=fit,
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
            )
        )
        self.config = config
        self.embed_dim = config.embed_dim
        width = config.bert.hidden_size
        self.enc_img = VisualTokens(config)
        self.enc_txt = WordEmbeddings(config.bert)
        self.trsfr = blocks(config.bert)
        if config.form in CLASS_FORMS:
            self.fc = _class_head(config)
        else:
            self.fc_mtm = word_head(config.bert)
        if config.task_token is not None:
            self.emb_task = nn.Parameter(INIT_STD * torch.randn(NUM_TASKS, width))
        self.video_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.text_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.apply(init_like_bert)

    def answer_with(self, config: AnswerConfig, tokenizer: TextTokenizer) -> list[str]:
        """Classes by the class head, which starts anew for other answers; or options, each by one
        number of it."""
        if self.answer_head is not None and self.answer_head.config == config:
            return []
        form: Form = "open-class" if config.kind == "qa-open" else "choice-class"
        is_as_it_was = form == "choice-class" == self.config.form
        num = len(config.answers) or self.config.num_classes
        self.config = replace(self.config, form=form, num_classes=num)
        self.answer_head = OwnAnswers(config)
        if is_as_it_was:  # one number, whatever the options are
            return []
        self.fc = _class_head(self.config).apply(init_like_bert).to(self.logit_scale.device)
        self.fc.train(self.training)
        return [f"fc.{name}" for name, _ in self.fc.named_parameters()]

    def look(self, video: Tensor) -> Tensor:
        """Frames, as in `embed_video`, to visual tokens [B,V,D].

        Raises:
            InputError: there are more frames than positions for them.
        """
        if video.shape[1] > self.config.max_frames:
            raise InputError(
                f"clips have {video.shape[1]} frames; this model has positions for "
                f"{self.config.max_frames} (max_frames)"
            )
        return self.enc_img(self.pixels(video))

    def answer(self, seen: Tensor, asked: Tensor, asked_mask: Tensor) -> Tensor:
        """As `config.form` says, of visual tokens: those that `look` found of one clip, or the
        mean of several clips'. Logits [B,K] of texts [B,S], [B,1,S] or, of options, [B,K,S]."""
        if asked.ndim == 3 and self.config.form not in OPTION_FORMS:
            asked, asked_mask = asked[:, 0], asked_mask[:, 0]
        if asked.ndim == 2:
            return self._scores(seen, asked, asked_mask)
        num_options = asked.shape[1]
        each = seen.repeat_interleave(num_options, dim=0)
        scores = self._scores(each, asked.flatten(0, 1), asked_mask.flatten(0, 1))
        if self.config.form == "choice-truth":  # log-odds: a softmax over the two words
            scores = scores[:, :1] - scores[:, 1:]
        return scores.reshape(-1, num_options)

    def pair_scores(self, video_NVD: Tensor, ids_NS: Tensor, mask_NS: Tensor) -> Tensor:
        """Of clip n and text n, [N]: the form is `pair`."""
        return self._scores(video_NVD, ids_NS, mask_NS)[:, 0]

    def fuse(
        self,
        video_BVD: Tensor,
        ids_BS: Tensor,
        mask_BS: Tensor,
        *,
        prompt: tuple[Tensor, Tensor] | None = None,
        remember: list[Tensor] | None = None,
    ) -> Tensor:
        """Everything attends to everything; what follows the visual tokens, [B,P+S,D]. In front
        of the text stands the task's token, or a prompt: ids and mask [P], with places of its own
        from 0."""
        words, mask = self.enc_txt(ids_BS), mask_BS
        if prompt is not None:
            ids, its_mask = (x.expand(len(words), -1) for x in prompt)
            words = torch.cat([self.enc_txt(ids), words], dim=1)
            mask = torch.cat([its_mask, mask], dim=1)
        if self.config.task_token is not None:
            task = self.emb_task[self.config.task_token].expand(len(words), 1, -1)
            words = torch.cat([task, words], dim=1)
            mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
        num_visual = video_BVD.shape[1]
        mask = torch.cat([mask.new_ones(len(mask), num_visual), mask], dim=1)
        fused = run_blocks(self.trsfr, torch.cat([video_BVD, words], dim=1), mask, remember)
        return fused[:, num_visual:]

    def word_logits(self, fused_BSD: Tensor) -> Tensor:
        """[B,S,words of BERT]."""
        return self.fc_mtm(fused_BSD)

    def embed_video(self, video: Tensor) -> Tensor:
        return self.embed_seen(self.look(video))

    def embed_seen(self, seen: Tensor) -> Tensor:
        """Visual tokens alone through the fusion encoder, to their mean's projection; [B,E]."""
        ones = torch.ones(seen.shape[:2], device=seen.device)
        fused = run_blocks(self.trsfr, seen, ones)
        return unit(self.video_projection(fused.mean(1)))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        fused = run_blocks(self.trsfr, self.enc_txt(input_ids_BS), mask_BS)
        return unit(self.text_projection(fused[:, 0]))

    def config_json(self) -> dict[str, Any]:
        sizes = asdict(self.config)
        own = {"violet": sizes, "usual_lr": self.usual_lr}
        return {"mama_train": "violet", "model_type": "mama-violet", **own}

    def _scores(self, video_BVD: Tensor, ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """[B,outputs]: classes at the text's first token, or words at its [MASK]."""
        fused = self.fuse(video_BVD, ids_BS, mask_BS)
        fused = fused[:, -ids_BS.shape[1] :]  # without the task's token
        if self.config.form in CLASS_FORMS:
            return self.fc(fused[:, 0])
        at_mask = self._at_mask(fused, ids_BS)
        logits = self.word_logits(at_mask)
        words = list(self.config.word_ids)
        return logits[:, words] if words else logits

    def _at_mask(self, fused_BSD: Tensor, ids_BS: Tensor) -> Tensor:
        """[B,D]; every text has one [MASK].

        Raises:
            InputError: one has none, or several.
        """
        is_mask = ids_BS == self.config.mask_id
        counts = is_mask.sum(1)
        if not bool((counts == 1).all()):
            row = int((counts != 1).nonzero()[0, 0])
            raise InputError(
                f"text {row} has {int(counts[row])} mask tokens (id {self.config.mask_id}); a "
                "question that a word answers has one: write it with mama_train.models.violet.texts"
            )
        return fused_BSD[is_mask]


def _class_head(config: VioletConfig) -> nn.Sequential:
    width = config.bert.hidden_size
    return nn.Sequential(
        nn.Dropout(config.bert.dropout),
        nn.Linear(width, 2 * width),
        nn.ReLU(),
        nn.Linear(2 * width, config.num_outputs),
    )
