"""Texts to token ids: a tokenizer that travels with the checkpoint.

Shapes: B texts, S tokens of the longest of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mama_augment.core.errors import InputError
from mama_train.models.weights import read_object

BOS, EOS, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"


class TextTokenizer:
    """A Hugging Face tokenizer with the length and the padding that its model is used with.

    `pad_to_max` always fills up to `max_tokens` (SigLIP); else texts are padded to the longest of
    a batch.
    """

    def __init__(self, fast: Any, *, max_tokens: int, pad_to_max: bool = False) -> None:
        """`fast`: a tokenizer of transformers that pads by itself; SigLIP's is of SentencePiece."""
        self.fast = fast
        self.max_tokens = max_tokens
        self.pad_to_max = pad_to_max

    @classmethod
    def of_words(
        cls, texts: Iterable[str], *, max_tokens: int, max_words: int = 20_000
    ) -> TextTokenizer:
        """One token per word of `texts` (letters' case ignored), most frequent first.

        The end token has the largest id and is the padding too, as the text tower expects. A text
        that spells a special token gets words for it, never the token.
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
        names = {"bos_token": BOS, "eos_token": EOS, "unk_token": UNKNOWN, "pad_token": EOS}
        fast = PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=max_tokens,
            split_special_tokens=True,
            **names,
        )
        return cls(fast, max_tokens=max_tokens)

    @property
    def vocab_size(self) -> int:
        """Token ids are below this."""
        return len(self.fast)

    def vocabulary(self) -> dict[str, int]:
        """Every token and its id."""
        return self.fast.get_vocab()

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of the tokens of texts, without those that open and close a text, that stand for
        words that the tokenizer does not know. Pieces of words know them all: 0."""
        unknown = self.fast.unk_token_id
        others = {self.fast.bos_token_id, self.fast.eos_token_id, self.fast.pad_token_id} - {None}
        if unknown is None or unknown in others:  # CLIP's is its end token, and never needed
            return 0.0
        ids, mask = self.encode(list(texts))
        is_word = (mask == 1) & ~torch.isin(ids, torch.tensor(sorted(others), dtype=ids.dtype))
        if not is_word.any():
            return 0.0
        return float((ids[is_word] == unknown).double().mean())

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(input_ids_BS, mask_BS), int64; mask 1 = token."""
        if not texts:
            return torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, 1, dtype=torch.int64)
        found = self.fast(
            list(texts),
            return_attention_mask=True,
            padding="max_length" if self.pad_to_max else "longest",
            # Truncation keeps the closing token, at which the text tower reads its output.
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        return found["input_ids"], found["attention_mask"]

    def save(self, folder: Path) -> None:
        """Into a model folder, for `load` and for transformers' AutoTokenizer. SigLIP takes no
        mask, so that its tokenizer must not give one by itself."""
        if self.pad_to_max:
            self.fast.model_input_names = ["input_ids"]
            self.fast.init_kwargs["model_input_names"] = ["input_ids"]
        self.fast.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """The tokenizer of a model folder: one that `save` wrote, or a Hugging Face CLIP or SigLIP.

        Raises:
            InputError: the folder holds none.
        """
        try:
            fast = _read(folder)
        except BaseException as error:
            # Rust's libraries raise plain Exceptions for odd files, and panics, which are none.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise InputError(
                f"{str(folder)!r} holds no tokenizer that can be read (tokenizer.json, vocab.json "
                f"with merges.txt, or spiece.model by pip install 'mama-video[siglip]'): {error}"
            ) from error
        if fast.pad_token is None:
            raise InputError(
                f"{str(folder)!r} holds a tokenizer without a token to pad with; a checkpoint of "
                "an earlier version has to be trained again, or exported by that version"
            )
        config = _json(folder / "config.json")
        is_siglip = "siglip" in str(config.get("model_type"))
        longest = config.get("text_config", {}).get(
            "max_position_embeddings", 64 if is_siglip else 77
        )
        return cls(fast, max_tokens=min(longest, fast.model_max_length), pad_to_max=is_siglip)


def _read(folder: Path) -> Any:
    """Whatever class it is of, as one that pads by itself and is saved in one file; SentencePiece
    (SigLIP 1, which drops punctuation in Python) as it is."""
    settings = _json(folder / "tokenizer_config.json")
    if settings.get("tokenizer_class") == PreTrainedTokenizerFast.__name__:  # as `save` leaves it
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    loaded: Any = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if not hasattr(loaded, "backend_tokenizer"):
        return loaded
    names = {"pad_token": loaded.eos_token, **loaded.special_tokens_map}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(loaded.backend_tokenizer.to_str()),
        model_max_length=loaded.model_max_length,
        padding_side=loaded.padding_side,
        **names,
    )


def _json(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}
