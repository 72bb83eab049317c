"""Does the weight net V live, and does it find the wrong pairs? Exp against sigmoid, many seeds.

    python benchmarks/weight_net.py [--outputs exp sigmoid] [--seeds 20] [--json FILE]

A world of features instead of pixels, seconds per run: 40 concepts, as frequent as Zipf's law has
it, times 30 motions; a clip and a text are noisy views of a concept's and a motion's random
embeddings. 40 % of the training texts are of another clip. Two heads of two layers learn to match
them with the product's own objective, weight net, meta step and optimizer; the meta set is clean
and even over the concepts. Printed are the share of runs whose V is dead or has collapsed (the last
tenth of the run, as reports count it), the mean weight of wrong pairs beside that of right ones
(same place), and R@1 on clean, even test pairs; beside it, R@1 with equal weights and with the
truth as weights, which is what there is to be had.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mama_train.data.batch import Batch
from mama_train.data.config import DataConfig
from mama_train.data.visits import ToVisit, Visit, order_epoch
from mama_train.measure.metrics import retrieval
from mama_train.models.base import DualEncoder, unit
from mama_train.models.specs import FrameSpec
from mama_train.objective.config import LEARNED, MarginLoss, Weighting
from mama_train.objective.health import (
    curve_every,
    effective_share,
    net_health,
    net_row,
    shape_of,
    usual_losses,
)
from mama_train.objective.margins import MarginNow, angles_B, next_running_angle, share_at
from mama_train.objective.meta import VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import SCALE, Objective
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.config import OptimConfig
from mama_train.run.optim import (
    clip_gradient,
    lr_at,
    make_net_optimizer,
    make_optimizer,
    scale_bounds,
    set_lr,
    take_step,
)

CONCEPTS, MOTIONS, WIDTH = 40, 30, 64
TEST_PAIRS, META_PAIRS = 400, 200
NOISE, WRONG = 0.5, 0.4
PLAIN = MarginLoss(kind="none")


class Heads(DualEncoder):
    """Two heads of two layers on features: the clip's as `video`, the text's as token ids, which
    are rows of a table."""

    def __init__(self, texts: Tensor, scale: float) -> None:
        super().__init__(FrameSpec(num_frames=1, size_px=1))
        self.embed_dim = 32
        self.register_buffer("texts", texts)
        self.video_head, self.text_head = (
            nn.Sequential(nn.Linear(WIDTH, 128), nn.ReLU(), nn.Linear(128, 32)) for _ in range(2)
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def embed_video(self, video: Tensor) -> Tensor:
        return unit(self.video_head(video))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        return unit(self.text_head(self.get_buffer("texts")[input_ids_BS[:, 0]]))

    def config_json(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Clips and texts in pairs. scene_N: what a clip shows; wrong_N: its text is of another."""

    video_ND: Tensor
    text_ND: Tensor
    scene_N: Tensor
    text_scene_N: Tensor

    @property
    def wrong_N(self) -> Tensor:
        return self.scene_N != self.text_scene_N


