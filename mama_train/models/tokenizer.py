"""Texts to token ids: a tokenizer that travels with the checkpoint.

Shapes: B texts, S tokens of the longest of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from mama_augment.core.errors import InputError

BOS, EOS, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"


class TextTokenizer:
    """A `tokenizers` tokenizer with the padding that its model was trained with.

    pad_id fills up short texts; `pad_to_max` always fills up to `max_tokens` (SigLIP).
    """

    def __init__(
        self, backend: Tokenizer, *, max_tokens: int, pad_id: int, pad_to_max: bool = False
    ) -> None:
        self.backend = backend
        self.max_tokens = max_tokens
        self.pad_id = pad_id
        self.pad_to_max = pad_to_max
        backend.no_padding()
        # Truncation keeps the closing token, at which the text tower reads its output.
        backend.enable_truncation(max_tokens)

    @classmethod
    def of_words(
        cls, texts: Iterable[str], *, max_tokens: int, max_words: int = 20_000
    ) -> TextTokenizer:
        """One token per word of `texts` (letters' case ignored), most frequent first.

        The end token has the largest id and is the padding too, as the text tower expects.
        """
        split = pre_tokenizers.Whitespace()
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(word for word, _ in split.pre_tokenize_str(text.lower()))
        words = sorted(counts, key=lambda w: (-counts[w], w))[:max_words]
        vocabulary = {w: i for i, w in enumerate([UNKNOWN, *words, BOS, EOS])}
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        backend.normalizer = normalizers.Lowercase()
        backend.pre_tokenizer = split
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A {EOS}",
            special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])],
        )
        return cls(backend, max_tokens=max_tokens, pad_id=vocabulary[EOS])

    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(input_ids_BS, mask_BS), int64; mask 1 = token."""
        encoded = [e.ids for e in self.backend.encode_batch(list(texts))]
        length = self.max_tokens if self.pad_to_max else max(map(len, encoded), default=1)
        ids = torch.full((len(encoded), length), self.pad_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return ids, mask

    def save(self, folder: Path) -> None:
        self.backend.save(str(folder / "tokenizer.json"))
        settings = {
            "max_tokens": self.max_tokens,
            "pad_id": self.pad_id,
            "pad_to_max": self.pad_to_max,
        }
        (folder / "tokenizer_padding.json").write_text(json.dumps(settings))

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """What `save` wrote, or the tokenizer of a Hugging Face model folder.

        Raises:
            InputError: the folder holds neither.
        """
        padding = folder / "tokenizer_padding.json"
        if padding.is_file():
            backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            return cls(backend, **json.loads(padding.read_text()))
        return cls.of_pretrained(folder)

    @classmethod
    def of_pretrained(cls, folder: Path) -> TextTokenizer:
        """The tokenizer of a Hugging Face CLIP or SigLIP folder."""
        from transformers import AutoTokenizer

        try:
            loaded: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{str(folder)!r} holds no tokenizer that can be read (tokenizer.json, or "
                f"vocab.json with merges.txt): {error}"
            ) from error
        is_siglip = "siglip" in str(_model_type(folder))
        max_tokens = _max_tokens(folder, loaded)
        pad_id = loaded.pad_token_id if loaded.pad_token_id is not None else loaded.eos_token_id
        backend = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
        return cls(backend, max_tokens=max_tokens, pad_id=pad_id, pad_to_max=is_siglip)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _model_type(folder: Path) -> str | None:
    return _config(folder).get("model_type")


def _max_tokens(folder: Path, loaded: Any) -> int:
    default = 64 if "siglip" in str(_model_type(folder)) else 77
    of_model = _config(folder).get("text_config", {}).get("max_position_embeddings", default)
    return min(of_model, loaded.model_max_length)
