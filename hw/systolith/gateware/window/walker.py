"""The path of a window over a frame, as counters."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.counting import add_and_carry
from systolith.gateware.window.raster import Raster
from systolith.network import signed_bits
from systolith.plan import WindowedEngine

__all__ = ["FreedPixels", "WindowWalker", "tap_bits", "window_layout"]


def window_layout(plan: WindowedEngine) -> data.StructLayout:
    """Layout of a window position.

    address : word of the window's origin in the buffer, modulo its depth.
    rows, columns : whether each kernel row and column lies inside the image.
    """
    kh, kw = plan.window.kernel
    return data.StructLayout({"address": range(plan.buffer_depth), "rows": kh, "columns": kw})


class WindowWalker(wiring.Component):
    """Offer the position of each window that has arrived, in raster order, frame after frame.

    All lookups are one position ahead, and the pixels that a window lacks are a counter: its sign
    tells whether the window has arrived.

    Members
    -------
    arrives : ``In(1)``
        One more pixel is in the buffer.
    o : ``Out(stream.Signature(window_layout(plan)))``

    Timing
    ------
    ``o.valid`` one cycle after the last pixel of a window arrives. Throughput: one per cycle.
    No combinational path from `arrives` to `o`.
    """

    arrives: Signal
    o: stream.Interface

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        super().__init__({"arrives": In(1), "o": Out(stream.Signature(window_layout(plan)))})

    def elaborate(self, platform: object) -> Module:
        """Move address and lacking pixels by constants of the position that the raster follows."""
        m = Module()
        plan, window = self.plan, self.plan.window
        (kh, kw), (rows, columns) = window.kernel, window.output_size
        frame, positions = window.input_pixels, rows * columns
        origins = [window.origin(row, column) for row in range(rows) for column in range(columns)]
        origins = [origin * plan.words_per_pixel for origin in origins]
        address_steps = _steps(origins, frame * plan.words_per_pixel)
        needed = list(window.needed())
        # Less one, as -1 is what is added in each cycle in which neither window nor pixel moves
        # and the carry is 1.
        needed_steps = [step - 1 for step in _steps(needed, frame)]
        inside_rows = [tap_bits(taps) for taps in window.rows_inside]
        inside_columns = [tap_bits(taps) for taps in window.columns_inside]
        depth, bits = range(plan.buffer_depth), plan.position_bits
        address_bits = (plan.buffer_depth - 1).bit_length()
        following = Signal()
        raster = Raster(m, window.output_size, following, start=1 % positions)
        address = Signal(depth, init=origins[0] % plan.buffer_depth)
        address_step = Signal(depth, init=address_steps[0] % plan.buffer_depth)
        inside = Signal(kh, init=inside_rows[0]), Signal(kw, init=inside_columns[0])
        # Pixels that the window lacks, less one; negative if it has arrived.
        lacking = Signal(signed(bits), init=needed[0] - 1)
        step_bits = signed_bits(min(needed_steps), max(needed_steps))
        needed_step = Signal(step_bits, init=needed_steps[0] % (1 << step_bits))
        m.d.comb += [
            following.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(lacking[-1]),
            self.o.payload.address.eq(address),
            self.o.payload.rows.eq(inside[0]),
            self.o.payload.columns.eq(inside[1]),
        ]
        m.d.sync += lacking.eq(
            add_and_carry(lacking, needed_step | (~following).replicate(step_bits), ~self.arrives)
        )
        with m.If(following):
            m.d.sync += [
                address.eq(address + address_step),
                address_step.eq(raster.at_position(address_steps, address_bits)),
                needed_step.eq(raster.at_position(needed_steps, step_bits)),
                inside[0].eq(raster.at_row(inside_rows, kh)),
                inside[1].eq(raster.at_column(inside_columns, kw)),
            ]
        return m


class FreedPixels(wiring.Component):
    """Tell how many pixels each window frees for others.

    Members
    -------
    done : ``In(1)``
        All reads of one output pixel have happened.
    freed : ``Out(signed(n))``
        Pixels that no later window reads, negative; 0 if no window is done. Pixels may be freed
        before they arrive, because the last rows of a frame may not be read at all.

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `done`.
    """

    LATENCY = 1

    done: Signal
    freed: Signal

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        before = [0, *plan.window.freed()]
        self.steps = [free - after for free, after in pairwise(before)]
        super().__init__({"done": In(1), "freed": Out(signed(signed_bits(min(self.steps), 0)))})

    def elaborate(self, platform: object) -> Module:
        """Follow the raster."""
        m = Module()
        raster = Raster(m, self.plan.window.output_size, self.done)
        freed = raster.at_position(self.steps, len(self.freed))
        m.d.sync += self.freed.eq(Mux(self.done, freed, 0))
        return m


def _steps(positions: Sequence[int], frame: int) -> list[int]:
    """Difference from each position of a frame to the next one."""
    return [after - before for before, after in pairwise([*positions, positions[0] + frame])]


def tap_bits(taps: Sequence[int]) -> int:
    """Set the bit of each kernel row, or column, that is listed."""
    return sum(1 << tap for tap in taps)
