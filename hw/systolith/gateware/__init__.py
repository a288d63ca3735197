"""Amaranth components: window buffers, systolic PE arrays, requantizers, whole pipelines."""

from systolith.gateware.array.collector import Collector
from systolith.gateware.array.gather import GatherArray, GatherPE
from systolith.gateware.array.pe import PE, PEShape
from systolith.gateware.array.pe_array import WEIGHT_LATENCY, PEArray
from systolith.gateware.array.weight_words import weight_tables
from systolith.gateware.cells import CellLibrary, Technology, technology_for
from systolith.gateware.delay import PAYLOAD
from systolith.gateware.engines.add import AddEngine
from systolith.gateware.engines.arg_max import ArgMaxEngine
from systolith.gateware.engines.blocks import BlockEngine
from systolith.gateware.engines.concat import ConcatEngine
from systolith.gateware.engines.contents import (
    AddContents,
    ConvContents,
    RequantizedContents,
    TableContents,
)
from systolith.gateware.engines.conv import ConvEngine
from systolith.gateware.engines.multiply import MultiplyEngine
from systolith.gateware.engines.pool import PoolEngine
from systolith.gateware.engines.select import SelectEngine
from systolith.gateware.engines.table import TableEngine
from systolith.gateware.parameters import LOAD_BUS, ParameterMemory, ParameterTable
from systolith.gateware.pin_wrapper import PinWrapper
from systolith.gateware.pipeline import Pipeline, make_stage
from systolith.gateware.primitives import GatedSum, Multiplier, RegisteredRam
from systolith.gateware.requantizing.requantizer import RequantizeLanes, Requantizer
from systolith.gateware.requantizing.requantizer_parameters import RequantizerShape
from systolith.gateware.requantizing.thresholds import ThresholdLanes, threshold_tables
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.gateware.streams.fork import Fork
from systolith.gateware.streams.gearbox import Gearbox
from systolith.gateware.window.row_reader import RowReader, tap_table
from systolith.gateware.window.walker import FreedPixels, WindowWalker
from systolith.gateware.window.window_buffer import Sequencer, WindowWriter

__all__ = [
    "LOAD_BUS",
    "PAYLOAD",
    "PE",
    "WEIGHT_LATENCY",
    "AddContents",
    "AddEngine",
    "ArgMaxEngine",
    "BlockEngine",
    "CellLibrary",
    "Collector",
    "ConcatEngine",
    "ConvContents",
    "ConvEngine",
    "CreditFifo",
    "DoubleBuffer",
    "Fork",
    "FreedPixels",
    "GatedSum",
    "GatherArray",
    "GatherPE",
    "Gearbox",
    "Multiplier",
    "MultiplyEngine",
    "PEArray",
    "PEShape",
    "ParameterMemory",
    "ParameterTable",
    "PinWrapper",
    "Pipeline",
    "PoolEngine",
    "RegisteredRam",
    "RequantizeLanes",
    "RequantizedContents",
    "Requantizer",
    "RequantizerShape",
    "RowReader",
    "SelectEngine",
    "Sequencer",
    "TableContents",
    "TableEngine",
    "Technology",
    "ThresholdLanes",
    "WindowWalker",
    "WindowWriter",
    "make_stage",
    "tap_table",
    "technology_for",
    "threshold_tables",
    "weight_tables",
]
