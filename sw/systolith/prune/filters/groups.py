"""Groups of channels that are removed together, and gates of groups spread to modules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.prune.filters_first import Convolution

__all__ = [
    "NOT_HERE",
    "ChannelGroup",
    "consumer_gates",
    "is_depthwise",
    "module_gates",
    "producer_gates",
]

NOT_HERE = -1
"""Unit of a channel that belongs to another group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels of several modules that are tied one by one; tied channels form a *unit*.

    Normally, a unit is one filter of a convolution with all that additions and depthwise
    convolutions tie to it, and unit i is channel i of every module of the group. Elsewhere,
    `outputs` and `inputs` say which channels belong to a unit. Grouped convolutions tie channels at
    the same place of each of their groups, so that groups stay equal in size.

    Parameters
    ----------
    name : str
        Name of the first producer; a second group that starts at the same module ends in ``#2``.
    size : int
        Number of units; each is kept or removed.
    producers : tuple of str
        Convolutions (also depthwise) and linear layers whose filters form the units, in the order
        in which they run.
    gated : tuple of str
        Modules whose outputs take gates: gates of 0 on a unit behind all of them equal its removal.
        These are the batch norm behind a producer, or the producer itself. None is before a batch
        norm, which would divide by a variance of zero.
    consumers : tuple of str
        Convolutions and linear layers whose weights shrink along their input.
    outputs : mapping of str to tuple of int
        Unit of each output channel, -1 if of another group; by producer and batch norm.
    inputs : mapping of str to tuple of int
        Unit of each input channel or feature, -1 if of another group; by consumer.
    reason : str
        Why no unit can be removed; empty if all units can.
    """

    name: str
    size: int
    producers: tuple[str, ...]
    gated: tuple[str, ...]
    consumers: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]
    inputs: Mapping[str, tuple[int, ...]]
    reason: str = ""

    @property
    def removable(self) -> bool:
        """Whether any unit may be removed."""
        return not self.reason


def is_depthwise(module: Convolution) -> bool:
    """Whether each filter reads one channel, and no other kind of filter does."""
    return module.groups == module.in_channels > 1


def module_gates(groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn gates of groups into gates of modules' outputs, for :func:`systolith.prune.gated`.

    Parameters
    ----------
    groups : sequence of ChannelGroup
        Groups that `gates` does not name get no gates.
    gates : mapping of str to Tensor, shape (size,) or (N, size)
        By group name; bool or float.

    Returns
    -------
    dict of str to Tensor, shape (C,) or (N, C)
        By module name; 1 for channels of other groups. Gradients flow back to `gates`.
    """
    named = [group for group in groups if group.name in gates]
    return _spread(
        (name, group.outputs[name], gates[group.name]) for group in named for name in group.gated
    )


def consumer_gates(
    groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Turn gates of groups into gates of their consumers' inputs, as :func:`module_gates`."""
    named = [group for group in groups if group.name in gates]
    return _spread(
        (name, units, gates[group.name]) for group in named for name, units in group.inputs.items()
    )


def producer_gates(
    groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Turn gates of groups into gates of their producers' filters, as :func:`module_gates`."""
    named = [group for group in groups if group.name in gates]
    return _spread(
        (name, group.outputs[name], gates[group.name])
        for group in named
        for name in group.producers
    )


def _spread(parts: Iterable[tuple[str, tuple[int, ...], Tensor]]) -> dict[str, Tensor]:
    """Combine parts (module, unit of each channel, gates of units) to gates by module."""
    result: dict[str, Tensor] = {}
    for name, units, gate in parts:
        here = gate
        if units != tuple(range(gate.shape[-1])):
            index = torch.tensor(units, device=gate.device)
            here = gate[..., index.clamp(min=0)]
            here = torch.where(index >= 0, here, torch.ones_like(here))
        result[name] = result[name] * here if name in result else here
    return result
