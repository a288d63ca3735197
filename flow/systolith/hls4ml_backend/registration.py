"""What hls4ml calls when it looks for backends."""

from collections.abc import Callable
from typing import Any

from systolith.hls4ml_backend.names import NAME

__all__ = ["register"]


def register(
    register_backend: Callable[[str, Any], None], register_writer: Callable[[str, Any], None]
) -> None:
    """Register writer and backend; the entry point of the group ``hls4ml.backends``."""
    # hls4ml calls this while it is imported, maybe by what is imported here.
    from systolith.hls4ml_backend.backend import SystolithBackend
    from systolith.hls4ml_backend.writer import SystolithWriter

    register_writer(NAME, SystolithWriter)
    register_backend(NAME, SystolithBackend)
