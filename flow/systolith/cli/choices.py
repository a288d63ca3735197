"""Names that options accept, written out: ``--help`` then loads neither torch nor the planner.

A test holds each to the table that it names.
"""

from typing import Literal

__all__ = [
    "BOARDS",
    "DEVICES",
    "METHODS",
    "MOST_JOBS",
    "MOST_LAYERS",
    "DoorName",
    "FormatName",
    "InterfaceName",
    "SamplerLabel",
]

DEVICES = (
    *("ecp5-12f", "ecp5-25f", "ecp5-45f", "ecp5-85f"),
    *("gw1nr-9", "gw2ar-18", "ice40-up5k", "ice40-hx8k", "lifcl-17", "lifcl-40"),
    *("xc7a35t", "xc7a100t", "xc7z020"),
)
"""Of :data:`systolith.devices.DEVICES`."""

BOARDS = ("ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "tangnano9k")
"""Of :data:`systolith.devices.BOARDS`."""

METHODS = (
    *("magnitude", "sr-ste", "dpp", "spp", "particles"),
    *("gdp", "taylor", "lfe", "dpp-filters", "djpq"),
)
"""Of the sections in :data:`systolith.config.PruneSection`."""

MOST_JOBS = 256
""":data:`systolith.config.MOST_JOBS`."""

MOST_LAYERS = 4
""":data:`systolith.fuzz.MOST_LAYERS`."""

FormatName = Literal["qonnx", "qdq"]
"""Values of :class:`systolith.exchange.Format`."""

DoorName = Literal["rtl", "pytorch", "onnx"]
"""Keys of :data:`systolith.cli.fuzz_runs.DOORS`."""

InterfaceName = Literal["stream", "axi", "wishbone"]
"""Values of :class:`systolith.config.Interface`."""

SamplerLabel = Literal["nsga2", "nsga3", "tpe", "gp", "random"]
"""Values of :class:`systolith.config.SamplerName`."""
