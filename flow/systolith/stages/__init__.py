"""The stages of a run, from a model to a bitstream and its report.

What needs PyTorch, cocotb or pyserial is imported from its module, such as
``systolith.stages.software.factories``: plans and Verilog do without.
"""

from systolith.stages.session import Session, open_run
from systolith.stages.sources import NetworkSource, Source
from systolith.stages.stage import Stage, StageContext

__all__ = [
    "NetworkSource",
    "Session",
    "Source",
    "Stage",
    "StageContext",
    "open_run",
]
