"""Checks of layers that move blocks of pixels."""

from collections.abc import Iterator

from systolith.network._fields import Fields, as_int, repr_of
from systolith.network.tensor import Shape

__all__ = ["block_problems", "check_block"]

MAX_BLOCK = 255


def check_block(fields: Fields, block: object) -> None:
    """Check the side of a block."""
    size = as_int(block)
    if size is None or not 2 <= size <= MAX_BLOCK:
        fields.problems.append(f"block must be an integer of 2..{MAX_BLOCK}, got {repr_of(block)}")


def block_problems(name: str, shape: Shape) -> Iterator[str]:
    """Check that blocks can be moved within the tensor `name`."""
    if len(shape) != 3:
        yield f"needs an image (C, H, W), but '{name}' has shape {shape}"
