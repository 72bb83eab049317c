"""What `mama-augment caption` makes of its engine, each claim as a ratio of one run.

    .venv-vllm/bin/python benchmarks/caption.py utilisation   # against vLLM's own generate
    .venv-vllm/bin/python benchmarks/caption.py ways          # against one by one, and barriers
    .venv-vllm/bin/python benchmarks/caption.py composition   # how often the batch changes a text
    .venv-vllm/bin/python benchmarks/caption.py poison        # 1 % of broken clips

On a GPU: the same, with --model llava, --max-in-flight 256 and --gpu-memory-share 0.4. Without
--model a random LLaVA is built whose captions cost at least ten grids; --model llava-shapes is
the bundled one. Start-up is never part of a time; times are medians of alternating rounds.
"""  # fmt: skip

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mama_augment.caption import models
from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import CaptionEngine, CaptionRequest, SamplingConfig
from mama_augment.caption.identity import draw_seed, frames_digest
from mama_augment.caption.input.layout import GridLayout
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings, shown_of
from mama_augment.caption.step import Caption
from mama_augment.core import schema
from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

CLIPS_PER_UNIT = 32
NUM_FRAMES = 12


def make_clips(directory: Path, number: int, spoil: Callable[[int], dict] | None = None) -> str:
    """A clips directory of JPEGs at the default size, all different."""
    rng = np.random.default_rng(0)
    units = {
        f"{i:05d}": min(CLIPS_PER_UNIT, number - start)
        for i, start in enumerate(range(0, number, CLIPS_PER_UNIT))
    }
    manifest = Manifest(
        step="keyframes", config={}, input_fingerprint="noise", units=units, versions={}
    )
    clips = StepDir.create_or_resume(str(directory), manifest)
    for index, (unit_id, size) in enumerate(units.items()):
        rows = []
        for position in range(index * CLIPS_PER_UNIT, index * CLIPS_PER_UNIT + size):
            # Soft patches: files of about 15 kB, as footage of this size has.
            small = rng.integers(64, 192, (NUM_FRAMES, 5, 8, 3)).astype(np.uint8)
            frames = [cv2.imencode(".jpg", cv2.resize(f, (455, 256)))[1].tobytes() for f in small]
            row = {"clip_id": f"c{position:06d}", "video_uri": "noise", "frames": frames,
                   "num_key_frames": NUM_FRAMES, "frame_index": list(range(NUM_FRAMES)),
                   "frame_seconds": [float(i) for i in range(NUM_FRAMES)], "texts": []}  # fmt: skip
            rows.append(row | (spoil(position) if spoil else {}))
        clips.commit(unit_id, pa.Table.from_pylist(rows, schema.CLIPS))
    return str(directory)


def make_model(directory: Path) -> str:
    """A random LLaVA large enough that a caption of 128 tokens costs many grids on a CPU core."""
    import torch

    from mama_augment.shapes.captioner import tiny_llava

    torch.manual_seed(0)
    config = tiny_llava.TinyLlavaConfig(width=384, head_width=64, num_text_layers=6)
    tokenizer = tiny_llava.build_tokenizer(config, ["USER: describe the video ASSISTANT:"] * 50)
    model = tiny_llava.build_model(config)
    with torch.no_grad():
        # Sure of itself, and never of the stop: every caption has max_tokens.
        model.lm_head.weight.mul_(20)
        model.lm_head.weight[tokenizer.eos_token_id] = 0
    tiny_llava.save(model, tiny_llava.build_processor(config, tokenizer), directory)
    return str(directory)


