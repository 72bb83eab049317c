"""Windows of a grid of time, height and width: cut out, shifted, put back, and what may see what.

Shapes: B clips, grid (T,H,W), C channels, window (t,h,w), n windows of N = t·h·w cells.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Triple = tuple[int, int, int]
FORBIDDEN = -100.0
"""Added to the score of two cells that only the roll made neighbours, as published: not −∞."""
CPU = torch.device("cpu")


def fitted(grid: Triple, window: Triple, *, shifted: bool) -> tuple[Triple, Triple]:
    """(window, shift) for a grid: an axis that is not longer than the window is one window, and is
    not shifted; others are shifted by half a window."""
    sizes = [min(size, w) for size, w in zip(grid, window, strict=True)]
    shifts = [w // 2 if shifted and size > w else 0 for size, w in zip(grid, window, strict=True)]
    return (sizes[0], sizes[1], sizes[2]), (shifts[0], shifts[1], shifts[2])


def padded_to(grid: Triple, window: Triple) -> Triple:
    """The next multiples of the window."""
    t, h, w = (-(-size // step) * step for size, step in zip(grid, window, strict=True))
    return t, h, w


def cut(x: Tensor, window: Triple) -> Tensor:
    """[B,T,H,W,C] to [B·n,N,C]; T, H and W are multiples of the window."""
    b, t, h, w, c = x.shape
    dt, dh, dw = window
    x = x.reshape(b, t // dt, dt, h // dh, dh, w // dw, dw, c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, dt * dh * dw, c)


def joined(windows: Tensor, window: Triple, grid: Triple) -> Tensor:
    """The reverse of `cut`: [B·n,N,C] to [B,T,H,W,C]."""
    (dt, dh, dw), (t, h, w) = window, grid
    c = windows.shape[-1]
    x = windows.reshape(-1, t // dt, h // dh, w // dw, dt, dh, dw, c)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, t, h, w, c)


def pad_end(x: Tensor, grid: Triple) -> Tensor:
    """[B,T,H,W,C] with zeros at the end of each axis, up to a grid."""
    t, h, w = (size - now for size, now in zip(grid, x.shape[1:4], strict=True))
    return F.pad(x, (0, 0, 0, w, 0, h, 0, t))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # kept for training too
def shift_mask(grid: Triple, window: Triple, shift: Triple, device: torch.device = CPU) -> Tensor:
    """[n,N,N], 0 or `FORBIDDEN`: cells of a rolled grid that were not neighbours before. Per axis
    of length L, the regions are [0, L − w), [L − w, L − shift) and the rest; one where not shifted.
    """
    region = torch.zeros(1, *grid, 1, dtype=torch.int64, device=device)
    for axis in range(3):
        length, step, by = grid[axis], window[axis], shift[axis]
        place = torch.arange(length, device=device)
        number = (place >= length - step).long() + (place >= length - by).long()
        if by:
            view = [1, 1, 1, 1, 1]
            view[axis + 1] = length
            region = region * 3 + number.reshape(view)
    of_windows = cut(region, window)[..., 0]
    differs = of_windows[:, :, None] != of_windows[:, None, :]
    return differs.float() * FORBIDDEN


def relative_index(window: Triple) -> Tensor:
    """int64 [N,N]: the row of the table of biases for two cells of a whole window:
    ((Δt + t − 1)(2h − 1) + Δh + h − 1)(2w − 1) + Δw + w − 1."""
    t, h, w = window
    axes = [torch.arange(size, device=CPU) for size in window]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    apart = cells[:, :, None] - cells[:, None, :]
    return ((apart[0] + t - 1) * (2 * h - 1) + apart[1] + h - 1) * (2 * w - 1) + apart[2] + w - 1


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # kept for training too
def reduced_index(
    whole: Triple, window: Triple, *, exact: bool, device: torch.device = CPU
) -> Tensor:
    """int64 [N,N]: rows of the whole window's table for a smaller window's cells.

    exact: by the cells' places. Not exact, as published: the first N rows and columns of the whole
    window's index, which are other cells' wherever height or width is smaller.
    """
    index = relative_index(whole)
    if not exact:
        num = window[0] * window[1] * window[2]
        return index[:num, :num].to(device)
    places = torch.arange(index.shape[0], device=CPU).reshape(whole)
    places = places[: window[0], : window[1], : window[2]].flatten()
    return index[places][:, places].to(device)
