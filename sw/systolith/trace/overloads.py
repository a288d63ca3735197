"""Operators of exported programs, as the functions and methods that people call."""

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from systolith.trace.operators import operator_of_call

__all__ = ["as_function", "as_module", "program_problems"]

_Call = tuple[Any, tuple[Any, ...], Mapping[str, Any]]
_COPIES = ("_to_copy", "alias", "lift_fresh_copy", "detach", "detach_", "clone")


def as_module(model: Any) -> Any:
    """Return the module of a program of :mod:`torch.export`, and anything else as it is."""
    exporting = sys.modules.get("torch.export")
    if exporting is not None and isinstance(model, exporting.ExportedProgram):
        return model.module()
    return model


def program_problems(model: nn.Module) -> Iterator[str]:
    """Find a program that is quantized, or was exported for one number of images only."""
    if not isinstance(model, fx.GraphModule):
        return
    if any("quantized_decomposed" in str(node.target) for node in model.graph.nodes):
        yield (
            f"'{type(model).__name__}' (exported program): is quantized already; read it by "
            "systolith.exchange.import_program"
        )
    if not hasattr(model, "_guards_fn"):
        return
    given = [node.meta.get("val") for node in model.graph.nodes if node.op == "placeholder"]
    for value in given[:1]:
        if isinstance(value, Tensor) and value.ndim and isinstance(value.shape[0], int):
            yield (
                f"'{type(model).__name__}' (exported program): needs to take any number of images, "
                f"takes {value.shape[0]}; export with dynamic_shapes=({{0: "
                "torch.export.Dim('images')},)"
            )


def as_function(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Call:
    """Return the call of a function or method that computes the same as an operator of ATen.

    Parameters
    ----------
    func : object
        Anything but an overload of ATen is returned as it is.
    args, kwargs
        Arguments of the call.
    """
    if not isinstance(func, torch._ops.OpOverload) or func.namespace != "aten":
        return func, args, kwargs
    name = func._schema.name.removeprefix("aten::")
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    if (rule := _RULES.get(name)) is not None:
        function, arguments = rule(given)
        return function, arguments, {}
    if name in _COPIES and given.get("dtype") is None:
        layout = given.get("memory_format") or torch.preserve_format
        return torch.clone, args[:1], {"memory_format": layout}
    for place, prefix in ((torch, ""), (F, ""), (Tensor, "Tensor.")):
        written = getattr(place, name, None)
        if written is not None and operator_of_call(f"Tensor.{name}" if prefix else written):
            return written, args, kwargs
    return func, args, kwargs


def _batch_norm(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    return F.batch_norm, tuple(given[name] for name in (*names, "momentum", "eps"))


def _dropout(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return F.dropout, (given["input"], given["p"], given["train"])


def _slice(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    part = slice(given.get("start"), given.get("end"), given.get("step"))
    return operator.getitem, (given["self"], _at(given, part))


def _select(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return operator.getitem, (given["self"], _at(given, given["index"]))


def _at(given: Mapping[str, Any], part: int | slice) -> tuple[int | slice, ...]:
    axis = given.get("dim", 0)
    return (*[slice(None)] * (axis % given["self"].ndim), part)


def _upsample(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    size = given.get("output_size")
    factors = None if size is not None else given.get("scale_factors")
    return F.interpolate, (given.get("input", given.get("self")), size, factors)


def _upsample_between(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    function, (x, size, factors) = _upsample(given)
    return function, (x, size, factors, "bilinear", given["align_corners"])


def _size(given: Mapping[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return Tensor.size, (given["self"], given["dim"])


_RULES = {
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "slice": _slice,
    "select": _select,
    "upsample_nearest2d": _upsample,
    "upsample_bilinear2d": _upsample_between,
    "sym_size": _size,
}
"""Operators whose arguments have another order than those of the function."""
