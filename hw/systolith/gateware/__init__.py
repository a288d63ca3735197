"""Amaranth components: window buffers, systolic PE arrays, requantizers, whole pipelines."""

from systolith.gateware.add import AddEngine
from systolith.gateware.collector import Collector
from systolith.gateware.conv import ConvEngine
from systolith.gateware.credit_fifo import CreditFifo
from systolith.gateware.fork import Fork
from systolith.gateware.gather import GatherArray, GatherPE
from systolith.gateware.gearbox import Gearbox
from systolith.gateware.pe import PE
from systolith.gateware.pe_array import PEArray, WeightMemory
from systolith.gateware.pipeline import Pipeline, signal_name
from systolith.gateware.pool import PoolEngine
from systolith.gateware.requantizer import RequantizeLanes, Requantizer
from systolith.gateware.walker import FreedCounter, WindowWalker
from systolith.gateware.window_buffer import RowReader, Sequencer, WindowWriter

__all__ = [
    "PE",
    "AddEngine",
    "Collector",
    "ConvEngine",
    "CreditFifo",
    "Fork",
    "FreedCounter",
    "GatherArray",
    "GatherPE",
    "Gearbox",
    "PEArray",
    "Pipeline",
    "PoolEngine",
    "RequantizeLanes",
    "Requantizer",
    "RowReader",
    "Sequencer",
    "WeightMemory",
    "WindowWalker",
    "WindowWriter",
    "signal_name",
]
