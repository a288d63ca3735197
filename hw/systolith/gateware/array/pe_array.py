"""The systolic array: rows share activations, columns share sums."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.array.count_pe import CountPE
from systolith.gateware.array.pe import PE, PEShape
from systolith.gateware.cells import add_cell
from systolith.gateware.delay import delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
    load_ports,
)
from systolith.gateware.window.row_reader import mark_layout
from systolith.network import IntArray
from systolith.plan import ConvPlan, PackedWeights

__all__ = ["WEIGHT_LATENCY", "PEArray", "WeightTables", "weight_tables"]

WEIGHT_LATENCY = ParameterMemory.LATENCY + 1
"""Cycles from an address to its weights. The last register is at the PE: the memory may be far."""

WeightTables = tuple[tuple[ParameterTable, ...], ...]
"""Contents of the weight memories, by row and column."""


def weight_tables(plan: ConvPlan, packed: PackedWeights) -> WeightTables:
    """Encode packed weights as words of memory, a word for each step of a pixel."""
    return tuple(
        tuple(
            ParameterTable(
                name=f"weights_{row}_{column}",
                width=PEShape.of(plan).weights.size,
                words=_words(plan, packed.weight[row, column], packed.index[row, column]),
            )
            for column in range(plan.array.columns)
        )
        for row in range(plan.array.rows)
    )


def _words(plan: ConvPlan, weight: IntArray, index: IntArray) -> tuple[int, ...]:
    """Encode the words of one PE in the layout of :attr:`PEShape.weights`."""
    bits = plan.weight_bits
    if plan.single_bits is not None:
        weight = (weight > 0).astype(np.int64)
    lanes = index << (plan.packed * bits)
    if plan.takes_all:
        lanes = np.zeros(weight.shape[:-1], dtype=np.int64)
    for number in range(plan.packed):
        lanes |= (weight[..., number] & ((1 << bits) - 1)) << number * bits
    step = plan.packed * bits + plan.index_bits
    return tuple(sum(lane << m * step for m, lane in enumerate(word)) for word in lanes.tolist())


class PEArray(wiring.Component):
    """`rows` x `columns` PEs with their weight memories, joined by neighbour wires only.

    Row r works r cycles behind row 0, column c works c cycles behind column 0.

    Members
    -------
    acts : ``In(act_word(act, group)).array(rows)``
        Activations at column 0.
    marks : ``In(mark_layout(plan.marks)).array(rows)``
        Marks of the activations; only if there are any.
    address : ``In(range(weight_depth)).array(rows)``
        Words of their weights, :data:`WEIGHT_LATENCY` cycles ahead.
    psums : ``Out(PEShape.psums).array(columns)``
        Sums at the foot of each column.
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable.

    Timing
    ------
    ``psums[c]`` comes ``rows - 1 + plan.pe_latency + c`` cycles after ``acts[0]`` if ``acts[r]``
    comes r cycles after ``acts[0]``. Throughput: one step per cycle.
    """

    acts: list[data.View]
    marks: list[data.View]
    address: list[Signal]
    psums: list[data.View]
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(self, plan: ConvPlan, tables: WeightTables, *, loadable: bool = False) -> None:
        self.plan, self.tables, self.loadable = plan, tables, loadable
        shape = PEShape.of(plan)
        members = {
            "acts": In(shape.acts).array(plan.array.rows),
            "address": In(range(plan.steps)).array(plan.array.rows),
            "psums": Out(shape.psums).array(plan.array.columns),
        }
        if plan.marks:
            members["marks"] = In(mark_layout(plan.marks)).array(plan.array.rows)
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Chain activations and addresses along the rows, sums down the columns."""
        m = Module()
        plan = self.plan
        kind = PE if plan.single_bits is None else CountPE
        sums: list[object] = [0] * plan.array.columns
        memories = []
        for row in range(plan.array.rows):
            acts, address = self.acts[row], self.address[row]
            marks = self.marks[row] if plan.marks else None
            for column in range(plan.array.columns):
                table = self.tables[row][column]
                memories.append(
                    weights := ParameterMemory(
                        table, loadable=self.loadable, kind=plan.weight_memory
                    )
                )
                m.submodules[table.name] = weights
                shape = PEShape.of(plan, turn=plan.turns_after(column))
                pe = add_cell(platform, m, f"pe_{row}_{column}", kind, shape)
                m.d.comb += [
                    weights.address.eq(address),
                    pe.weights.eq(delay_payload(m, weights.word, 1, f"word_{row}_{column}")),
                    pe.acts_i.eq(acts),
                    pe.psum_i.eq(sums[column]),
                ]
                if marks is not None:
                    m.d.comb += pe.marks_i.eq(marks)
                    marks = pe.marks_o
                acts, sums[column] = pe.acts_o, pe.psum_o
                address = delay_payload(m, address, 1, f"address_{row}_{column}")
        for column, psum in enumerate(sums):
            m.d.comb += self.psums[column].eq(psum)
        if self.loadable:
            connect_load_chain(m, self, memories)
        return m
