"""Concept assigners: whole words, topics that mean something, saved models that agree."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.concepts import ConceptConfig, FittedAssigner, fit_assigner, load_assigner
from mama_augment.concepts.embedding import fit_clusters
from mama_augment.concepts.given import Given, fit_given
from mama_augment.concepts.language.counting import FrequentCounter
from mama_augment.concepts.language.curated import CURATED, curated
from mama_augment.concepts.language.mining import implied
from mama_augment.concepts.language.texts import TextBatch
from mama_augment.concepts.language.words import content_words, words
from mama_augment.concepts.topics import fit_topics
from mama_augment.concepts.vocabulary import Entry, Vocabulary, mine_vocabulary, read_vocabulary
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder


def stream(
    texts: list[str], values: list | None = None, size: int = 7
) -> Callable[[], Iterator[TextBatch]]:
    def batches() -> Iterator[TextBatch]:
        for i in range(0, len(texts), size):
            of_clip = values[i : i + size] if values else [None] * len(texts[i : i + size])
            yield TextBatch(texts=texts[i : i + size], values=of_clip)

    return batches


def assign(assigner: FittedAssigner, *texts: str, values: list | None = None) -> list[list[int]]:
    return assigner.assign(TextBatch(texts=texts, values=values or [None] * len(texts)))


def listed(*phrases_: str) -> Vocabulary:
    return Vocabulary(tuple(Entry(p, (p,)) for p in phrases_))


def test_vocabulary_matches_whole_words_once_and_overlapping() -> None:
    vocabulary = listed("dog", "hot dog", "dog park", "Café", "कुत्ता")
    assert assign(vocabulary, "A hot DOG, a hot dog in a dog park!") == [[0, 1, 2]]
    assert assign(vocabulary, "hotdogs and dogma") == [[]]
    assert assign(vocabulary, "le CAFÉ", "cafes", "एक कुत्ता दौड़ता है") == [[3], [], [4]]
    # The same letter composed and decomposed; a phrase across a full stop still counts as words.
    assert assign(vocabulary, "Cafe\u0301") == [[3]]


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "c d", "b a", "d"]), min_size=1, unique=True),
    st.lists(st.sampled_from(["a", "b", "ab", "c", "d", "ba"]), max_size=12),
)
def test_vocabulary_agrees_with_the_naive_search(entries: list[str], text: list[str]) -> None:
    padded = f" {' '.join(text)} "
    expected = [i for i, entry in enumerate(entries) if f" {entry} " in padded]
    assert assign(listed(*entries), " ".join(text)) == [expected]


def test_phrase_files(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("# animals\ndog\tdogs\tpuppy\n\ncat\n")
    vocabulary = read_vocabulary(str(path))
    assert list(vocabulary.names) == ["dog", "cat"]
    assert assign(vocabulary, "two puppies", "a puppy and a cat", "dogs") == [[], [0, 1], [0]]
    path.write_text("dog\ncat\ndog\n")
    with pytest.raises(InputError, match="line 3 repeats 'dog' of line 1"):
        read_vocabulary(str(path))
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="no phrase"):
        read_vocabulary(str(path))
    with pytest.raises(InputError, match="no such file"):
        read_vocabulary(str(tmp_path / "missing.txt"))


def test_mined_concepts_are_things_and_doings_not_words() -> None:
    texts = [
        "Two young men in black shirts are playing the guitar",
        "a guy plays guitars up on a stage",
        "three women are dancing in front of a building",
        "a girl dances",
        "a boy is eating ice cream",
        "The ice cream is eaten by a woman wearing a red dress",
    ]
    found = mine_vocabulary(stream(texts), ConceptConfig())
    names = set(found.names)
    assert {"guitar", "dance", "eat", "ice cream", "building", "stage"} <= names
    words_for_people = {"man", "guy", "woman", "girl", "boy"}
    assert not names & {*words_for_people, "two", "three", "young", "black", "red", "up", "front"}
    assert not names & {"ice", "cream", "guitars", "dancing", "playing"}
    of = {
        text: {found.names[i] for i in ids}
        for text, ids in zip(texts, found.assign(TextBatch(texts=texts)), strict=True)
    }
    assert "guitar" in of[texts[0]] & of[texts[1]]
    assert "dance" in of[texts[2]] & of[texts[3]]
    assert "ice cream" in of[texts[4]] & of[texts[5]]
    assert all(len(ids) <= 3 for ids in of.values())
    asked = ConceptConfig(kinds=("people", "attributes"))
    people = mine_vocabulary(stream(texts), asked).names
    assert {"guy", "woman", "red", "black"} <= set(people)
    assert not set(people) & {"guitar", "dance"}


def test_nothing_to_mine_is_no_concept_not_a_crash() -> None:
    assert list(mine_vocabulary(stream(["of the and"]), ConceptConfig()).names) == []


def test_further_names_count_as_the_thing() -> None:
    texts = ["a puppy on a sofa", "a dog on a couch", "dogs sleep", "a couch", "puppies run"] * 2
    found = mine_vocabulary(stream(texts), ConceptConfig())
    assert {"dog", "couch"} <= set(found.names)
    assert not set(found.names) & {"puppy", "sofa"}
    dog = list(found.names).index("dog")
    assigned = found.assign(TextBatch(texts=texts))
    assert [dog in ids for ids in assigned[:5]] == [True, True, True, False, True]


def test_the_general_is_left_out_beside_what_nearly_always_has_it() -> None:
    counts = np.array([100, 20, 30])
    together = np.array([[100, 15, 15], [15, 20, 0], [15, 0, 30]])
    assert implied(counts, together) == {1: (0,)}  # 15 of 20; 15 of 30 is too few


def test_rare_leaves_are_counted_as_their_parents(tmp_path: Path) -> None:
    texts = ["a dog barks"] * 6 + ["an otter swims"] * 2 + ["a ferret hides"] * 2
    texts += ["she plays the piano"] * 6
    config = ConceptConfig(vocabulary="actions,objects", min_texts=4)
    found = fit_assigner(config, stream(texts))
    names = list(found.names)
    assert {"dog", "animal", "playing piano"} <= set(names)
    assert not set(names) & {"otter", "ferret"}
    about = [{names[i] for i in ids} for ids in assign(found, *texts)]
    assert about[0] == {"dog"}
    assert all("animal" in ids for ids in about[6:10])
    assert "playing piano" in about[10]
    own = tmp_path / "own.txt"
    own.write_text("barking\tbark\t< noises\n")
    mixed = fit_assigner(ConceptConfig(vocabulary=f"objects,{own}", min_texts=4), stream(texts))
    at = [{mixed.names[i] for i in ids} for ids in assign(mixed, "a dog barks", "a lion barks")]
    assert at == [{"dog", "barking"}, {"animal", "barking"}]


def test_every_line_of_the_packages_lists_says_where_it_is_from() -> None:
    for name in CURATED:
        entries = curated(name)
        assert len(entries) > 50
        assert all(e.parent and e.provenance for e in entries)
        allowed = {"COCO", "LVIS", "Kinetics", "ActivityNet", "Places", "own"}
        assert {e.provenance for e in entries} <= allowed
        assert len({e.name for e in entries}) == len(entries)


def test_other_languages_have_stop_words_and_lemmas() -> None:
    texts = ["Der Hund läuft durch den Park", "Die Hunde laufen", "ein Hund"] * 2
    found = mine_vocabulary(stream(texts), ConceptConfig(language="de"))
    assert "hund" in found.names
    assert not set(found.names) & {"der", "die", "durch", "hunde"}
    with pytest.raises(InputError, match="--language xx"):
        mine_vocabulary(stream(texts), ConceptConfig(language="xx"))


def test_edits_strike_merge_and_rename_and_are_saved(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("dog\ncat\ncar\nthing\n")
    edits = tmp_path / "concepts.toml"
    edits.write_text('strike = ["thing"]\n[merge]\ndog = ["cat"]\n[rename]\ndog = "pet"\n')
    config = ConceptConfig(vocabulary=str(tmp_path / "phrases.txt"), edits=str(edits))
    found = fit_assigner(config, stream([]))
    assert list(found.names) == ["pet", "car"]
    texts = ("a cat", "a dog and a cat in a car", "a thing")
    assert assign(found, *texts) == [[0], [0, 1], []]
    found.save(Folder(str(tmp_path / "model")))
    loaded = load_assigner(str(tmp_path / "model"))
    assert (list(loaded.names), assign(loaded, *texts)) == (["pet", "car"], [[0], [0, 1], []])
    for wrong, said in (
        ('strike = ["dgo"]', "'dgo'"),
        ("strike = 3", "not understood"),
        ("drop = []", "drop"),
        ("[", "not TOML"),
    ):
        edits.write_text(wrong)
        with pytest.raises(InputError, match=said):
            fit_assigner(config, stream([]))


def test_topics_separate_what_texts_are_about() -> None:
    draws = np.random.default_rng(0)
    about = {
        "kitchen": ["pan", "onion", "stove", "chop", "soup"],
        "sport": ["ball", "goal", "pitch", "kick", "team"],
        "music": ["guitar", "song", "stage", "drum", "band"],
    }
    labels, texts = [], []
    for _ in range(600):
        label = int(draws.integers(3))
        labels.append(label)
        texts.append("a person with " + " and ".join(draws.choice(list(about.values())[label], 4)))
    topics = fit_topics(stream(texts, size=100), 3)
    assigned = [ids[0] for ids in topics.assign(TextBatch(texts=texts))]
    table = np.zeros((3, 3), int)
    np.add.at(table, (labels, assigned), 1)
    assert table.max(axis=1).sum() >= 0.95 * len(texts)
    for name in topics.names:
        parts = name.split(", ")
        assert len(parts) == 5
        assert any(set(parts) <= {*vocabulary, "person"} for vocabulary in about.values())
    assert assign(topics, "zzz of the") == [[]]


def test_topics_on_next_to_nothing() -> None:
    assert fit_topics(stream([])).assign(TextBatch(texts=["a dog"])) == [[]]
    topics = fit_topics(stream(["a dog runs", "a cat sleeps", "rain falls"]))
    assert len(topics.names) == 3
    assert all(len(ids) == 1 for ids in assign(topics, "a dog", "rain"))


def test_fitting_does_not_hang_on_how_the_stream_is_cut() -> None:
    texts = [
        f"a {'red' if i % 3 else 'green'} ball {'rolls' if i % 2 else 'bounces'}" for i in range(90)
    ]
    one, other = fit_topics(stream(texts, size=7)), fit_topics(stream(texts, size=50))
    assert np.array_equal(one.components, other.components)


def test_given_labels() -> None:
    values = ["sport", None, ["music", "sport"], " ", "art"]
    labels = fit_given(stream(["x"] * 5, values))
    assert list(labels.names) == ["art", "music", "sport"]
    assert assign(labels, *["x"] * 5, values=values) == [[2], [], [1, 2], [], [0]]


def test_clusters_of_vectors_are_found_and_named() -> None:
    draws = np.random.default_rng(0)
    centres = np.array([[5.0, 0], [0, 5], [-5, -5]])
    labels = draws.integers(3, size=300)
    vectors = [list(centres[k] + draws.normal(size=2) * 0.3) for k in labels]
    vectors[7] = None  # type: ignore[call-overload]
    texts = [("dog runs", "cat sleeps", "rain falls")[k] for k in labels]
    clusters = fit_clusters(stream(texts, vectors, size=50), 3)
    assigned = clusters.assign(TextBatch(texts=texts, values=vectors))
    assert assigned[7] == []
    pairs = {(k, ids[0]) for k, ids in zip(labels, assigned, strict=True) if ids}
    assert len(pairs) == 3
    assert {name.split(": ")[1] for name in clusters.names} == {
        "dog, run",
        "cat, sleep",
        "fall, rain",
    }
    with pytest.raises(InputError, match="3 dimensions"):
        assign(clusters, "x", values=[[1.0, 2, 3]])
    with pytest.raises(InputError, match="no vector"):
        fit_clusters(stream(["x"], [None]))


def test_saved_assigners_agree_with_the_fitted_ones(tmp_path: Path) -> None:
    texts = [f"a {c} ball rolls {d}" for c in ("red", "green") for d in ("left", "right", "up")]
    vectors = [[float(i), float(i % 2)] for i in range(6)]
    assigners: dict[str, FittedAssigner] = {
        "topics": fit_topics(stream(texts), 2),
        "vocabulary": mine_vocabulary(stream(texts), ConceptConfig()),
        "given": Given(("0.0", "1.0")),
        "embedding": fit_clusters(stream(texts, vectors), 2),
    }
    for name, assigner in assigners.items():
        folder = tmp_path / name
        assigner.save(Folder(str(folder)))
        loaded = fit_assigner(ConceptConfig(model=str(folder)), stream(texts))
        values = vectors if name == "embedding" else [0.0] * 6
        batch = TextBatch(texts=texts, values=values)
        assert loaded.assign(batch) == assigner.assign(batch)
        assert list(loaded.names) == list(assigner.names)
        assert not [p for p in folder.iterdir() if p.suffix not in (".json", ".npy")]
    with pytest.raises(InputError, match=r"model\.json"):
        load_assigner(str(tmp_path))


def test_words_are_unicode_aware() -> None:
    assert words("Don’t STOP, Straße 2nd-floor") == ["don't", "stop", "strasse", "2nd", "floor"]
    assert content_words("A man and the dog's bowl") == ["man", "dog's", "bowl"]


def test_words_keep_the_marks_that_belong_to_them() -> None:
    assert words("एक लड़की नदी में तैरती है।") == ["एक", "लड़की", "नदी", "में", "तैरती", "है"]
    swims = words("ผู้ชาย กำลัง ว่ายน้ำ")  # SARA AM is two characters once it is normalised
    assert swims == [unicodedata.normalize("NFKC", w) for w in ("ผู้ชาย", "กำลัง", "ว่ายน้ำ")]
    french = ["l'été", "où", "l'élève", "naïf", "nage", "31", "2", "fois"]
    assert words("L’été, où l'élève naïf nage 3½ fois") == french


@given(st.lists(st.sampled_from("abcdefgh"), max_size=300), st.integers(2, 6))
def test_a_bounded_counter_is_never_too_high_and_at_most_floor_too_low(
    items: list[str], most: int
) -> None:
    counter = FrequentCounter(most)
    for item in items:
        counter.update([item])
    for item, count in counter.most_common(10):
        assert items.count(item) - counter.floor <= count <= items.count(item)
    missing = set(items) - {item for item, _ in counter.most_common(10)}
    assert all(items.count(item) <= counter.floor for item in missing)


@pytest.mark.parametrize(
    "wrong",
    [{"assigner": "magic"}, {"num_concepts": 0}, {"assigner": "given"}, {"assigner": "embedding"}],
)
def test_wrong_concept_settings_are_named(wrong: dict) -> None:
    with pytest.raises(InputError):
        ConceptConfig(**wrong)
