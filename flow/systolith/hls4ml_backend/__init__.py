"""A backend for hls4ml: its models on systolic engines, simulated as RTL."""

from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.registration import register

__all__ = ["ConversionError", "register"]
