"""Lets torchvision import beside a torch whose compiled operators it cannot load.

`install.sh` puts this file into an environment and starts it from a .pth file there. Processors of
transformers need torchvision's Python parts only; its import stops because two operators of its
compiled library are not registered. Their names are registered here, without an implementation,
at the moment when torchvision is about to be imported.
"""

from __future__ import annotations

import importlib.abc
import sys

_LIBRARY = None


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; only notices that torchvision is wanted."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        global _LIBRARY  # must outlive this call, or the operators vanish with it
        _LIBRARY = torch.library.Library("torchvision", "DEF")
        arguments = "Tensor dets, Tensor scores, float iou_threshold"
        for operator in ("nms", "qnms"):
            _LIBRARY.define(f"{operator}({arguments}) -> Tensor")


sys.meta_path.insert(0, _BeforeTorchvision())
