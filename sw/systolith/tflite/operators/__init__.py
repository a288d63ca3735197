"""Operators of TFLite files as layers: one reader for each, and the table of all (:mod:`table`).

Each reader takes a call (:mod:`operands`): an operator with its tensors and the network so far. It
adds layers to the network and returns the results.
"""

from systolith.tflite.operators.table import (
    HOST_ENDS,
    KERNELS,
    REWRITES,
    SHAPING,
    VALUEWISE,
    Kernel,
    kernel_rows,
)

__all__ = [
    "HOST_ENDS",
    "KERNELS",
    "REWRITES",
    "SHAPING",
    "VALUEWISE",
    "Kernel",
    "kernel_rows",
]
