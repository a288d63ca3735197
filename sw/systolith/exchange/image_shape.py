"""The shape of a model's images: as the file has it, or as the user gives it."""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

__all__ = ["image_shape"]

AXES = (2, 3, 4)
"""Of the model's input, the batch included; three where the model reshapes it first."""
NUMBERS = "fiub"
"""Kinds of NumPy that images may have."""


def image_shape(
    value: ValueInfoProto, given: Sequence[int] | None = None
) -> tuple[tuple[int, ...], list[str]]:
    """Find the shape of one image, and write down there what the user gives.

    Parameters
    ----------
    value : ValueInfoProto
        The model's input; sizes that it leaves open become those of `given`.
    given : sequence of int, optional
        Without the batch.

    Returns
    -------
    shape : tuple of int
    problems : list of str
    """
    problems = [*_type_problems(value), *_given_problems(value, given)]
    if problems:
        return (), problems
    dims = value.type.tensor_type.shape.dim
    if dims and dims[0].dim_value < 1:
        # Exporters write any number of images as a name, as 0 or as -1.
        dims[0].dim_param = dims[0].dim_param or "N"
    if given is not None:
        if not dims:
            dims.add().dim_param = "N"
            for _ in given:
                dims.add()
        for dim, size in zip(dims[1:], given, strict=True):
            dim.dim_value = size
    shape, shown = tuple(dim.dim_value for dim in dims[1:]), _shown(value)
    if len(dims) not in AXES:
        what = "images (N, C, H, W) or vectors (N, features)"
        hint = " (three-dimensional data are not supported)" if dims else ""
        return shape, [f"input '{value.name}' must hold {what}, got {shown}{hint}"]
    if any(dim.dim_value < 0 for dim in dims):
        return shape, [
            (
                f"input '{value.name}' has sizes less than 1: {shown}; export it anew, or give the "
                "sizes of an image (--input-shape 3,32,32, import_onnx(..., input_shape=...))"
            )
        ]
    if not all(shape):
        return shape, [
            (
                f"input '{value.name}' has sizes that are not known before it runs: {shown}; only "
                "the batch may be dynamic: give the sizes of an image (--input-shape 3,32,32, "
                "import_onnx(..., input_shape=(3, 32, 32))), or export it with fixed sizes"
            )
        ]
    return shape, []


def _type_problems(value: ValueInfoProto) -> list[str]:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return [f"input '{value.name}' is a {kind or 'value without a type'}; a tensor is needed"]
    element = value.type.tensor_type.elem_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    except KeyError:
        dtype = np.dtype(object)
    if element == TensorProto.UNDEFINED or (dtype.kind not in NUMBERS and dtype.kind != "V"):
        name = TensorProto.DataType.Name(element).lower()
        return [f"input '{value.name}' holds {name}; images are numbers"]
    return []


def _given_problems(value: ValueInfoProto, given: Sequence[int] | None) -> list[str]:
    if given is None:
        return []
    wanted = ", ".join(map(str, given))
    if not given or min(given) < 1:
        return [f"input_shape must be sizes of an image, such as 3, 32, 32, got ({wanted})"]
    dims = list(value.type.tensor_type.shape.dim)
    fits = len(dims) == 1 + len(given) and all(
        dim.dim_value in (0, size) for dim, size in zip(dims[1:], given, strict=True)
    )
    if dims and not fits:
        return [f"input_shape ({wanted}) does not fit input '{value.name}', {_shown(value)}"]
    return []


def _shown(value: ValueInfoProto) -> str:
    sizes = value.type.tensor_type.shape.dim
    return "(" + ", ".join(str(dim.dim_param or dim.dim_value or "?") for dim in sizes) + ")"
