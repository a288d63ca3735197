"""Checks of what layers read."""

from collections.abc import Sequence

from systolith.network._fields import Fields, is_name, repr_of
from systolith.network.tensor import Shape, is_shape

__all__ = ["finish", "shape_problems"]


def finish(fields: Fields, name: object) -> None:
    """Raise an error with all problems, prefixed with the layer's name."""
    fields.finish(f"layer '{name}': " if is_name(name) else f"layer {repr_of(name)}: ")


def shape_problems(names: Sequence[str], shapes: Sequence[Shape]) -> list[str]:
    """Check that each input has a valid shape."""
    if len(shapes) != len(names):
        return [f"reads {len(names)} tensors, got {len(shapes)} shapes"]
    return [
        f"shapes are (C, H, W) or (features,), but '{name}' has {repr_of(shape)}"
        for name, shape in zip(names, shapes, strict=True)
        if not is_shape(shape)
    ]