class Bench:
    """Clips, model and settings that all parts share."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.work = work
        self.clips = make_clips(work / "clips", options.num_clips)
        found = models.find(options.model or make_model(work / "model"))
        self.settings = CaptionSettings(
            model=found.name,
            model_revision=found.revision,
            size=found.size,
            grid=GridLayout(),
            prompt=resolve("process"),
            sampling=SamplingConfig(temperature=0.2, max_tokens=options.max_tokens),
        )
        self.config = EngineConfig(
            name="vllm",
            model=found.directory,
            max_in_flight=options.max_in_flight,
            gpu_memory_share=options.gpu_memory_share,
        )
        self._num_runs = 0

    def command(self, engine: CaptionEngine, clips: str | None = None, **changes: Any) -> Ledger:
        """The whole step, from Parquet to Parquet, on an engine that has been started."""
        self._num_runs += 1
        step = Caption(
            clips or self.clips,
            dataclasses.replace(self.settings, **changes),
            self.config,
            start_engine=lambda config: Kept(engine),
        )
        out = StepOutput(str(self.work / f"out{self._num_runs}"))
        return run(step, out, RuntimeConfig(num_workers=1)).ledger

    def texts(self) -> dict[str, str]:
        """clip_id to what the model said in the last run of `command`."""
        out = StepDir.open(str(self.work / f"out{self._num_runs}"))
        table = pa.concat_tables(out.tables(["clip_id", "raw_text"]))
        return dict(zip(*(table[c].to_pylist() for c in ("clip_id", "raw_text")), strict=True))

    def requests(self) -> list[CaptionRequest]:
        """What the command would ask, prepared; the time that takes is printed."""
        started = time.perf_counter()
        asked = []
        for table in StepDir.open(self.clips).tables(["clip_id", "frames"]):
            for row in table.to_pylist():
                request = CaptionRequest(
                    request_id=row["clip_id"],
                    shown=shown_of(row["frames"], [], self.settings),
                    prompt=self.settings.prompt.text,
                    sampling=self.settings.sampling,
                    seed=draw_seed(0, frames_digest(row["frames"])),
                )
                asked.append(request)
        milliseconds = 1000 * (time.perf_counter() - started) / len(asked)
        print(f"preparing one grid of {NUM_FRAMES} frames: {milliseconds:.1f} ms")
        return asked


class Kept:
    """A started engine that a run does not close."""

    def __init__(self, engine: CaptionEngine) -> None:
        self.generate = engine.generate

    def close(self) -> None:
        pass


def start_llm(bench: Bench) -> Any:
    """vLLM's offline class with the engine's own settings."""
    from vllm import LLM

    from mama_augment.caption.engines.vllm import engine_options

    return LLM(**engine_options(bench.config))


def close(engine: Any, llm: Any) -> None:
    """Both, or the process waits at its end for a core that nobody stops."""
    engine.close()
    llm.llm_engine.engine_core.shutdown()


def offline(llm: Any, engine: Any, asked: Sequence[CaptionRequest]) -> None:
    """`LLM.generate` on requests that are ready."""
    from vllm import SamplingParams

    prompts = [engine.chat.rendered(r) for r in asked]
    params = [
        SamplingParams(temperature=r.sampling.temperature, max_tokens=r.sampling.max_tokens,
                       seed=r.seed)
        for r in asked
    ]  # fmt: skip
    outputs = llm.generate(prompts, params, use_tqdm=False)
    assert len(outputs) == len(asked)


def rates(ways: dict[str, Callable[[], Any]], number: int, rounds: int) -> dict[str, float]:
    """Captions per second of each way: the median over rounds in which the ways alternate."""
    for way in ways.values():
        way()  # a first time for whatever is lazy
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: number / statistics.median(taken) for name, taken in seconds.items()}


def utilisation(bench: Bench) -> None:
    engine: Any = make_engine(bench.config)
    llm = start_llm(bench)
    asked = bench.requests()
    ways = {
        "vllm generate": lambda: offline(llm, engine, asked),
        "mama-augment": lambda: bench.command(engine),
    }
    found = rates(ways, len(asked), bench.options.rounds)
    print(f"generating one caption: {1000 / found['vllm generate']:.1f} ms")
    for name, rate in found.items():
        print(f"{name:>16}: {rate:6.1f} captions/s")
    print(f"ratio of the whole command: {found['mama-augment'] / found['vllm generate']:.3f}")
    close(engine, llm)


def ways(bench: Bench) -> None:
    """One by one with transformers; batches with a barrier on vLLM; the command."""
    engine: Any = make_engine(bench.config)
    single = make_engine(dataclasses.replace(bench.config, name="transformers", batch_size=1))
    llm = start_llm(bench)
    rows = [row for t in StepDir.open(bench.clips).tables(["frames"]) for row in t.to_pylist()][
        : bench.options.num_clips
    ]

    def request(row: dict) -> CaptionRequest:
        return CaptionRequest(
            request_id="x", shown=shown_of(row["frames"], [], bench.settings),
            prompt=bench.settings.prompt.text, sampling=bench.settings.sampling, seed=0,
        )  # fmt: skip

    def one_by_one() -> None:
        for row in rows:
            list(single.generate([request(row)]))

    def barriers() -> None:
        for start in range(0, len(rows), 16):
            offline(llm, engine, [request(row) for row in rows[start : start + 16]])

    found = rates(
        {"one by one, transformers": one_by_one, "batches of 16, barrier": barriers,
         "mama-augment": lambda: bench.command(engine)}, len(rows), bench.options.rounds,
    )  # fmt: skip
    for name, rate in found.items():
        print(f"{name:>26}: {rate:6.1f} captions/s, command is {found['mama-augment'] / rate:.2f}x")
    close(engine, llm)


def composition(bench: Bench) -> None:
    """The share of texts that differ when the same clips meet other neighbours in a batch."""
    engine: Any = make_engine(bench.config)
    for temperature in (0.0, 0.2):
        sampling = dataclasses.replace(bench.settings.sampling, temperature=temperature)
        bench.command(engine, sampling=sampling)
        together = bench.texts()
        most, engine.max_in_flight = engine.max_in_flight, 3
        bench.command(engine, sampling=sampling)
        engine.max_in_flight = most
        few = bench.texts()
        assert together.keys() == few.keys()
        differing = sum(together[clip_id] != few[clip_id] for clip_id in few)
        print(f"temperature {temperature}: {differing} of {len(few)} texts differ "
              f"({differing / len(few):.1%})")  # fmt: skip
    engine.close()


def poison(bench: Bench) -> None:
    """Every hundredth clip is broken, each in one of four ways."""
    header = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = header.index(b"\xff\xc0") + 5
    header[at : at + 4] = bytes([0xEA, 0x60, 0xEA, 0x60])  # claims 60,000 x 60,000 px
    faults: list[dict[str, Any]] = [
        {"frames": [b"\xff\xd8\xff"]},
        {"frames": []},
        {"frames": [bytes(header)]},
        {"video_uri": "word " * 5000},
    ]

    def spoil(position: int) -> dict[str, Any]:
        return faults[position // 100 % len(faults)] if position % 100 == 50 else {}

    clips = make_clips(bench.work / "poisoned", max(400, bench.options.num_clips), spoil)
    engine: Any = make_engine(bench.config)
    ledger = bench.command(engine, clips, prompt=resolve("Describe the video {{ video_uri }}."))
    out = StepDir.open(str(bench.work / f"out{bench._num_runs}"))
    found = [r for record in out.records().values() for r in out.read_rejects(record)]
    for reject in found:
        print(f"{reject.id}: {reject.verdict}, {reject.reason}: {reject.message[:90]}")
    print(f"in {ledger.num_in}, captioned {ledger.num_in - len(found)}, set aside {len(found)}, "
          f"accounting holds: {ledger.holds}")  # fmt: skip
    engine.close()


PARTS = {f.__name__: f for f in (utilisation, ways, composition, poison)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--model", help="as for mama-augment caption")
    parser.add_argument("--num-clips", type=int, default=96)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--max-in-flight", type=int, default=32)
    parser.add_argument("--gpu-memory-share", type=float, default=0.4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as work:
        PARTS[options.part](Bench(options, Path(work)))


if __name__ == "__main__":
    main()
