"""Quantization-aware training with learned steps.

:func:`prepare` turns a trained float model into a :class:`QuantizedModel`, which trains like any
other module and gives its integers to :mod:`systolith.frontend`.
"""

from systolith.quant.config import LayerBits, QuantConfig, UnsupportedModelError
from systolith.quant.djpq import DJPQ
from systolith.quant.layers.requantizing import Activation, Scaling
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear, WeightIntegers
from systolith.quant.layers.weightless import (
    QuantAdd,
    QuantAvgPool2d,
    QuantConcat,
    QuantDepthToSpace,
    QuantFlatten,
    QuantLayer,
    QuantMaxPool2d,
    QuantMultiply,
    QuantPad2d,
    QuantSelectChannels,
    QuantSpaceToDepth,
    QuantTable,
    QuantUpsample,
    common_multiple,
    count_areas,
)
from systolith.quant.model import QuantizedModel, Wiring
from systolith.quant.names import float_masks, quantized_masks, quantized_names, quantized_patterns
from systolith.quant.posttraining import (
    PostTraining,
    WeightRounding,
    quantize_trained,
    reconstruct_,
)
from systolith.quant.prepare import prepare
from systolith.quant.recognition.folding import fold_batch_norm
from systolith.quant.recognition.sequences import image_batch
from systolith.quant.steps.binary import binarize
from systolith.quant.steps.fixed_point import FixedPoint, to_fixed_point
from systolith.quant.steps.learned_width import LearnedWidth
from systolith.quant.steps.lsq import fake_quantize, quantize, round_half_up
from systolith.quant.steps.quantizers import ActQuantizer, SignQuantizer, WeightQuantizer

__all__ = [
    "DJPQ",
    "ActQuantizer",
    "Activation",
    "FixedPoint",
    "LayerBits",
    "LearnedWidth",
    "PostTraining",
    "QuantAdd",
    "QuantAvgPool2d",
    "QuantConcat",
    "QuantConfig",
    "QuantConv2d",
    "QuantDepthToSpace",
    "QuantFlatten",
    "QuantLayer",
    "QuantLinear",
    "QuantMaxPool2d",
    "QuantMultiply",
    "QuantPad2d",
    "QuantSelectChannels",
    "QuantSpaceToDepth",
    "QuantTable",
    "QuantUpsample",
    "QuantizedModel",
    "Scaling",
    "SignQuantizer",
    "UnsupportedModelError",
    "WeightIntegers",
    "WeightQuantizer",
    "WeightRounding",
    "Wiring",
    "binarize",
    "common_multiple",
    "count_areas",
    "fake_quantize",
    "float_masks",
    "fold_batch_norm",
    "image_batch",
    "prepare",
    "quantize",
    "quantize_trained",
    "quantized_masks",
    "quantized_names",
    "quantized_patterns",
    "reconstruct_",
    "round_half_up",
    "to_fixed_point",
]
