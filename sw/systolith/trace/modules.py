"""Modules as a forward pass uses them, with weights computed by hooks and parametrizations."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

__all__ = ["as_used", "is_leaf", "kind_of", "misfit", "of_function", "of_weights"]

_M = TypeVar("_M", nn.Conv1d | nn.Conv2d, nn.Linear, nn.BatchNorm1d | nn.BatchNorm2d)
_CONTAINERS = (
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel),
    nn.parallel.DistributedDataParallel,
)

_FUNCTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Linear: F.linear}
_SEQUENCE_AXES = 3
_PRODUCTS = (torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__)


def kind_of(module: nn.Module) -> type[nn.Module]:
    """Type of a module before parametrizations were registered."""
    kind: type[nn.Module] = parametrize.type_before_parametrizations(module)
    return kind


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's own, and not a container."""
    kind = kind_of(module)
    own = kind.__module__.startswith(("torch.nn.", "torch.ao.nn."))
    return own and not issubclass(kind, _CONTAINERS)


def as_used(module: nn.Module) -> nn.Module:
    """Return a module, or a plain copy with its current weights if hooks compute them."""
    kind = kind_of(module)
    names = [name for name in ("weight", "bias") if hasattr(module, name)]
    if all(name in module._parameters for name in names):
        return module
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    trained = any(parameter.requires_grad for parameter in module.parameters())
    if kind in (nn.Conv1d, nn.Conv2d) and weight is not None:
        assert isinstance(module, nn.Conv1d | nn.Conv2d)
        settings = module.stride, module.padding, module.dilation, module.groups
        return _conv(trained, weight, bias, *settings, module.padding_mode)
    if kind is nn.Linear and weight is not None:
        return _linear(trained, weight, bias)
    return module


def of_function(
    owner: nn.Module | None, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Return the plain module for a function call in a subclass of that module."""
    kind = None if owner is None else kind_of(owner)
    if kind is None or owner is None or not args or not isinstance(args[0], Tensor):
        return None
    trained = any(parameter.requires_grad for parameter in owner.parameters())
    for base, function in _FUNCTIONS.items():
        if func is function and issubclass(kind, base):
            return _with_weights(func, args, kwargs, trained)
    return None


def of_weights(
    model: nn.Module, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Return the plain module for a function that is called with weights.

    Weights that are computed are trained like parameters; buffers of the model are not.
    """
    given = [*args[1:], *(value for name, value in kwargs.items() if name != "input")]
    tensors = [value for value in given if isinstance(value, Tensor)]
    frozen = {buffer.data_ptr() for buffer in model.buffers()}
    trained = any(
        value.requires_grad
        if isinstance(value, nn.Parameter)
        else value.is_floating_point() and value.data_ptr() not in frozen
        for value in tensors
    )
    return _with_weights(func, args, kwargs, trained)


def _with_weights(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], trained: bool
) -> nn.Module | None:
    if func in (F.conv1d, F.conv2d):
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        stride, padding = given.get("stride", 1), given.get("padding", 0)
        dilation, groups = given.get("dilation", 1), given.get("groups", 1)
        settings = stride, padding, dilation, groups, "zeros"
        return _conv(trained, given["weight"], given.get("bias"), *settings)
    if func is F.linear:
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | dict(kwargs)
        return _linear(trained, given["weight"], given.get("bias"))
    if func is F.batch_norm:
        parts = ("input", "running_mean", "running_var", "weight", "bias", "training")
        given = dict(zip((*parts, "momentum", "eps"), args, strict=False)) | dict(kwargs)
        return None if given.get("training") else _batch_norm(trained, given)
    if func in _PRODUCTS and len(args) == 2 and args[0].ndim == args[1].ndim == 2:
        return _linear(trained, args[1].t(), None)
    return None


def misfit(module: nn.Module, given: Tensor, before: str) -> str:
    """Reason why a batch norm cannot take a tensor; empty if the channels fit."""
    if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and given.ndim > 1:
        channels, features = given.shape[1], module.num_features
        if channels != features:
            return f"needs num_features {channels} as '{before}' before it, got {features}"
    return ""


def _conv(
    trained: bool,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: Any,
) -> nn.Conv1d | nn.Conv2d:
    kind = nn.Conv1d if weight.ndim == _SEQUENCE_AXES else nn.Conv2d
    conv = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),  # type: ignore[arg-type]  # of as many axes as its kind has
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
        padding_mode=padding_mode,
        device="meta",
    )
    return _take_(conv, trained, weight, bias)


def _linear(trained: bool, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _take_(linear, trained, weight, bias)


def _batch_norm(trained: bool, given: Mapping[str, Any]) -> nn.Module | None:
    mean, variance, weight = given["running_mean"], given["running_var"], given.get("weight")
    bias = given.get("bias")
    if mean is None or variance is None or (weight is None) != (bias is None):
        return None
    kind = nn.BatchNorm2d if given["input"].ndim > 2 else nn.BatchNorm1d
    norm = kind(len(mean), eps=given.get("eps", 1e-5), affine=weight is not None)
    norm.running_mean, norm.running_var = mean.detach().clone(), variance.detach().clone()
    return norm.eval() if weight is None else _take_(norm, trained, weight, bias)


def _take_(module: _M, trained: bool, weight: Tensor, bias: Tensor | None) -> _M:
    module.weight = nn.Parameter(weight.detach().clone(), requires_grad=trained)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach().clone(), requires_grad=trained)
    return module.eval()
