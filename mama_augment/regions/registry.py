"""What finds boxes and what makes vectors, by the names that `--model` and `--vectors` give."""

from __future__ import annotations

from mama_augment.regions.base import Detector, Vectors
from mama_augment.regions.config import DETECTOR, GRID, PIXELS, TRUTH
from mama_augment.regions.grid import GridCells
from mama_augment.regions.pixels import Pixels
from mama_augment.regions.states import States
from mama_augment.regions.truth import TrueRegions


def make_detector(model: str) -> Detector:
    """
    Raises:
        InputError: there is no such model, or it is not a detector.
    """
    if model == GRID:
        return GridCells()
    if model == TRUTH:
        return TrueRegions()
    from mama_augment.regions.transformer import TransformerDetector

    return TransformerDetector.named(model)


def make_vectors(name: str) -> Vectors:
    """
    Raises:
        InputError: there is no such model.
    """
    if name == PIXELS:
        return Pixels()
    if name == DETECTOR:
        return States()
    from mama_augment.regions.tokens import Tokens

    return Tokens.named(name)
