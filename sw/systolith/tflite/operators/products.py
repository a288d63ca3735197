"""Products of two tensors."""

from systolith.network import Multiply
from systolith.tflite.activation import Activation
from systolith.tflite.operators.broadcasting import read_pair
from systolith.tflite.operators.functions import read_function, share_source
from systolith.tflite.operators.operands import Call
from systolith.tflite.scales import activation_range, requantize_as_tflite

__all__ = ["read_product"]


def read_product(call: Call) -> Activation:
    """MUL: products are scaled by a multiplier of 31 bits and rounded twice."""
    if share_source(call) is not None:
        return read_function(call)
    first, second = read_pair(call)
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    scale = first.scale * second.scale / float(call.output.scale[0])
    layer = Multiply(
        name=call.name,
        inputs=(first.layer, second.layer),
        requantize=requantize_as_tflite([scale], clamp),
        output=act,
    )
    return call.append(layer, [first, second])
