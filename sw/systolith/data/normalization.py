"""Mean colours and deviations that data sets are normalized with."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["COLOURS", "Colours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Mean and deviation of pixels 0..1, one of each per channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


COLOURS: Mapping[str, Colours] = {
    "cifar10": Colours(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    "fashion_mnist": Colours(mean=(0.2860,), deviation=(0.3530,)),
    "mnist": Colours(mean=(0.1307,), deviation=(0.3081,)),
}
"""By data set. Those of CIFAR-10 are ImageNet's, as published weights want them."""
