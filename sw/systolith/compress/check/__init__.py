"""What pruning, quantization and lowering will refuse, found before any training."""

from systolith.compress.check.findings import CheckStep, LayerCheck, ModelCheck, ModelProblem
from systolith.compress.check.model import check_model
from systolith.compress.check.steps import check_prunings, find_given_patterns

__all__ = [
    "CheckStep",
    "LayerCheck",
    "ModelCheck",
    "ModelProblem",
    "check_model",
    "check_prunings",
    "find_given_patterns",
]
