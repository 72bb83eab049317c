"""VGT's eyes: regions, their motion, their graph, and the frame around them, to one token a frame.

Each region is its appearance and its box. A transformer sees each object's F frames; the products
of two regions' projections are a frame's edges, which a second transformer sees over the F frames;
two graph convolutions along them, an attention over the regions, and the frame's own vector.

Shapes: B videos, C clips, F frames of a clip, R regions of a frame, W numbers per vector, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.vgt.config import Regions, VgtConfig
from mama_train.models.vgt.layers import EPS, Graph, Transformer

BOX_WIDTH = 128
Trace = dict[str, Tensor]


class RegionEncoder(nn.Module):
    """A region's appearance and box to one vector."""

    def __init__(self, feature_dim: int, width: int) -> None:
        super().__init__()
        self.bbox_conv = nn.Sequential(
            nn.Conv2d(5, BOX_WIDTH, 1),
            nn.BatchNorm2d(BOX_WIDTH),
            nn.ReLU(),
            nn.Conv2d(BOX_WIDTH, BOX_WIDTH, 1),
            nn.BatchNorm2d(BOX_WIDTH),
            nn.ReLU(),
        )
        self.tohid = nn.Sequential(nn.Linear(feature_dim + BOX_WIDTH, width), nn.ELU())

    def forward(self, regions: Regions) -> Tensor:
        """[B,C,F,R,D]. BatchNorm counts the regions that are there alone."""
        mask, region = regions.mask_BCFR, regions.region_BCFRW
        if mask is None:
            box = self.bbox_conv(regions.box_BCFR5.flatten(0, 3)[:, :, None, None])
            box = box.reshape(*region.shape[:-1], BOX_WIDTH)
        else:
            region = region.masked_fill(~mask[..., None], 0)
            known = self.bbox_conv(regions.box_BCFR5[mask][:, :, None, None])[..., 0, 0]
            # Reading by place, and not writing by it: forward mode cannot write into constants.
            with_none = torch.cat([known, known.new_zeros(1, BOX_WIDTH)])
            place = (mask.flatten().cumsum(0) - 1).reshape(mask.shape)
            box = with_none[place.masked_fill(~mask, -1)]
        return self.tohid(torch.cat([region, box], dim=-1))


class VideoTokens(nn.Module):
    """Regions to one token per frame; its names are those of the published model's root."""

    def __init__(self, config: VgtConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden, dropout = config.width, config.hidden, config.dropout
        self.encode_vid = RegionEncoder(config.feature_dim, width)
        self.linear_video = nn.Linear(config.feature_dim, width)
        self.norm_video = nn.LayerNorm(width, eps=EPS)
        self.ttrans = Transformer(width, hidden, config.num_heads, dropout)
        self.gnn = Graph(width, dropout)
        edges = config.num_regions**2
        self.graph_trans = Transformer(edges, hidden, config.edge_heads, dropout)
        self.satt_pool = nn.Sequential(
            nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1)
        )
        self.merge_fr = nn.Sequential(nn.Linear(2 * width, width), nn.ELU())
        self.dropout = nn.Dropout(dropout)
        places = config.num_frame_positions
        self.frame_position = nn.Parameter(0.02 * torch.randn(places, width)) if places else None

    def forward(self, regions: Regions, trace: Trace | None = None) -> Tensor:
        """[B,C,F,D]; `trace` gets what is on the way, under the module's names."""
        seen: Trace = {} if trace is None else trace
        self._check(regions)
        mask = regions.mask_BCFR
        frame = self.norm_video(F.gelu(self.linear_video(regions.frame_BCFW)))
        objects = seen["object_feat"] = self.encode_vid(regions)
        if self.frame_position is not None:
            frame = frame + self.frame_position
            objects = objects + self.frame_position[:, None]
        objects = self._along_time(objects, mask, seen)
        adjacency = self._adjacency(objects, mask, seen)
        nodes = objects.flatten(0, 2)
        nodes = seen["gcn_skip_out"] = self.gnn(nodes, adjacency) + nodes
        pooled = self._pool(nodes, mask, seen).reshape(frame.shape)
        seen["frame_norm"] = frame
        merged = seen["merge_out"] = self.merge_fr(torch.cat([self.dropout(frame), pooled], -1))
        return merged

    def _check(self, regions: Regions) -> None:
        shape = tuple(regions.region_BCFRW.shape)
        allowed = (self.config.num_regions, self.config.feature_dim)
        if shape[3:] != allowed:
            raise InputError(
                f"regions are {shape[3]} per frame with {shape[4]} numbers each; this model takes "
                f"{allowed[0]} with {allowed[1]}: make it of these sizes, or the regions"
            )
        places = self.config.num_frame_positions
        if places and shape[2] != places:
            raise InputError(f"clips have {shape[2]} frames; this model tells {places} apart")

    def _along_time(self, objects: Tensor, mask: Tensor | None, seen: Trace) -> Tensor:
        """Each object over the frames of its clip; [B,C,F,R,D]."""
        b, c, f, r, d = objects.shape
        over_frames = objects.transpose(2, 3).reshape(b * c * r, f, d)
        of_object = None if mask is None else mask.transpose(2, 3).reshape(b * c * r, f)
        moved = seen["ttrans_out"] = self.ttrans(over_frames, of_object)
        return moved.reshape(b, c, r, f, d).transpose(2, 3)

    def _adjacency(self, objects: Tensor, mask: Tensor | None, seen: Trace) -> Tensor:
        """Rows sum to 1; [B·C·F,R,R]."""
        b, c, f, r, _ = objects.shape
        edges = self.gnn.edges(objects)
        if mask is not None:
            both = mask[..., :, None] & mask[..., None, :]
            edges = edges.masked_fill(~both, 0)
        raw = seen["graph_adj_raw"] = edges.reshape(b * c, f, r * r)
        edges = seen["graph_adj_trans"] = self.graph_trans(raw)
        edges = edges.reshape(b * c * f, r, r)
        if mask is not None:
            lowest = torch.finfo(edges.dtype).min
            edges = edges.masked_fill(~mask.reshape(b * c * f, 1, r), lowest)
        weights = seen["graph_adj_softmax"] = edges.softmax(-1)
        return weights

    def _pool(self, nodes: Tensor, mask: Tensor | None, seen: Trace) -> Tensor:
        """The regions that matter; [B·C·F,D], zero where a frame has none."""
        scores = self.satt_pool(nodes)
        if mask is None:
            weights = scores.softmax(1)
        else:
            there = mask.reshape(*nodes.shape[:2], 1)
            lowest = torch.finfo(scores.dtype).min
            weights = scores.masked_fill(~there, lowest).softmax(1) * there
        seen["region_attention"] = weights
        return (nodes * weights).sum(1)
