"""An array whose PEs fetch their own activations, for weights at any place of a filter."""

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_word
from systolith.gateware.array.pe import PEShape
from systolith.gateware.array.weight_words import WeightTables, deal_words
from systolith.gateware.cells import add_cell
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.primitives import (
    RegisteredRam,
    add_in_tree,
    add_to_psum,
    multiply,
    product_terms,
)
from systolith.gateware.window.window_buffer import step_layout
from systolith.network import identifier
from systolith.plan import PSUM_TERMS, ConvPlan, MultiplierKind

__all__ = ["GatherArray", "GatherPE", "write_layout"]


def write_layout(plan: ConvPlan) -> data.StructLayout:
    """Layout of a write to the windows of all PEs: `word` at `address` if `en`."""
    return data.StructLayout(
        {
            "en": 1,
            "address": range(plan.buffer_depth),
            "word": act_word(plan.input.type, plan.group),
        }
    )


class GatherPE(wiring.Component):
    """A processing element with the whole window in a memory of its own.

    ``psum_o = psum_i + weight * window[index]``

    Members
    -------
    step_i, step_o : ``In(step_layout(plan))``, ``Out(step_layout(plan))``
        From the left, and to the right: the window's origin, and the taps inside the image.
    write_i, write_o : ``In(write_layout(plan))``, ``Out(write_layout(plan))``
        From the left, and to the right.
    weights : ``In(PEShape.weights)``
        The weight of this step and its index, ``ParameterMemory.LATENCY`` cycles after `step_i`.
    psum_i, psum_o : ``In(PEShape.psums)``, ``Out(PEShape.psums)``

    Timing
    ------
    `step_o` and `write_o` one cycle after `step_i` and `write_i`. `psum_o` comes
    ``RowReader.LATENCY + plan.pe_latency`` cycles after `step_i`, and one after `psum_i`.
    Throughput: one step per cycle; nothing ever stalls.
    """

    step_i: data.View
    step_o: data.View
    write_i: data.View
    write_o: data.View
    weights: data.View
    psum_i: data.View
    psum_o: data.View

    def __init__(self, plan: ConvPlan) -> None:
        self.plan = plan
        shape = PEShape.of(plan)
        super().__init__(
            {
                "step_i": In(step_layout(plan)),
                "step_o": Out(step_layout(plan)),
                "write_i": In(write_layout(plan)),
                "write_o": Out(write_layout(plan)),
                "weights": In(shape.weights),
                "psum_i": In(shape.psums),
                "psum_o": Out(shape.psums),
            }
        )

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module."""
        return f"{identifier(self.plan.name)}_gather_pe"

    def elaborate(self, platform: object) -> Module:
        """Registers: offset of the tap, address, memory, operand, those of a multiplier, sum."""
        m = Module()
        plan = self.plan
        m.d.sync += [self.step_o.eq(self.step_i), self.write_o.eq(self.write_i)]
        word = act_word(plan.input.type, plan.group)
        m.submodules.window = store = RegisteredRam(
            width=word.size, depth=plan.buffer_depth, kind=plan.window_memory
        )
        address = Signal(range(plan.buffer_depth), reset_less=True)
        m.d.comb += [
            store.write_enable.eq(self.write_i.en),
            store.write_address.eq(self.write_i.address),
            store.write_data.eq(self.write_i.word),
            store.read_address.eq(address),
        ]
        kept = self.weights[0]
        widths = plan.index_widths
        lane = kept.index[: widths[0]]
        place = kept.index[widths[0] : widths[0] + widths[1]]
        tap = kept.index[widths[0] + widths[1] :]
        step = delay(m, self.step_i, ParameterMemory.LATENCY, "step", reset_less=True)
        positions, pixel_words = plan.window.positions, plan.words_per_pixel
        offsets = Array(
            plan.window.offset(row, column) * pixel_words % plan.buffer_depth
            for row, column in positions
        )
        inside = Array(step.rows[row] & step.columns[column] for row, column in positions)
        depth = range(plan.buffer_depth)
        offset = Signal(depth, reset_less=True)
        origin = Signal(depth, reset_less=True)
        valid = Signal(2 + RegisteredRam.LATENCY, reset_less=True)
        m.d.sync += [
            offset.eq(offsets[tap]),
            origin.eq(step.address + place),
            address.eq(origin + offset),
            valid.eq(Cat(inside[tap], valid)),
        ]
        fetched = data.View(word, store.read_data)[delay_payload(m, lane, len(valid), "lane")]
        act = delay_payload(m, Mux(valid[-1], fetched, plan.input.type.zero_point), 1, "act")
        weight = delay_payload(m, kept.weight[0], len(valid) + 1, "weight")
        if plan.multiplier_kind is MultiplierKind.LUT:
            terms = product_terms(platform, m, act, weight, "product")
            left = add_in_tree(m, terms, "product", left=PSUM_TERMS)
            psum = add_to_psum(self.psum_i[0], left)
        else:
            psum = self.psum_i[0] + multiply(platform, m, "multiplier", act, weight)
        register = delay_payload(m, psum[: plan.acc_bits], 1, "psum")
        m.d.comb += self.psum_o[0].eq(register)
        return m


class GatherArray(wiring.Component):
    """`rows` x `columns` PEs that gather, with their weight memories.

    Row r works r cycles behind row 0, column c works c cycles behind column 0.

    Members
    -------
    step : ``In(step_layout(plan)).array(rows)``
        At column 0.
    write : ``In(write_layout(plan))``
        For all windows.
    psums : ``Out(PEShape.psums).array(columns)``
        Sums at the foot of each column.
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable.

    Timing
    ------
    ``psums[c]`` comes ``rows - 1 + c`` cycles later than that of a single PE after ``step[0]``, if
    ``step[r]`` comes r cycles after ``step[0]``. Throughput: one step per cycle.
    """

    step: list[data.View]
    write: data.View
    psums: list[data.View]
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(self, plan: ConvPlan, tables: WeightTables, *, loadable: bool = False) -> None:
        self.plan, self.tables, self.loadable = plan, tables, loadable
        members = {
            "step": In(step_layout(plan)).array(plan.array.rows),
            "write": In(write_layout(plan)),
            "psums": Out(PEShape.of(plan).psums).array(plan.array.columns),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Chain steps and writes along the rows, and sums down the columns."""
        m = Module()
        plan, sums = self.plan, [0] * self.plan.array.columns
        memories, weights = [], dict[tuple[int, int], Value]()
        tables = {
            (tile.row, tile.column): (tile, table)
            for tile, table in zip(plan.weight_tiles, self.tables, strict=True)
        }
        for row in range(plan.array.rows):
            step, write = self.step[row], self.write
            for column in range(plan.array.columns):
                if (row, column) in tables:
                    tile, table = tables[row, column]
                    memory = ParameterMemory(
                        table, loadable=self.loadable, kind=plan.weight_memory.kind
                    )
                    m.submodules[table.name] = memory
                    memories.append(memory)
                    m.d.comb += memory.address.eq(step.word)
                    weights |= deal_words(m, tile, memory.word)
                pe = add_cell(platform, m, f"pe_{row}_{column}", GatherPE, plan)
                m.d.comb += [
                    pe.weights.eq(weights[row, column]),
                    pe.step_i.eq(step),
                    pe.write_i.eq(write),
                    pe.psum_i.eq(sums[column]),
                ]
                step, write, sums[column] = pe.step_o, pe.write_o, pe.psum_o
        for column, psum in enumerate(sums):
            m.d.comb += self.psums[column].eq(psum)
        if self.loadable:
            connect_load_chain(m, self, memories)
        return m
