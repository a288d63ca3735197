"""Weights that are computed by hooks or parametrizations instead of being parameters."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["computed_weights", "with_plain_weights"]


@dataclass(frozen=True, slots=True)
class _Computed:
    """A computed tensor of a module, and how to turn it into a parameter."""

    tensor: str
    remedy: str
    make_plain_: Callable[[nn.Module], object]


def computed_weights(module: nn.Module) -> Iterator[str]:
    """Yield, for each computed tensor of a module, the call that turns it into a parameter."""
    for computed in _computed(module):
        yield f"torch.nn.utils.{computed.remedy}(module, '{computed.tensor}')"


def with_plain_weights(model: nn.Module) -> nn.Module:
    """Copy a model and turn its computed weights into parameters."""
    # Results of the last forward pass, which deepcopy refuses because they have a gradient history.
    results = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    copy = deepcopy(model, {id(value): value.detach().clone() for value in results})
    for module in copy.modules():
        for computed in _computed(module):
            computed.make_plain_(module)
    return copy


def _computed(module: nn.Module) -> list[_Computed]:
    tensors = []
    if parametrize.is_parametrized(module) and isinstance(module.parametrizations, nn.ModuleDict):
        for name in module.parametrizations:
            tensors.append(_parametrized(name))
    for hook in module._forward_pre_hooks.values():
        match hook:
            case prune.BasePruningMethod():
                tensors.append(_pruned(hook._tensor_name))
            case WeightNorm():
                tensors.append(_normed(hook.name, remove_weight_norm))
            case SpectralNorm():
                tensors.append(_normed(hook.name, remove_spectral_norm))
    return tensors


def _parametrized(name: str) -> _Computed:
    return _Computed(name, "parametrize.remove_parametrizations", _unparametrize_)


def _unparametrize_(module: nn.Module) -> None:
    """Turn all tensors into parameters; PyTorch's function changes a class that copies share."""
    if not parametrize.is_parametrized(module):
        return  # all tensors of the module were turned into parameters before
    parametrizations = module.parametrizations
    assert isinstance(parametrizations, nn.ModuleDict)
    values = {name: getattr(module, name).detach().clone() for name in parametrizations}
    trained = any(parameter.requires_grad for parameter in parametrizations.parameters())
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=trained))


def _pruned(name: str) -> _Computed:
    remove: Callable[[nn.Module, str], nn.Module] = prune.remove
    return _Computed(name, "prune.remove", lambda module: remove(module, name))


def _normed(name: str, remove: Callable[[nn.Module, str], nn.Module]) -> _Computed:
    return _Computed(name, remove.__name__, lambda module: remove(module, name))
