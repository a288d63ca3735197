"""A backend for hls4ml that runs its models on systolic engines and simulates them as RTL.

hls4ml imports :mod:`backend`, which checks the :mod:`configuration`. :mod:`mapping` turns hls4ml's
graph into an integer network, :mod:`checks` compares the two, and :mod:`graph` is the result.
"""

from systolith.hls4ml_backend.project import ConversionError, read_report, register

__all__ = ["ConversionError", "read_report", "register"]