class World:
    """Fixed embeddings of concepts and motions in both modalities, and pairs drawn from them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.parts = self.rng.normal(size=(2, CONCEPTS + MOTIONS, WIDTH))
        self.mix = self.rng.normal(size=(2, WIDTH, WIDTH)) / np.sqrt(WIDTH)

    def pairs(self, num: int, *, even: bool, wrong: float = 0.0) -> Pairs:
        share = np.ones(CONCEPTS) if even else 1 / np.arange(1, CONCEPTS + 1)
        scene = np.stack(
            [
                self.rng.choice(CONCEPTS, num, p=share / share.sum()),
                self.rng.integers(0, MOTIONS, num),
            ]
        )
        told = scene.copy()
        is_wrong = self.rng.random(num) < wrong
        told[:, is_wrong] = scene[:, self.rng.permutation(num)][:, is_wrong]
        return Pairs(
            video_ND=self._features(0, scene),
            text_ND=self._features(1, told),
            scene_N=torch.from_numpy(scene[0] * MOTIONS + scene[1]),
            text_scene_N=torch.from_numpy(told[0] * MOTIONS + told[1]),
        )

    def _features(self, side: int, scene: Any) -> Tensor:
        what = self.parts[side][scene[0]] + self.parts[side][CONCEPTS + scene[1]]
        mixed = np.tanh(what @ self.mix[side])
        noisy = mixed + NOISE * self.rng.normal(size=mixed.shape)
        return torch.from_numpy(noisy).float()


def batch_of(pairs: Pairs, rows: Tensor, first_text: int) -> Batch:
    """Rows as a batch; texts of one scene count as identical, as they would be in words."""
    return Batch(
        video=pairs.video_ND[rows],
        input_ids_BS=(first_text + rows)[:, None],
        mask_BS=torch.ones(len(rows), 1, dtype=torch.int64),
        clip_key_B=rows,
        text_key_B=pairs.text_scene_N[rows],
        frequency_B=torch.ones(len(rows)),
    )


def batches(num: int, size: int, generator: torch.Generator) -> Any:
    """Endless full batches of row numbers, epoch after epoch."""
    left = torch.empty(0, dtype=torch.int64)
    while True:
        left = torch.cat([left, torch.randperm(num, generator=generator)])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]


def ordered(concept_N: Tensor, data: DataConfig, seed: int) -> Any:
    """The same, in the order of a run; every clip has one text, of one concept."""
    numbers = np.arange(len(concept_N))
    by_concept = concept_N.numpy() if data.batches == "by-concept" else None
    what = ToVisit(
        clip_C=numbers, caption_C=np.zeros_like(numbers), group_R=numbers, concept_C=by_concept
    )
    left: Sequence[Visit] = ()
    for epoch in itertools.count():
        order = order_epoch(what, data, seed=seed, epoch=epoch, carried=left)
        left = order.left
        for i in range(len(order)):
            yield torch.from_numpy(order.batch(i)[:, 0].copy())


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run. arm: exp, sigmoid, equal or oracle. start_scale: the first inverse temperature.
    data: make batches of the captions' concepts as a run with these settings does."""

    arm: str
    seed: int
    pairs: int
    steps: int
    batch: int
    meta_every: int
    weighting: Weighting
    loss: MarginLoss = PLAIN
    start_scale: float = math.exp(2.66)
    wrong: float = WRONG
    data: DataConfig | None = None


