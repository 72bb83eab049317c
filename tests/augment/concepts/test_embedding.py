"""From a manifest with vectors to clusters in the shards, through real videos and an encoder."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.shapes.world.config import WorldConfig
from mama_augment.shapes.world.make import make_world

REPOSITORY = Path(__file__).resolve().parents[3]


def make_encoder(folder: Path) -> None:
    """A tiny BERT with random weights and a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "a", "an", "red", "blue", "green", "circle", "square", "moves"]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(folder)


@pytest.mark.slow
def test_vectors_of_a_manifest_become_concepts(tmp_path: Path) -> None:
    world = WorldConfig(num_videos=6, meta=0, val=0, test=0)
    make_world(str(tmp_path / "world"), world, num_workers=1)
    manifest = tmp_path / "world/manifest.csv"
    with manifest.open() as file:
        assert len(list(csv.DictReader(file))) == 6
    make_encoder(tmp_path / "encoder")
    # Beside the videos: paths in a manifest are relative to it.
    out = tmp_path / "world/manifest.parquet"
    script = REPOSITORY / "examples/embed_texts.py"
    command = [sys.executable, str(script), str(manifest), str(tmp_path / "encoder"), str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "6 rows, 6 clips, 16 dimensions" in result.stdout
    clusters = ["--concepts", "embedding", "--concept-column", "embedding", "--num-concepts", "2"]
    clips, shards = str(tmp_path / "clips"), str(tmp_path / "shards")
    for arguments in (
        ["keyframes", str(out), "--out", clips],
        ["balance", clips, "--out", shards, *clusters],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    concepts = json.loads((tmp_path / "shards/concepts.json").read_text())
    assert [c["name"].split(":")[0] for c in concepts] == ["cluster 0", "cluster 1"]
    assert sum(c["num_before"] for c in concepts) == 6
