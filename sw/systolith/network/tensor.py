"""Shape and type of an activation tensor."""

from dataclasses import dataclass
from math import prod

from systolith.network._fields import Fields, as_int, repr_of
from systolith.network.numbers import ActType

__all__ = ["Shape", "Tensor", "is_shape"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and type of one activation tensor, without the batch axis.

    Parameters
    ----------
    shape : tuple of int
        (C, H, W) or (features,), each at least 1.
    type : ActType
        Type of its integers.

    Raises
    ------
    NetworkError
        If shape or type is invalid.

    Examples
    --------
    >>> print(Tensor((3, 32, 32), ActType(bits=8, signed=False)))
    3x32x32 uint8
    """

    shape: Shape
    type: ActType

    def __post_init__(self) -> None:
        fields = Fields(self)
        if fields.integers("shape") and not is_shape(self.shape):
            fields.problems.append(
                f"shape must be (C, H, W) or (features,), none 0, got {repr_of(self.shape)}"
            )
        fields.instance("type", ActType)
        fields.finish()

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.type}"

    @property
    def pixels(self) -> int:
        """Pixels of an image; 1 for a vector."""
        return prod(self.shape[1:])


def is_shape(shape: object) -> bool:
    """Whether a value is a shape (C, H, W) or (features,)."""
    if not isinstance(shape, tuple) or len(shape) not in (1, 3):
        return False
    return all((size := as_int(item)) is not None and size >= 1 for item in shape)
