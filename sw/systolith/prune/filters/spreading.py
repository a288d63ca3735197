"""Gates of groups, spread to the modules that have their channels."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from systolith.prune.filters.groups import ChannelGroup

__all__ = ["consumer_gates", "module_gates", "producer_gates"]


def module_gates(groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn gates of groups into gates of modules' outputs, for :func:`gated`.

    Parameters
    ----------
    groups : sequence of ChannelGroup
        Those that `gates` does not name are left alone.
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
    """Turn gates of groups into gates of what their consumers read, as :func:`module_gates`."""
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
    """Gates by module, of which each part gives those of some channels: units, and their gates."""
    result: dict[str, Tensor] = {}
    for name, units, gate in parts:
        here = gate
        if units != tuple(range(gate.shape[-1])):
            index = torch.tensor(units, device=gate.device)
            here = gate[..., index.clamp(min=0)]
            here = torch.where(index >= 0, here, torch.ones_like(here))
        result[name] = result[name] * here if name in result else here
    return result
