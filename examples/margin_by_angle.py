"""How the subtractive angular margin treats an imperfect pair: its pull at every angle.

python examples/margin_by_angle.py
"""

from __future__ import annotations

import math

import torch

from mama_train.objective.config import MarginLoss
from mama_train.objective.losses import margin_cosine


def pull(angle_radians: float, margin: float) -> float:
    """|d cos([λ - μ]₊) / dλ|: how strongly a positive pair at angle λ is drawn together."""
    angle = torch.tensor(angle_radians, dtype=torch.float64, requires_grad=True)
    margin_cosine(torch.cos(angle), MarginLoss(margin=margin)).backward()
    assert angle.grad is not None
    return abs(float(angle.grad))


def main() -> None:
    print("angle     no margin   μ = 0.2   (radians; the pull on the pair)")
    for degrees in (2, 6, 11, 15, 30, 60, 90):
        radians = math.radians(degrees)
        print(f"{degrees:4}° {pull(radians, 0.0):12.3f} {pull(radians, 0.2):9.3f}")
    print("Pairs closer than 0.2 radians (11.5°) are left alone; no pair is pulled harder.")


if __name__ == "__main__":
    main()
