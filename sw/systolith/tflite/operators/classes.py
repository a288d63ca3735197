"""The class at the end of a file, which the chip finds instead of the host."""

import numpy as np

from systolith.network import ArgMax, IntegerNetwork, NetworkError, append_argmax
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call

__all__ = ["append_classes", "read_class"]


def read_class(call: Call) -> Activation:
    """ARG_MAX over the channels; of equal ones the first, as the kernel has it."""
    source = call.unpadded(0)
    rank = len(source.tensor.shape)
    axis = int(call.constant(1).ravel()[0])
    if axis % rank != rank - 1:
        raise TfliteError([f"needs the last axis, that of channels, got {axis}"])
    if rank in (3, 4):
        source = call.draft.arrange(source)
    layer = ArgMax(name=call.name, input=source.layer, classes=source.shape[0])
    in_order = np.arange(source.shape[0])
    if rank == 2 and not np.array_equal(source.places.ravel(), in_order):
        raise TfliteError(["finds the greatest of a flattened image; use it before the flattening"])
    return call.append_ordered(layer, [source])


def append_classes(network: IntegerNetwork) -> tuple[IntegerNetwork, dict[str, str]]:
    """Replace logits by classes where the file has none. Returns the logits of each new output."""
    logits = [name for name in network.outputs if not isinstance(network[name], ArgMax)]
    try:
        ended = append_argmax(network, logits)
    except NetworkError as error:
        raise TfliteError(error.problems) from error
    changed = zip(network.outputs, ended.outputs, strict=True)
    return ended, {new: old for old, new in changed if new != old}
