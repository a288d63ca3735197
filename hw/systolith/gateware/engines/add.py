"""The engine of a residual addition."""

from collections.abc import Iterable, Sequence

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data

from systolith.gateware.delay import delay_payload
from systolith.gateware.engines.contents import AddContents, multiplier_pair
from systolith.gateware.engines.pair import PairEngine
from systolith.gateware.parameters import ParameterMemory
from systolith.gateware.primitives import multiply
from systolith.gateware.requantizing.twice_rounded import round_once, round_shifted
from systolith.network import Add, Rounding
from systolith.plan import AddPlan, multiplier_latency, zeros_at_end

__all__ = ["AddEngine"]


class AddEngine(PairEngine):
    """Scale pairs of transfers to a common unit, add and requantize them.

    Golden model: :func:`systolith.network.apply_layer` of an Add, bit for bit. Members and timing
    as those of :class:`PairEngine`.
    """

    def __init__(self, plan: AddPlan, layer: Add, *, loadable: bool = False) -> None:
        self.plan, self.layer = plan, layer
        self.contents = AddContents.of(plan, layer, loadable=loadable)
        super().__init__(plan, self.contents, loadable=loadable)

    def combine(
        self, platform: object, m: Module, operands: Sequence[Sequence[Value]]
    ) -> tuple[Iterable[Value], Sequence[ParameterMemory]]:
        """Add the scaled differences from the zero points."""
        plan, memories = self.plan, []
        multipliers: Sequence[Value | int] = self.layer.multipliers
        if self.loadable:
            m.submodules.multipliers = table = ParameterMemory(
                self.contents.multipliers, loadable=True
            )
            pair = data.View(multiplier_pair(plan), table.word)
            multipliers = [Value.cast(pair[0]), Value.cast(pair[1])]
            memories.append(table)
        sums = Signal(data.ArrayLayout(signed(plan.sum_bits), plan.lanes))
        for lane in range(plan.lanes):
            scaled = [
                self._scale(
                    platform, m, f"{number}_{lane}", number, operands[number][lane], multiplier
                )
                for number, multiplier in enumerate(multipliers)
            ]
            m.d.sync += sums[lane].eq(scaled[0] + scaled[1])
        return [sums[lane] for lane in range(plan.lanes)], memories

    def _scale(
        self,
        platform: object,
        m: Module,
        name: str,
        number: int,
        centred: Value,
        multiplier: Value | int,
    ) -> Value:
        """Multiply an input; if the layer has shifts, shift and round it, in two registers."""
        shifts = self.layer.shifts
        if shifts is None:
            return self._multiply(platform, m, name, centred, multiplier)
        left = self.layer.left_shift
        if isinstance(multiplier, int):
            # Zeros at the end of a constant take no multiplier.
            zeros = zeros_at_end(multiplier)
            multiplier, left = multiplier >> zeros, left + zeros
        product = self._multiply(platform, m, name, centred, multiplier)
        product, rounding = product.shift_left(left), self.layer.requantize.rounding
        if rounding is Rounding.TFLITE:
            product = round_once(product, shifts[number])
        product = delay_payload(m, product, 1, f"once_{name}")
        rounded = round_shifted(product, shifts[number], rounding)
        return delay_payload(m, rounded, 1, f"rounded_{name}")

    def _multiply(
        self, platform: object, m: Module, name: str, centred: Value, multiplier: Value | int
    ) -> Value:
        """Multiply; the product of a narrow multiplier waits for that of a wide one."""
        factor = Value.cast(multiplier)
        product = multiply(platform, m, f"multiplier_{name}", centred, factor)
        early = self.plan.multiply_latency - multiplier_latency(len(centred), len(factor))
        return delay_payload(m, product, early, f"product_{name}")
