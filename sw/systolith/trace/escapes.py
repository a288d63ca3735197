"""Calls on tensors that give Python something: a size, or a value."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["reads_size", "reads_values"]

_METADATA = {
    *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "type"),
    *("element_size", "get_device", "is_contiguous", "is_floating_point", "is_complex"),
    *("is_signed", "is_same_size", "has_names", "__len__", "__hash__", "__repr__", "__format__"),
    *("register_hook", "retain_grad", "untyped_storage", "is_inference", "is_shared"),
}
"""Calls on a tensor that return no tensor and do not depend on its values."""

_SIZES = {
    *("shape", "size", "numel", "nelement", "stride", "nbytes", "is_same_size", "__len__"),
}
"""Calls that read the size of an image."""


def reads_size(name: str, tensor: Tensor, arguments: Sequence[Any], images: int) -> bool:
    """Whether a call reads height, width or length of an image; the batch's length is none.

    Parameters
    ----------
    name : str
        Of the function or method.
    tensor : Tensor
        That is read.
    arguments : sequence
        Further arguments.
    images : int
        Length of the batch.
    """
    vectors = tensor.ndim == 0 or (tensor.ndim <= 2 and len(tensor) == images)
    if name not in _SIZES or vectors:
        return False
    axes = [axis for axis in arguments if isinstance(axis, int)]
    axis = 0 if name == "__len__" else axes[0] if name == "size" and axes else -1
    return tensor.ndim <= 2 or axis % tensor.ndim > 1


def reads_values(name: str, result: Any) -> bool:
    """Whether a call that gives no tensor depends on values."""
    attribute = hasattr(Tensor, name) and not callable(getattr(Tensor, name))
    return not (name in _METADATA or attribute or isinstance(result, torch.Size))
