"""What the memories of each engine hold, and in which order a load fills them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from systolith.gateware.array.pe_array import WeightTables, weight_tables
from systolith.gateware.engines.requantizer import RequantizerShape, requantizer_tables
from systolith.gateware.parameters import ParameterTable
from systolith.gateware.window.row_reader import tap_table
from systolith.network import (
    ADDED_MULTIPLIER_BITS,
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    Linear,
)
from systolith.plan import (
    AddPlan,
    ConvPlan,
    PoolPlan,
    fold_bias,
    pack_weights,
    row_taps,
)

__all__ = ["AddContents", "ConvContents", "PoolContents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvContents:
    """Memories of a convolution or linear layer.

    Attributes
    ----------
    taps : tuple of ParameterTable
        For each row; none if the PEs gather.
    weights : WeightTables
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        For each requantizer.
    """

    taps: tuple[ParameterTable, ...]
    weights: WeightTables
    requantizer: RequantizerShape
    parameters: tuple[ParameterTable, ...]

    @classmethod
    def of(
        cls,
        plan: ConvPlan,
        layer: Conv2d | Linear,
        *,
        loadable: bool,
        requantizer: RequantizerShape | None = None,
    ) -> "ConvContents":
        """Take what a layer says; as wide as others may need if it is to be replaced.

        A requantizer that exists is kept: ValueError if the layer's parameters do not fit it.
        """
        biases = fold_bias(layer, plan.input.type)
        shape = requantizer or _requantizer(
            plan.acc_bits, biases, layer, plan.output.type, loadable
        )
        return cls(
            taps=tuple(
                tap_table(plan, row_taps(plan, row), f"taps_{row}") for row in range(plan.readers)
            ),
            weights=weight_tables(plan, pack_weights(plan, layer)),
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes_out),
        )

    def chain(self, plan: ConvPlan) -> Iterator[ParameterTable]:
        """Tables that a load fills, in order; taps are among them if the layer strides."""
        if plan.skips_taps:
            yield from self.taps
        for row in self.weights:
            yield from row
        yield from self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class AddContents:
    """Memories of an addition.

    Attributes
    ----------
    multipliers : ParameterTable
        One word: of both inputs.
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        For each requantizer.
    """

    multipliers: ParameterTable
    requantizer: RequantizerShape
    parameters: tuple[ParameterTable, ...]

    @classmethod
    def of(
        cls,
        plan: AddPlan,
        layer: Add,
        *,
        loadable: bool,
        requantizer: RequantizerShape | None = None,
    ) -> "AddContents":
        """See :meth:`ConvContents.of`."""
        first, second = layer.multipliers
        biases = np.zeros(plan.output.shape[0], dtype=np.int64)
        shape = requantizer or _requantizer(
            plan.sum_bits, biases, layer, plan.output.type, loadable
        )
        word = first | second << ADDED_MULTIPLIER_BITS
        return cls(
            multipliers=ParameterTable(
                name="multipliers", width=2 * ADDED_MULTIPLIER_BITS, words=(word,)
            ),
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes),
        )

    def chain(self) -> Iterator[ParameterTable]:
        """Tables that a load fills, in order."""
        yield self.multipliers
        yield from self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolContents:
    """Memories of an average pool.

    Attributes
    ----------
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        For each requantizer.
    """

    requantizer: RequantizerShape
    parameters: tuple[ParameterTable, ...]

    @classmethod
    def of(
        cls,
        plan: PoolPlan,
        layer: AvgPool2d,
        *,
        loadable: bool,
        requantizer: RequantizerShape | None = None,
    ) -> "PoolContents":
        """See :meth:`ConvContents.of`."""
        biases = np.zeros(plan.output.shape[0], dtype=np.int64)
        shape = requantizer or _requantizer(
            plan.sum_bits, biases, layer, plan.output.type, loadable
        )
        return cls(
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes),
        )

    def chain(self) -> Iterator[ParameterTable]:
        """Tables that a load fills, in order."""
        yield from self.parameters


def _requantizer(
    acc_bits: int,
    biases: IntArray,
    layer: Conv2d | Linear | Add | AvgPool2d,
    output: ActType,
    loadable: bool,
) -> RequantizerShape:
    if loadable:
        return RequantizerShape.loadable(acc_bits, biases, layer.requantize, output)
    return RequantizerShape.of(acc_bits, biases, layer.requantize, output)
