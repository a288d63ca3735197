"""Functions of single values, made of recorded calls."""

import operator
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

__all__ = ["Elementwise", "is_nonnegative"]

_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow)


@dataclass(frozen=True, slots=True)
class _Place:
    """Place of a value: 0 is the argument of the function, 1 the result of the first call."""

    number: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """Name of a buffer with a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class _Step:
    """A call; its arguments are constants and places."""

    op: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Elementwise(nn.Module):
    """A function of each value of a tensor, made of recorded calls.

    Modules are copied, with their parameters. Constant tensors become buffers.

    Parameters
    ----------
    source : fx.Node
        Node whose value is the argument.
    calls : sequence of fx.Node
        Calls in their order. They read each other, `source` and constants of one number; the last
        one gives the result.
    """

    def __init__(self, source: fx.Node, calls: Sequence[fx.Node]) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        places = {source: _Place(0)}
        steps: list[_Step] = []
        for node in calls:
            place = partial(self._place, dict(places))
            args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), place)
            target: Any = node.target
            if node.op == "call_module":
                target = len(self.parts)
                self.parts.append(deepcopy(node.meta["module"]))
            steps.append(_Step(node.op, target, args, dict(kwargs)))
            places[node] = _Place(len(steps))
        self._steps = tuple(steps)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to a tensor of any shape."""
        values = [x]
        for step in self._steps:
            read = partial(self._read, values, self._changes_arguments(step))
            args = fx.node.map_aggregate(step.args, read)
            values.append(self._call(step, args, fx.node.map_aggregate(step.kwargs, read)))
        return values[-1]

    def _place(self, places: Mapping[fx.Node, _Place], value: Any) -> Any:
        if isinstance(value, fx.Node):
            return places[value]
        if not isinstance(value, Tensor):
            return value
        name = f"constant_{len(self._buffers)}"
        self.register_buffer(name, value.detach().reshape(()).clone())
        return _Stored(name)

    def _read(self, values: Sequence[Tensor], copies: bool, value: Any) -> Any:
        match value:
            case _Place(number=number):
                return values[number].clone() if copies else values[number]
            case _Stored(name=name):
                return self.get_buffer(name)
            case _:
                return value

    def _call(self, step: _Step, args: Any, kwargs: Any) -> Tensor:
        match step.op:
            case "call_module":
                result = self.parts[step.target](*args, **kwargs)
            case "call_method":
                result = getattr(args[0], step.target)(*args[1:], **kwargs)
            case _:
                result = step.target(*args, **kwargs)
        assert isinstance(result, Tensor)
        return result

    def _changes_arguments(self, step: _Step) -> bool:
        """Whether a call may change its arguments in place."""
        if step.op == "call_module":
            return bool(getattr(self.parts[step.target], "inplace", False))
        name = str(getattr(step.target, "__name__", step.target))
        given = (*step.args, *step.kwargs.values())
        return name.endswith("_") or step.target in _IN_PLACE or any(v is True for v in given)


def is_nonnegative(function: nn.Module, *, signed: bool) -> bool:
    """Whether a function has no negative value, tried on numbers up to 64.

    Parameters
    ----------
    function : nn.Module
    signed : bool
        Whether its arguments may be negative.
    """
    tried = torch.linspace(-64.0 if signed else 0.0, 64.0, 1 << 13)
    parameter = next(function.parameters(), tried)
    with torch.no_grad():
        results = function(tried.to(parameter))
    return not bool((results < 0).any())
