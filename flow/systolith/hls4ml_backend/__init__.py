"""A backend for hls4ml: its models on systolic engines, simulated as RTL."""

from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.registration import register
from systolith.hls4ml_backend.report import read_report

__all__ = ["ConversionError", "read_report", "register"]
