"""Published names and shapes of BERT's parts, as they stand in checkpoints of both models."""

from __future__ import annotations

Shapes = dict[str, tuple[int, ...]]


def linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def bert_embeddings(name: str, *, width: int = 768, words: int = 30522) -> Shapes:
    return {
        f"{name}.word_embeddings.weight": (words, width),
        f"{name}.position_embeddings.weight": (512, width),
        f"{name}.token_type_embeddings.weight": (2, width),
        f"{name}.position_ids": (1, 512),
        **norm(f"{name}.LayerNorm", width),
    }


def bert_layers(name: str, *, num: int = 12, width: int = 768, hidden: int = 3072) -> Shapes:
    found: Shapes = {}
    for i in range(num):
        layer = f"{name}.{i}"
        for part in ("query", "key", "value"):
            found |= linear(f"{layer}.attention.self.{part}", width, width)
        found |= linear(f"{layer}.attention.output.dense", width, width)
        found |= norm(f"{layer}.attention.output.LayerNorm", width)
        found |= linear(f"{layer}.intermediate.dense", hidden, width)
        found |= linear(f"{layer}.output.dense", width, hidden)
        found |= norm(f"{layer}.output.LayerNorm", width)
    return found


def word_head(name: str, *, width: int = 768, words: int = 30522) -> Shapes:
    return {
        f"{name}.predictions.bias": (words,),
        **linear(f"{name}.predictions.decoder", words, width),
        **linear(f"{name}.predictions.transform.dense", width, width),
        **norm(f"{name}.predictions.transform.LayerNorm", width),
    }
