"""Contents of the memories of each engine, in the order in which a load fills them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from amaranth.lib import data

from systolith.gateware.array.weight_words import WeightTables, weight_tables
from systolith.gateware.parameters import ParameterTable
from systolith.gateware.requantizing.requantizer_parameters import (
    RequantizerShape,
    requantizer_tables,
)
from systolith.gateware.window.row_reader import tap_table
from systolith.network import (
    ADDED_MULTIPLIER_BITS,
    MAX_MULTIPLIER_BITS,
    Add,
    AvgPool2d,
    Conv2d,
    Linear,
    Multiply,
    Table,
)
from systolith.plan import (
    AddPlan,
    ConvPlan,
    MultiplyPlan,
    PoolPlan,
    TablePlan,
    fold_bias,
    pack_weights,
    row_taps,
)

__all__ = ["AddContents", "ConvContents", "RequantizedContents", "TableContents", "multiplier_pair"]


def multiplier_pair(plan: AddPlan) -> data.ArrayLayout:
    """Lay out the loadable multipliers of both inputs of an addition."""
    return data.ArrayLayout(MAX_MULTIPLIER_BITS if plan.rounds_inputs else ADDED_MULTIPLIER_BITS, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvContents:
    """Memories of a convolution or linear layer.

    Attributes
    ----------
    taps : tuple of ParameterTable
        One for each reader; none if the PEs gather.
    weights : WeightTables
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        One for each requantizer.
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
        """Lay out the parameters of a layer.

        Parameters
        ----------
        plan : ConvPlan
        layer : Conv2d or Linear
        loadable : bool
            Whether words must be wide enough for other parameters of the same kind.
        requantizer : RequantizerShape, optional
            Shape of an existing requantizer.

        Raises
        ------
        ValueError
            If the layer's parameters do not fit the existing requantizer.
        """
        biases = fold_bias(layer, plan.input.type, plan.single_bits)
        shape = requantizer or RequantizerShape.of(
            plan.acc_bits, biases, layer.requantize, plan.output.type, loadable=loadable
        )
        return cls(
            taps=tuple(
                tap_table(plan, row_taps(plan, row), f"taps_{row}")
                for row in range(0, plan.readers * plan.rows_per_reader, plan.rows_per_reader)
            ),
            weights=weight_tables(plan, pack_weights(plan, layer)),
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes_out),
        )

    def chain(self, plan: ConvPlan) -> Iterator[ParameterTable]:
        """Yield the tables that a load fills, in order; with taps if the layer skips some."""
        if plan.skips_taps:
            yield from self.taps
        yield from self.weights
        yield from self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class AddContents:
    """Memories of an addition.

    Attributes
    ----------
    multipliers : ParameterTable
        One word with the multipliers of both inputs.
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        One for each requantizer.
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
        biases = np.zeros(plan.output.shape[0], dtype=np.int64)
        shape = requantizer or RequantizerShape.of(
            plan.sum_bits, biases, layer.requantize, plan.output.type, loadable=loadable
        )
        pair = multiplier_pair(plan)
        return cls(
            multipliers=ParameterTable(
                name="multipliers",
                width=pair.size,
                words=(pair.const(layer.multipliers).as_bits(),),
            ),
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes),
        )

    def chain(self) -> Iterator[ParameterTable]:
        """Yield the tables that a load fills, in order."""
        yield self.multipliers
        yield from self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class RequantizedContents:
    """Memories of an engine whose only parameters are those of its requantizers.

    Attributes
    ----------
    requantizer : RequantizerShape
    parameters : tuple of ParameterTable
        One for each requantizer.
    """

    requantizer: RequantizerShape
    parameters: tuple[ParameterTable, ...]

    @classmethod
    def of(
        cls,
        plan: PoolPlan | MultiplyPlan,
        layer: AvgPool2d | Multiply,
        *,
        loadable: bool,
        requantizer: RequantizerShape | None = None,
    ) -> "RequantizedContents":
        """See :meth:`ConvContents.of`."""
        biases = np.zeros(plan.output.shape[0], dtype=np.int64)
        shape = requantizer or RequantizerShape.of(
            plan.sum_bits, biases, layer.requantize, plan.output.type, loadable=loadable
        )
        return cls(
            requantizer=shape,
            parameters=requantizer_tables(shape, biases, layer.requantize, plan.lanes),
        )

    def chain(self) -> Iterator[ParameterTable]:
        """Yield the tables that a load fills, in order."""
        yield from self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContents:
    """Memories of a table.

    Attributes
    ----------
    tables : tuple of ParameterTable
        One for each lane, all with the same words: the values by the bits of the input.
    """

    tables: tuple[ParameterTable, ...]

    @classmethod
    def of(cls, plan: TablePlan, layer: Table) -> "TableContents":
        """Lay out the values of a layer: those of negative integers behind the others."""
        mask = (1 << plan.output.type.bits) - 1
        by_code = np.roll(layer.values, plan.input.type.low)
        words = tuple(int(value) & mask for value in by_code)
        return cls(
            tables=tuple(
                ParameterTable(name=f"table_{lane}", width=plan.output.type.bits, words=words)
                for lane in range(plan.lanes)
            )
        )

    def chain(self) -> Iterator[ParameterTable]:
        """Yield the tables that a load fills, in order."""
        yield from self.tables
