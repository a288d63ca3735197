"""PE arrays: processing elements, their weights, and the accumulators below the columns."""

from systolith.gateware.array.collector import Collector
from systolith.gateware.array.gather import GatherArray, GatherPE, write_layout
from systolith.gateware.array.pe import PE, PEShape, added_up
from systolith.gateware.array.pe_array import WEIGHT_LATENCY, PEArray, WeightTables, weight_tables

__all__ = [
    "PE",
    "WEIGHT_LATENCY",
    "Collector",
    "GatherArray",
    "GatherPE",
    "PEArray",
    "PEShape",
    "WeightTables",
    "added_up",
    "weight_tables",
    "write_layout",
]
