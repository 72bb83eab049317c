"""The shapes world: clips of which everything is known, and a tiny LLaVA that captions them."""

from mama_augment.shapes.world import World, WorldConfig, make_world

__all__ = ["World", "WorldConfig", "make_world"]
