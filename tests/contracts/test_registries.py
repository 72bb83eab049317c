"""A variant is one class and one registry entry: a toy one of each kind runs through real code."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mama_augment.caption.engines import AUTO, ENGINES, EngineConfig, settle
from mama_augment.caption.engines.base import CaptionRequest, Completion, EngineKind, Result
from mama_augment.cli import app
from mama_augment.concepts import ASSIGNERS, ConceptConfig
from mama_augment.concepts.base import ConceptAssigner, read_model, write_model
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.core.store.step_dir import StepDir
from mama_augment.keyframes.strategies import STRATEGIES
from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from tests.augment.numbered import extract, read_number, write_numbered
from tests.augment.worlds import clip, write_clips


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)


class Last(Strategy):
    """The last frames of a clip."""

    name = "toy"
    help = "the last frames"
    without_index = "uniform"

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        first = max(0, clip.num_frames - config.num_frames)
        return Choice(strategy=self.name, frame_index=list(range(first, clip.num_frames)))


def test_a_toy_strategy_chooses_the_frames_of_a_real_clip(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "clip.mp4", 30)
    with STRATEGIES.registered("toy", Last):
        found = extract(path, strategy="toy", num_frames=4)
    assert found.strategy == "toy"
    assert [read_number(jpeg) for jpeg in found.frames] == [26, 27, 28, 29]
    with pytest.raises(InputError, match="--strategy is 'toy'; allowed: peaks, packets"):
        KeyFrameConfig(strategy="toy")


def test_what_a_strategy_falls_back_to_needs_no_index(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "clip.h264", 30, format="h264")  # gives frames no times
    with STRATEGIES.registered("toy", Last):
        assert extract(path, strategy="toy", num_frames=4).strategy == "uniform"
    for name, strategy in STRATEGIES.items():
        assert strategy.name == name
        assert strategy.help
        if strategy.without_index is not None:
            assert STRATEGIES[strategy.without_index].without_index is None


@dataclass(frozen=True)
class Lengths(ConceptAssigner):
    """A text is about its number of words, up to a limit."""

    limit: int

    name = "toy"
    help = "how many words a text has"
    options = ("num_concepts",)
    reads = None

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Lengths:
        return cls(config.num_concepts or 5)

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Lengths:
        return cls(content["limit"])

    @property
    def names(self) -> list[str]:
        return [f"{number} words" for number in range(self.limit)]

    def assign(self, batch: TextBatch) -> list[list[int]]:
        return [[min(len(text.split()), self.limit - 1)] for text in batch.texts]

    def save(self, folder: Folder) -> None:
        write_model(folder, {"assigner": self.name, "limit": self.limit})


def test_a_toy_assigner_balances_and_its_model_is_used_again(tmp_path: Path) -> None:
    rows = [clip(f"c{i:02d}", "a ball" if i % 3 else "a red ball rolls") for i in range(12)]
    clips, out, again = write_clips(tmp_path / "clips", rows), tmp_path / "a", tmp_path / "b"
    with ASSIGNERS.registered("toy", Lengths):
        run("balance", clips, "--out", str(out), "--concepts", "toy", "--num-concepts", "6")
        run("balance", clips, "--out", str(again), "--concept-model", f"{out}/concept_model")
    for made in (out, again):
        concepts = json.loads((made / "concepts.json").read_text())
        assert [c["num_before"] for c in concepts] == [0, 0, 8, 0, 4, 0]
    with pytest.raises(InputError, match="'toy'; allowed: topics, vocabulary"):
        read_model(Folder(f"{out}/concept_model"))


@pytest.mark.parametrize("name", ASSIGNERS)
def test_fitting_takes_the_options_that_an_assigner_names_and_no_others(
    name: str, tmp_path: Path
) -> None:
    taken = set()

    class Watched:
        def __getattr__(self, field: str) -> Any:
            taken.add(field)
            return getattr(config, field)

    def batches() -> Iterator[TextBatch]:
        values = [float(i % 2) for i in range(8)]
        yield TextBatch(texts=["a ball rolls", "a dog"] * 4, values=[[v, 1 - v] for v in values])

    config = ConceptConfig(assigner=name, num_concepts=2, column="any")
    ASSIGNERS[name].fit(Watched(), batches)  # type: ignore[arg-type]
    assert taken == set(ASSIGNERS[name].options)
    assert taken <= {field.name for field in dataclasses.fields(ConceptConfig)}
    assert ASSIGNERS[name].name == name
    assert ASSIGNERS[name].help


class Parrot:
    """Says what it was asked."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        for request in requests:
            said = Completion(
                text=f"They {request.prompt.lower()}",
                num_prompt_tokens=None,
                num_output_tokens=None,
                finish_reason="stop",
            )
            yield request.request_id, [said] * request.n

    def close(self) -> None:
        pass


PARROT = EngineKind(name="toy", engine=f"{__name__}:Parrot", packages=())


def test_a_toy_engine_captions_through_the_command(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", [clip(f"c{i}") for i in range(3)])
    out, asked = str(tmp_path / "out"), ["--model", "llava-shapes", "--prompt", "throw the ball"]
    with ENGINES.registered("toy", PARROT):
        run("caption", clips, "--out", out, "--engine", "toy", *asked)
        assert settle(AUTO) != "toy"
    step_dir = StepDir.open(out, step="caption")
    table = pa.concat_tables(step_dir.tables(["text"]))
    assert table["text"].to_pylist() == ["They throw the ball"] * 3
    assert step_dir.manifest.config["engine"] == "toy"
    with pytest.raises(InputError, match="'toy'; allowed: auto, vllm"):
        settle("toy")


def test_an_engine_that_is_not_installed_says_what_to_do() -> None:
    missing = EngineKind(name="far", engine="x:Y", library="no_such_library", missing="Get it")
    with ENGINES.registered("far", missing), pytest.raises(InputError, match="far: Get it"):
        settle("far")


def test_what_is_known_of_variants_costs_no_heavy_import() -> None:
    heavy = ("torch", "vllm", "av", "sklearn", "scipy", "transformers", "ahocorasick_rs")
    code = (
        "import sys\n"
        "from mama_augment.caption.engines import ENGINES\n"
        "from mama_augment.concepts import ASSIGNERS\n"
        "from mama_augment.keyframes.strategies import STRATEGIES\n"
        "[v.help for v in (*ASSIGNERS.values(), *STRATEGIES.values())]\n"
        "[(v.is_server, v.is_installed, v.packages) for v in ENGINES.values()]\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
