"""Amaranth components: window buffers, systolic PE arrays, requantizers, whole pipelines."""

from systolith.gateware.add import AddEngine
from systolith.gateware.cells import CellLibrary
from systolith.gateware.collector import Collector
from systolith.gateware.contents import AddContents, ConvContents, PoolContents
from systolith.gateware.conv import ConvEngine
from systolith.gateware.credit_fifo import CreditFifo
from systolith.gateware.enclosed import Enclosed
from systolith.gateware.fork import Fork
from systolith.gateware.gather import GatherArray, GatherPE
from systolith.gateware.gearbox import Gearbox
from systolith.gateware.parameters import LOAD_BUS, ParameterMemory, ParameterTable
from systolith.gateware.pe import PE, PEShape
from systolith.gateware.pe_array import WEIGHT_LATENCY, PEArray, weight_tables
from systolith.gateware.pipeline import Pipeline, signal_name
from systolith.gateware.pool import PoolEngine
from systolith.gateware.primitives import Multiplier, RegisteredRam
from systolith.gateware.requantizer import RequantizeLanes, Requantizer, RequantizerShape
from systolith.gateware.row_reader import RowReader, tap_table
from systolith.gateware.technology import Technology, technology_for
from systolith.gateware.walker import FreedCounter, WindowWalker
from systolith.gateware.window_buffer import Sequencer, WindowWriter

__all__ = [
    "LOAD_BUS",
    "PE",
    "WEIGHT_LATENCY",
    "AddContents",
    "AddEngine",
    "CellLibrary",
    "Collector",
    "ConvContents",
    "ConvEngine",
    "CreditFifo",
    "Enclosed",
    "Fork",
    "FreedCounter",
    "GatherArray",
    "GatherPE",
    "Gearbox",
    "Multiplier",
    "PEArray",
    "PEShape",
    "ParameterMemory",
    "ParameterTable",
    "Pipeline",
    "PoolContents",
    "PoolEngine",
    "RegisteredRam",
    "RequantizeLanes",
    "Requantizer",
    "RequantizerShape",
    "RowReader",
    "Sequencer",
    "Technology",
    "WindowWalker",
    "WindowWriter",
    "signal_name",
    "tap_table",
    "technology_for",
    "weight_tables",
]
