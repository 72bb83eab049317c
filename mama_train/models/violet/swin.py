"""Video Swin: windows of a clip, shifted by half a window in every second block.

Time is not made shorter: the first layer looks at frames t and t + 1, and at one frame of zeros
after the last.

Shapes: B clips, T frames, H×W cells, C channels, N cells of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mama_train.models.violet import windows
from mama_train.models.violet.windows import Triple


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """The defaults are those of VIOLETv2: Swin-B."""

    channels: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    window: Triple = (8, 7, 7)
    patch: Triple = (2, 4, 4)
    mlp_ratio: int = 4
    drop_path: float = 0.2
    exact_windows: bool = True
    """Biases of a window that a small grid cuts in height or width are those of its cells'
    places; False: as published, those of other cells."""

    @property
    def width(self) -> int:
        """Channels of the last stage."""
        return self.channels * 2 ** (len(self.depths) - 1)

    @property
    def stride(self) -> int:
        """Pixels of a cell of the last stage."""
        return self.patch[1] * 2 ** (len(self.depths) - 1)


class DropPath(nn.Module):
    """Leaves a branch out for some clips; draws from torch's default generator."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x * (kept >= self.share) / (1 - self.share)


class WindowAttention(nn.Module):
    """Attention within each window, with a bias for where two cells lie to each other."""

    def __init__(self, width: int, num_heads: int, config: SwinConfig) -> None:
        super().__init__()
        self.num_heads, self.config = num_heads, config
        t, h, w = config.window
        rows = (2 * t - 1) * (2 * h - 1) * (2 * w - 1)
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn(rows, num_heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, window: Triple, mask: Tensor | None) -> Tensor:
        """x [B·n,N,C]; mask [n,N,N] is added to the scores."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        index = windows.reduced_index(
            self.config.window, window, exact=self.config.exact_windows, device=x.device
        )
        scores = scores + self.relative_position_bias_table[index].permute(2, 0, 1)
        if mask is not None:
            num = len(mask)
            of_clips = scores.unflatten(0, (-1, num)) + mask.to(scores)[None, :, None]
            scores = of_clips.flatten(0, 1)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """x += attention(norm(x)) in windows; x += mlp(norm(x))."""

    def __init__(
        self, width: int, num_heads: int, config: SwinConfig, *, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.config, self.shifted = config, shifted
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, num_heads, config)
        self.mlp = Mlp(width, config.mlp_ratio * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,H,W,C]. Cells are padded after the norm: padding is zero, and is attended to."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        t, h, w = x.shape[1:4]
        window, shift = windows.fitted((t, h, w), self.config.window, shifted=self.shifted)
        grid = windows.padded_to((t, h, w), window)
        x = windows.pad_end(x, grid)
        mask = None
        if any(shift):
            x = x.roll([-s for s in shift], dims=(1, 2, 3))
            mask = windows.shift_mask(grid, window, shift, x.device)
        x = windows.joined(self.attn(windows.cut(x, window), window, mask), window, grid)
        if any(shift):
            x = x.roll(shift, dims=(1, 2, 3))
        return x[:, :t, :h, :w]


class Merging(nn.Module):
    """Four neighbours of a frame to one cell of twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,H,W,C] to [B,T,⌈H/2⌉,⌈W/2⌉,2C]; neighbours column by column, as published."""
        t, h, w = x.shape[1:4]
        x = windows.pad_end(x, (t, h + h % 2, w + w % 2))
        four = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, dim=-1)))


class Stage(nn.Module):
    """Blocks of one resolution, and the merging after them."""

    def __init__(
        self, width: int, num_heads: int, config: SwinConfig, drops: list[float], *, merges: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(width, num_heads, config, shifted=bool(i % 2), drop_path=drop)
            for i, drop in enumerate(drops)
        )
        self.downsample = Merging(width) if merges else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Patches(nn.Module):
    """Pixels to cells of two frames and some pixels square each."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch = config.patch
        stride = (1, *config.patch[1:])
        self.proj = nn.Conv3d(3, config.channels, config.patch, stride=stride)
        self.norm = nn.LayerNorm(config.channels)

    def forward(self, video: Tensor) -> Tensor:
        """[B,T,3,H,W] to [B,T,H/4,W/4,C]."""
        x = video.transpose(1, 2)
        h, w = (-size % step for size, step in zip(x.shape[3:], self.patch[1:], strict=True))
        x = F.pad(x, (0, w, 0, h, 0, self.patch[0] - 1))
        return self.norm(self.proj(x).permute(0, 2, 3, 4, 1))


class VideoSwin(nn.Module):
    """The whole of it; names are those of the published weights."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch_embed = Patches(config)
        num, last = sum(config.depths), len(config.depths) - 1
        drops = [config.drop_path * i / max(1, num - 1) for i in range(num)]
        self.layers = nn.ModuleList()
        for i, (depth, heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
            of_stage, drops = drops[:depth], drops[depth:]
            width = config.channels * 2**i
            self.layers.append(Stage(width, heads, config, of_stage, merges=i < last))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, video: Tensor, remember: list[Tensor] | None = None) -> Tensor:
        """Normalised pixels [B,T,3,H,W] to [B,T,h,w,C]; `remember` gets the cells before the first
        stage and after each."""
        x = self.patch_embed(video)
        states = [x]
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        if remember is not None:
            remember += states
        return self.norm(x)
