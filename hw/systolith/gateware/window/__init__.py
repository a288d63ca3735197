"""The window buffer: who writes it, the path of the window, and what each array row reads."""

from systolith.gateware.window.raster import Raster
from systolith.gateware.window.row_reader import RowReader, tap_layout, tap_table
from systolith.gateware.window.walker import FreedCounter, WindowWalker, window_layout
from systolith.gateware.window.window_buffer import Sequencer, WindowWriter, step_layout

__all__ = [
    "FreedCounter",
    "Raster",
    "RowReader",
    "Sequencer",
    "WindowWalker",
    "WindowWriter",
    "step_layout",
    "tap_layout",
    "tap_table",
    "window_layout",
]
