"""Layers that only move values: reshaping, padding, cropping and resizing."""

from dataclasses import replace
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import Padding, Upsample

__all__ = [
    "map_cropping",
    "map_reshape",
    "map_resize",
    "map_transpose",
    "map_zero_padding",
]

SIDES = ("top", "bottom", "left", "right")


def map_reshape(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a reshape, in the order of hls4ml."""
    shape = tuple(int(size) for size in node.get_output_variable().shape)
    if np.prod(shape) != value.view.size:
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"gives {given} the shape {shape}, which has another size")
        return None
    return replace(value, view=value.view.reshape(shape))


def map_transpose(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a permutation of axes."""
    perm = tuple(int(axis) for axis in node.get_attr("perm"))
    if sorted(perm) != list(range(value.view.ndim)):
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"permutes the axes of {given} by {perm}")
        return None
    return replace(value, view=value.view.transpose(perm))


def map_zero_padding(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map zero padding: the layer that reads the image adds the zeros, if it can."""
    if not value.is_unpadded_image or value.view.ndim == 1:
        assembly.refuse(node.name, "pads a reshaped tensor; it needs an image")
        return None
    top, bottom, left, right = (
        int(node.get_attr(f"pad_{side}", 0)) + given
        for side, given in zip(SIDES, value.padding, strict=True)
    )
    return replace(value, padding=(top, bottom, left, right))


def map_cropping(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map cropping to negative padding."""
    if not value.is_image or value.view.ndim == 1:
        assembly.refuse(node.name, "crops a reshaped tensor; it needs an image")
        return None
    top, bottom, left, right = (-int(node.get_attr(f"crop_{side}", 0)) for side in SIDES)
    padding: Padding = (top, bottom, left, right)
    return assembly.pad(node.name, replace(value, padding=padding))


def map_resize(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a nearest resize by whole numbers."""
    if not value.is_image or value.view.ndim == 1:
        assembly.refuse(node.name, "resizes a reshaped tensor; it needs an image")
        return None
    (_, height, width), view = value.shape, value.view
    given = (1, *node.get_output_variable().shape)[-3:]
    rows, columns, _ = map(int, given)
    if rows % height or columns % width:
        assembly.refuse(
            node.name,
            f"resizes {height}x{width} to {rows}x{columns}; only whole factors are supported",
        )
        return None
    read = assembly.make_tensor(node.name, value)
    if read is None:
        return None
    made = Upsample(
        name=assembly.claim_name(node.name),
        input=read.source,
        factors=(rows // height, columns // width),
    )
    return assembly.add_layer(node.name, made, read, view.ndim)
