"""The systolic array: rows share activations, columns share sums."""

from amaranth import Module, Shape, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.pe import PE, psum_layout, weight_word
from systolith.gateware.streams import act_word
from systolith.network import IntArray
from systolith.plan import ConvPlan, DepthwisePlan, PackedWeights

__all__ = ["PEArray", "WeightMemory"]


class WeightMemory(wiring.Component):
    """The weights of one PE, a word for each step of a pixel.

    Members
    -------
    address_i, address_o : ``In(range(depth))``, ``Out(range(depth))``
        The step's word, from the left and to the right.
    weights : ``Out(weight_word(plan))``

    Timing
    ------
    `weights` :attr:`LATENCY` cycles after `address_i`, `address_o` one. Throughput: one per cycle.
    """

    LATENCY = 2

    address_i: Signal
    address_o: Signal
    weights: data.View

    def __init__(self, plan: ConvPlan, packed: PackedWeights, row: int, column: int) -> None:
        self.plan = plan
        self.layout = weight_word(plan)
        self.contents = _words(self.layout, packed.weight[row, column], packed.index[row, column])
        super().__init__(
            {
                "address_i": In(range(plan.steps)),
                "address_o": Out(range(plan.steps)),
                "weights": Out(self.layout),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read, and register what was read: block memory is slow without."""
        m = Module()
        m.submodules.memory = store = memory.Memory(
            shape=unsigned(self.layout.size), depth=len(self.contents), init=self.contents
        )
        port = store.read_port()
        m.d.comb += [port.addr.eq(self.address_i), port.en.eq(1)]
        m.d.sync += [self.weights.eq(port.data), self.address_o.eq(self.address_i)]
        return m


def _words(layout: data.ArrayLayout, weight: IntArray, index: IntArray) -> list[int]:
    """Pack words as integers: Amaranth takes minutes for millions of nested initial values."""
    weights = layout.elem_shape["weight"].shape
    weight_bits = Shape.cast(weights.elem_shape).width
    lanes = index << (weights.length * weight_bits)
    for number in range(weights.length):
        lanes |= (weight[..., number] & ((1 << weight_bits) - 1)) << number * weight_bits
    step = Shape.cast(layout.elem_shape).width
    return [sum(lane << m * step for m, lane in enumerate(word)) for word in lanes.tolist()]


class PEArray(wiring.Component):
    """`rows` x `columns` PEs with their weight memories, joined by neighbour wires only.

    Row r works r cycles behind row 0, column c works c cycles behind column 0.

    Members
    -------
    acts : ``In(act_word(act, group)).array(rows)``
        Activations at column 0.
    address : ``In(range(weight_depth)).array(rows)``
        Words of the weights that meet them, two cycles ahead of the activations.
    psums : ``Out(psum_layout(plan)).array(columns)``
        Sums at the foot of each column.

    Timing
    ------
    ``psums[c]`` comes ``rows - 1 + plan.pe_latency + c`` cycles after ``acts[0]`` if ``acts[r]``
    comes r cycles after ``acts[0]``. Throughput: one step per cycle.
    """

    acts: list[data.View]
    address: list[Signal]
    psums: list[data.View]

    def __init__(self, plan: ConvPlan, packed: PackedWeights) -> None:
        self.plan, self.packed = plan, packed
        rows, columns = plan.array.rows, plan.array.columns
        super().__init__(
            {
                "acts": In(act_word(plan.input.type, plan.group)).array(rows),
                "address": In(range(plan.steps)).array(rows),
                "psums": Out(psum_layout(plan)).array(columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Chain activations and addresses along the rows, sums down the columns."""
        m = Module()
        plan = self.plan
        sums: list[object] = [0] * plan.array.columns
        for row in range(plan.array.rows):
            acts, address = self.acts[row], self.address[row]
            for column in range(plan.array.columns):
                weights = WeightMemory(plan, self.packed, row, column)
                pe = PE(plan, turn=self._turns(column))
                m.submodules[f"weights_{row}_{column}"] = weights
                m.submodules[f"pe_{row}_{column}"] = pe
                m.d.comb += [
                    weights.address_i.eq(address),
                    pe.weights.eq(weights.weights),
                    pe.acts_i.eq(acts),
                    pe.psum_i.eq(sums[column]),
                ]
                acts, address, sums[column] = pe.acts_o, weights.address_o, pe.psum_o
        for column, psum in enumerate(sums):
            m.d.comb += self.psums[column].eq(psum)
        return m

    def _turns(self, column: int) -> bool:
        """Whether the next column of a depthwise layer has another channel."""
        plan = self.plan
        return isinstance(plan, DepthwisePlan) and (column + 1) % plan.multiplicity == 0
