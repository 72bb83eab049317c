"""Which published weights are which of ours: VGT's own files, whose names begin with `module.`."""

from __future__ import annotations

from mama_train.models.crossmodal.published import KeyMap

VGT_KEYS = KeyMap(
    prefix="module.",
    renamed={
        "amodel.bert.bert.": "text.",
        "amodel.linear_text.": "text.linear_text.",
        **{
            f"{name}.": f"video_tokens.{name}."
            for name in (
                "encode_vid",
                "linear_video",
                "norm_video",
                "ttrans",
                "gnn",
                "graph_trans",
                "satt_pool",
                "merge_fr",
            )
        },
    },
    left_out={
        "amodel.bert.bert.pooler.": "never read",
        "crossmodal_matching.": "never read",
        "position_v.modality_embedding.": "never read",
        "position_v.position_embeddings.": "constants, computed here for any number of clips",
    },
    new=(
        "video_projection.",
        "text_projection.",
        "logit_scale",
        "video_tokens.frame_position",
    ),
)
"""Embeddings before fusion, and positions of frames, have no published weights."""
