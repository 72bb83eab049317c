"""Model folders of a stranger: no code, no pickles, no absurd sizes, no template without end."""

from __future__ import annotations

import builtins
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_augment.caption import models
from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.chat import load_errors, load_processor
from mama_augment.caption.models import trial
from mama_augment.caption.models.safe import read_json
from mama_augment.core.errors import InputError
from mama_augment.runtime.isolate import IsolationConfig
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.weights import find_weights, read_config
from mama_train.start.build import build, build_from_checkpoint
from tests.augment.tiny_models import make_llava
from tests.train.published_helper import write_published

EVIL_CODE = "open('PWNED', 'w')\n"


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, (EVIL_CODE,)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture
def folder(llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil; nobody is at the terminal, and whoever is asked says yes."""
    monkeypatch.chdir(tmp_path)

    def yes(*_: object) -> str:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(builtins, "input", yes)
    return Path(shutil.copytree(llava, tmp_path / "model"))


def spoil(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def test_code_of_a_captioners_folder_does_not_run(folder: Path) -> None:
    (folder / "evil.py").write_text(EVIL_CODE)
    auto_map = {
        name: f"evil.{name}"
        for name in ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor",
                     "AutoTokenizer", "AutoImageProcessor")
    }  # fmt: skip
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        spoil(folder / name, auto_map=auto_map, model_type="llava")
    from mama_augment.caption.engines.transformers import TransformersEngine

    models.find(str(folder))
    try:
        TransformersEngine(EngineConfig(name="transformers", model=str(folder))).close()
    except InputError as error:
        assert "--trust-remote-code" in str(error)  # noqa: PT017 (both ends are right)
    spoil(folder / "config.json", model_type="evil")
    spoil(folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer")
    with pytest.raises(InputError, match="--trust-remote-code"):
        load_processor(str(folder))
    assert not list(folder.parent.rglob("PWNED"))


@pytest.mark.parametrize("claims", [{}, {"mama_train": "clip-mean"}, {"mama_train_frames": {}}])
def test_code_of_a_trainers_folder_does_not_run(folder: Path, claims: dict[str, Any]) -> None:
    published = write_published(folder.parent / "published", "siglip")
    (published / "evil.py").write_text(EVIL_CODE)
    auto_map = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", None]}
    spoil(published / "config.json", model_type="siglip-evil", auto_map=auto_map, **claims)
    spoil(published / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="EvilTokenizer")
    for prefix in ("", "clip-mean:"):
        with pytest.raises(InputError):
            build(f"{prefix}{published}", [], seed=0)
    for load in (build_from_checkpoint, TextTokenizer.load):
        with pytest.raises(InputError):
            load(published)
    assert not list(folder.parent.rglob("PWNED"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.pt", "model.ckpt", "x.pkl"])
def test_a_captioners_pickle_is_refused_in_words(folder: Path, name: str) -> None:
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"is a pickle.*safetensors") as caught:
        models.find(str(folder))
    assert name in str(caught.value)
    assert not list(folder.parent.rglob("PWNED"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.pt"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_trainers_pickle_is_refused_in_words(tmp_path: Path, name: str, kind: str) -> None:
    published = write_published(tmp_path / "published", kind)
    (published / "model.safetensors").unlink()
    torch.save({"weights": torch.zeros(1)}, published / name)
    with pytest.raises(InputError, match=r"is a pickle.*model\.safetensors"):
        find_weights(published)
    with pytest.raises(InputError):
        build(str(published), [], seed=0)
    (published / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"safetensors|cannot be loaded"):
        build(str(published), [], seed=0)
    assert not list(tmp_path.rglob("PWNED"))


ABSURD: list[tuple[str, Callable[[Path], object]]] = [
    ("num_hidden_layers", lambda f: spoil(f / "config.json", num_hidden_layers=10**8)),
    ("text_config.num_hidden", lambda f: spoil(f / "config.json",
                                               text_config={"num_hidden_layers": 10**8})),
    ("do not fit", lambda f: spoil(f / "config.json", text_config={"num_hidden_layers": 900,
                                                                  "hidden_size": 100_000})),
    ("vocab_size", lambda f: spoil(f / "config.json", text_config={"vocab_size": 10**12})),
    ("hidden_size", lambda f: spoil(f / "config.json", vision_config={"hidden_size": -1})),
    ("200000x200000", lambda f: spoil(f / "preprocessor_config.json", crop_size=200_000)),
    ("1x1 px", lambda f: spoil(f / "preprocessor_config.json", crop_size=1)),
    ("sizes in its config", lambda f: spoil(f / "preprocessor_config.json",
                                             crop_size={"width": "wide", "height": []})),
    ("not valid JSON", lambda f: (f / "config.json").write_text("[" * 50_000)),
    ("no JSON object", lambda f: (f / "config.json").write_text("[]")),
    ("not valid JSON", lambda f: (f / "config.json").write_text('{"a": 1' + "0" * 5000 + "}")),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change"), ABSURD)
def test_what_no_model_has_is_one_line(
    folder: Path, said: str, change: Callable[[Path], object]
) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    spoil(folder / "preprocessor_config.json", crop_size=48, image_processor_type="CLIP")
    models.find(str(folder))
    change(folder)
    with pytest.raises(InputError, match=said):
        models.find(str(folder))


def test_a_config_without_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**40)
    for read in (lambda: read_json(tmp_path / "config.json"), lambda: read_config(tmp_path)):
        with pytest.raises(InputError, match="bytes"):
            read()
    (tmp_path / "config.json").write_text("[" * 50_000)
    with pytest.raises(InputError, match="not valid JSON"):
        read_config(tmp_path)


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GROWS = (
    "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
)


@pytest.mark.parametrize("template", [LOOPS, GROWS, "{{ 'a' | center(10**10) }}"])
@pytest.mark.parametrize("place", ["jinja", "tokenizer", "list", "processor"])
def test_a_chat_template_that_does_not_end_is_refused(
    folder: Path, template: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = IsolationConfig(time_limit_seconds=3, memory_limit_mb=300)
    monkeypatch.setattr(trial, "LIMITS", limits)
    match place:
        case "jinja":
            (folder / "chat_template.jinja").write_text(template)
        case "tokenizer":
            spoil(folder / "tokenizer_config.json", chat_template=template)
        case "list":
            named = [{"name": "default", "template": "fine"}, {"name": "x", "template": template}]
            spoil(folder / "tokenizer_config.json", chat_template=named)
        case "processor":
            spoil(folder / "processor_config.json", chat_template={"default": template})
    if place != "jinja" and template != LOOPS:
        pytest.skip("one of each place is enough")
    with pytest.raises(InputError, match="does not come to an end"):
        trial.check_templates(str(folder))


def test_other_templates_pass_and_are_rendered(folder: Path) -> None:
    (own,) = trial.templates_of(folder)
    tagged = "{% generation %}{{ messages[0].role }}{% endgeneration %}{% break %}"
    lengths = trial.render([own, "{{ raise_exception('no') }}", "{{ nothing.at.all }}", tagged])
    assert lengths[0] > 20
    assert lengths[1:3] == [0, 0]
    trial.check_templates(str(folder))
    (folder / "chat_template.jinja").write_text("x" * (2**20 + 1))
    with pytest.raises(InputError, match="longer than any"):
        trial.check_templates(str(folder))


def test_a_panic_of_a_tokenizer_is_one_line(folder: Path) -> None:
    class PanicException(BaseException):
        """As Rust's libraries raise it."""

    with pytest.raises(InputError, match="unexpected"), load_errors(str(folder), "processor"):
        raise PanicException("an unexpected regular expression")
    with pytest.raises(KeyboardInterrupt), load_errors(str(folder), "processor"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "content",
    [
        "[" * 50_000,
        '{"model": {}}',
        "not json",
        json.dumps(
            {
                "version": "1.0",
                "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?<=(a"}, "behavior":
                                  "Isolated", "invert": False},
                "added_tokens": [],
            }
        ),
    ],
)  # fmt: skip
def test_a_tokenizer_that_is_none_is_one_line(tmp_path: Path, content: str) -> None:
    published = write_published(tmp_path / "published", "clip")
    (published / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match="holds no tokenizer"):
        TextTokenizer.load(published)


def test_no_module_asks_before_it_trusts() -> None:
    """Every call that may load code says whether it does."""
    for package in ("mama_augment", "mama_train"):
        for path in Path(__file__).parents[2].joinpath(package).rglob("*.py"):
            if path.parts[-2] == "export" or path.name == "card.py":
                continue  # what it says to readers of a page
            source = path.read_text()
            for call in ("AutoModel", "AutoTokenizer", "AutoProcessor", "AutoConfig"):
                for part in source.split(f"{call}.from_pretrained(")[1:]:
                    assert "trust_remote_code" in part[:400], (path, call)
    assert "PWNED" not in sys.modules
