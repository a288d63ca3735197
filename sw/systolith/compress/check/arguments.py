"""Types of the arguments of compression, checked before any work."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from systolith.compress.methods import Pruning
from systolith.compress.pruned_model import PrunedModel
from systolith.compress.trainer import Trainer
from systolith.data import Dataset
from systolith.foundation import UsageError, kind_problems, show_value
from systolith.quant import PostTraining, QuantConfig

__all__ = ["check_arguments"]

_NOTHING = type(None)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "model": (nn.Module,),
    "images": (Tensor,),
    "data": (Dataset,),
    "pruned": (PrunedModel,),
    "trainer": (Trainer,),
    "bits": (QuantConfig, _NOTHING),
    "post_training": (PostTraining, _NOTHING),
}


def check_arguments(**arguments: Any) -> None:
    """Check the types of arguments by name.

    Raises
    ------
    UsageError
        With every argument of a wrong type.
    """
    problems: list[str] = []
    for name, value in arguments.items():
        if name == "prunings":
            problems += _pruning_problems(value)
        else:
            problems += kind_problems(name, value, *_KINDS[name])
    UsageError.raise_if_any(problems)


def _pruning_problems(prunings: Any) -> Iterator[str]:
    if not isinstance(prunings, Sequence) or isinstance(prunings, str):
        yield f"prunings must be a sequence of Pruning, got {show_value(prunings)}"
        return
    for number, pruning in enumerate(prunings):
        yield from kind_problems(f"prunings[{number}]", pruning, Pruning)
