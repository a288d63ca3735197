"""The models of torchvision, where its wheel for CUDA is installed beside PyTorch's for CPUs."""

import importlib
import importlib.util
from types import ModuleType

import torch

__all__ = ["load_torchvision"]

OPERATORS = ("nms", "qnms")
"""Operators that torchvision describes while it is imported, though its library does not load."""


def load_torchvision() -> ModuleType | None:
    """Import ``torchvision.models``; None if torchvision is not installed.

    No model uses what its library for CUDA computes: boxes are suppressed elsewhere.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)
    return importlib.import_module("torchvision.models")


_KEPT: list[torch.library.Library] = []
"""Operators disappear with their library."""
