"""A file while it is drawn: tensors of random scales, and the choices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.fuzz.choices import Choices
from systolith.fuzz.files.writing import TfliteFile

__all__ = ["Sheet"]

COARSE_SCALES = (1.0, 0.5, 0.25, 0.0625)
"""With these scales, many results are ties."""


class Sheet:
    """A file and random choices.

    Attributes
    ----------
    file : TfliteFile
    choices : Choices
    """

    def __init__(self, choices: Choices) -> None:
        self.file, self.choices = TfliteFile(), choices
        self.rng = choices.generator()

    def shape(self, number: int) -> tuple[int, ...]:
        """Give the shape of a tensor, with the batch."""
        return self.file.tensors[number].shape

    def scale(self) -> float:
        """Draw the scale of an activation."""
        if self.choices.chance(20):
            return self.choices.one_of(COARSE_SCALES)
        return float(np.float32(self.rng.uniform(0.01, 0.1)))

    def name(self, kind: str) -> str:
        """Name a tensor as Keras and the converter do."""
        number = len(self.file.operators)
        return f"model/{kind.lower()}{number}/{kind}"

    def activation(
        self, name: str, shape: Sequence[int], like: int | None = None, dtype: str = "int8"
    ) -> int:
        """Add an activation with a scale of its own, or with that of another."""
        if dtype != "int8":
            return self.file.tensor(name, shape, dtype=dtype)
        if like is not None:
            other = self.file.tensors[like]
            return self.file.tensor(name, shape, other.scale, other.zero[0])
        zero = int(self.rng.integers(-128, 128)) if self.choices.chance(80) else 0
        return self.file.tensor(name, shape, self.scale(), zero)

    def constant(self, values: NDArray[Any] | Sequence[Any], **fields: Any) -> int:
        """Add a constant, of int32 if it is a list."""
        array = values if isinstance(values, np.ndarray) else np.array(values, dtype=np.int32)
        return self.file.constant(f"constant{len(self.file.tensors)}", array, **fields)

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str = "",
        *,
        like: int | None = None,
        **fields: float,
    ) -> int:
        """Add an operator with one result. Returns the result."""
        result = self.activation(self.name(kind), shape, like)
        self.file.operator(kind, inputs, [result], options, **fields)
        return result
