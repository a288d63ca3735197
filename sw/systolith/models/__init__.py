"""Example networks."""

from systolith.models.digits import DigitsCNN
from systolith.models.resnet import TinyResNet

__all__ = ["DigitsCNN", "TinyResNet"]
