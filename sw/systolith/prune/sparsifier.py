"""Sparsifiers: how pruning changes one training step."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from hashlib import blake2b
from numbers import Number
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from systolith.network import Pattern
from systolith.prune.masks import MaskSet

__all__ = ["Sparsifier", "WeightSparsifier", "describe_sparsifier", "describe_value"]

DIGEST_BYTES = 6
"""Of a tensor's values in a description."""


class Sparsifier(Protocol):
    """Sparse training, one step at a time, in a training loop that is the same for all methods.

    ::

        with sparsifier.step(model, progress):
            loss(model(images), labels).backward()
        optimizer.step()

    Inside the block, the model computes with masked weights, so backward gives the gradients of the
    sparse model. On exit, the method restores the weights for the optimizer and replaces their
    gradients by its own. A method with parameters of its own, such as mask logits, trains them
    there with a :class:`systolith.prune.SparsifierOptimizer`; the loop trains the parameters of the
    model only.
    """

    @property
    def settings(self) -> Mapping[str, Any]:
        """Arguments that decide the result, by name; they stay during training.

        All but the network: its model, groups and images. Training does not resume from a
        checkpoint of other settings; :func:`systolith.prune.describe_sparsifier` compares them.
        """
        ...

    def step(self, model: nn.Module, progress: float) -> AbstractContextManager[None]:
        """Mask the model during forward and backward; `progress` runs from 0 to 1."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state between steps: tensors, numbers, generator states."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        ...


@runtime_checkable
class WeightSparsifier(Sparsifier, Protocol):
    """Sparse training whose result is masks of weights."""

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the masks to keep after training."""
        ...


def describe_sparsifier(sparsifier: Sparsifier) -> str:
    """Name a method and its settings, the same way in each process.

    Tensors are described by a digest, functions by their names.

    Examples
    --------
    >>> from systolith.prune import SRSTE, ScorePruner
    >>> from systolith.network import KOutOfN
    >>> pruner = ScorePruner(patterns={"conv": Pattern(select=KOutOfN(2, 4))})
    >>> describe_sparsifier(SRSTE(pruner))  # doctest: +NORMALIZE_WHITESPACE
    'SRSTE(pruner=ScorePruner(patterns={conv: 2-out-of-4}, score=magnitude, schedule=OneShot()),
    decay=0.0002)'
    """
    return _call(type(sparsifier).__name__, sparsifier.settings)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    described = [f"{argument}={describe_value(value)}" for argument, value in arguments.items()]
    return f"{name}({', '.join(described)})"


def describe_value(value: Any) -> str:
    """Write a setting the same way in each process.

    Tensors are described by a digest, functions by their names, other objects by their plain
    attributes.

    Examples
    --------
    >>> describe_value(nn.CrossEntropyLoss(label_smoothing=0.1))
    'CrossEntropyLoss(reduction=mean, ignore_index=-100, label_smoothing=0.1)'
    """
    match value:
        case None | bool() | Number() | str() | Pattern():
            return str(value)
        case Enum():
            return value.name
        case Tensor():
            shape = "x".join(map(str, value.shape))
            content = value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            return f"{shape} {blake2b(content, digest_size=DIGEST_BYTES).hexdigest()}"
        case Mapping():
            entries = [f"{key}: {describe_value(entry)}" for key, entry in value.items()]
            return f"{{{', '.join(entries)}}}"
        case Sequence():
            return f"[{', '.join(map(describe_value, value))}]"
        case partial():
            given = {str(place): argument for place, argument in enumerate(value.args)}
            return _call(describe_value(value.func), {**given, **value.keywords})
    if is_dataclass(value):
        shown = {field.name: getattr(value, field.name) for field in fields(value)}
        return _call(type(value).__name__, shown)
    if hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    state = value.state_dict() if isinstance(value, nn.Module) else {}
    plain = {
        name: attribute
        for name, attribute in getattr(value, "__dict__", {}).items()
        if isinstance(attribute, Number | str | Enum | Tensor)
        and not (name.startswith("_") or name == "training")
    }
    described = {**plain, **state}
    name = type(value).__qualname__
    return _call(name, described) if described else name
