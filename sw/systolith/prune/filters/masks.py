"""Masks of filters by group: which channels stay; the others become zero or leave."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from systolith.prune.computed_weights import computed_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup, is_depthwise, module_gates
from systolith.prune.filters_first import Convolution, as_stored, filter_weights, filters_first

__all__ = ["FilterMasks"]


class FilterMasks(Mapping[str, Tensor]):
    """Masks by name of group; each keeps at least one unit.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool, shape (size,)
        By group name; True keeps. Groups that are not named keep everything.
    groups : iterable of ChannelGroup
        Groups of the model, from :func:`find_channel_groups`.

    Raises
    ------
    PruneError
        Lists every mask that names no group or one that is not removable, has another shape or
        type, or keeps nothing.

    Examples
    --------
    >>> from systolith.prune.filters.analysis import find_channel_groups
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1))
    >>> groups = find_channel_groups(model, torch.zeros(1, 1, 3, 3))
    >>> FilterMasks({"0": torch.tensor([True, False])}, groups).kept
    {'0': 1}
    """

    def __init__(self, masks: Mapping[str, Tensor], groups: Iterable[ChannelGroup]) -> None:
        known = {group.name: group for group in groups}
        PruneError.raise_if_any(_problems(masks, known))
        self._masks = {name: masks[name].detach().clone() for name in known if name in masks}
        self._groups = tuple(known[name] for name in self._masks)

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """Groups that have masks, in the order in which the network runs."""
        return self._groups

    @property
    def kept(self) -> dict[str, int]:
        """Units kept, by group name."""
        return {name: int(mask.sum()) for name, mask in self._masks.items()}

    @property
    def density(self) -> float:
        """Kept share of the masked groups' units; 1 if there are none."""
        total = sum(mask.numel() for mask in self._masks.values())
        return sum(self.kept.values()) / total if total else 1.0

    def gates(self) -> dict[str, Tensor]:
        """Masks by module name for :func:`gated`; bool, shape (C,)."""
        return module_gates(self._groups, self._masks)

    def channel_masks(self) -> dict[str, Tensor]:
        """Masks of all output channels of producers and batch norms, by module name."""
        return _by_module((group.outputs, self._masks[group.name]) for group in self._groups)

    def input_masks(self) -> dict[str, Tensor]:
        """Masks of all input channels, or features, of consumers, by module name."""
        return _by_module((group.inputs, self._masks[group.name]) for group in self._groups)

    def apply_(self, model: nn.Module) -> None:
        """Set removed filters, their biases and their batch norms to zero, in place.

        Raises
        ------
        PruneError
            If a module is missing, has another number of channels, or computes its weights by hooks
            or parametrizations; then nothing is changed.
        """
        masks = self.channel_masks()
        PruneError.raise_if_any(_misfits(masks, model))
        with torch.no_grad():
            for name, mask in masks.items():
                module = model.get_submodule(name)
                for parameter in module.parameters():
                    kept = mask.to(parameter.device).view(-1, *[1] * (parameter.ndim - 1))
                    if parameter.ndim > 1:
                        kept = as_stored(kept.expand(filter_weights(module).shape), module)
                    parameter.masked_fill_(~kept, 0.0)

    def shrink(self, model: nn.Module) -> nn.Module:
        """Copy a model without the removed filters and the weights that read them.

        Parameters
        ----------
        model : nn.Module
            Model of the groups, with plain weights. It is not changed.
        """
        small = deepcopy(model)
        outputs, inputs = self.channel_masks(), self.input_masks()
        for name in {**outputs, **inputs}:
            _shrink_(small.get_submodule(name), outputs.get(name), inputs.get(name))
        return small


def _problems(masks: Mapping[str, Tensor], groups: Mapping[str, ChannelGroup]) -> Iterator[str]:
    for name, mask in masks.items():
        if name not in groups:
            yield f"masks must name a group of {', '.join(groups)}, got '{name}'"
        elif groups[name].reason:
            yield f"group '{name}' cannot be masked: {groups[name].reason}"
        elif mask.dtype != torch.bool or mask.shape != (groups[name].size,):
            yield (
                f"mask of group '{name}' must be bool of shape ({groups[name].size},), "
                f"got {mask.dtype} of shape {tuple(mask.shape)}"
            )
        elif not mask.any():
            yield f"mask of group '{name}' must keep at least 1 of {len(mask)}, keeps 0"


def _by_module(parts: Iterable[tuple[Mapping[str, tuple[int, ...]], Tensor]]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for modules, mask in parts:
        for name, units in modules.items():
            index = torch.tensor(units, device=mask.device)
            here = mask[index.clamp(min=0)] | (index < 0)
            result[name] = result[name] & here if name in result else here
    return result


def _misfits(masks: Mapping[str, Tensor], model: nn.Module) -> Iterator[str]:
    modules = dict(model.named_modules())
    for name, mask in masks.items():
        if name in modules and (remedies := list(computed_weights(modules[name]))):
            calls = " and ".join(remedies)
            yield f"masks need parameters, but '{name}' computes its weights; call {calls}"
            continue
        channels = (
            {
                len(filters_first(parameter, modules[name]) if parameter.ndim > 1 else parameter)
                for parameter in modules[name].parameters()
            }
            if name in modules
            else set()
        )
        if channels != {len(mask)}:
            got = f"one with {', '.join(map(str, channels))}" if channels else "none"
            yield f"masks need a module '{name}' with {len(mask)} filters, got {got}"


def _shrink_(module: nn.Module, outputs: Tensor | None, inputs: Tensor | None) -> None:
    weight = filter_weights(module)
    if outputs is not None:
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.ndim == 1:  # a batch norm counts its batches in a scalar
                _replace(module, name, tensor[outputs.to(tensor.device)])
        weight = weight[outputs.to(weight.device)]
    if inputs is not None:
        # Filters of a grouped convolution read a part; the same places of each part are removed.
        weight = weight[:, inputs[: weight.shape[1]].to(weight.device)]
    if isinstance(module, Convolution):
        if is_depthwise(module):  # all filters of a channel went with it
            multiplier = module.out_channels // module.in_channels
            module.out_channels = len(weight)
            module.in_channels = module.groups = module.out_channels // multiplier
        else:
            module.out_channels = len(weight)
            module.in_channels = weight.shape[1] * module.groups
    if weight.ndim > 1:
        _replace(module, "weight", as_stored(weight, module))
    match module:
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            module.num_features = len(module.weight)


def _replace(module: nn.Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    value = value.detach().clone(memory_format=torch.preserve_format)
    is_parameter = isinstance(old, nn.Parameter)
    setattr(module, name, nn.Parameter(value, old.requires_grad) if is_parameter else value)
