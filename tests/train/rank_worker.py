"""One process of the parity test: five steps in float64, then its parameters to a file.

python rank_worker.py SHARDS OUT RANK WORLD RENDEZVOUS_FILE SETTINGS_JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mama_train.config import TrainConfig
from mama_train.objective.meta import MetaOutcome, meta_gradient
from mama_train.objective.objective import Encoded, Objective
from mama_train.objective.passes import exact_attention
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.run import step as step_module
from mama_train.run.setup import prepare
from mama_train.run.step import Stepper


def keep_meta_gradient(path: Path, *, reference: bool) -> None:
    """Have every meta step leave dL_meta/dθ in a file, after those of the steps before; with
    `reference`, the one of second-order autograd beside it."""
    found: list[dict[str, Tensor]] = []

    def kept(objective: Objective, encoded: Encoded, *args: Any, **words: Any) -> MetaOutcome:
        outcome = meta_gradient(objective, encoded, *args, **words)
        row = {"exact": flat(outcome.theta_gradient)}
        if reference:
            meta_batch, weigh, virtual = args
            expected = unrolled_meta_gradient(objective, encoded.batch, meta_batch, weigh, virtual)
            row["unrolled"] = flat(expected[0])
        found.append(row)
        torch.save(found, path)
        return outcome

    step_module.meta_gradient = kept


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def main() -> None:
    shards, out, rank, world, rendezvous, settings = sys.argv[1:]
    torch.set_num_threads(1)
    if int(world) > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world)
        )
    config = TrainConfig.of(shards=shards, out=f"{out}/run", **json.loads(settings))
    setup = prepare(config, overwrite=True)
    trainee = setup.trainee
    trainee.model.double()
    trainee.net.double()
    keep_meta_gradient(Path(out) / f"meta{rank}.pt", reference=int(world) == 1)
    step = Stepper(setup)
    batches = setup.train.batches()
    for _ in range(5):
        after, batch = next(batches)
        assert len(batch) < batch.num_rows or int(world) == 1
        # The same kernels in all passes: the first step of AdamW is as exact as a gradient near ε
        # is, and other kernels round it in another way.
        with exact_attention():
            step(batch, setup.progress)
        setup.progress.step += 1
        setup.progress.data = after
    parameters = {n: p.detach() for n, p in trainee.model.named_parameters()}
    net = {f"net.{n}": p.detach() for n, p in trainee.net.named_parameters()}
    torch.save({**parameters, **net}, f"{out}/rank{rank}.pt")
    if int(world) > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
