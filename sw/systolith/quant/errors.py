"""The error that a model raises which cannot become integers: every problem at once."""

from systolith.network import NetworkError

__all__ = ["UnsupportedModelError"]


class UnsupportedModelError(NetworkError):
    """A model, or a configuration for it, that cannot be quantized.

    Each problem gives the qualified name of a layer, its type and the reason.
    """
