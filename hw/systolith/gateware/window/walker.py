"""The path of a window over a frame, as counters."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.window.raster import Raster
from systolith.plan import WindowedEngine

__all__ = ["FreedCounter", "WindowWalker", "tap_bits", "window_layout"]


def window_layout(plan: WindowedEngine) -> data.StructLayout:
    """Layout of a window position.

    address : word of the window's origin in the buffer, modulo its depth.
    needed : number of pixels since reset that must have arrived, modulo.
    rows, columns : whether each kernel row and column lies inside the image.
    """
    kh, kw = plan.window.kernel
    return data.StructLayout(
        {
            "address": range(plan.buffer_depth),
            "needed": plan.position_bits,
            "rows": kh,
            "columns": kw,
        }
    )


class WindowWalker(wiring.Component):
    """Emit one window position per output pixel, in raster order, frame after frame.

    The output is a register; the counters behind it are one pixel ahead.

    Members
    -------
    o : ``Out(stream.Signature(window_layout(plan)))``

    Timing
    ------
    ``o.valid`` from the second cycle after reset. Throughput: one per cycle.
    """

    o: stream.Interface

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        super().__init__({"o": Out(stream.Signature(window_layout(plan)))})

    def elaborate(self, platform: object) -> Module:
        """Follow the raster; address and pixel count move by constants of each position."""
        m = Module()
        plan, window = self.plan, self.plan.window
        (kh, kw), (rows, columns) = window.kernel, window.output_size
        following = Signal()
        raster = Raster(m, window.output_size, following)
        origins = [window.origin(row, column) for row in range(rows) for column in range(columns)]
        words, depth = plan.words_per_pixel, plan.buffer_depth
        address = Signal(range(depth), init=origins[0] * words % depth)
        needed = Signal(plan.position_bits, init=next(window.needed()))
        position = Signal(window_layout(plan), name="found")
        inside_rows = [tap_bits(taps) for taps in window.rows_inside]
        inside_columns = [tap_bits(taps) for taps in window.columns_inside]
        m.d.comb += [
            following.eq(self.o.ready | ~self.o.valid),
            position.address.eq(address),
            position.needed.eq(needed),
            position.rows.eq(raster.at_row(inside_rows, kh)),
            position.columns.eq(raster.at_column(inside_columns, kw)),
        ]
        frame = window.input_pixels
        address_steps = [words * step for step in _steps(origins, frame)]
        needed_steps = _steps(list(window.needed()), frame)
        with m.If(following):
            m.d.sync += [
                address.eq(address + raster.at_position(address_steps, len(address))),
                needed.eq(needed + raster.at_position(needed_steps, len(needed))),
                self.o.valid.eq(1),
                self.o.payload.eq(position),
            ]
        return m


class FreedCounter(wiring.Component):
    """Count the pixels that may arrive.

    Members
    -------
    done : ``In(1)``
        All reads of one output pixel have happened.
    limit : ``Out(plan.position_bits)``
        Number of pixels since reset that may arrive, modulo: those that the buffer holds plus those
        that no later window reads. Pixels may be freed before they arrive, because the last rows of
        a frame may not be read at all.

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `done`.
    """

    LATENCY = 1

    done: Signal
    limit: Signal

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        limit = Out(plan.position_bits, init=plan.capacity)
        super().__init__({"done": In(1), "limit": limit})

    def elaborate(self, platform: object) -> Module:
        """Follow the raster."""
        m = Module()
        window = self.plan.window
        raster = Raster(m, window.output_size, self.done)
        freed = [0, *window.freed()]
        freed_steps = [after - before for before, after in pairwise(freed)]
        with m.If(self.done):
            m.d.sync += self.limit.eq(self.limit + raster.at_position(freed_steps, len(self.limit)))
        return m


def _steps(positions: Sequence[int], frame: int) -> list[int]:
    """Difference from each position of a frame to the next one."""
    return [after - before for before, after in pairwise([*positions, positions[0] + frame])]


def tap_bits(taps: Sequence[int]) -> int:
    """Set the bit of each kernel row, or column, that is listed."""
    return sum(1 << tap for tap in taps)
