"""Tokenizers: words to ids, and a saved one that transformers loads and pads by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from mama_augment.core.errors import InputError
from mama_train.models.tokenizer import TextTokenizer
from mama_train.run.checkpoint import save_model
from mama_train.start.build import build

TEXTS = ["a red circle", "a blue square moves left"]


def words(max_tokens: int = 6) -> TextTokenizer:
    return TextTokenizer.of_words(TEXTS, max_tokens=max_tokens)


def clip_folder(path: Path) -> Path:
    """A tokenizer as CLIP's, with few words, and the config beside it."""
    letters = sorted(set("".join(TEXTS)) - {" "})
    pieces = ["re", "red</w>", "ci", "cir", "circ", "circl", "circle</w>"]
    names = [*letters, *(f"{c}</w>" for c in letters), *pieces, "<|startoftext|>", "<|endoftext|>"]
    merges = ["r e", "re d</w>", "c i", "ci r", "cir c", "circ l", "circl e</w>"]
    vocabulary = {name: i for i, name in enumerate(names)}
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges))
    CLIPTokenizer.from_pretrained(path).save_pretrained(path)
    sizes = {"max_position_embeddings": 8}
    (path / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": sizes}))
    return path


def as_transformers_loads_it(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    found = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    return found["input_ids"], found["attention_mask"]


def test_an_exported_small_model_pads_by_itself(tmp_path: Path) -> None:
    model, tokenizer, _ = build("small", TEXTS, seed=0)
    save_model(tmp_path, model, tokenizer)
    ids, mask = as_transformers_loads_it(tmp_path)
    expected_ids, expected_mask = tokenizer.encode(TEXTS)
    assert torch.equal(ids, expected_ids)
    assert torch.equal(mask, expected_mask)
    assert mask.sum(1).tolist() == [5, 7]
    assert AutoTokenizer.from_pretrained(tmp_path)(["a red circle"], padding=True)["input_ids"]


def test_a_clip_folder_keeps_its_ids_and_pads_when_saved_again(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path)
    published = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    tokenizer = TextTokenizer.load(folder)
    assert tokenizer.max_tokens == 8
    assert tokenizer.encode(["a red circle"])[1].sum() == 5  # a, red, circle between two ends
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "config.json").write_bytes((folder / "config.json").read_bytes())
    tokenizer.save(saved)
    ids, mask = as_transformers_loads_it(saved)
    assert torch.equal(ids, published["input_ids"])
    assert torch.equal(mask, published["attention_mask"])
    again = TextTokenizer.load(saved)
    assert torch.equal(again.encode(TEXTS)[0], tokenizer.encode(TEXTS)[0])
    assert again.max_tokens == 8


def test_siglip_is_always_filled_up(tmp_path: Path) -> None:
    words(10).save(tmp_path)
    sizes = {"max_position_embeddings": 9}
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "siglip", "text_config": sizes})
    )
    ids, mask = TextTokenizer.load(tmp_path).encode(["a red circle"])
    assert ids.shape == (1, 9)
    assert mask.sum() == 5


def test_a_tokenizer_without_padding_gets_its_end_token_for_it(tmp_path: Path) -> None:
    backend = Tokenizer(models.WordLevel({"a": 0, "<e>": 1, "red": 2}, unk_token="<e>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>", model_max_length=5)
    made.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    ids, mask = TextTokenizer.load(tmp_path).encode(["a", "a red"])
    assert (ids.tolist(), mask.tolist()) == ([[0, 1], [0, 2]], [[1, 0], [1, 1]])


def test_a_text_cannot_spell_a_special_token() -> None:
    ids, mask = words(20).encode(["a <|endoftext|> red"])
    end = words().vocab_size - 1
    assert ids[0].tolist().index(end) == int(mask.sum()) - 1


def test_no_texts_are_no_rows() -> None:
    ids, mask = words().encode([])
    assert ids.shape == mask.shape == (0, 1)


def test_a_tokenizer_that_cannot_pad_is_a_mistake(tmp_path: Path) -> None:
    """As checkpoints of the first version hold it."""
    TextTokenizer.of_words(["a red circle"], max_tokens=8).save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="without a token to pad with"):
        TextTokenizer.load(tmp_path)


def test_a_folder_without_a_tokenizer_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no tokenizer .*tokenizer\.json"):
        TextTokenizer.load(tmp_path)


def test_unknown_words_are_counted_where_there_can_be_any(tmp_path: Path) -> None:
    words = TextTokenizer.of_words(["a red circle"], max_tokens=8)
    assert words.unknown_share(["a blue circle", "a red"]) == pytest.approx(1 / 5)
    assert words.unknown_share([]) == 0
    # CLIP's unknown token is its end token, which stands in every text.
    assert TextTokenizer.load(clip_folder(tmp_path)).unknown_share(["a red circle"]) == 0


def test_a_siglip_of_sentencepiece_drops_punctuation_and_pads_to_its_length(tmp_path: Path) -> None:
    """As the published SigLIPs come: a file of SentencePiece, read by a tokenizer in Python."""
    spm = pytest.importorskip("sentencepiece")
    from transformers import SiglipTokenizer

    (tmp_path / "texts").write_text("a red circle\na blue circle rises\na white square sinks\n" * 9)
    spm.SentencePieceTrainer.train(
        input=str(tmp_path / "texts"),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        eos_id=1,
        bos_id=-1,
        pad_id=-1,
        unk_id=2,
        eos_piece="</s>",
        minloglevel=2,
    )
    theirs = SiglipTokenizer(str(tmp_path / "spiece.model"), model_max_length=64)
    theirs.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    texts = ["A red, circle!", "a red circle", "a blue circle rises"]
    expected = theirs(texts, padding="max_length", max_length=64, return_tensors="pt")["input_ids"]
    tokenizer = TextTokenizer.load(tmp_path / "model")
    ids, _ = tokenizer.encode(texts)
    assert torch.equal(ids, expected)
    assert ids.shape == (3, 64)
    assert torch.equal(ids[0], ids[1])
    tokenizer.save(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    assert torch.equal(TextTokenizer.load(tmp_path / "again").encode(texts)[0], expected)
