"""Errors of TFLite files that cannot be imported."""

from systolith.network import NetworkError

__all__ = ["KernelDisagreementError", "TfliteError"]


class TfliteError(NetworkError):
    """A TFLite file that cannot become an integer network.

    Attributes
    ----------
    problems : tuple of str
        Each names the operator, the requirement and the nearest supported rewrite.
    """


class KernelDisagreementError(Exception):
    """An imported network computes something else than TFLite's reference kernels."""
