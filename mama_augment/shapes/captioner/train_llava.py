"""Train the bundled captioner from nothing on two CPU cores.

Three stages: film a pool of clips (cells.py); teach the vision tower what is in each cell (colour,
shape, place, size), on grids whose twelve cells come from twelve different clips, so that every
image carries twelve labels; then train the whole model to caption grids of real clips.

    python -m mama_augment.shapes.captioner.train_llava --work /tmp/pool --out LLAVA
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mama_augment.shapes.captioner.cells import NUM_CELLS, PoolConfig, make_pool
from mama_augment.shapes.captioner.pool import Pool
from mama_augment.shapes.captioner.prompting import prompt_corpus, random_prompt
from mama_augment.shapes.captioner.tiny_llava import (
    TinyLlavaConfig,
    build_model,
    build_processor,
    build_tokenizer,
    save,
)
from mama_augment.shapes.world.scene import COLOURS, SHAPES

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IGNORED = -100
"""Label of a token that the loss skips."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Steps, batch sizes and peak learning rates of the two stages of training."""

    seed: int = 7
    tower_steps: int = 860
    tower_decay_steps: int = 1500
    """Where the tower's rate would reach zero: later than its stage ends, for it goes on learning
    in the next one.
    """
    tower_batch: int = 48
    tower_rate: float = 1e-3
    caption_steps: int = 1200
    caption_frozen_steps: int = 400
    """Steps at first in which the tower stands still: the language model must find the image
    tokens before it has anything to tell the tower, and this way a step costs two thirds.
    """
    caption_batch: int = 24
    caption_rate: float = 1e-3
    caption_tower_rate: float = 3e-4
    weight_decay: float = 0.05
    warmup_steps: int = 100


