"""Modules as a forward pass uses them, with weights computed by hooks and parametrizations."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

__all__ = ["as_used", "is_leaf", "kind_of", "misfit", "of_function"]

_M = TypeVar("_M", nn.Conv2d, nn.Linear)
_CONTAINERS = (
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel),
    nn.parallel.DistributedDataParallel,
)


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
    if kind is nn.Conv2d and isinstance(module, nn.Conv2d) and weight is not None:
        settings = module.stride, module.padding, module.dilation, module.groups
        return _conv(module, weight, bias, *settings, module.padding_mode)
    if kind is nn.Linear and weight is not None:
        return _linear(module, weight, bias)
    return module


def of_function(
    owner: nn.Module | None, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Return the plain module for a function call in a subclass of that module."""
    kind = None if owner is None else kind_of(owner)
    if kind is None or owner is None or not args or not isinstance(args[0], Tensor):
        return None
    if func is F.conv2d and issubclass(kind, nn.Conv2d):
        names = ("weight", "bias", "stride", "padding", "dilation", "groups")
        given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
        stride, padding = given.get("stride", 1), given.get("padding", 0)
        dilation, groups = given.get("dilation", 1), given.get("groups", 1)
        settings = stride, padding, dilation, groups, "zeros"
        return _conv(owner, given["weight"], given.get("bias"), *settings)
    if func is F.linear and issubclass(kind, nn.Linear):
        given = dict(zip(("weight", "bias"), args[1:], strict=False)) | dict(kwargs)
        return _linear(owner, given["weight"], given.get("bias"))
    return None


def misfit(module: nn.Module, given: Tensor, before: str) -> str:
    """Reason why a batch norm cannot take a tensor; empty if the channels fit."""
    if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and given.ndim > 1:
        channels, features = given.shape[1], module.num_features
        if channels != features:
            return f"needs num_features {channels} as '{before}' before it, got {features}"
    return ""


def _conv(
    owner: nn.Module,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: Any,
) -> nn.Conv2d:
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
        padding_mode=padding_mode,
        device="meta",
    )
    return _take_(conv, owner, weight, bias)


def _linear(owner: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _take_(linear, owner, weight, bias)


def _take_(module: _M, owner: nn.Module, weight: Tensor, bias: Tensor | None) -> _M:
    trained = any(parameter.requires_grad for parameter in owner.parameters())
    module.weight = nn.Parameter(weight.detach().clone(), requires_grad=trained)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach().clone(), requires_grad=trained)
    return module.eval()
