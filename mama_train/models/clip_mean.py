"""Any Hugging Face CLIP or SigLIP (1 and 2): each frame is an image, a clip is the mean of its
frames.

SigLIP's own logits are exp(scale) · cos + bias, each pair judged alone by a sigmoid. Its cosines
and its scale are taken; the bias is kept for export, but is the same for all pairs of a batch, so
that the contrastive loss and every ranking do not feel it.

Shapes: B clips or texts, T frames, N frames of all clips, P patches of a frame.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.base import DualEncoder, unit
from mama_train.models.specs import FrameSpec
from mama_train.models.towers import Tower, TowerKind
from mama_train.models.weights import refuse_pickles

NUM_FRAMES = 12
UNFIT = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError)
"""What transformers raises for a folder that is not as it should be."""


class ClipMean(DualEncoder):
    """v = mean of unit frame vectors, made unit again (as CLIP-ViP's code does for plain CLIP)."""

    def __init__(self, inner: nn.Module, *, num_frames: int = NUM_FRAMES) -> None:
        """`inner`: a transformers model with get_image_features, get_text_features, logit_scale."""
        config: Any = inner.config
        is_siglip = "siglip" in config.model_type
        statistics: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3} if is_siglip else {}
        # A NaFlex SigLIP 2 takes patches, of pictures of any shape; here they are square.
        self.patch_px = config.vision_config.patch_size if config.model_type == "siglip2" else None
        super().__init__(
            FrameSpec(
                num_frames=num_frames,
                size_px=_size_px(config.vision_config, self.patch_px),
                fit="stretch" if config.model_type == "siglip" else "crop",
                **statistics,
            )
        )
        self.inner = inner
        self.is_siglip = is_siglip
        # SigLIP stores it as a vector of one number.
        start = inner.get_parameter("logit_scale").detach().reshape(())
        del inner.logit_scale
        inner.register_parameter("logit_scale", None)
        if is_siglip:
            inner.get_parameter("logit_bias").requires_grad_(False)
        self.logit_scale = nn.Parameter(start.clone())
        self.embed_dim = config.vision_config.hidden_size if is_siglip else config.projection_dim

    @classmethod
    def from_folder(cls, folder: Path, *, num_frames: int = NUM_FRAMES) -> ClipMean:
        """Load config and weights strictly from a local folder.

        Raises:
            InputError: it is not a CLIP or SigLIP, or weights are missing or left over.
        """
        from safetensors import SafetensorError
        from transformers import AutoModel

        refuse_pickles(folder)
        try:
            model, info = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                attn_implementation="sdpa",
                dtype=torch.float32,
            )
        except (*UNFIT, SafetensorError) as error:
            raise InputError(f"{str(folder)!r} cannot be loaded: {error}") from error
        wrong = [*info["missing_keys"], *info["mismatched_keys"]]
        if wrong:
            raise InputError(
                f"{str(folder)!r} lacks weights that fit: {', '.join(map(str, wrong))}"
            )
        return cls(model, num_frames=num_frames)

    @classmethod
    def from_json(cls, config: dict[str, Any], *, num_frames: int = NUM_FRAMES) -> ClipMean:
        """A model with initial weights, of a Hugging Face `config.json`."""
        from transformers import AutoConfig, AutoModel

        fields = {k: v for k, v in config.items() if k not in ("model_type", "mama_train")}
        hf_config = AutoConfig.for_model(config["model_type"], **fields)
        return cls(
            AutoModel.from_config(hf_config, attn_implementation="sdpa"), num_frames=num_frames
        )

    def embed_video(self, video: Tensor) -> Tensor:
        pixels = self.pixels(video)
        inner: Any = self.inner
        frames = pixels.flatten(0, 1)
        given = {"pixel_values": frames} if self.patch_px is None else self._patches(frames)
        features = unit(_features(inner.get_image_features(**given)))
        return unit(features.unflatten(0, pixels.shape[:2]).mean(dim=1))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        inner: Any = self.inner
        # SigLIP was trained on padded texts without a mask.
        mask = None if self.is_siglip else mask_BS
        found = inner.get_text_features(input_ids=input_ids_BS, attention_mask=mask)
        return unit(_features(found))

    def _patches(self, frames: Tensor) -> dict[str, Tensor]:
        """Normalised frames [N,3,H,H] as NaFlex takes them: patches [N,P,3·p²], row by row, the
        colours of a pixel side by side; all of them there."""
        p = self.patch_px
        assert p is not None
        num, channels, side = len(frames), frames.shape[1], frames.shape[-1] // p
        cut = frames.reshape(num, channels, side, p, side, p).permute(0, 2, 4, 3, 5, 1)
        patches = cut.reshape(num, side * side, p * p * channels)
        return {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(patches.shape[:2], device=frames.device).int(),
            "spatial_shapes": torch.full((num, 2), side, device=frames.device),
        }

    def towers(self) -> dict[TowerKind, Tower]:
        config: Any = self.inner.config
        sides: dict[TowerKind, tuple[str, Any]] = {
            "vision": ("visual_projection.", config.vision_config),
            "text": ("text_projection.", config.text_config),
        }
        return {
            kind: Tower(
                parts=(f"inner.{kind}_model.", f"inner.{projection}"),
                below=(f"inner.{kind}_model.embeddings.", f"inner.{kind}_model.pre_layrnorm."),
                blocks=f"inner.{kind}_model.encoder.layers.",
                num_blocks=of_tower.num_hidden_layers,
            )
            for kind, (projection, of_tower) in sides.items()
        }

    def published_tensors(self) -> dict[str, Tensor]:
        """Those of the plain CLIP or SigLIP, which AutoModel loads."""
        tensors = dict(self.inner.state_dict())
        shape = (1,) if self.is_siglip else ()
        return {**tensors, "logit_scale": self.logit_scale.detach().reshape(shape)}

    def config_json(self) -> dict[str, Any]:
        config: Any = self.inner.config
        return {**config.to_dict(), "mama_train": "clip-mean"}


def _size_px(vision: Any, patch_px: int | None) -> int:
    """The side of a square frame: for NaFlex, as many patches as its table of places has."""
    return vision.image_size if patch_px is None else math.isqrt(vision.num_patches) * patch_px


def _features(found: Any) -> Tensor:
    """transformers returns the projected features bare or as `pooler_output`."""
    return found if isinstance(found, Tensor) else found.pooler_output
