"""A backend for hls4ml: its models on systolic engines, simulated as RTL."""

from systolith.hls4ml_backend.project import ConversionError, read_report, register

__all__ = ["ConversionError", "read_report", "register"]
