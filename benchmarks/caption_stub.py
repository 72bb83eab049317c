"""What the caption step costs beside its engine, with an engine that only sleeps.

    PYTHONPATH=. python benchmarks/caption_stub.py utilisation   # the engine's share of the time
    PYTHONPATH=. python benchmarks/caption_stub.py scaling       # one replica, then two

No model is run. `utilisation` captions noise clips by the whole step, from Parquet to Parquet; the
engine sleeps 10 or 2 times as long for each caption as preparing one took just before, on the same
machine; the ratio is its sleep to all the time. `scaling` prepares requests with transformers' own
processors at their published sizes in one process, then in two, as replicas do; rounds alternate.
"""  # fmt: skip

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, ChatConfig, Completion, Result
from mama_augment.caption.input.layout import PictureSize
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings, shown_of
from mama_augment.caption.step import Caption
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

FAMILIES = ("llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl", "gemma3")


class Sleeper:
    """One caption after the other, each after a sleep."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        for request in requests:
            time.sleep(self.seconds)
            said = Completion(
                text="A brown dog runs on a beach.",
                num_prompt_tokens=9,
                num_output_tokens=8,
                finish_reason="stop",
            )
            yield request.request_id, [said] * request.n

    def close(self) -> None:
        """Nothing is held."""


def start_sleeper(seconds: float, config: EngineConfig) -> Sleeper:
    """As a step starts its engine."""
    return Sleeper(seconds)


def utilisation(options: argparse.Namespace) -> None:
    """The sleep's share of the whole step."""
    from caption import make_clips

    settings = CaptionSettings(
        model="none",
        model_revision="0",
        size=PictureSize(width_px=336, height_px=336),
        prompt=resolve("process"),
    )
    with tempfile.TemporaryDirectory() as work:
        clips = make_clips(Path(work) / "clips", options.number)
        frames = [
            row["frames"] for t in StepDir.open(clips).tables(["frames"]) for row in t.to_pylist()
        ]
        shown_of(frames[0], [], settings)
        for times in (10, 2):
            ratios, owns = [], []
            for number in range(options.rounds + 1):  # the first one loads what is lazy
                began, cpu = time.perf_counter(), time.thread_time()
                for each in frames[:32]:
                    shown_of(each, [], settings)
                preparing = (time.thread_time() - cpu) / 32
                sleep = times * (time.perf_counter() - began) / 32
                one = RuntimeConfig(num_workers=1)
                config = EngineConfig(name="transformers", model="none")
                start = functools.partial(start_sleeper, sleep)
                step = Caption(clips, settings, config, one, start_engine=start)
                out = StepOutput(str(Path(work) / f"out{times}-{number}"))
                began, cpu = time.perf_counter(), time.thread_time()
                outcome = run(step, out, one)
                own = (time.thread_time() - cpu) / options.number
                seconds = time.perf_counter() - began
                assert outcome.ledger.num_ok == options.number
                if number:
                    ratios.append(options.number * sleep / seconds)
                    owns.append((1000 * preparing, 1000 * own))
            print(
                f"{times}:1, {1000 * sleep:.1f} ms a caption: "
                f"{', '.join(f'{r:.3f}' for r in ratios)}; median {statistics.median(ratios):.3f}",
                flush=True,
            )
            made, kept = (statistics.median(each) for each in zip(*owns, strict=True))
            free = times * made / (times * made + kept)
            print(
                f"  CPU time: preparing {made:.1f} ms a caption, the engine's thread {kept:.1f} ms "
                f"beside it; with processors to spare that is {free:.3f}",
                flush=True,
            )


def prepare(name: str, number: int) -> None:
    """In a child: prepare so many requests once it is told to; prints CPU-seconds."""
    from caption_inputs import jpegs, published, request_of

    from mama_augment.caption.engines.chat import Chat
    from mama_augment.caption.models.families import FAMILIES as KNOWN

    processor, size = published(name)
    chat, frames = Chat(processor, ChatConfig()), jpegs(12)
    shown = "video" if "video" in KNOWN[name].inputs else "grid"
    chat([request_of(frames, shown, None, size)])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    for _ in range(number):
        chat([request_of(frames, shown, None, size)])
    print(time.process_time() - began, flush=True)


def together(name: str, num_processes: int, number: int) -> tuple[float, float]:
    """(requests per second of all, CPU-milliseconds of one)."""
    line = [sys.executable, __file__, "prepare", "--family", name, "--number", str(number)]
    children: list[Any] = [
        subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(num_processes)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    cpu = [float(child.stdout.readline()) for child in children]
    seconds = time.perf_counter() - began
    for child in children:
        child.wait()
    total = num_processes * number
    return total / seconds, 1000 * sum(cpu) / total


def scaling(options: argparse.Namespace) -> None:
    """Requests per second of one process and of two."""
    print("| family | CPU-ms a request | 1 replica, requests/s | 2 replicas | ratio |")
    print("|---|---|---|---|---|")
    for name in options.families:
        found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(options.rounds):
            for num_processes, taken in found.items():
                taken.append(together(name, num_processes, options.number))
        rates = {n: statistics.median(rate for rate, _ in taken) for n, taken in found.items()}
        milliseconds = statistics.median(cpu for taken in found.values() for _, cpu in taken)
        print(
            f"| {name} | {milliseconds:.0f} | {rates[1]:.1f} | {rates[2]:.1f} "
            f"| {rates[2] / rates[1] / 2:.2f} of linear |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("utilisation", "scaling", "prepare"))
    parser.add_argument("--number", type=int, default=96, help="of clips, or requests a process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--family", default="llava", help=argparse.SUPPRESS)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    options = parser.parse_args()
    if options.part == "prepare":
        prepare(options.family, options.number)
    elif options.part == "scaling":
        scaling(options)
    else:
        utilisation(options)


if __name__ == "__main__":
    main()
