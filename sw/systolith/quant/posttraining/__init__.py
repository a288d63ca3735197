"""Quantization without training: integers that reproduce the float network's outputs."""

from systolith.quant.posttraining.coordinate_descent import round_by_descent
from systolith.quant.posttraining.moments import LayerMoments
from systolith.quant.posttraining.reconstruction import PostTraining, WeightRounding, reconstruct_

__all__ = ["LayerMoments", "PostTraining", "WeightRounding", "reconstruct_", "round_by_descent"]
