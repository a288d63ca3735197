"""Quantization without training: integers that reproduce the float network's outputs."""

from systolith.quant.posttraining.coordinate_descent import round_by_descent
from systolith.quant.posttraining.moments import measure_moments
from systolith.quant.posttraining.quantizing import quantize_trained
from systolith.quant.posttraining.reconstruction import PostTraining, WeightRounding, reconstruct_

__all__ = [
    "PostTraining",
    "WeightRounding",
    "measure_moments",
    "quantize_trained",
    "reconstruct_",
    "round_by_descent",
]
