"""How do opening, resuming and planning grow with the number of clips?

    python benchmarks/growth.py --num-clips 10000 100000 1000000 --work /dev/shm/growth

A csv manifest of N clips (two to a video) goes through the real path with work that costs nothing:
the worker's extraction gives one tiny picture. Each operation runs in a process of its own, on a
folder that is used as an object store and counts requests. Printed for each: CPU-seconds, peak
memory beyond what the imports take, requests. Seconds are of this machine; for ten times the
largest size, requests and CPU-seconds are extended by their slope, at `--request-ms` a request, as
many at once as the program sends (listings one after the other).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

KEYS_PER_LIST = 1_000
LIST_MS = 50.0
AT_ONCE = 64
COUNTED = "counted://"
OPERATIONS = ("start", "half", "resume", "status", "caption", "balance")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num-clips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--work", type=Path, default=Path("growth"))
    parser.add_argument("--request-ms", type=float, default=20.0)
    parser.add_argument("--operation", choices=OPERATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.operation:
        (number,) = options.num_clips
        print(json.dumps(measured(options.operation, options.work / str(number))))
        return
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for number in sorted(options.num_clips):
        folder = options.work / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_manifest(folder / "m.csv", number)
        found[number] = {}
        for operation in OPERATIONS:
            command = [sys.executable, __file__, "--num-clips", str(number)]
            command += ["--work", str(options.work), "--operation", operation]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found[number][operation] = json.loads(done.stdout.splitlines()[-1])
            show(number, operation, found[number][operation])
        shutil.rmtree(folder)
    if len(found) > 1:
        extend(found, options.request_ms)


def write_manifest(path: Path, number: int) -> None:
    with path.open("w") as file:
        file.write("video,start_seconds,end_seconds,text,topic\n")
        for n in range(number):
            start = 2.0 * (n % 2)
            file.write(
                f"v/{n // 2:08d}.mp4,{start},{start + 2},a person does thing {n},t{n % 40}\n"
            )


class Handler(pafs.FileSystemHandler):
    """A folder that is used as an object store, and counts what a store would be asked."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._local = pafs.LocalFileSystem()

    def get_type_name(self) -> str:
        return "counted"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        self._counts["HEAD"] += len(paths)
        return list(self._local.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        found = list(self._local.get_file_info(selector))
        self._counts["LIST"] += 1 + len(found) // KEYS_PER_LIST
        return found

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(Reading(self._local.open_input_file(path), self._counts), mode="r")

    open_input_stream = open_input_file

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        self._counts["PUT"] += 1
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return self._local.open_output_stream(path)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._local.create_dir(path, recursive=recursive)

    def delete_file(self, path: str) -> None:
        self._counts["DELETE"] += 1
        self._local.delete_file(path)

    def _refused(self, *_: object) -> Any:
        raise NotImplementedError

    copy_file = delete_dir = delete_dir_contents = delete_root_dir_contents = _refused
    move = open_append_stream = _refused


class Reading:
    """An open file, each read of which is a request."""

    def __init__(self, file: pa.NativeFile, counts: Counter[str]) -> None:
        self._file = file
        self._counts = counts
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        self._counts["GET"] += 1
        return bytes(self._file.read(None if size < 0 else size))

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def size(self) -> int:
        return int(self._file.size())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        self._file.close()


def measured(operation: str, folder: Path) -> dict[str, Any]:
    """Run one operation in this process and say what it took."""
    from mama_augment.core.store import files
    from mama_augment.inputs.find import find_clips  # noqa: F401
    from mama_augment.keyframes.step import KeyFrames  # noqa: F401

    if operation in ("caption", "balance"):
        import mama_augment.balance.step
        import mama_augment.caption.step  # noqa: F401
    counts: Counter[str] = Counter()
    opened = files.open_filesystem

    def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
        if uri.startswith(COUNTED):
            return pafs.PyFileSystem(Handler(counts)), uri.removeprefix(COUNTED)
        return opened(uri)

    files.open_filesystem = open_filesystem
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    more = globals()[f"do_{operation}"](folder, counts)
    after = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu": round(more.pop("cpu", cpu), 2),
        "seconds": round(time.perf_counter() - began, 2),
        "peak_mb": round(max(0.0, peak - rss)),
        "requests": more.pop("requests", dict(counts)),
        **more,
    }


class EnoughError(Exception):
    """The first unit is about to begin."""


