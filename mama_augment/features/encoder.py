"""Frames and texts to unit vectors, by a model of transformers.

Letters: T frames of a clip, N texts, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from mama_augment.caption.input.grid import even_indices
from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import Image
from mama_augment.features.models import OF_CLIPS, OF_IMAGES, EncoderModel

FRAMES_AT_ONCE = 64
TEXTS_AT_ONCE = 256
Vectors = npt.NDArray[np.float32]


class Encoder:
    """A model that is loaded."""

    def __init__(self, model: EncoderModel) -> None:
        """
        Raises:
            InputError: there is no such device, or files of the model are missing or damaged.
        """
        self.model = model
        self._device = device_of(model.device)
        self._tokenizer: Any = None
        with_code = model.trust_remote_code
        try:
            self._net = AutoModel.from_pretrained(
                model.directory, use_safetensors=True, trust_remote_code=with_code
            )
            self._processor = AutoImageProcessor.from_pretrained(
                model.directory, trust_remote_code=with_code
            )
            if model.has_texts:
                self._tokenizer = AutoTokenizer.from_pretrained(
                    model.directory, trust_remote_code=with_code
                )
        except (OSError, ValueError, KeyError) as error:
            why = str(error).splitlines()[0] if str(error) else repr(error)
            raise InputError(
                f"--model {model.directory!r} cannot be loaded: {why}. Give a folder with "
                "weights, preprocessor_config.json and, for texts, a tokenizer"
            ) from error
        self._net.eval().to(self._device)

    @torch.inference_mode()
    def clip(self, frames: Sequence[Image]) -> tuple[Vectors, Vectors]:
        """([T,D], [D]): vectors of a clip's frames, in order, and of the clip, of unit length."""
        parts = [
            self._frames(frames[first : first + FRAMES_AT_ONCE])
            for first in range(0, len(frames), FRAMES_AT_ONCE)
        ]
        vectors_TD = torch.cat(parts)
        if self.model.kind in OF_CLIPS:
            size = self._net.config.vision_additional_config["temporal_size"]
            seen = [frames[i] for i in even_indices(len(frames), size)]
            vector_D = self._net.get_video_features(self._inputs(seen)["pixel_values"][None])[0]
        else:
            vector_D = vectors_TD.mean(dim=0)
        return _array(vectors_TD), _array(_unit(vector_D))

    def _frames(self, frames: Sequence[Image]) -> Tensor:
        given = self._inputs(frames)
        if self.model.kind in OF_CLIPS:
            return _unit(self._net.get_video_features(given["pixel_values"][:, None]))
        if self.model.kind in OF_IMAGES:
            return _unit(_pooled(self._net.get_image_features(**given)))
        return _unit(_pooled(self._net(**given)))

    def _inputs(self, frames: Sequence[Image]) -> dict[str, Tensor]:
        """What the model's own processor makes of pictures: `pixel_values`, and more for some."""
        found = self._processor(images=list(frames), return_tensors="pt")
        return {name: tensor.to(self._device) for name, tensor in found.items()}

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Vectors:
        """[N,D], of unit length."""
        assert self._tokenizer is not None, self.model.kind
        parts = [np.zeros((0, 1), np.float32)] if not texts else []
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            tokens = self._tokenizer(
                list(texts[first : first + TEXTS_AT_ONCE]),
                # SigLIP has seen nothing but texts of one length.
                padding="max_length" if "siglip" in self.model.kind else True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            )
            names = ("input_ids", "attention_mask")
            given = {n: tokens[n].to(self._device) for n in names if n in tokens}
            parts.append(_array(_unit(_pooled(self._net.get_text_features(**given)))))
        return np.concatenate(parts)

    @property
    def _max_tokens(self) -> int:
        config = self._net.config.text_config
        sizes = config if isinstance(config, dict) else config.to_dict()
        return int(sizes["max_position_embeddings"])


def device_of(name: str) -> torch.device:
    """
    Raises:
        InputError: it is not a device, or not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"--device is {name!r} ({why}); give auto, cpu, cuda or cuda:N") from error
    return device


def _pooled(found: Any) -> Tensor:
    """One vector each; some versions and models wrap it."""
    pooled: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return pooled


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _array(vectors: Tensor) -> Vectors:
    found: Vectors = vectors.cpu().numpy()
    return found
