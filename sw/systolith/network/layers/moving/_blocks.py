"""Common part of layers that turn channels into blocks of pixels, and back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from systolith.network._fields import Fields, as_int, repr_of
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType
from systolith.network.tensor import Shape

__all__ = ["BlockLayer"]

MAX_BLOCK = 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockLayer:
    """A layer that moves blocks of pixels within one tensor."""

    name: str
    input: str
    block: int | tuple[int, int]

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        given = self.block if isinstance(self.block, tuple | list) else (self.block, self.block)
        sides = tuple(size for size in map(as_int, given) if size is not None)
        if len(given) != 2 or len(sides) != 2 or not 1 <= min(sides) <= max(sides) <= MAX_BLOCK:
            sides = (1, 1)
        if max(sides) == 1:
            fields.problems.append(
                f"block must be an integer of 2..{MAX_BLOCK}, or rows and columns of which one may "
                f"be 1, got {repr_of(self.block)}"
            )
        else:
            # One number if the sides are equal, as in files that know square blocks only.
            block = sides[0] if sides[0] == sides[1] else sides
            object.__setattr__(self, "block", block)
        finish(fields, self.name)

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        return (self.block, self.block) if isinstance(self.block, int) else self.block

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def image_problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """Check that there is one input, and that it is an image."""
        yield from shape_problems(self.inputs, inputs)
        if len(inputs[0]) != 3:
            yield f"needs an image (C, H, W), but '{self.input}' has shape {inputs[0]}"
