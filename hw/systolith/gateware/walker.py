"""The path of a window over a frame, as counters."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

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
        """Count rows, columns and positions, each by additions of constants."""
        m = Module()
        plan, window = self.plan, self.plan.window
        rows, columns = window.output_size
        (kh, kw), (sh, sw), (top, _, left, _) = window.kernel, window.stride, window.padding
        words, depth = plan.words_per_pixel, plan.buffer_depth
        row, column = Signal(range(rows)), Signal(range(columns))
        last_column, last_row = Signal(), Signal()
        m.d.comb += [last_column.eq(column == columns - 1), last_row.eq(row == rows - 1)]
        # Image coordinates of the window's origin.
        y = Signal(signed((window.height + kh + sh).bit_length() + 1), init=-top)
        x = Signal(signed((window.width + kw + sw).bit_length() + 1), init=-left)
        # Pixel number of the last tap's row, before it is held at the image's last row.
        newest_row = Signal(
            signed((plan.window.input_pixels + (kh + sh) * window.width).bit_length() + 1),
            init=(kh - 1 - top) * window.width,
        )
        frame = Signal(plan.position_bits)
        address = Signal(range(depth), init=window.origin(0, 0) * words % depth)
        last_line = (window.height - 1) * window.width
        newest_column = x + kw - 1
        found = Signal(window_layout(plan))
        m.d.comb += [
            found.address.eq(address),
            found.needed.eq(
                frame
                + Mux(newest_row > last_line, last_line, newest_row)
                + Mux(newest_column > window.width - 1, window.width - 1, newest_column)
                + 1
            ),
        ]
        for tap in range(kh):
            inside = (y + tap >= 0) & (y + tap < window.height)
            m.d.comb += found.rows[tap].eq(inside)
        for tap in range(kw):
            inside = (x + tap >= 0) & (x + tap < window.width)
            m.d.comb += found.columns[tap].eq(inside)
        following = Signal()
        m.d.comb += following.eq(self.o.ready | ~self.o.valid)
        with m.If(following):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(found)]
        row_step = window.origin(1, 0) - window.origin(0, columns - 1)
        last_origin = window.origin(rows - 1, columns - 1)
        frame_step = window.input_pixels + window.origin(0, 0) - last_origin
        with m.If(following):
            m.d.sync += [
                column.eq(column + 1),
                x.eq(x + sw),
                address.eq(address + sw * words),
            ]
            with m.If(last_column):
                m.d.sync += [
                    column.eq(0),
                    row.eq(row + 1),
                    x.eq(-left),
                    y.eq(y + sh),
                    newest_row.eq(newest_row + sh * window.width),
                    address.eq(address + row_step * words),
                ]
                with m.If(last_row):
                    m.d.sync += [
                        row.eq(0),
                        y.eq(-top),
                        newest_row.eq((kh - 1 - top) * window.width),
                        frame.eq(frame + window.input_pixels),
                        address.eq(address + frame_step * words),
                    ]
        return m


class FreedCounter(wiring.Component):
    """Count the pixels that no coming window reads.

    Members
    -------
    done : ``In(1)``
        All reads of one output pixel have happened.
    freed : ``Out(plan.position_bits)``
        Pixels since reset, modulo, that may be overwritten. Can be ahead of what has arrived: the
        last rows of a frame may not be read at all.

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `done`.
    """

    LATENCY = 1

    done: Signal
    freed: Signal

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        super().__init__({"done": In(1), "freed": Out(plan.position_bits)})

    def elaborate(self, platform: object) -> Module:
        """Follow the origin of the next window, which does not always move forward in padding."""
        m = Module()
        plan, window = self.plan, self.plan.window
        rows, columns = window.output_size
        column, pixel = Signal(range(columns)), Signal(range(window.output_pixels))
        bound = window.input_pixels + (window.kernel[0] + window.stride[0]) * window.width
        start = window.origin(0, 0)
        origin = Signal(signed(bound.bit_length() + 2), init=start)
        following, reached = Signal.like(origin), Signal(range(bound + 1))
        frame = Signal(plan.position_bits)
        last_column, last_pixel = Signal(), Signal()
        m.d.comb += [
            last_column.eq(column == columns - 1),
            last_pixel.eq(pixel == window.output_pixels - 1),
        ]
        row_step = window.origin(1, 0) - window.origin(0, columns - 1)
        m.d.comb += following.eq(origin + Mux(last_column, row_step, window.stride[1]))
        with m.If(self.done):
            m.d.sync += [
                column.eq(Mux(last_column, 0, column + 1)),
                pixel.eq(pixel + 1),
                origin.eq(following),
            ]
            with m.If(following > reached):
                m.d.sync += [reached.eq(following), self.freed.eq(frame + following)]
            with m.If(last_pixel):
                m.d.sync += [
                    column.eq(0),
                    pixel.eq(0),
                    origin.eq(start),
                    reached.eq(0),
                    frame.eq(frame + window.input_pixels),
                    self.freed.eq(frame + window.input_pixels),
                ]
        return m