class Trial:
    """A run under way, with the product's own parts and the benchmark's own data."""

    def __init__(self, job: Job) -> None:
        self.job, world = job, World(job.seed)
        self.train = world.pairs(job.pairs, even=False, wrong=job.wrong)
        self.meta = world.pairs(META_PAIRS, even=True)
        self.test = world.pairs(TEST_PAIRS, even=True)
        texts = torch.cat([self.train.text_ND, self.meta.text_ND, self.test.text_ND])
        torch.manual_seed(job.seed)
        self.model = Heads(texts, job.start_scale)
        self.optim = OptimConfig(lr=2e-3)
        self.optimizer = make_optimizer(self.model, self.optim)
        self.net = WeightNet(job.weighting.hidden, job.weighting.output)
        self.net_optimizer = make_net_optimizer(self.net, job.weighting)
        self.objective = Objective(self.model, job.loss)
        self.angle: float | None = None
        generator = torch.Generator().manual_seed(job.seed)
        self.rows = batches(job.pairs, job.batch, generator)
        if job.data is not None:
            self.rows = ordered(self.train.text_scene_N // MOTIONS, job.data, job.seed)
        self.meta_rows = batches(META_PAIRS, min(job.batch, META_PAIRS), generator)

    def step(self, step: int) -> dict[str, Any]:
        """One training step; what it leaves in the history, and the weights of both kinds."""
        rows, lr = next(self.rows), lr_at(step, self.job.steps, self.optim)
        set_lr(self.optimizer, lr)
        is_meta = self.job.weighting.kind in LEARNED and step % self.job.meta_every == 0
        share = share_at(step, self.job.steps, self.job.loss)
        self.objective.margin_now = MarginNow(share, self.angle)
        encoded = self.objective.encode(batch_of(self.train, rows, 0), for_jvp=is_meta)
        angle_B = angles_B(encoded.video_BD, encoded.text_BD)
        self.angle = next_running_angle(self.angle, angle_B)
        weigh = Weigher(weighting=self.job.weighting, net=self.net)
        if is_meta:
            self._train_net(encoded, weigh, lr)
        loss_B, wrong_B = encoded.loss_B.detach(), self.train.wrong_N[rows]
        weight_B = weigh(loss_B).detach()
        if self.job.arm == "oracle":
            weight_B = (~wrong_B).float() / (~wrong_B).sum()
        gradient = self.objective.gradient(encoded, weight_B, last=True)
        clip_gradient(self.model, gradient, self.optim.clip_norm)
        take_step(self.model, self.optimizer, max_logit_scale=self.optim.max_logit_scale)
        scaled_B = weight_B * len(weight_B)
        with_curve = step % curve_every(self.job.steps) == 0 or step == self.job.steps - 1
        return {
            "points": torch.stack([loss_B, scaled_B], 1).tolist(),
            "effective_share": effective_share(weight_B),
            "wrong": float(scaled_B[wrong_B].mean()),
            "right": float(scaled_B[~wrong_B].mean()),
            **net_row(self.net, loss_B, with_curve=with_curve),
        }

    def _train_net(self, encoded: Any, weigh: Weigher, lr: float) -> None:
        meta_batch = batch_of(self.meta, next(self.meta_rows), self.job.pairs)
        update = adamw_step(
            self.optimizer,
            self.objective.parameters(),
            clip_norm=self.optim.clip_norm,
            bounds={SCALE: scale_bounds(self.optim.max_logit_scale)},
        )
        virtual = VirtualStep(lr=lr, update=update)
        outcome = meta_gradient(
            self.objective, encoded, meta_batch, weigh, virtual, keep_gradient=False
        )
        for parameter, grad in zip(self.net.parameters(), outcome.theta_gradient, strict=True):
            parameter.grad = grad / lr
        self.net_optimizer.step()

    @torch.no_grad()
    def recall(self) -> float:
        """R@1 in percent, text to video, over the test pairs; the same scene is right."""
        first = self.job.pairs + META_PAIRS
        ids = torch.arange(first, first + TEST_PAIRS)[:, None]
        similarity = self.model.embed_text(ids, ids) @ self.model.embed_video(self.test.video_ND).T
        relevant = self.test.scene_N[:, None] == self.test.scene_N[None, :]
        return retrieval(similarity.numpy(), relevant.numpy()).r1


def run_equal(seeds: int, **changes: Any) -> tuple[list[dict[str, Any]], str]:
    """Runs without a weighting, one a seed, and their R@1 in words."""
    plain: dict[str, Any] = {
        "arm": "equal",
        "pairs": 10_000,
        "steps": 500,
        "batch": 64,
        "meta_every": 2,
    }
    weighting = Weighting(kind="none")
    runs = [run(Job(**plain, weighting=weighting, seed=s, **changes)) for s in range(seeds)]
    recall = np.array([r["R@1"] for r in runs])
    spread = recall.std(ddof=1) if len(runs) > 1 else 0.0
    return runs, f"R@1 {recall.mean():5.1f} ± {spread:.1f}"


def run(job: Job) -> dict[str, Any]:
    """What a run came to."""
    started, trial = time.process_time(), Trial(job)
    history = [trial.step(step) for step in range(job.steps)]
    recent = history[-max(1, job.steps // 10) :]
    found = {
        "arm": job.arm,
        "seed": job.seed,
        "pairs": job.pairs,
        "R@1": trial.recall(),
        "scale": float(trial.model.logit_scale.detach().exp()),
        "cpu_seconds": time.process_time() - started,
    }
    health = net_health(history)
    if job.weighting.kind in LEARNED and health is not None:
        found |= health.to_json()
        found |= {k: float(np.mean([row[k] for row in recent])) for k in ("wrong", "right")}
        found["shapes"] = shapes(history)
    return found


def shapes(history: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """(step, shape of V between the usual losses of the 20 steps before) at every record of V."""
    return [
        (
            step,
            shape_of(np.array(row["curve"]), usual_losses(history[max(0, step - 20) : step + 1]))[
                0
            ],
        )
        for step, row in enumerate(history)
        if "curve" in row
    ]


def report(runs: list[dict[str, Any]]) -> None:
    """One line per arm and number of pairs."""
    print(
        "dead and collapsed: runs; halved: runs with wrong pairs at half the weight of right ones"
    )
    print(
        f"{'pairs':>6} {'arm':8} {'R@1 %':>12} {'dead':>6} {'collapsed':>9} {'halved':>7}  ", end=""
    )
    print(f"{'wrong/right':22} {'ratio of V':>10} {'CPU s':>6}")
    for key in dict.fromkeys((r["pairs"], r["arm"]) for r in runs):
        some = [r for r in runs if (r["pairs"], r["arm"]) == key]
        recall = np.array([r["R@1"] for r in some])
        spread = recall.std(ddof=1) if len(some) > 1 else 0.0
        line = f"{key[0]:6d} {key[1]:8} {recall.mean():5.1f} ± {spread:4.1f} "
        if "state" in some[0]:
            parts = np.array([r["wrong"] / r["right"] for r in some])
            dead = f"{sum(r['dead'] for r in some)}/{len(some)}"
            collapsed = f"{sum(r['state'] == 'collapsed' for r in some)}/{len(some)}"
            halved = f"{int((parts <= 0.5).sum())}/{len(some)}"
            shown = f"{np.median(parts):.2f} (at most {parts.max():.2f})"
            ratio = np.median([r["weight_ratio"] for r in some])
            line += f"{dead:>6} {collapsed:>9} {halved:>7}  {shown:22} {ratio:10.1f}"
        else:
            line += " " * 58
        print(f"{line} {np.mean([r['cpu_seconds'] for r in some]):6.1f}", flush=True)


def report_shapes(runs: list[dict[str, Any]]) -> None:
    """How many runs had a V that rises and then falls with the loss, at tenths of the run."""
    print("runs in which V rises, then falls, with the loss, by tenth of the run:")
    for key in dict.fromkeys((r["pairs"], r["arm"]) for r in runs if "shapes" in r):
        some = [r["shapes"] for r in runs if (r["pairs"], r["arm"]) == key]
        last = some[0][-1][0]
        tenths = []
        for tenth in range(1, 11):
            at = [next(shape for s, shape in found if s >= tenth * last // 10) for found in some]
            tenths.append(sum(shape == "rises, then falls" for shape in at))
        print(f"{key[0]:6d} {key[1]:8} {' '.join(f'{n:3d}' for n in tenths)}  of {len(some)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arms = ["exp", "sigmoid", "equal", "oracle"]
    parser.add_argument("--arms", nargs="+", default=arms, choices=arms)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pairs", type=int, nargs="+", default=[2000, 10000])
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 500])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--meta-every", type=int, default=2)
    usual = Weighting()
    parser.add_argument("--lr", type=float, default=usual.lr)
    parser.add_argument("--decay", type=float, default=usual.decay)
    parser.add_argument("--hidden", type=int, default=usual.hidden)
    parser.add_argument("--json", help="also write every run here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    for num_pairs, num_steps in zip(given.pairs, given.steps, strict=True):
        for arm in given.arms:
            net = {"hidden": given.hidden, "lr": given.lr, "decay": given.decay}
            weighting = Weighting(kind="none", **net)
            if arm in ("exp", "sigmoid"):
                weighting = Weighting(output=arm, **net)
            jobs = [
                Job(
                    arm=arm,
                    seed=seed,
                    pairs=num_pairs,
                    steps=num_steps,
                    batch=given.batch,
                    meta_every=given.meta_every,
                    weighting=weighting,
                )
                for seed in range(given.seeds)
            ]
            runs += map(run, jobs)
    report(runs)
    report_shapes(runs)
    if given.json:
        with open(given.json, "w") as stream:
            json.dump(runs, stream, indent=1)


if __name__ == "__main__":
    main()
