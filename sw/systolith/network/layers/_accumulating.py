"""What layers with accumulators have in common."""

from collections.abc import Sequence

from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.requantizing import requantize
from systolith.network.tensor import Tensor

__all__ = ["Accumulating"]


class Accumulating:
    """A layer that computes accumulators and requantizes them."""

    __slots__ = ()

    requantize: Requantize
    output: ActType

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the accumulators, before :func:`systolith.network.requantize`.

        Parameters
        ----------
        values : sequence of array of int64, shape (N, ...)
            Input activations: one array for each input, with the same N.
        inputs : sequence of Tensor
            Shapes and types of the inputs, which must fit; this is not checked.

        Returns
        -------
        array of int64, shape (N, channels, ...)
        """
        raise NotImplementedError

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the least and greatest value of any partial sum, inclusive.

        Terms ``weight * (in - zero_point)`` and the bias may be added in any order. So the range is
        the sum of all terms at their most negative and at their most positive, over the taps of a
        window that are inside the image. It is exact: some input reaches each bound. 0 is always
        between them.
        """
        raise NotImplementedError

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type after requantization."""
        return self.output

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return requantize(self.accumulate(values, inputs), self.requantize, self.output)
