"""Reading PyTorch models: what a model computes, recorded call by call.

:func:`record` runs a model on a few images and returns a graph of its calls, free of side effects.
"""

from systolith.trace.recording import Recording, record
from systolith.trace.running import evaluating, first_images

__all__ = ["Recording", "evaluating", "first_images", "record"]
