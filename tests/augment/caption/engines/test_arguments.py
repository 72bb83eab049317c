"""Arguments handed on to an engine: how they are written, and that nothing unknown passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.arguments import read_arguments, written
from mama_augment.caption.engines.base import CaptionRequest, EngineError, SamplingConfig
from mama_augment.caption.engines.transformers import TransformersEngine
from mama_augment.caption.engines.transformers_args import check
from mama_augment.core.errors import InputError
from tests.augment.tiny_models import requests


def test_all_ways_of_writing_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('top_k = 20\nstop = ["END"]\nname = "x"\n')
    (tmp_path / "a.json").write_text('{"top_k": 20, "stop": ["END"], "name": "x"}')
    wanted = {"top_k": 20, "stop": ["END"], "name": "x"}
    for given in (
        ["top_k=20", 'stop=["END"]', "name=x"],
        ['{"top_k": 20, "stop": ["END"], "name": "x"}'],
        [str(tmp_path / "a.toml")],
        [str(tmp_path / "a.json")],
        ["top_k=1", str(tmp_path / "a.json")],  # later ones win
    ):
        assert read_arguments("--x", given, ()) == wanted
    assert read_arguments("--x", written(wanted), ()) == wanted


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("top_k", "give key=value"),
        ("{1}", "not valid JSON"),
        ("missing.toml", "cannot be read"),
        ("seed=3", "sets itself"),
    ],
)
def test_what_cannot_be_read_is_said(given: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_arguments("--sampling-args", [given], ("seed",))


@pytest.mark.parametrize(
    ("sampling_args", "engine_args", "says"),
    [
        (("no_such_thing=1",), (), "no_such_thing"),
        (("num_beams=4",), (), "num_beams"),
        (("top_k=-3",), (), "top_k"),
        (("repetition_penalty=-1.0",), (), "penalty"),
        ((), ("no_such_thing=1",), "^--engine-args: transformers says.*no_such_thing"),
    ],
)
def test_what_transformers_does_not_know_is_refused_in_its_words(
    tiny_llava: Path, sampling_args: tuple[str, ...], engine_args: tuple[str, ...], says: str
) -> None:
    config = EngineConfig(name="transformers", model=str(tiny_llava), engine_args=engine_args)

    def begin() -> None:
        check(config, SamplingConfig(sampling_args=sampling_args))
        TransformersEngine(config)

    with pytest.raises(InputError, match=says):
        begin()


def said(directory: Path, **sampling: object) -> list[tuple[str, float | None]]:
    asked: list[CaptionRequest] = []
    for request in requests(6, n=2):
        values = {"temperature": 1.5, "max_tokens": 8, **sampling}
        asked.append(replace(request, sampling=SamplingConfig(**values)))  # type: ignore[arg-type]
    engine = TransformersEngine(
        EngineConfig(name="transformers", model=str(directory), batch_size=4)
    )
    results = dict(engine.generate(asked))
    engine.close()
    found = []
    for request in asked:
        result = results[request.request_id]
        assert not isinstance(result, EngineError), result
        found += [(c.text, c.mean_logprob) for c in result]
    return found


def test_top_k_of_1_is_the_likeliest_whatever_the_temperature(tiny_llava: Path) -> None:
    greedy = [text for text, _ in said(tiny_llava, temperature=0.0)]
    warm = [text for text, _ in said(tiny_llava)]
    assert warm != greedy
    assert [text for text, _ in said(tiny_llava, sampling_args=("top_k=1",))] == greedy


def test_a_repetition_penalty_changes_what_is_said(tiny_llava: Path) -> None:
    plain = said(tiny_llava, temperature=0.0)
    assert said(tiny_llava, temperature=0.0, sampling_args=("repetition_penalty=5.0",)) != plain


def test_mean_logprob_is_that_of_the_text_and_changes_none(tiny_llava: Path) -> None:
    plain, told = said(tiny_llava), said(tiny_llava, logprobs=True)
    assert [text for text, _ in told] == [text for text, _ in plain]
    assert all(value is None for _, value in plain)
    greedy = said(tiny_llava, temperature=0.0, logprobs=True)
    assert all(value is not None and value < 0 for _, value in told + greedy)
    # What is drawn at 1.5 is on average less likely than the likeliest.
    mean = [sum(v for _, v in part if v) / len(part) for part in (told, greedy)]
    assert mean[0] < mean[1]
