"""A clip to visual tokens: a Video Swin's cells of each frame, behind a token for the frame.

Shapes: B clips, T frames, h·w cells of a frame, D width of BERT.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mama_train.models.crossmodal.bert import INIT_STD
from mama_train.models.violet.config import VioletConfig
from mama_train.models.violet.swin import VideoSwin


class VisualTokens(nn.Module):
    """Names are those of the published weights (`enc_img`)."""

    def __init__(self, config: VioletConfig) -> None:
        super().__init__()
        width = config.bert.hidden_size
        self.swin = VideoSwin(config.swin)
        same = config.swin.width == width
        self.fc = nn.Identity() if same else nn.Linear(config.swin.width, width)
        self.emb_cls = _table(1, 1, 1, width)
        self.emb_pos = _table(1, 1, 1 + config.max_side**2, width)
        self.emb_len = _table(1, config.max_frames, 1, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, video: Tensor) -> Tensor:
        """Normalised pixels [B,T,3,H,W] to [B,T·(1+h·w),D], frame by frame; the table of places is
        read in order, whatever the grid's shape."""
        cells = self.fc(self.swin(video).flatten(2, 3))
        b, t, num, _ = cells.shape
        x = torch.cat([self.emb_cls.expand(b, t, -1, -1), cells], dim=2)
        x = x + self.emb_pos[:, :, : 1 + num] + self.emb_len[:, :t]
        return self.norm(x).flatten(1, 2)


def _table(*shape: int) -> nn.Parameter:
    return nn.Parameter(INIT_STD * torch.randn(shape))
