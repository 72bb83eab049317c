"""Figures of assigners, what is told of a class, and the list that people see and edit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig, fit_assigner
from mama_augment.concepts.judge import judge, npmi, overlap
from mama_augment.concepts.language.telling import top_words
from mama_augment.concepts.language.texts import batches_of, read_texts
from mama_augment.core.errors import InputError
from tests.augment.worlds import caption, clip, write_captions, write_clips

ABOUT = {
    "kitchen": ["pan", "onion", "stove", "knife", "soup"],
    "sport": ["ball", "goal", "coach", "team", "stadium"],
    "music": ["guitar", "song", "stage", "drum", "band"],
}


def texts_about(num: int = 900) -> list[str]:
    draws = np.random.default_rng(0)
    return [
        "a man with " + " and a ".join(draws.choice(list(ABOUT.values())[i % 3], 4, replace=False))
        for i in range(num)
    ]


def test_npmi_by_hand() -> None:
    texts = [{"a", "b"}] * 2 + [{"c"}] * 2 + [{"a", "c"}, {"b"}]
    together, never = npmi([["a", "b"], ["b", "c"]], texts)
    p_ab, p_a, p_b = 2 / 6, 3 / 6, 3 / 6
    assert together == pytest.approx(np.log(p_ab / (p_a * p_b)) / -np.log(p_ab))
    assert never == -1
    assert npmi([["a", "b"]], [{"a", "b"}] * 2) == [1.0]


def test_overlap_matches_concepts_whatever_their_numbers() -> None:
    one = csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0, 1.0]]))
    assert overlap(one, one[:, [1, 0]]) == 1
    half = csr_matrix(np.array([[1, 0], [0, 1], [1, 0], [0, 1.0]]))
    assert overlap(one, half) == pytest.approx(1 / 3)


def test_telling_words_are_frequent_here_and_rare_elsewhere() -> None:
    counts = csr_matrix(np.array([[9.0, 5, 0, 1], [9, 0, 4, 0]]))
    found = top_words(counts, ["common", "here", "there", "once"], 2, 2)
    assert [words[0] for words in found] == ["here", "there"]
    assert "once" not in found[0]


def test_topics_of_one_kind_of_text_hold_together_and_come_out_again() -> None:
    texts = texts_about()
    good = judge(ConceptConfig(assigner="topics", num_concepts=3), texts)
    assert good.coherence is not None
    assert good.coherence > 0.2
    assert good.stability > 0.9
    assert (good.share_without, good.per_text) == (0, 1)
    draws = np.random.default_rng(1)
    words = [word for own in ABOUT.values() for word in own]
    mixed = [" and a ".join(draws.choice(words, 4, replace=False)) for _ in texts]
    bad = judge(ConceptConfig(assigner="topics", num_concepts=3), mixed)
    assert bad.coherence is not None
    assert bad.coherence < 0.5 * good.coherence
    assert bad.stability < 0.7


def test_the_command_lists_judges_and_begins_a_file_of_edits(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(texts_about(120)))
    edits, model = tmp_path / "concepts.toml", tmp_path / "model"
    command = ["concepts", str(tmp_path / "texts.txt"), "--out", str(edits)]
    result = CliRunner().invoke(app, [*command, "--save-model", str(model), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["texts"] == 120
    assert set(said["judged"]) >= {"coherence", "stability", "share_without", "per_text"}
    assert '"onion"' in edits.read_text()
    batches = batches_of(texts_about(120))
    found = fit_assigner(ConceptConfig(edits=str(edits)), batches)
    again = fit_assigner(ConceptConfig(model=str(model)), batches)
    assert list(found.names) == list(again.names)
    edits.write_text(edits.read_text().replace("strike = []", 'strike = ["onion"]'))
    assert "onion" not in fit_assigner(ConceptConfig(edits=str(edits)), batches).names


def test_texts_come_from_files_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('video,text\nv,"a dog, running"\nw,\n')
    clips = write_clips(tmp_path / "clips", [clip("c", "a cat", "a red cat"), clip("mute")])
    captions = write_captions(tmp_path / "caps", [caption("c", 0, "a hat"), caption("c", 1, None)])
    found = read_texts([str(tmp_path / "a.csv"), clips, captions])
    assert found == ["a dog, running", "a cat", "a red cat", "a hat"]
    (tmp_path / "b.csv").write_text("video,caption\nv,a dog\n")
    for wrong, said in (("b.csv", "no column 'text'"), ("none.csv", "no such file")):
        with pytest.raises(InputError, match=said):
            read_texts([str(tmp_path / wrong)])
