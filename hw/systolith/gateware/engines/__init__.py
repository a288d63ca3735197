"""Engines of layers: convolution, addition, pool, and the requantizers at their ends."""

from systolith.gateware.engines.add import AddEngine
from systolith.gateware.engines.contents import AddContents, ConvContents, PoolContents
from systolith.gateware.engines.conv import ConvEngine
from systolith.gateware.engines.pool import PoolEngine
from systolith.gateware.engines.requantizer import (
    RequantizeLanes,
    Requantizer,
    RequantizerShape,
    requantizer_tables,
)

__all__ = [
    "AddContents",
    "AddEngine",
    "ConvContents",
    "ConvEngine",
    "PoolContents",
    "PoolEngine",
    "RequantizeLanes",
    "Requantizer",
    "RequantizerShape",
    "requantizer_tables",
]
