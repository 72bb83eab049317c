"""Scenes, their captions and the draws behind them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.draws import Draws
from mama_augment.core.errors import InputError
from mama_augment.shapes.world.human import TEMPLATES, WORDINGS, human_caption
from mama_augment.shapes.world.scene import (
    HELD_OUT_SHARE,
    MOTIONS,
    Scene,
    all_scenes,
    is_held_out,
    parse_caption,
)

SCENES = all_scenes()
scenes = st.sampled_from(SCENES)


def test_every_scene_has_a_caption_of_its_own_that_parses_back() -> None:
    captions = [scene.caption for scene in SCENES]
    assert len(set(captions)) == len(SCENES) == 8 * 5 * 6 * 5
    assert [parse_caption(caption) for caption in captions] == SCENES


def test_captions_are_english() -> None:
    first, second = MOTIONS[0], MOTIONS[4]
    scene = Scene(colour="orange", shape="star", first_motion=first, second_motion=second)
    assert scene.caption == "an orange star moves left, then grows"
    assert scene.concept == "orange star"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red circle",
        "a red circle moves left, then moves left",
        "a pink circle moves left, then grows",
        "a red circle moves left, then grows, then shrinks",
        "the image shows a red circle moves left, then grows",
    ],
)
def test_other_texts_are_no_captions(text: str) -> None:
    assert parse_caption(text) is None


def test_impossible_scenes_are_refused_by_name() -> None:
    fields = {"shape": "circle", "first_motion": "grows", "second_motion": "shrinks"}
    with pytest.raises(InputError, match=r"pink.*red"):
        Scene(colour="pink", **fields)
    with pytest.raises(InputError, match="two different"):
        Scene(colour="red", **{**fields, "second_motion": "grows"})


def test_held_out_scenes_are_a_fixed_tenth_that_covers_every_value() -> None:
    held_out = [scene for scene in SCENES if is_held_out(scene)]
    assert 0.8 * HELD_OUT_SHARE < len(held_out) / len(SCENES) < 1.2 * HELD_OUT_SHARE
    for attribute in ("colour", "shape", "first_motion", "second_motion"):
        values = {getattr(scene, attribute) for scene in SCENES}
        assert {getattr(scene, attribute) for scene in held_out} == values
        # Unseen are only combinations: each value alone occurs in training, too.
        rest = [scene for scene in SCENES if not is_held_out(scene)]
        assert {getattr(scene, attribute) for scene in rest} == values


@given(scenes, st.integers())
def test_people_name_the_concept_and_both_motions_in_order(scene: Scene, seed: int) -> None:
    text = human_caption(scene, Draws((seed,)))
    assert scene.concept in text

    def place(motion: str, start: int = 0) -> int:
        return max(text.find(wording, start) for wording in WORDINGS[motion])

    assert 0 <= place(scene.first_motion) < place(scene.second_motion)


def test_people_use_every_wording() -> None:
    texts = {human_caption(SCENES[0], Draws((i,))) for i in range(400)}
    assert len(texts) == len(TEMPLATES) * 4


@given(st.integers(), st.text(max_size=8), st.text(max_size=8))
def test_a_draw_depends_on_its_key_and_name_alone(seed: int, one: str, other: str) -> None:
    draws = Draws((seed, "a"))
    before = draws.bits(one)
    draws.bits(other)
    assert Draws((seed, "a")).bits(one) == before
    assert Draws((seed, "b")).bits(one) != before
    assert 0 <= draws.unit(one) < 1


@given(st.integers(), st.lists(st.integers(), max_size=20))
def test_shuffling_keeps_every_item(seed: int, items: list[int]) -> None:
    assert sorted(Draws((seed,)).shuffled("order", items)) == sorted(items)


def test_draws_are_uniform() -> None:
    draws = Draws((5,))
    values = [draws.integer(f"{i}", 1, 4) for i in range(4000)]
    for value in (1, 2, 3, 4):
        assert abs(values.count(value) - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5
