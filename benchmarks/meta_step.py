"""What the meta step costs: exact by forward-mode AD, lagged, amortised; against double backward.

    python benchmarks/meta_step.py [--device cuda --size base --precision bf16]
    python benchmarks/meta_step.py --parts      # what each part of the exact step takes

Times are medians of rounds in which every method takes its turn on the same batches, so that a
busy machine disturbs all of them alike; ratios are formed within each round. Attention is plain
matrix products for all (the fused kernels support neither second-order pass). Memory is the peak
of a process of its own per method: resident set on a CPU, allocated bytes on a GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mama_train.data.batch import Batch
from mama_train.models.clip_vip import ClipVip, ClipVipConfig, TowerConfig
from mama_train.objective.config import MarginLoss, Weighting
from mama_train.objective.meta import VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.passes import exact_attention
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.optim import clip_gradient

METHODS = ("plain", "exact", "lagged", "amortised", "double-backward")
AMORTISED_EVERY = 4
CLIP_NORM = 1.0
PROCESSES = 5  # an allocator's peak varies by a tenth from one process to the next
SIZES = {
    # width, layers, heads, image, patch, frames, batch of vision; width, layers of text
    "small": (256, 6, 8, 64, 16, 6, 16, 256, 4),
    "base": (768, 12, 12, 224, 16, 12, 32, 512, 12),
    "b32": (768, 12, 12, 224, 32, 12, 128, 512, 12),
}
PUBLISHED = ("b32",)
"""Sizes with the vocabulary and the embedding of the published CLIP."""


class Bench:
    """One model and one pair of batches; each method takes whole training steps on them."""

    def __init__(
        self,
        size: str,
        device: str,
        precision: str,
        *,
        batch: int | None = None,
        chunk: int | None = None,
    ) -> None:
        width, layers, heads, image, patch, frames, usual, text_width, text_layers = SIZES[size]
        batch = batch or usual
        is_published = size in PUBLISHED
        torch.manual_seed(0)
        config = ClipVipConfig(
            text=TowerConfig(
                hidden_size=text_width,
                intermediate_size=4 * text_width,
                num_hidden_layers=text_layers,
                num_attention_heads=8,
            ),
            vision=TowerConfig(
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
            ),
            projection_dim=512 if is_published else 256,
            vocab_size=49408 if is_published else 1000,
            max_text_tokens=77 if is_published else 32,
            image_size=image,
            patch_size=patch,
            temporal_size=frames,
        )
        self.device = torch.device(device)
        self.model = ClipVip(config).to(self.device)
        autocast = torch.bfloat16 if precision == "bf16" else None
        self.objective = Objective(self.model, MarginLoss(), chunk=chunk, autocast=autocast)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        self.weigh = Weigher(weighting=Weighting(), net=WeightNet().to(self.device))
        self.batches = [random_batch(config, batch, seed, self.device) for seed in (1, 2)]
        self.small_meta = first_rows(self.batches[1], batch // 4)
        self.upper = self.model.upper_names(max(1, layers // 4))
        self.autocast = autocast
        self.count = 0

    def apply(self, gradient: dict[str, Tensor]) -> None:
        clip_gradient(self.model, gradient, CLIP_NORM)
        self.optimizer.step()

    def meta(
        self, encoded: Any, meta_batch: Batch, names: list[str] | None = None, keep: bool = True
    ) -> Any:
        return meta_gradient(
            self.objective,
            encoded,
            meta_batch,
            self.weigh,
            self.virtual_step(names),
            keep_gradient=keep,
        )

    def virtual_step(self, names: list[str] | None = None) -> VirtualStep:
        update = adamw_step(self.optimizer, self.objective.parameters(), clip_norm=CLIP_NORM)
        return VirtualStep(lr=1e-5, update=update, names=names)

    def step(self, method: str) -> None:
        """A step with eager attention, which all methods can take."""
        with exact_attention():
            if method == "double-backward":
                self.step_double_backward()
            else:
                self.take(method)

    def take(self, method: str) -> None:
        """A step as a run takes it."""
        batch, meta_batch = self.batches
        is_meta = method in ("exact", "lagged") or (
            method == "amortised" and self.count % AMORTISED_EVERY == 0
        )
        encoded = self.objective.encode(batch, for_jvp=is_meta)
        equal_B = torch.full_like(encoded.loss_B, 1 / len(batch))
        if method == "plain":
            self.apply(self.objective.gradient(encoded, equal_B, last=True))
        elif method == "exact":
            self.meta(encoded, meta_batch, keep=False)
            weight_B = self.weigh(encoded.loss_B).detach()
            self.apply(self.objective.gradient(encoded, weight_B, last=True))
        elif method == "lagged":
            self.apply(self.meta(encoded, meta_batch).gradient)
        elif self.count % AMORTISED_EVERY == 0:
            self.apply(self.meta(encoded, self.small_meta, self.upper).gradient)
        else:
            weight_B = self.weigh(encoded.loss_B).detach()
            self.apply(self.objective.gradient(encoded, weight_B, last=True))
        self.count += method == "amortised"

    def step_double_backward(self) -> None:
        batch, meta_batch = self.batches
        named = self.objective.parameters()
        device_type = self.device.type
        with torch.autocast(device_type, torch.bfloat16, enabled=self.autocast is not None):
            _, _, loss_B = unrolled_meta_gradient(
                self.objective, batch, meta_batch, self.weigh, self.virtual_step()
            )
        weight_B = self.weigh(loss_B).detach()
        grads = torch.autograd.grad((weight_B * loss_B).sum(), list(named.values()))
        self.apply(dict(zip(named, grads, strict=True)))

    def seconds(self, method: str, num_steps: int) -> float:
        self.synchronize()
        started = time.perf_counter()
        for _ in range(num_steps):
            self.step(method)
        self.synchronize()
        return (time.perf_counter() - started) / num_steps

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def random_batch(config: ClipVipConfig, num: int, seed: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    shape = (num, config.temporal_size, config.image_size, config.image_size, 3)
    ids = torch.randint(0, 999, (num, 24), generator=generator)
    return Batch(
        video=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        input_ids_BS=ids,
        mask_BS=torch.ones_like(ids),
        clip_key_B=torch.arange(num),
        text_key_B=torch.arange(num),
        frequency_B=torch.ones(num),
    ).to(device)


def first_rows(batch: Batch, num: int) -> Batch:
    part = next(iter(batch.chunks(num)))
    keys = {name: getattr(part, name)[:num] for name in ("clip_key_B", "text_key_B", "frequency_B")}
    return dataclasses.replace(part, **keys)


def peak_bytes(arguments: argparse.Namespace, method: str) -> int:
    """Median peak of processes of their own that take a few steps of one method."""
    command = [sys.executable, __file__, "--peak-of", method, "--size", arguments.size]
    command += ["--device", arguments.device, "--precision", arguments.precision]
    command += ["--threads", str(arguments.threads)]
    peaks = []
    for _ in range(PROCESSES):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.strip().splitlines()[-1]))
    return round(statistics.median(peaks))


def print_peak(bench: Bench, method: str) -> None:
    """The first step makes optimizer state; the peak is that of the later ones on a GPU."""
    bench.seconds("plain", 1)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    bench.seconds(method, 2)
    if bench.device.type == "cuda":
        print(torch.cuda.max_memory_allocated())
    else:
        print(peak_resident_bytes())


def peak_resident_bytes() -> int:
    """This process's own peak; getrusage would also count the parent that it was forked from."""
    with open("/proc/self/status") as stream:
        line = next(line for line in stream if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure_times(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds per step by method, one value per round."""
    steps = {m: AMORTISED_EVERY if m == "amortised" else 1 for m in METHODS}
    for method in METHODS:
        bench.seconds(method, steps[method])
    found: dict[str, list[float]] = {m: [] for m in METHODS}
    for _ in range(rounds):
        for method in METHODS:
            found[method].append(bench.seconds(method, steps[method]))
    return found


def measure_parts(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds of each part of an exact meta step, one value per round."""
    objective, found = bench.objective, dict[str, list[float]]()

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        bench.synchronize()
        started = time.perf_counter()
        yield
        bench.synchronize()
        found.setdefault(name, []).append(time.perf_counter() - started)

    batch, meta_batch = bench.batches
    bench.seconds("exact", 2)
    with exact_attention():
        for _ in range(rounds):
            with timed("forward at w"):
                encoded = objective.encode(batch, for_jvp=True)
            weight_B = bench.weigh(encoded.loss_B).detach()
            with timed("backward at w"):
                gradient = objective.gradient(encoded, weight_B)
            step = bench.virtual_step()
            with timed("virtual step"):
                moved = step.taken(objective.parameters(), gradient)
            with timed("meta batch"):
                direction, _ = objective.mean_gradient_at(moved, meta_batch)
            with timed("pull back"):
                step.pull_back(gradient, direction)
            with timed("forward-mode pass"):
                objective.loss_jvp(encoded, direction)
            with timed("backward at w again"):
                gradient = objective.gradient(encoded, weight_B, last=True)
            with timed("clipping and AdamW"):
                bench.apply(gradient)
    return found


def report_parts(parts: dict[str, list[float]]) -> None:
    """Medians, and what they are of a plain step: one forward, one backward, AdamW."""
    median = {name: statistics.median(values) for name, values in parts.items()}
    plain = median["forward at w"] + median["backward at w"] + median["clipping and AdamW"]
    for name, seconds in median.items():
        print(f"{name:20} {seconds:8.3f} s {seconds / plain:6.2f} of a plain step")
    print(f"{'all':20} {sum(median.values()):8.3f} s {sum(median.values()) / plain:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="time the parts of the exact step")
    parser.add_argument("--json", help="also write the figures here")
    parser.add_argument("--peak-of", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench = Bench(arguments.size, arguments.device, arguments.precision)
    if arguments.peak_of:
        print_peak(bench, arguments.peak_of)
        return
    if arguments.parts:
        report_parts(measure_parts(bench, arguments.rounds))
        return
    times = measure_times(bench, arguments.rounds)
    peaks = {m: peak_bytes(arguments, m) for m in METHODS}
    report(times, peaks, arguments)


def report(
    times: dict[str, list[float]], peaks: dict[str, int], arguments: argparse.Namespace
) -> None:
    def ratio(method: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(times[method], times[to], strict=True))

    above = {m: peaks[m] - peaks["plain"] for m in METHODS}
    print(f"{arguments.size}, {arguments.device}, {arguments.precision}, torch {torch.__version__}")
    print(f"{'method':16} {'s/step':>8} {'/ plain':>8} {'/ double':>9} {'MB above plain':>15}")
    for m in METHODS:
        print(
            f"{m:16} {statistics.median(times[m]):8.3f} {ratio(m, 'plain'):8.2f} "
            f"{ratio(m, 'double-backward'):9.2f} {above[m] / 1e6:15.0f}"
        )
    memory = above["exact"] / max(1, above["double-backward"])
    print(f"memory above a plain step, exact / double backward: {memory:.2f}")
    if arguments.json:
        figures = {
            "seconds": times,
            "peak_bytes": peaks,
            "exact_to_plain": ratio("exact", "plain"),
            "exact_to_double": ratio("exact", "double-backward"),
            "memory_ratio": memory,
        }
        with open(arguments.json, "w") as stream:
            json.dump(figures, stream, indent=1)


if __name__ == "__main__":
    main()
