"""The command `dataset`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.shared import say

NUM_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class DatasetCommand:
    """A published data set as a manifest for `keyframes`: NAME is msrvtt, didemo, activitynet,
    lsmdc, msvd, msvd-qa, msrvtt-qa, next-qa, tgif-qa, tgif-qa-r or causal-vidqa."""

    name: str = field(metadata=option(positional=True))
    """The data set."""
    annotations: str = field(metadata=option(positional=True))
    """The folder of its published annotation files."""
    videos: str | None = field(default=None, metadata=option(positional=True))
    """The folder of its videos; without it, the manifest has their published names."""
    out: str = "manifest.parquet"
    """The manifest to write."""
    part: str | None = None
    """Which of its divisions: msrvtt 1k-a, 7k, 1k-b, full; tgif-qa action, transition, frameqa,
    count; by default the first."""

    def __call__(self) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from mama_augment.core.store.files import output_file
        from mama_augment.inputs.datasets import DATASETS
        from mama_augment.inputs.datasets.convert import SPLITS, convert

        if not self.out.endswith(".parquet"):
            raise InputError(f"--out is {self.out!r}; a name that ends with .parquet is needed")
        found = convert(self.name, self.annotations, self.videos, part=self.part)
        folder, name = output_file(self.out, "--out")
        sink = pa.BufferOutputStream()
        pq.write_table(found.manifest, sink, compression="zstd")
        folder.write_bytes(name, sink.getvalue().to_pybytes())
        what = "questions" if "questions" in found.manifest.column_names else "texts"
        say.say(f"{self.out}: {self.name}")
        for split in SPLITS:
            if split in found.num_videos:
                say.say(
                    f"  {split}: {found.num_videos[split]:,} videos, "
                    f"{found.num_items[split]:,} {what}"
                )
        for difference in found.differences:
            say.say(f"  {difference}")
        say.say(f"  {DATASETS[self.name].note}")
        missing_name = None
        if found.missing:
            missing_name = f"{self.out.removesuffix('.parquet')}.missing.txt"
            folder.write_bytes(
                f"{name.removesuffix('.parquet')}.missing.txt",
                "".join(f"{video}\n" for video in found.missing).encode(),
            )
            shown = ", ".join(found.missing[:NUM_SHOWN])
            more = f" and {len(found.missing) - NUM_SHOWN:,} more" * (
                len(found.missing) > NUM_SHOWN
            )
            say.say(f"  {len(found.missing):,} videos are not there: {shown}{more}; {missing_name}")
        say.summary(
            {
                "manifest": self.out,
                "dataset": self.name,
                "videos": found.num_videos,
                what: found.num_items,
                "missing": len(found.missing),
                "missing_list": missing_name,
                "differences": list(found.differences),
            }
        )
        return 0
