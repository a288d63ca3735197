"""Factors that bring the sums of windows of different areas to one divisor."""

from collections.abc import Iterator, Sequence

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import delay_payload
from systolith.gateware.window.walker import tap_bits
from systolith.plan import WEIGH_LATENCY, PoolPlan

__all__ = ["AreaFactors"]


class AreaFactors(wiring.Component):
    """Multiply the sum of each window by the factor of its row, then by that of its column.

    The factors are constants, so that a product is a few shifts and additions. The taps inside the
    image say which factor it is.

    Members
    -------
    rows, columns : ``In(kh)``, ``In(kw)``
        Kernel rows and columns inside the image, `lead` cycles before `i`.
    i : ``In(ArrayLayout(signed(plan.window_bits), plan.lanes))``
    o : ``Out(ArrayLayout(signed(plan.sum_bits), plan.lanes))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycles from `i` to `o`. Throughput: one per cycle. No reset.
    """

    LATENCY = WEIGH_LATENCY

    rows: Signal
    columns: Signal
    i: data.View
    o: data.View

    def __init__(self, plan: PoolPlan, *, lead: int) -> None:
        self.plan, self.lead = plan, lead
        kh, kw = plan.window.kernel
        super().__init__(
            {
                "rows": In(kh),
                "columns": In(kw),
                "i": In(data.ArrayLayout(signed(plan.window_bits), plan.lanes)),
                "o": Out(data.ArrayLayout(signed(plan.sum_bits), plan.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One register behind each of the two factors."""
        m = Module()
        plan, window = self.plan, self.plan.window
        axes = [
            ("row", self.rows, window.rows_inside, plan.row_factors),
            ("column", self.columns, window.columns_inside, plan.column_factors),
        ]
        sums: list[Value] = [self.i[lane] for lane in range(plan.lanes)]
        for number, (axis, inside, taps, factors) in enumerate(axes):
            choices = sorted(set(factors))
            choice = Signal(range(len(choices)), name=f"{axis}_choice")
            by_taps = {tap_bits(t): factor for t, factor in zip(taps, factors, strict=True)}
            with m.Switch(inside):
                for bits, factor in by_taps.items():
                    with m.Case(bits):
                        m.d.comb += choice.eq(choices.index(factor))
            chosen = delay_payload(m, choice, self.lead + number, f"{axis}_choice")
            for lane, value in enumerate(sums):
                scaled = Signal(
                    signed(plan.sum_bits), name=f"{axis}_scaled_{lane}", reset_less=True
                )
                with m.Switch(chosen):
                    for place, factor in enumerate(choices):
                        with m.Case(place):
                            m.d.sync += scaled.eq(_multiply(value, factor))
                sums[lane] = scaled
        m.d.comb += [self.o[lane].eq(value) for lane, value in enumerate(sums)]
        return m


def _multiply(value: Value, factor: int) -> Value:
    """Multiply by a constant: shifts, added and subtracted."""
    (shift, _), *others = _digits(factor)
    product = value << shift
    for shift, sign in others:
        shifted = value << shift
        product = product + shifted if sign > 0 else product - shifted
    return product


def _digits(number: int) -> Sequence[tuple[int, int]]:
    """Write a positive number as few signed powers of two: (exponent, sign), greatest first."""
    return sorted(_signed_digits(number), reverse=True)


def _signed_digits(number: int) -> Iterator[tuple[int, int]]:
    exponent = 0
    while number:
        if number % 2:
            # No two digits beside each other are other than 0.
            sign = 2 - number % 4
            yield exponent, sign
            number -= sign
        number, exponent = number // 2, exponent + 1
