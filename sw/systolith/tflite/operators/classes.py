"""The class at the end of a file, which the chip finds instead of the host."""

from systolith.network import ArgMax, IntegerNetwork, NetworkError, append_argmax
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call

__all__ = ["append_classes", "read_class"]


def read_class(call: Call) -> Activation:
    """ARG_MAX over the channels; of equal ones the first, as the kernel has it."""
    source = call.unpadded(0)
    if source.flattened is not None:
        raise TfliteError(["finds the greatest of a flattened image; use it before the flattening"])
    rank = len(source.tensor.shape)
    axis = int(call.constant(1).ravel()[0])
    if axis % rank != rank - 1:
        raise TfliteError([f"needs the last axis, that of channels, got {axis}"])
    layer = ArgMax(name=call.name, input=source.layer, classes=source.shape[0])
    call.draft.layers.append(layer)
    output = call.graph.tensors[call.operator.outputs[0]]
    return Activation(layer=call.name, tensor=output, shape=(1, *source.shape[1:]))


def append_classes(network: IntegerNetwork) -> tuple[IntegerNetwork, dict[str, str]]:
    """Replace logits by classes where the file has none. Returns the logits of each new output."""
    logits = [name for name in network.outputs if not isinstance(network[name], ArgMax)]
    try:
        ended = append_argmax(network, logits)
    except NetworkError as error:
        raise TfliteError(error.problems) from error
    changed = zip(network.outputs, ended.outputs, strict=True)
    return ended, {new: old for old, new in changed if new != old}
