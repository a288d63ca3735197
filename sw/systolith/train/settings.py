"""The rules that settings of a training keep to: their types and ranges."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from systolith.data import MixingAugment
from systolith.foundation import is_number, is_whole, show_value
from systolith.train.devices import device_problems
from systolith.train.optimizers import Algorithm
from systolith.train.precision import Precision
from systolith.train.teaching import Teacher

__all__ = ["setting_problems"]

LARGEST_SEED = (1 << 64) - 1
"""Largest seed of PyTorch's generators."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A type, and a range of its values."""

    kind: str
    is_kind: Callable[[Any], bool]
    range: str = ""
    is_within: Callable[[Any], bool] = lambda value: True
    optional: bool = False

    def problems(self, name: str, value: Any) -> Iterator[str]:
        if value is None and self.optional:
            return
        if not self.is_kind(value):
            none = " or None" if self.optional else ""
            yield f"{name} must be {self.kind}{none}, got {show_value(value)}"
        elif not self.is_within(value):
            yield f"{name} must {self.range}, got {value}"


def _is_positive(value: Any) -> bool:
    return bool(0 < value < inf)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_augment(value: Any) -> bool:
    is_class = isinstance(value, type)
    return not is_class and (isinstance(value, MixingAugment) or callable(value))


def _is_sparsifier(value: Any) -> bool:
    methods = ("step", "state_dict", "load_state_dict")
    described = hasattr(value, "settings") and not isinstance(value, type)
    return described and all(callable(getattr(value, name, None)) for name in methods)


_EPOCHS = _Rule("a whole number", is_whole, "be at least 0", lambda value: value >= 0)
_BELOW_ONE = "lie in 0..1, below 1", lambda value: 0 <= value < 1
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("epochs", "float_epochs", "prune_epochs", "quantize_epochs"), _EPOCHS),
    "finetune_epochs": _EPOCHS,
    "learning_rate": _Rule("a number", is_number, "be positive", _is_positive),
    "warmup": _Rule("a number", is_number, *_BELOW_ONE),
    "batch_size": _Rule("a whole number", is_whole, "be at least 1", lambda value: value >= 1),
    "weight_decay": _Rule("a number", is_number, "be at least 0", lambda value: 0 <= value < inf),
    "algorithm": _Rule("an Algorithm", lambda value: isinstance(value, Algorithm)),
    "precision": _Rule("a Precision", lambda value: isinstance(value, Precision)),
    "augment": _Rule(
        "an Augment or a MixingAugment",
        _is_augment,
        optional=True,
    ),
    "objective": _Rule("a function of logits and labels", _is_function, optional=True),
    "teacher": _Rule(
        "a Teacher, which a DenseTeacher becomes by of(model),",
        lambda value: isinstance(value, Teacher),
        optional=True,
    ),
    "ema": _Rule("a number", is_number, *_BELOW_ONE, optional=True),
    "clip_norm": _Rule("a number", is_number, "be positive", _is_positive, optional=True),
    "sparsifier": _Rule(
        "a Sparsifier (with settings, step, state_dict and load_state_dict)",
        _is_sparsifier,
        optional=True,
    ),
    "seed": _Rule(
        "a whole number",
        is_whole,
        f"lie in 0..{LARGEST_SEED}",
        lambda value: 0 <= value <= LARGEST_SEED,
    ),
    "phase": _Rule("a text", lambda value: isinstance(value, str)),
    "progress": _Rule("a function", _is_function),
    "checkpoint": _Rule("a Path", lambda value: isinstance(value, Path), optional=True),
}


def setting_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield each setting of a training that has a wrong type or is out of range.

    Parameters
    ----------
    settings : mapping of str to Any
        Arguments of :func:`fit` or fields of a :class:`Recipe`, by name.
    """
    for name, value in settings.items():
        if name == "device":
            yield from device_problems(value)
        else:
            yield from _RULES[name].problems(name, value)
