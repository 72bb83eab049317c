"""What training steps cost on a GPU: plain, lagged, exact and amortised, memory and samples/s.

    python benchmarks/gpu_training.py --json gpu.json             # at most 8 minutes
    python benchmarks/gpu_training.py --device cpu --size small --batches 16 --precision fp32

CLIP-ViP-B/32 with random weights, 12 frames of 224 px, bf16 autocast, batches of 128 and 512 that
lie on the device, `--rows-per-pass` captions at a time. Needs torch, transformers, numpy and
pyarrow, and this checkout; nothing has to be installed. Each method takes warm-up steps, then steps
until its share of the time is used up; what does not fit into memory is said. Nothing is loaded or
decoded: this is the step alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib.util
import json
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

METHODS = ("plain", "lagged", "exact", "amortised")
MOST_SECONDS = 440.0
WARM_UP, MOST_STEPS = 2, 40


def stand_in() -> None:
    """Where pydantic is missing: settings are plain dataclasses, whose values nobody checks."""
    if importlib.util.find_spec("pydantic") and importlib.util.find_spec("annotated_types"):
        return
    bounds: Any = types.ModuleType("annotated_types")
    bounds.Ge = bounds.Gt = bounds.Le = bounds.Lt = lambda value: value
    pydantic: Any = types.ModuleType("pydantic")
    pydantic.Strict = lambda strict: strict
    ours: Any = types.ModuleType("mama_train.checked")
    ours.checked = dataclasses.dataclass(frozen=True, kw_only=True)
    sys.modules |= {m.__name__: m for m in (bounds, pydantic, ours)}


def measure(bench: Any, method: str, seconds: float) -> dict[str, float]:
    """Median seconds of a step (of four for `amortised`, one of which is a meta step), samples per
    second, and the peak of memory on a GPU."""
    import torch
    from meta_step import AMORTISED_EVERY

    every = AMORTISED_EVERY if method == "amortised" else 1
    bench.count = 0
    for _ in range(WARM_UP):
        for _ in range(every):
            bench.take(method)
    bench.synchronize()
    on_gpu = bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < MOST_STEPS and (not times or time.perf_counter() - began < seconds):
        started = time.perf_counter()
        for _ in range(every):
            bench.take(method)
        bench.synchronize()
        times.append((time.perf_counter() - started) / every)
    median = statistics.median(times)
    return {
        "seconds": median,
        "samples_per_second": len(bench.batches[0]) / median,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan"),
        "num_measured": len(times),
    }


def measure_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import torch
    from meta_step import Bench

    found: list[dict[str, Any]] = []
    began, num_left = time.perf_counter(), len(arguments.batches) * len(METHODS)
    for batch in arguments.batches:
        bench = Bench(
            arguments.size,
            arguments.device,
            arguments.precision,
            batch=batch,
            chunk=arguments.rows_per_pass if arguments.rows_per_pass < batch else None,
        )
        plain = float("nan")
        for method in METHODS:
            left = arguments.seconds - (time.perf_counter() - began)
            row: dict[str, Any] = {"batch": batch, "method": method}
            if left <= 0:
                row["left_out"] = "no time left"
            else:
                try:
                    # Half for warming up, which cannot be cut short.
                    row |= measure(bench, method, left / num_left / 2)
                except torch.OutOfMemoryError:
                    row["left_out"] = "out of memory"
                    bench.optimizer.zero_grad(set_to_none=True)
            num_left -= 1
            plain = row.get("seconds", plain) if method == "plain" else plain
            row["to_plain"] = row.get("seconds", float("nan")) / plain
            found.append(row)
            print(line_of(row), flush=True)
            gc.collect()
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
        del bench
    return found


def line_of(row: dict[str, Any]) -> str:
    start = f"{row['batch']:6d} {row['method']:10}"
    if "left_out" in row:
        return f"{start} {row['left_out']}"
    return (
        f"{start} {row['seconds']:9.4f} s/step {row['samples_per_second']:9.1f} samples/s "
        f"{row['to_plain']:6.2f} of plain {row['peak_gib']:7.2f} GiB "
        f"({row['num_measured']} measured)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", default="b32")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rows-per-pass", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of all together")
    parser.add_argument("--json", help="also write the figures here")
    arguments = parser.parse_args()
    stand_in()
    import torch

    name = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "CPU"
    print(f"{arguments.size}, {arguments.precision}, {name}, torch {torch.__version__}")
    found = measure_all(arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
