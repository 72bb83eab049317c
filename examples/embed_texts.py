"""Give every clip a vector, so that `balance --concepts embedding` can group clips by meaning.

python examples/embed_texts.py manifest.csv sentence-transformers/all-MiniLM-L6-v2 manifest.parquet
mama-augment keyframes manifest.parquet --out work/clips
mama-augment balance work/clips --concepts embedding --concept-column embedding --out shards

Any encoder that transformers loads will do, from the hub or a local folder. Rows of one clip must
carry one vector, so a clip's texts are averaged.
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import torch
from transformers import AutoModel, AutoTokenizer

SPAN = ("video", "start_seconds", "end_seconds")
BATCH_SIZE = 64


@torch.inference_mode()
def embed(texts: list[str], model_name: str) -> torch.Tensor:
    """Unit vectors [texts, dimensions]: the mean over each text's tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModel.from_pretrained(model_name).eval()
    parts = []
    for start in range(0, len(texts), BATCH_SIZE):
        batch = texts[start : start + BATCH_SIZE]
        tokens = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        mask = tokens["attention_mask"].unsqueeze(-1)
        states = model(**tokens).last_hidden_state
        parts.append((states * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(parts), dim=-1)


def main(manifest: str, model_name: str, out: str) -> None:
    table = pa_csv.read_csv(manifest)
    rows = table.to_pylist()
    vectors = embed([row["text"] or "" for row in rows], model_name)
    clips: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        clips.setdefault(tuple(row.get(name) for name in SPAN), []).append(i)
    of_row: list[list[float]] = [[] for _ in rows]
    for members in clips.values():
        mean = torch.nn.functional.normalize(vectors[members].mean(0), dim=-1).tolist()
        for i in members:
            of_row[i] = mean
    column = pa.array(of_row, pa.list_(pa.float32()))
    pq.write_table(table.append_column("embedding", column), out)
    print(f"{len(rows)} rows, {len(clips)} clips, {vectors.shape[1]} dimensions -> {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
