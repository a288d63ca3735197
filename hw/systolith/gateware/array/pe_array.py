"""The systolic array: rows share activations, columns share sums."""

from amaranth import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.array.count_pe import CountPE
from systolith.gateware.array.pe import PE, PEShape
from systolith.gateware.array.weight_words import WeightTables, deal_words
from systolith.gateware.cells import add_cell
from systolith.gateware.delay import delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    connect_load_chain,
    load_ports,
)
from systolith.gateware.window.row_reader import mark_layout
from systolith.plan import ConvPlan

__all__ = ["WEIGHT_LATENCY", "PEArray"]

WEIGHT_LATENCY = ParameterMemory.LATENCY + 1
"""Cycles from an address to its weights. The last register is at the PE: the memory may be far."""


class PEArray(wiring.Component):
    """`rows` x `columns` PEs with their weight memories, joined by neighbour wires only.

    Row r works r cycles behind row 0, column c works c cycles behind column 0. So does the PE of a
    tile that shares its memory with others; registers delay its weights.

    Members
    -------
    acts : ``In(act_word(act, group)).array(rows)``
        Activations at column 0.
    marks : ``In(mark_layout(plan.marks)).array(rows)``
        Marks of the activations; only if there are any.
    address : ``In(range(weight_depth)).array(tiles)``
        Words of the weights of each row of tiles, for its first row of PEs;
        :data:`WEIGHT_LATENCY` cycles ahead of the activations.
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
            "address": In(range(plan.steps)).array(len(plan.tile_rows)),
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
        weights, memories = self._weights(m)
        sums: list[object] = [0] * plan.array.columns
        for row in range(plan.array.rows):
            acts, marks = self.acts[row], self.marks[row] if plan.marks else None
            for column in range(plan.array.columns):
                shape = PEShape.of(plan, turn=plan.turns_after(column))
                pe = add_cell(platform, m, f"pe_{row}_{column}", kind, shape)
                m.d.comb += [
                    pe.weights.eq(weights[row, column]),
                    pe.acts_i.eq(acts),
                    pe.psum_i.eq(sums[column]),
                ]
                if marks is not None:
                    m.d.comb += pe.marks_i.eq(marks)
                    marks = pe.marks_o
                acts, sums[column] = pe.acts_o, pe.psum_o
        for column, psum in enumerate(sums):
            m.d.comb += self.psums[column].eq(psum)
        if self.loadable:
            connect_load_chain(m, self, memories)
        return m

    def _weights(self, m: Module) -> tuple[dict[tuple[int, int], Value], list[ParameterMemory]]:
        """Add the memories of all tiles. Returns the weights by PE, and the memories in order."""
        plan, weights = self.plan, dict[tuple[int, int], Value]()
        memories, address = [], Value.cast(0)
        for table, tile in zip(self.tables, plan.weight_tiles, strict=True):
            if tile.column:
                # Each PE that a tile is wide works a cycle later.
                wide = plan.weight_memory.columns
                address = delay_payload(m, address, wide, f"address_{tile.row}_{tile.column}")
            else:
                address = self.address[plan.tile_rows.index(tile.row)]
            memory = ParameterMemory(table, loadable=self.loadable, kind=plan.weight_memory.kind)
            m.submodules[table.name] = memory
            memories.append(memory)
            m.d.comb += memory.address.eq(address)
            weights |= deal_words(m, tile, memory.word, latency=1)
        return weights, memories
