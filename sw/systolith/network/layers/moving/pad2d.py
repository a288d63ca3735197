"""Rows and columns added around images, or cut off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import MAX_KERNEL, Padding, image_problems, window_shape
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["Pad2d"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pad2d:
    """Rows and columns of one value, or of the border, added to images; negative numbers cut off.

    Layers with windows have padding of their own. This layer is for padding that no layer behind
    it can take, and for cropping.

    Parameters
    ----------
    padding : Padding
        At top, bottom, left, right; -65535..65535. It must leave one pixel.
    value : int, optional
        Integer of the input's type that is added. Default: the input's zero point.
    edge : bool
        Whether the nearest pixel of the image is added instead.

    Raises
    ------
    NetworkError
        With every problem of the layer.

    Examples
    --------
    >>> pad = Pad2d(name="pad", input="input", padding=(1, 0, -1, 2))
    >>> act = ActType(bits=4, signed=False, zero_point=3)
    >>> pad.compute([np.array([[[[8, 9]]]])], [Tensor((1, 1, 2), act)])
    array([[[[3, 3, 3],
             [9, 3, 3]]]])
    """

    name: str
    input: str
    padding: Padding
    value: int | None = None
    edge: bool = False

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        if fields.integers("padding", 4) and max(map(abs, self.padding)) > MAX_KERNEL:
            fields.problems.append(
                f"padding must be -{MAX_KERNEL}..{MAX_KERNEL}, got {self.padding}"
            )
        if self.value is not None:
            fields.integer("value")
        if fields.boolean("edge") and self.edge and self.value is not None:
            fields.problems.append(f"edge takes no value, got {self.value}")
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    @property
    def stride(self) -> tuple[int, int]:
        """Every pixel is given."""
        return 1, 1

    def fill(self, act: ActType) -> int:
        """Integer that is added around images of this type."""
        return act.zero_point if self.value is None else self.value

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, (1, 1), inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif len(inputs[0]) != 3:
            yield from image_problems(self, None, self.input, inputs[0])
        else:
            before, after, left, right = (max(-by, 0) for by in self.padding)
            _, height, width = inputs[0]
            if before + after >= height or left + right >= width:
                yield f"padding {self.padding} leaves nothing of '{self.input}' of {inputs[0]}"

    def type_problems(self, inputs: Sequence[ActType]) -> Iterator[str]:
        """List what does not fit inputs of these types."""
        if not inputs[0].low <= self.fill(inputs[0]) <= inputs[0].high:
            yield f"value must be one of '{self.input}', which is {inputs[0]}, got {self.value}"

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        top, bottom, left, right = self.padding
        _, _, height, width = values[0].shape
        kept = values[0][
            :,
            :,
            max(-top, 0) : height - max(-bottom, 0),
            max(-left, 0) : width - max(-right, 0),
        ]
        sides = ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))
        if self.edge:
            return np.asarray(np.pad(kept, ((0, 0), (0, 0), *sides), mode="edge"))
        fill = self.fill(inputs[0].type)
        return np.asarray(np.pad(kept, ((0, 0), (0, 0), *sides), constant_values=fill))