def steps(folder: Path, num_units: int | None) -> dict[str, Any]:
    """Run `keyframes` on the manifest; end when `num_units` have begun. What it took till the
    first one."""
    from mama_augment.core.step import run
    from mama_augment.core.store.output import StepOutput
    from mama_augment.inputs.find import find_clips
    from mama_augment.keyframes import step as keyframes
    from mama_augment.keyframes.config import ClipFrames
    from mama_augment.runtime import RuntimeConfig

    frames = ClipFrames(
        width_px=8, height_px=8, fps=25.0, num_frames=50, strategy="none", frame_index=[0],
        frame_seconds=[0.0], frames=[b"tiny"], transfer=None, frame_hashes=[0], flags=[],
    )  # fmt: skip

    class Nothing:
        def __init__(self, *_: object) -> None: ...
        def __call__(self, *_: object) -> ClipFrames:
            return frames

        def close(self) -> None: ...

    keyframes.KeyFramesStep.isolated = Nothing  # type: ignore[assignment, method-assign]
    first: dict[str, float] = {}
    worker = keyframes.KeyFramesWorker
    plain: Callable[..., int] = getattr(worker, "plain_run_unit", worker.run_unit)
    worker.plain_run_unit = plain  # type: ignore[attr-defined]
    left = [num_units]

    def run_unit(self: Any, unit_id: str) -> int:
        if not first:
            used = resource.getrusage(resource.RUSAGE_SELF)
            first["cpu"] = used.ru_utime + used.ru_stime
        if left[0] is not None:
            if left[0] == 0:
                raise EnoughError
            left[0] -= 1
        return plain(self, unit_id)

    worker.run_unit = run_unit  # type: ignore[method-assign]
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = used.ru_utime + used.ru_stime
    with contextlib.suppress(EnoughError):
        run(
            keyframes.KeyFrames(find_clips(str(folder / "m.csv"))),
            StepOutput(f"{COUNTED}{folder}/clips"),
            RuntimeConfig(num_workers=1),
        )
    return {"cpu": first["cpu"] - before} if first else {}


def do_start(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    """Until the first unit of a new directory."""
    return steps(folder, 0)


def do_half(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    """Half of the units: requests per unit."""
    number = int(folder.name)
    steps(folder, number // 64)
    return {"requests": {k: round(v / (number // 64), 2) for k, v in counts.items() if k == "PUT"}}


def do_resume(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    """Until the first unit of a directory that is half done. Then the rest is done, uncounted."""
    more = steps(folder, 0)
    requests = dict(counts)
    steps(folder, None)
    return {**more, "requests": requests}


def do_status(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    from mama_augment.core.store.audit import audit
    from mama_augment.core.store.rejects import count_reasons
    from mama_augment.core.store.step_dir import StepDir

    step_dir = StepDir.open(f"{COUNTED}{folder}/clips")
    ledger = audit(step_dir)
    assert ledger.exit_code == 0, ledger
    count_reasons(step_dir)
    return {}


def do_caption(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    """Until the engine would start."""
    from mama_augment.caption.engines import EngineConfig
    from mama_augment.caption.input.layout import PictureSize
    from mama_augment.caption.input.prompts import resolve
    from mama_augment.caption.requests import CaptionSettings
    from mama_augment.caption.step import Caption
    from mama_augment.core.step import Silence
    from mama_augment.core.store.output import StepOutput

    settings = CaptionSettings(
        model="m",
        model_revision="1",
        size=PictureSize(width_px=336, height_px=336),
        prompt=resolve("process"),
    )
    step = Caption(
        f"{COUNTED}{folder}/clips",
        settings,
        EngineConfig(name="transformers", model="llava-shapes"),
    )
    out = StepOutput(f"{COUNTED}{folder}/captions")
    directory = out.open(step.manifest(out, Silence()))
    todo = directory.units_to_do()
    list(step.stages(directory, todo, lambda number: None))
    return {}


def do_balance(folder: Path, counts: Counter[str]) -> dict[str, Any]:
    """Until texts are joined, before anything is planned."""
    from mama_augment.balance.gather import gather
    from mama_augment.balance.source.inputs import Inputs

    scratch = folder / "scratch"
    scratch.mkdir()
    inputs = Inputs.open(f"{COUNTED}{folder}/clips")
    inputs.check_finished()
    gather(inputs, scratch, seed=0)
    shutil.rmtree(scratch)
    return {}


def show(number: int, operation: str, found: dict[str, Any]) -> None:
    requests = ", ".join(f"{kind} {n:,}" for kind, n in sorted(found["requests"].items()))
    print(
        f"{number:>10,} {operation:>8}: {found['cpu']:8.2f} CPU-s, {found['seconds']:8.2f} s, "
        f"{found['peak_mb']:6,} MB, {requests}",
        flush=True,
    )


def extend(found: dict[int, dict[str, dict[str, Any]]], request_ms: float) -> None:
    """Ten times the largest size, by the slope between the two largest."""
    small, large = sorted(found)[-2:]
    target = 10 * large
    print(f"\n{target:,} clips by slope, {request_ms:g} ms a request, {LIST_MS:g} ms a listing:")
    for operation in ("start", "resume", "status", "caption", "balance"):
        one, other = found[small][operation], found[large][operation]

        def slope(low: float, high: float) -> float:
            return high + (high - low) / (large - small) * (target - large)

        cpu = slope(one["cpu"], other["cpu"])
        memory = slope(one["peak_mb"], other["peak_mb"])
        kinds = {*one["requests"], *other["requests"]}
        requests = {k: slope(one["requests"].get(k, 0), other["requests"].get(k, 0)) for k in kinds}
        waiting = requests.pop("LIST", 0.0) * LIST_MS / 1000
        waiting += sum(requests.values()) * request_ms / 1000 / AT_ONCE
        print(
            f"  {operation:>8}: {cpu:7.0f} CPU-s + {waiting:6.0f} s waiting = "
            f"{(cpu + waiting) / 60:5.1f} min, {memory / 1024:5.1f} GB"
        )


if __name__ == "__main__":
    main()
