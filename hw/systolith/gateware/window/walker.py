"""The path of a window over a frame, as counters."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.window.raster import Raster
from systolith.plan import WindowedEngine

__all__ = ["FreedCounter", "WindowWalker", "window_layout"]


def window_layout(plan: WindowedEngine) -> data.StructLayout:
    """Describe what is known of a window position.

    address : word of the window's origin in the buffer, modulo its depth.
    needed : number of pixels, since reset and modulo, that must have arrived.
    rows, columns : for each kernel row and column, whether it lies inside the image.
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
    """Emit one description per output pixel, in raster order, frame after frame.

    The description is a register; behind it, counters are one pixel ahead.

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
        """Follow the raster; what moves with it moves by steps that are known beforehand."""
        m = Module()
        plan, window = self.plan, self.plan.window
        (kh, kw), (sh, sw), (top, _, left, _) = window.kernel, window.stride, window.padding
        rows, columns = window.output_size
        following = Signal()
        raster = Raster(m, window.output_size, following)
        origins = [window.origin(row, column) for row in range(rows) for column in range(columns)]
        words, depth = plan.words_per_pixel, plan.buffer_depth
        address = Signal(range(depth), init=origins[0] * words % depth)
        needed = Signal(plan.position_bits, init=next(window.needed()))
        found = Signal(window_layout(plan))
        inside_rows = [_inside(row * sh - top, kh, window.height) for row in range(rows)]
        inside_columns = [
            _inside(column * sw - left, kw, window.width) for column in range(columns)
        ]
        m.d.comb += [
            following.eq(self.o.ready | ~self.o.valid),
            found.address.eq(address),
            found.needed.eq(needed),
            found.rows.eq(raster.at_row(inside_rows, kh)),
            found.columns.eq(raster.at_column(inside_columns, kw)),
        ]
        frame = window.input_pixels
        moves = [words * move for move in _moves(origins, frame)]
        more = _moves(list(window.needed()), frame)
        with m.If(following):
            m.d.sync += [
                address.eq(address + raster.at_position(moves, len(address))),
                needed.eq(needed + raster.at_position(more, len(needed))),
                self.o.valid.eq(1),
                self.o.payload.eq(found),
            ]
        return m


class FreedCounter(wiring.Component):
    """Count the pixels that may arrive.

    Members
    -------
    done : ``In(1)``
        All reads of one output pixel have happened.
    limit : ``Out(plan.position_bits)``
        Pixels since reset, modulo, that there has been room for: as many as the buffer holds, and
        those that no coming window reads. That many may arrive, and more may be given up than have
        arrived: the last rows of a frame may not be read at all.

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
        given_up = [after - before for before, after in pairwise(freed)]
        with m.If(self.done):
            m.d.sync += self.limit.eq(self.limit + raster.at_position(given_up, len(self.limit)))
        return m


def _moves(positions: Sequence[int], frame: int) -> list[int]:
    """By how much each position of a frame differs from the one after it."""
    return [after - before for before, after in pairwise([*positions, positions[0] + frame])]


def _inside(start: int, taps: int, size: int) -> int:
    """Which of neighbouring taps lie inside an image, as bits."""
    return sum(1 << tap for tap in range(taps) if 0 <= start + tap < size)
