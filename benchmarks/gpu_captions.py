"""Captions per second of a LLaVA-1.5-7B on a GPU, against `generate` on tensors that are ready.

    PYTHONPATH=. python benchmarks/gpu_captions.py                              # at most 8 minutes
    PYTHONPATH=. python benchmarks/gpu_captions.py --size tiny --number 24 --batch-size 8   # a CPU

The model has the published shape and random weights, made on the machine; no hub is asked. The
whole step captions noise clips of 12 frames from Parquet to Parquet, through transformers; the same
engine then generates from batches that were prepared beforehand, as often as the time allows. All
captions have --max-tokens. Busy is what nvidia-smi says while the step runs, where there is one.
"""  # fmt: skip

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other only spin

import torch
import transformers as tf

from benchmarks.caption import Kept, make_clips
from benchmarks.caption_inputs import published
from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, SamplingConfig
from mama_augment.caption.engines.transformers import TransformersEngine
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings, shown_of
from mama_augment.caption.step import Caption
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

ENGINE = "mama_augment.caption.engines.transformers"
MOST_SECONDS = 420.0
SHAPES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "7b": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
         "num_attention_heads": 16},
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 32},
    ),
    "tiny": (
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2},
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 4},
    ),
}  # fmt: skip
"""Of the vision tower (CLIP-L/14 at 336 px) and of the language model."""


def make_model(size: str, processor: Any) -> Any:
    """Random weights on the device, in half precision where that is a GPU."""
    vision, text = SHAPES[size]
    on_gpu = torch.cuda.is_available()
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(image_size=336, patch_size=14, **vision),
        text_config=tf.LlamaConfig(
            vocab_size=32064, max_position_embeddings=4096, eos_token_id=None, **text
        ),
        image_token_id=processor.tokenizer.convert_tokens_to_ids(processor.image_token),
    )
    torch.manual_seed(0)
    dtype = torch.bfloat16 if on_gpu else torch.float32
    with torch.device("cuda" if on_gpu else "cpu"):
        model = tf.LlavaForConditionalGeneration._from_config(config, dtype=dtype)
    with torch.no_grad():  # the stop is never the likeliest: all captions are equally long
        model.lm_head.weight[processor.tokenizer.eos_token_id] = 0
    return model


class Watch:
    """What nvidia-smi says of the GPU, twice a second."""

    def __init__(self) -> None:
        self.percents: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Watch:
        if torch.cuda.is_available() and shutil.which("nvidia-smi"):
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def _work(self) -> None:
        line = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._ended.wait(0.5):
            said = subprocess.run(line, capture_output=True, text=True).stdout.split()
            self.percents += [int(said[0])] if said else []


def requests_of(clips: str, settings: CaptionSettings) -> list[CaptionRequest]:
    rows = [row for t in StepDir.open(clips).tables(["clip_id", "frames"]) for row in t.to_pylist()]
    return [
        CaptionRequest(
            request_id=row["clip_id"],
            shown=shown_of(row["frames"], [], settings),
            prompt=settings.prompt.text,
            sampling=settings.sampling,
            seed=index,
        )
        for index, row in enumerate(rows)
    ]


def measure(options: argparse.Namespace, work: Path) -> None:
    began = time.perf_counter()
    processor, size = published("llava")
    with (
        mock.patch(f"{ENGINE}.load_processor", return_value=processor),
        mock.patch(f"{ENGINE}._load_model", return_value=make_model(options.size, processor)),
    ):
        config = EngineConfig(name="transformers", model="random", batch_size=options.batch_size)
        engine = TransformersEngine(config)
    settings = CaptionSettings(
        model="random",
        model_revision="0",
        size=size,
        prompt=resolve("process"),
        sampling=SamplingConfig(temperature=0.2, max_tokens=options.max_tokens),
    )
    print(f"model and engine: {time.perf_counter() - began:.0f} s, on {engine.device}", flush=True)
    clips = make_clips(work / "clips", options.number)
    few = requests_of(clips, settings)[: 4 * options.batch_size]
    list(engine.generate(few[: options.batch_size]))  # a first time for whatever is lazy

    runtime = RuntimeConfig(num_workers=1)
    step = Caption(clips, settings, config, runtime, start_engine=lambda c: Kept(engine))
    with Watch() as watch, mock.patch("mama_augment.caption.engines.check_here"):
        out_uri = str(work / "out")
        started, cpu = time.perf_counter(), time.process_time()
        run(step, StepOutput(out_uri), runtime)
        whole = time.perf_counter() - started
        cpu = time.process_time() - cpu
    out = StepDir.open(out_uri)
    left = [r.message for record in out.records().values() for r in out.read_rejects(record)]
    assert not left, left[:3]  # what random weights say may be rejected, but is said
    rate = options.number / whole

    started = time.process_time()
    batches = [engine._prepare(batch) for batch in engine._batches(few)]
    preparing = (time.process_time() - started) / len(few)
    taken: list[float] = []
    while len(taken) < 40 and time.perf_counter() - began < options.seconds:
        # `generate` moves its tensors itself; the prepared ones stay as they are.
        batch = dataclasses.replace(batches[len(taken) % len(batches)])
        started = time.perf_counter()
        engine._finish(batch)
        taken.append((time.perf_counter() - started) / len(batch.requests))
    ready = 1 / statistics.median(taken)
    print(f"whole step:            {rate:8.2f} captions/s ({options.number} in {whole:.1f} s)")
    print(f"generate, all ready:   {ready:8.2f} captions/s (median of {len(taken)} batches)")
    print(f"ratio:                 {rate / ready:8.3f}")
    print(
        f"processor, a request:  {1000 * preparing:8.1f} CPU-ms, {preparing * rate:.3f} of a core"
    )
    print(f"command, a caption:    {1000 * cpu / options.number:8.1f} CPU-ms")
    if watch.percents:
        print(f"GPU busy:              {statistics.mean(watch.percents):8.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SHAPES, default="7b")
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of everything")
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(
        f"{options.size}, {where}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as work:
        measure(options, Path(work))


if __name__ == "__main__":
    main()
