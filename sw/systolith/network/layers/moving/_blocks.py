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
    """A layer that moves blocks of b x b pixels within one tensor."""

    name: str
    input: str
    block: int

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        size = as_int(self.block)
        if size is None or not 2 <= size <= MAX_BLOCK:
            fields.problems.append(
                f"block must be an integer of 2..{MAX_BLOCK}, got {repr_of(self.block)}"
            )
        finish(fields, self.name)

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
