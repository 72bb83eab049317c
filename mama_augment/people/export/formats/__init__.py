"""Formats by name, one file each."""

from mama_augment.core.registry import Registry
from mama_augment.people.export.formats.base import Format

_PLACE = "mama_augment.people.export.formats"
FORMATS: Registry[Format] = Registry(
    "--format",
    {
        "jsonl": f"{_PLACE}.jsonl_file:JSONL",
        "csv": f"{_PLACE}.csv_file:CSV",
        "parquet": f"{_PLACE}.parquet_file:PARQUET",
        "webdataset": f"{_PLACE}.tars:WEBDATASET",
        "hf": f"{_PLACE}.hf_folder:HF",
        "sharegpt": f"{_PLACE}.sharegpt:SHAREGPT",
    },
)
