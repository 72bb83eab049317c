"""Transformer blocks with the parameter names of Hugging Face CLIP.

Shapes: B clips or texts, T frames, L patches per frame, M global (proxy) tokens, N = M + T·L
tokens of a clip, S text tokens, H heads, E width of a head, D = H·E.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mama_augment.core.errors import InputError

Activation = Literal["quick_gelu", "gelu"]
LAYER_NORM_EPS = 1e-5
"""torch's default, and CLIP's."""


def check_tower(tower: dict[str, Any]) -> None:
    """Nothing that is computed otherwise may pass as if it were CLIP's.

    Raises:
        InputError: a tower of a `config.json` has other layers than these.
    """
    allowed = {"hidden_act": get_args(Activation), "layer_norm_eps": (LAYER_NORM_EPS,)}
    for name, values in allowed.items():
        if (value := tower.get(name, values[0])) not in values:
            raise InputError(
                f"config.json says {name} = {value!r}; CLIP-ViP's towers have "
                f"{' or '.join(map(repr, values))}: give the folder as `clip-mean:FOLDER`"
            )


def activate(x: Tensor, kind: Activation) -> Tensor:
    """QuickGELU, as OpenAI's CLIP has it, or GELU; any shape."""
    return x * torch.sigmoid(1.702 * x) if kind == "quick_gelu" else F.gelu(x)


class Attention(nn.Module):
    """Multi-head attention; with `num_proxies`, the proxy-aware pattern of CLIP-ViP."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, proxies: tuple[int, int] | None = None
    ) -> Tensor:
        """x [B,N,D]; `mask` is additive [B,1,N,N]; `proxies` is (M, T) for video tokens."""
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if proxies is None:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            attended = proxy_attention(q, k, v, num_proxies=proxies[0], num_frames=proxies[1])
        return self.out_proj(attended.transpose(1, 2).flatten(2))


def proxy_attention(
    q: Tensor, k: Tensor, v: Tensor, *, num_proxies: int, num_frames: int
) -> Tensor:
    """q, k, v [B,H,M+T·L,E]. Proxies attend to all tokens; a patch of frame t attends to the
    proxies and to the patches of frame t, in one softmax."""
    b, h, n, e = q.shape
    m, t = num_proxies, num_frames
    num_patches = (n - m) // t  # given, because -1 cannot be resolved where there are no clips
    of_proxies = F.scaled_dot_product_attention(q[:, :, :m], k, v)

    def with_proxies(x: Tensor) -> Tensor:
        # Frames take the place of heads, so that the fused kernels' four dimensions suffice.
        patches = x[:, :, m:].reshape(b * h, t, num_patches, e)
        proxies = x[:, :, :m].reshape(b * h, 1, m, e).expand(-1, t, -1, -1)
        return torch.cat([proxies, patches], dim=2)

    of_patches = F.scaled_dot_product_attention(
        q[:, :, m:].reshape(b * h, t, num_patches, e), with_proxies(k), with_proxies(v)
    )
    return torch.cat([of_proxies, of_patches.reshape(b, h, n - m, e)], dim=2)


class MLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x [...,D] to [...,D]."""
        return self.fc2(activate(self.fc1(x), self.activation))


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, width: int, hidden: int, num_heads: int, activation: Activation) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = Attention(width, num_heads)
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, hidden, activation)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, proxies: tuple[int, int] | None = None
    ) -> Tensor:
        """x [B,N,D] to [B,N,D]; `mask` and `proxies` as in `Attention.forward`."""
        x = x + self.self_attn(self.layer_norm1(x), mask=mask, proxies=proxies)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """A stack of blocks; `remember` collects the input of the first and each block's output."""

    def __init__(
        self, num_layers: int, width: int, hidden: int, num_heads: int, activation: Activation
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Block(width, hidden, num_heads, activation) for _ in range(num_layers)
        )
        self.gradient_checkpointing = False

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        proxies: tuple[int, int] | None = None,
        remember: list[Tensor] | None = None,
    ) -> Tensor:
        """x [B,N,D] to [B,N,D]; `mask` and `proxies` as in `Attention.forward`.

        `remember` gets [B,N,D] once more than there are blocks.
        """
        for layer in self.layers:
            if remember is not None:
                remember.append(x)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                # Non-reentrant: the reentrant form supports neither of the meta step's passes.
                x = checkpoint(layer, x, mask, proxies, use_reentrant=False)
            else:
                x = layer(x, mask, proxies)
        if remember is not None:
            remember.append(x)
        return x


def text_mask(mask_BS: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive [B,1,S,S]: −inf above the diagonal, plus the lowest finite number at padding.

    Finite, so that a query whose permitted keys are all padding attends to them evenly instead
    of giving NaN, as in the published model.
    """
    s = mask_BS.shape[1]
    causal_SS = torch.full((s, s), -torch.inf, dtype=dtype, device=mask_BS.device).triu(1)
    padding_BS = (1 - mask_BS.to(dtype)) * torch.finfo(dtype).min
    return causal_SS[None, None] + padding_BS[:, None, None, :]
