"""What to write instead of common operators that are not supported."""

from collections.abc import Mapping

__all__ = ["LEFT_TO_HOST", "REWRITES"]

LEFT_TO_HOST: Mapping[str, str] = {
    "Softmax": "leave it out: the greatest logit is the same",
    "LogSoftmax": "leave it out: the greatest logit is the same",
    "QLinearSoftmax": "leave it out: the greatest logit is the same",
    "Hardmax": "leave it out: the host finds the greatest logit",
    "ArgMax": "leave it out: the host finds the greatest logit",
    "TopK": "leave it out: the host finds the greatest logits",
    "QLinearSigmoid": "as last layer leave it out, its order is that of the logits; else use Relu",
    "Sigmoid": "as last layer leave it out, its order is that of the logits; else use Relu",
}
"""At the end of a model these are left out, with a note; elsewhere they are not supported."""

REWRITES: Mapping[str, str] = {
    **LEFT_TO_HOST,
    "HardSigmoid": "use Relu or Clip",
    "HardSwish": "use Relu or Clip",
    "LeakyRelu": "use Relu",
    "PRelu": "use Relu",
    "Elu": "use Relu",
    "Gelu": "use Relu",
    "Tanh": "use Clip",
    "ConvTranspose": "use strided convolutions only",
    "Concat": "add the branches instead of putting them beside each other",
    "Upsample": "not supported yet",
    "Resize": "not supported yet",
    "LayerNormalization": "use BatchNormalization",
    "InstanceNormalization": "use BatchNormalization",
    "ConvInteger": "quantize statically: QuantizeLinear with constant scales",
    "MatMulInteger": "quantize statically: QuantizeLinear with constant scales",
    "DynamicQuantizeLinear": "quantize statically: QuantizeLinear with constant scales",
    "Trunc": "use a Quant with rounding_mode FLOOR",
    "MultiThreshold": "export before streamlining: Quant nodes are read",
    "LSTM": "feed-forward convolutional networks are supported",
    "GRU": "feed-forward convolutional networks are supported",
    "RNN": "feed-forward convolutional networks are supported",
    "Attention": "feed-forward convolutional networks are supported",
}
"""What to write instead of common operators that are not supported."""
