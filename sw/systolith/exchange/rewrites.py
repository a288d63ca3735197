"""What to write instead of common operators that are not supported."""

from collections.abc import Mapping

__all__ = ["LEFT_TO_HOST", "REWRITES"]

LEFT_TO_HOST: Mapping[str, str] = {
    "Softmax": "leave it out at the end: the greatest logit is the same",
    "LogSoftmax": "leave it out at the end: the greatest logit is the same",
    "QLinearSoftmax": "leave it out at the end: the greatest logit is the same",
    "Hardmax": "leave it out at the end: the host finds the greatest logit",
    "ArgMax": "leave it out at the end: the host finds the greatest logit",
    "TopK": "leave it out at the end: the host finds the greatest logits",
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
    "Upsample": "resize on the host, before the network or after it",
    "Resize": "resize on the host, before the network or after it",
    "LayerNormalization": "use BatchNormalization",
    "InstanceNormalization": "use BatchNormalization",
    "ConvInteger": "quantize statically: QuantizeLinear with constant scales",
    "MatMulInteger": "quantize statically: QuantizeLinear with constant scales",
    "DynamicQuantizeLinear": "quantize statically: QuantizeLinear with constant scales",
    "Trunc": "use a Quant with rounding_mode FLOOR",
    "LSTM": "feed-forward convolutional networks are supported",
    "GRU": "feed-forward convolutional networks are supported",
    "RNN": "feed-forward convolutional networks are supported",
    "Scan": "feed-forward convolutional networks are supported",
    "Loop": "feed-forward convolutional networks are supported",
    "If": "keep the branch that is taken: export the model for inference",
    "Attention": "feed-forward convolutional networks are supported",
}
"""What to write instead of common operators that are not supported."""
