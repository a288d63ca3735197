"""Layers of hls4ml that are refused, and what to do instead."""

from collections.abc import Iterator, Mapping

__all__ = ["REFUSED", "hls4ml_rewrite_rows"]

REFUSED: Mapping[str, str] = {
    "Softmax": "only the last layer may be one; leave it out, or set its Skip to true",
    "Quant": "give it constant scale and zero point, so that hls4ml makes a type of it",
    "BipolarQuant": "quantize to signed integers of 2 bits",
    "SeparableConv1D": "write a depthwise and a pointwise convolution",
    "SeparableConv2D": "write a depthwise and a pointwise convolution",
    "LayerNormalization": "use batch normalization",
    "Dot": "multiply, and add with a dense layer of ones",
    "MatMul": "multiply by constant weights, as a dense layer does",
    "Einsum": "multiply by constant weights, as a dense layer does",
    "EinsumDense": "use a dense layer or a convolution of 1x1",
    "Embedding": "look values up in the host, and give them as inputs",
    "Constant": "add or multiply with a layer that has weights",
    "BiasAdd": "give the bias to the layer before it",
    **dict.fromkeys(
        ("SimpleRNN", "LSTM", "GRU", "Bidirectional", "TimeDistributed"),
        "use convolutions over time",
    ),
    **dict.fromkeys(("GarNet", "GarNetStack"), "use dense layers"),
    "SymbolicExpression": "use activations of the list of docs/hls4ml.md",
    "UnaryLUT": "use activations of the list of docs/hls4ml.md",
    "FixedPointQuantizer": "give its type to Precision of the layer before it",
    "DACombinational": "use the strategy 'latency'",
    "LayerGroup": "write its layers into the model itself",
}
"""What to do instead, by class of hls4ml."""


def hls4ml_rewrite_rows() -> Iterator[str]:
    """Give the lines of the table of refused layers, in docs/hls4ml.md."""
    yield "| hls4ml | instead |"
    yield "|---|---|"
    together: dict[str, list[str]] = {}
    for kind, rewrite in REFUSED.items():
        together.setdefault(rewrite, []).append(kind)
    for rewrite, kinds in together.items():
        yield f"| {', '.join(kinds)} | {rewrite} |"
