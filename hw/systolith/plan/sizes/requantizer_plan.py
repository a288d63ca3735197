"""What a requantizer is made of: widths, and which parameters differ between channels."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Self

import numpy as np

from systolith.network import MAX_SHIFT, ActType, IntArray, Requantize, Rounding, signed_bits
from systolith.plan.sizes.latency import (
    multiplier_latency,
    requantize_latency,
    threshold_latency,
)
from systolith.plan.sizes.requantizer_widths import (
    SPARE_BIAS_BITS,
    offset_bits,
    scale_bits,
    threshold_bits,
)

__all__ = ["RequantizerPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequantizerPlan:
    """Widths of a requantizer, one for each output lane of an engine.

    Parameters
    ----------
    sum_bits : int
        Width of sums without their biases.
    factor_bits : int
        Width of the factor of the multiplier: a sum plus its bias, unless an offset contains it.
    output_bits : int
        Width of activations.
    scale_bits : int
        Width of the multiplier; 0 if there is none.
    offset_bits : int
        Width of the addend behind the multiplier; 0 if biases are added in front of it.
    adds_bias : bool
        Whether anything but 0 is added in front of the multiplier.
    rounds_twice : bool
        Whether it rounds twice, as TFLite does.
    has_slopes : bool
        Whether negative sums have multipliers of their own.
    least_shift, shift_bits : int
        Smallest shift, and bits of shifts that differ between channels or can be loaded.
    varied_bits : int
        Bits of a channel's parameters, shift included, that differ between channels or can be
        loaded. All others are constants.
    threshold_bits : int
        Bits of a count of thresholds, which then is all that a requantizer does; otherwise 0.
    """

    sum_bits: int
    factor_bits: int
    output_bits: int
    scale_bits: int = 0
    offset_bits: int = 0
    adds_bias: bool = False
    rounds_twice: bool = False
    has_slopes: bool = False
    least_shift: int = 0
    shift_bits: int = 0
    varied_bits: int = 0
    threshold_bits: int = 0

    @classmethod
    def of(
        cls,
        spec: Requantize,
        output: ActType,
        *,
        sum_bits: int,
        biases: IntArray | None = None,
        reloadable: bool = False,
    ) -> Self:
        """Make all widths fit the parameters; if reloadable, any others of the same kind.

        Parameters
        ----------
        spec : Requantize
        output : ActType
        sum_bits : int
        biases : array of int, shape (channels,), optional
            Zeros by default.
        reloadable : bool
        """
        channels = 1 if spec.offset is None else len(spec.offset)
        added = np.zeros(channels, dtype=np.int64) if biases is None else biases
        bias_bits = signed_bits(int(added.min()), int(added.max()))
        loaded_bits = sum_bits + SPARE_BIAS_BITS if reloadable else 0
        scale = scale_bits(spec, reloadable=reloadable)
        offset = offset_bits(sum_bits, added, spec, reloadable=reloadable)
        shift_bits = MAX_SHIFT.bit_length() if reloadable else _varied_bits(spec.shift)
        varied = (
            (_differ(spec.multiplier), scale),
            (_differ(added) or _differ(spec.offset), offset or bias_bits),
            (_differ(spec.negative), scale),
        )
        loadable = 2 * scale if spec.negative is not None else scale
        return cls(
            sum_bits=sum_bits,
            factor_bits=sum_bits if offset else max(loaded_bits or sum_bits, bias_bits) + 1,
            output_bits=output.bits,
            scale_bits=scale,
            offset_bits=offset,
            adds_bias=not offset and (reloadable or bool(added.any())),
            rounds_twice=spec.rounding is Rounding.TFLITE,
            has_slopes=spec.negative is not None,
            least_shift=0 if reloadable else int(spec.shift.min()),
            shift_bits=shift_bits,
            varied_bits=shift_bits
            + (
                loadable + (offset or max(loaded_bits, bias_bits))
                if reloadable
                else sum(bits for differs, bits in varied if differs)
            ),
            threshold_bits=threshold_bits(spec),
        )

    @property
    def latency(self) -> int:
        """Cycles from a sum to its activation."""
        if self.threshold_bits:
            return threshold_latency(self.threshold_bits)
        return requantize_latency(self.factor_bits, self.scale_bits, rounds_twice=self.rounds_twice)

    @property
    def scale_latency(self) -> int:
        """Cycles from a sum to its product with the multiplier; 0 without one."""
        return multiplier_latency(self.factor_bits, self.scale_bits) if self.scale_bits else 0

    @property
    def product_bits(self) -> int:
        """Width of the value that is shifted."""
        product = self.factor_bits + self.scale_bits
        return max(product, self.offset_bits) + 1 if self.offset_bits else product


def _differ(values: IntArray | None) -> bool:
    """Whether channels have different values."""
    return values is not None and bool((values != values[0]).any())


def _varied_bits(values: IntArray) -> int:
    """Count the bits that are not the same in all numbers."""
    numbers = values.tolist()
    return int(reduce(or_, (number ^ numbers[0] for number in numbers)).bit_count())
