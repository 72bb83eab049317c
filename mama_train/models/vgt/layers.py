"""VGT's transformer block, its graph convolution and its sinusoids, under published names.

Shapes: B sequences, S tokens, D width, H heads; G graphs of R nodes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-12


class SelfAttention(nn.Module):
    """Multi-head attention; eager, so that its dropout can be replayed in forward mode."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = nn.Dropout(dropout)
        self.q_lin = nn.Linear(width, width)
        self.k_lin = nn.Linear(width, width)
        self.v_lin = nn.Linear(width, width)
        self.out_lin = nn.Linear(width, width)

    def forward(self, x: Tensor, mask_BS: Tensor | None) -> Tensor:
        """x [B,S,D]; tokens with mask False are not attended to, unless all of a row are."""
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_lin, self.k_lin, self.v_lin)
        )
        scores = (q / q.shape[-1] ** 0.5) @ k.transpose(-2, -1)
        if mask_BS is not None:
            lowest = torch.finfo(scores.dtype).min
            scores = scores.masked_fill(~mask_BS[:, None, None, :], lowest)
        weights = self.dropout(scores.softmax(-1))
        return self.out_lin((weights @ v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.lin2(F.gelu(self.lin1(x))))


class Block(nn.Module):
    """x = norm(x + attention(x)); x = norm(x + ffn(x))."""

    def __init__(self, width: int, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads, dropout)
        self.sa_layer_norm = nn.LayerNorm(width, eps=EPS)
        self.ffn = FeedForward(width, hidden, dropout)
        self.output_layer_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, mask_BS: Tensor | None = None) -> Tensor:
        x = self.sa_layer_norm(self.attention(x, mask_BS) + x)
        return self.output_layer_norm(self.ffn(x) + x)


class Transformer(nn.Module):
    """One block, without positions of any kind."""

    def __init__(self, width: int, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Block(width, hidden, num_heads, dropout)])

    def forward(self, x: Tensor, mask_BS: Tensor | None = None) -> Tensor:
        """x [B,S,D] to [B,S,D]; mask True = attended to."""
        for block in self.layer:
            x = block(x, mask_BS)
        return x


class GraphLayer(nn.Module):
    """H = A (X W) + b + X W."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x_GRD: Tensor, adjacency_GRR: Tensor) -> Tensor:
        support = x_GRD @ self.weight
        return adjacency_GRR @ support + self.bias + support


class Graph(nn.Module):
    """Edges between a frame's regions, and two convolutions over them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc_k = nn.Linear(width, width // 2)
        self.fc_q = nn.Linear(width, width // 2)
        self.layers = nn.ModuleList([GraphLayer(width, width // 2), GraphLayer(width // 2, width)])
        self.dropout = nn.Dropout(dropout)

    def edges(self, x_GRD: Tensor) -> Tensor:
        """[G,R,R]: row i, column j is fc_k(x_i) · fc_q(x_j); not scaled."""
        return self.fc_k(x_GRD) @ self.fc_q(x_GRD).transpose(-2, -1)

    def forward(self, x_GRD: Tensor, adjacency_GRR: Tensor) -> Tensor:
        for layer in self.layers:
            x_GRD = self.dropout(layer(x_GRD, adjacency_GRR).relu())
        return x_GRD


class ClipPosition(nn.Module):
    """norm(x + sinusoid of the clip's place); any number of clips."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BCD: Tensor) -> Tensor:
        return self.dropout(self.LayerNorm(x_BCD + sinusoids(x_BCD.shape[1], like=x_BCD)))


def sinusoids(num: int, *, like: Tensor) -> Tensor:
    """[num,D]: entry (p, j) is the sine (j even) or cosine (j odd) of p / 10000^(2⌊j/2⌋/D), with
    D, type and device those of `like`; of float32's precision, as published weights hold it."""
    width = like.shape[-1]
    place = torch.arange(num, device=like.device, dtype=torch.float64)[:, None]
    column = torch.arange(width, device=like.device)
    angle = place / 10000 ** (2 * (column // 2).double() / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float().to(like.dtype)
