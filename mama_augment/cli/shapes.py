"""The command `shapes`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.schema import SPLITS
from mama_augment.core.shared import say
from mama_augment.shapes.world.config import WorldConfig


@dataclass(frozen=True, kw_only=True)
class ShapesCommand:
    """Make a shapes world: H.264 videos of moving shapes, and a manifest that knows the truth."""

    out: str = field(metadata=option(positional=True))
    """Folder to make the world in."""
    world: WorldConfig
    workers: int = 2
    """Processes that make videos."""

    def __call__(self) -> int:
        from mama_augment.shapes.world.make import make_world

        if self.workers < 1:
            raise InputError(f"--workers is {self.workers}; at least 1 is needed")
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
