"""BERT's parts as VIOLET and VGT use them: word embeddings, and blocks over whatever stands before.

The parts are those of transformers, under their published names; `BertModel` around them is not
used, because VIOLET puts pictures between the two, and neither model reads its pooler.

Shapes: B rows, S tokens, D width.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import (
    BertEmbeddings,
    BertEncoder,
    BertOnlyMLMHead,
)

INIT_STD = 0.02


@dataclass(frozen=True, kw_only=True)
class BertSize:
    """Sizes of a BERT; the defaults are bert-base-uncased."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    dropout: float = 0.1

    def to_hf(self) -> BertConfig:
        """For the parts of transformers. Attention is eager: fused kernels draw their dropout in
        another way in forward mode, so that a meta step could not replay it."""
        sizes = asdict(self)
        dropout = sizes.pop("dropout")
        return BertConfig(
            **sizes,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            attn_implementation="eager",
        )


def word_embeddings(size: BertSize) -> BertEmbeddings:
    """ids [B,S] to word + position + token type 0, normalised; [B,S,D]."""
    return BertEmbeddings(size.to_hf())


def blocks(size: BertSize) -> BertEncoder:
    """[B,S,D] to [B,S,D]; see `run_blocks`."""
    return BertEncoder(size.to_hf())


def word_head(size: BertSize) -> BertOnlyMLMHead:
    """[B,S,D] to logits of words [B,S,V]. Its decoder is not tied to the word embeddings; its
    two biases are one parameter, as published."""
    head = BertOnlyMLMHead(size.to_hf())
    head.predictions.bias = head.predictions.decoder.bias
    return head


def run_blocks(
    encoder: BertEncoder, x_BSD: Tensor, mask_BS: Tensor, remember: list[Tensor] | None = None
) -> Tensor:
    """Every token attends to every token with mask 1; `remember` gets each block's output."""
    hidden_mask = (1 - mask_BS.to(x_BSD.dtype)) * torch.finfo(x_BSD.dtype).min
    for layer in encoder.layer:
        x_BSD = layer(x_BSD, hidden_mask[:, None, None, :])
        if remember is not None:
            remember.append(x_BSD)
    return x_BSD


def init_like_bert(module: nn.Module) -> None:
    """For `Module.apply`: biases 0; matrices N(0, 0.02) at BERT's width of 768, and in proportion
    to 1/√width elsewhere, so that small models start with numbers of the same size."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=INIT_STD * math.sqrt(768 / module.in_features))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
