"""One process of the parity test: five steps in float64, then its parameters to a file.

python rank_worker.py SHARDS OUT RANK WORLD RENDEZVOUS_FILE SETTINGS_JSON
"""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist

from mama_train.config import TrainConfig
from mama_train.run.setup import prepare
from mama_train.run.step import Stepper


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
    step = Stepper(setup)
    batches = setup.train.batches()
    for _ in range(5):
        after, batch = next(batches)
        assert len(batch) < batch.num_rows or int(world) == 1
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
