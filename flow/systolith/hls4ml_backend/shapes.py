"""Layers that move values and compute nothing."""

from dataclasses import replace
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.value import Value

__all__ = ["reshape", "transpose", "zero_padding"]


def reshape(assembly: Assembly, node: Any, value: Value) -> Value | None:
    """Give the tensor another shape, in the order of hls4ml."""
    if _is_padded(assembly, node, value):
        return None
    shape = tuple(int(size) for size in node.get_output_variable().shape)
    if np.prod(shape) != value.view.size:
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"gives {given} the shape {shape}, which has another size")
        return None
    return replace(value, view=value.view.reshape(shape))


def transpose(assembly: Assembly, node: Any, value: Value) -> Value | None:
    """Permute axes."""
    if _is_padded(assembly, node, value):
        return None
    perm = tuple(int(axis) for axis in node.get_attr("perm"))
    if sorted(perm) != list(range(value.view.ndim)):
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"permutes the axes of {given} by {perm}")
        return None
    return replace(value, view=value.view.transpose(perm))


def zero_padding(assembly: Assembly, node: Any, value: Value) -> Value | None:
    """Leave zeros to the layer that reads the image."""
    if not value.is_unpadded_image or value.view.ndim == 1:
        assembly.refuse(node.name, "pads a reshaped tensor; it needs an image")
        return None
    sides = ("top", "bottom", "left", "right")
    top, bottom, left, right = (
        int(node.get_attr(f"pad_{side}", 0)) + given
        for side, given in zip(sides, value.padding, strict=True)
    )
    return replace(value, padding=(top, bottom, left, right))


def _is_padded(assembly: Assembly, node: Any, value: Value) -> bool:
    if any(value.padding):
        assembly.refuse(node.name, "follows zero padding; only convolutions and pools can")
        return True
    return False
