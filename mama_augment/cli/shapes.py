"""The command `shapes`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.cli.running import finish, run_step
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.schema import SPLITS
from mama_augment.core.shared import say
from mama_augment.runtime import RuntimeConfig
from mama_augment.shapes.features.config import FeaturesConfig
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.world.config import WorldConfig

KINDS = ("videos", "questions", "plain", "features")


@dataclass(frozen=True, kw_only=True)
class ShapesCommand:
    """Make a world that knows the truth: H.264 videos of moving shapes with a manifest of captions
    or questions, or training shards of frames or features."""

    out: str = field(metadata=option(positional=True))
    """Folder to make the world in."""
    kind: str = field(default="videos", metadata=option(choices=KINDS))
    """What is made: videos of shapes with a manifest of captions (videos) or of questions, filmed
    plainly (questions); training shards with the frames of
    few shapes, filmed plainly (plain); or training shards with vectors in place of frames, for the
    model `heads` of `mama-train run` (features)."""
    world: WorldConfig
    plain: PlainConfig = field(metadata=option(panel="--kind questions, plain and features"))
    features: FeaturesConfig = field(metadata=option(panel="--kind features"))
    workers: int = 2
    """Processes that make videos, or shards that are written side by side."""

    def __call__(self) -> int:
        check_choice("--kind", self.kind, KINDS)
        if self.workers < 1:
            raise InputError(f"--workers is {self.workers}; at least 1 is needed")
        if self.kind == "questions":
            return self._make_questions()
        return self._make_videos() if self.kind == "videos" else self._make_shards()

    def _make_questions(self) -> int:
        from mama_augment.shapes.questions.make import make_questions_world

        num_total = sum(self.plain.num_in(split) for split in SPLITS)
        with say.terminal() as tell, tell.progress("shapes", num_total) as advance:
            made = make_questions_world(
                self.out,
                self.plain,
                num_workers=self.workers,
                on_video=lambda done, total: advance(1),
            )
        sizes = ", ".join(f"{split} {size}" for split, size in made.num_by_split.items())
        say.say(
            f"{num_total} videos ({sizes}), {made.num_questions} questions, {made.num_wrong} "
            f"answered wrongly, {made.seconds:.0f} s"
        )
        say.say(f"manifest: {made.manifest}")
        say.summary({"manifest": str(made.manifest), "videos": dict(made.num_by_split)})
        return 0

    def _make_shards(self) -> int:
        from mama_augment.shapes.features.scenes import FeaturesWorld
        from mama_augment.shapes.plain.scenes import PlainWorld
        from mama_augment.shapes.shards.step import MadeShards

        is_plain = self.kind == "plain"
        world = PlainWorld(config=self.plain) if is_plain else FeaturesWorld(config=self.features)
        runtime = RuntimeConfig(num_workers=self.workers)
        outcome = run_step(MadeShards(world), self.out, runtime)
        return finish(outcome, self.out)

    def _make_videos(self) -> int:
        from mama_augment.shapes.world.make import make_world

        num_total = sum(self.world.num_in(split) for split in SPLITS)
        with say.terminal() as tell, tell.progress("shapes", num_total) as advance:
            world = make_world(
                self.out,
                self.world,
                num_workers=self.workers,
                on_video=lambda done, total: advance(1),
            )
        sizes = ", ".join(f"{split} {size}" for split, size in world.num_by_split.items())
        say.say(
            f"{num_total} videos ({sizes}), {world.num_misaligned} train captions misaligned, "
            f"{world.num_concepts} concepts, {world.seconds:.0f} s"
        )
        say.say(f"manifest: {world.manifest}")
        say.summary({"manifest": str(world.manifest), "videos": dict(world.num_by_split)})
        return 0