def to_pixels(grids: list[npt.NDArray[np.uint8]]) -> Tensor:
    """Grids uint8 [H, W, 3] as the processor would give them: float32 [B, 3, H, W]."""
    pixels = torch.from_numpy(np.stack(grids)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    return (pixels - mean) / std


def ahead(make: Any, seed: int, num_steps: int) -> Iterator[Any]:
    """`make(generator of step i)` for each step, one prepared while another is in use."""
    with ThreadPoolExecutor(1) as worker:
        jobs = [worker.submit(make, np.random.default_rng((seed, i))) for i in range(2)]
        for i in range(num_steps):
            yield jobs.pop(0).result()
            jobs.append(worker.submit(make, np.random.default_rng((seed, i + 2))))


class CellHeads(nn.Module):
    """Reads colour, shape and place of the object off the mean of each cell's patch tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes = (len(COLOURS), len(SHAPES), 3)
        self.out = nn.Linear(width, sum(self.sizes))

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """tokens [B, 144, D] in reading order -> logits [B, 12, 8], [B, 12, 5], places [.., 3]."""
        batch, num_tokens, width = tokens.shape
        side = math.isqrt(num_tokens)
        blocks = tokens.view(batch, 3, side // 3, 4, side // 4, width).mean(dim=(2, 4))
        return self.out(blocks.reshape(batch, NUM_CELLS, width)).split(self.sizes, dim=-1)


def schedule(optimizer: torch.optim.Optimizer, step: int, num_steps: int, warmup: int) -> None:
    """Linear warm-up, then a cosine down to zero, of each group's own peak rate."""
    share = min(1.0, (step + 1) / warmup)
    share *= 0.5 * (1 + math.cos(math.pi * step / num_steps))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def optimize(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One clipped step."""
    optimizer.zero_grad()
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def tower_batch(pool: Pool, size: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Pixels [B, 3, H, W], labels [B, 12, 2] (colour, shape) and places [B, 12, 3]."""
    grids, labels, places = zip(*(pool.mixed_grid(rng) for _ in range(size)), strict=True)
    return (
        to_pixels(list(grids)),
        torch.from_numpy(np.stack(labels)),
        torch.from_numpy(np.stack(places)),
    )


def train_tower(model: Any, pool: Pool, config: TrainConfig) -> None:
    """Teach the vision tower what is in each cell."""
    tower = model.model.vision_tower
    heads = CellHeads(tower.config.hidden_size)
    optimizer = torch.optim.AdamW(
        [{"params": [*tower.parameters(), *heads.parameters()], "peak": config.tower_rate}],
        weight_decay=config.weight_decay,
    )

    started = time.perf_counter()
    make = partial(tower_batch, pool, config.tower_batch)
    for step, batch in enumerate(ahead(make, config.seed, config.tower_steps)):
        pixels, labels, places = batch
        schedule(optimizer, step, config.tower_decay_steps, config.warmup_steps)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = tower(pixels).last_hidden_state[:, 1:]
        colour, shape, place = heads(tokens.float())
        loss = F.cross_entropy(colour.flatten(0, 1), labels[..., 0].flatten())
        loss = loss + F.cross_entropy(shape.flatten(0, 1), labels[..., 1].flatten())
        loss = loss + 20 * F.mse_loss(place, places)
        optimize(loss, optimizer)
        if step % 50 == 0 or step == config.tower_steps - 1:
            right = [
                (x.argmax(-1) == labels[..., i]).float().mean()
                for i, x in enumerate((colour, shape))
            ]
            error = (place - places).abs().mean(dim=(0, 1))
            print(
                f"tower {step} loss {loss:.3f} colour {right[0]:.3f} shape {right[1]:.3f} "
                f"place {error[0]:.3f} {error[1]:.3f} size {error[2]:.3f} "
                f"{time.perf_counter() - started:.0f} s",
                flush=True,
            )


def caption_batch(
    pool: Pool, tokenizer: Any, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [B, 3, H, W], token ids [B, L] and labels [B, L], padded on the right."""
    drawn = [pool.clip_grid(rng) for _ in range(size)]
    rows = [encode(tokenizer, random_prompt(rng), scene.caption) for _, scene in drawn]
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((size, length), tokenizer.pad_token_id)
    labels = torch.full((size, length), IGNORED)
    for i, (row_ids, row_labels) in enumerate(rows):
        ids[i, : len(row_ids)] = torch.tensor(row_ids)
        labels[i, : len(row_ids)] = torch.tensor(row_labels)
    return to_pixels([grid for grid, _ in drawn]), ids, labels


def encode(tokenizer: Any, prompt: str, caption: str) -> tuple[list[int], list[int]]:
    """Token ids of one conversation, and its labels: only the answer is learned."""
    question = tokenizer(f"USER: <image>\n{prompt} ASSISTANT:").input_ids
    answer = tokenizer(f" {caption}", add_special_tokens=False).input_ids
    at = question.index(tokenizer.convert_tokens_to_ids("<image>"))
    question = (
        question[:at] + [question[at]] * TinyLlavaConfig().num_image_tokens + question[at + 1 :]
    )
    answer = [*answer, tokenizer.eos_token_id]
    return question + answer, [IGNORED] * len(question) + answer


def train_captions(model: Any, tokenizer: Any, pool: Pool, config: TrainConfig) -> None:
    """Teach the whole model to caption grids of real clips, under many prompts."""
    tower = list(model.model.vision_tower.parameters())
    ids = {id(p) for p in tower}
    rest = [p for p in model.parameters() if id(p) not in ids]
    optimizer = torch.optim.AdamW(
        [
            {"params": tower, "peak": config.caption_tower_rate},
            {"params": rest, "peak": config.caption_rate},
        ],
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
    )

    started = time.perf_counter()
    make = partial(caption_batch, pool, tokenizer, config.caption_batch)
    for step, batch in enumerate(ahead(make, config.seed + 1, config.caption_steps)):
        pixels, ids, labels = batch
        schedule(optimizer, step, config.caption_steps, config.warmup_steps)
        model.model.vision_tower.requires_grad_(step >= config.caption_frozen_steps)
        mask = (ids != tokenizer.pad_token_id).long()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, pixel_values=pixels, attention_mask=mask).logits
        logits, wanted = logits[:, :-1].float(), labels[:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
        optimize(loss, optimizer)
        if step % 50 == 0 or step == config.caption_steps - 1:
            right = ((logits.argmax(-1) == wanted) | (wanted == IGNORED)).all(dim=1).float().mean()
            print(
                f"captions {step} loss {loss:.4f} exact {right:.3f} "
                f"{time.perf_counter() - started:.0f} s",
                flush=True,
            )


def main() -> None:
    """Film, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the filmed pool goes")
    parser.add_argument("--out", type=Path, required=True, help="where the model goes")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pool_config, config, sizes = PoolConfig(), TrainConfig(), TinyLlavaConfig()
    torch.manual_seed(config.seed)
    if not (options.work / "states.npy").exists():
        make_pool(pool_config, options.work)
    pool = Pool(pool_config, options.work)
    tokenizer = build_tokenizer(sizes, prompt_corpus())
    model = build_model(sizes).train()
    tower = options.work / "tower.pt"
    if tower.exists():
        model.load_state_dict(torch.load(tower))
    else:
        train_tower(model, pool, config)
        torch.save(model.state_dict(), tower)
    train_captions(model, tokenizer, pool, config)
    save(model.eval(), build_processor(sizes, tokenizer), options.out)


if __name__ == "__main__":
    main()
