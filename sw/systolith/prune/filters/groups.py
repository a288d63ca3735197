"""Groups of channels that can only be removed together, found exactly by tracing the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from systolith.prune.filters.channels import Channels, Labels
from systolith.prune.filters.following import Followed, follow_channels

__all__ = ["ChannelGroup", "find_channel_groups"]

NOT_HERE = -1
"""Unit of a channel that belongs to another group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels of several modules, tied together one by one; each tie is a *unit*.

    Normally, a unit is one filter of a convolution with what additions and depthwise convolutions
    tie to it, and unit i is channel i of every module of the group. Where it is not, `outputs` and
    `inputs` say which channels are meant.

    Parameters
    ----------
    name : str
        Of the first producer; a second group that starts at the same module ends in ``#2``.
    size : int
        Units, of which each is kept or removed.
    producers : tuple of str
        Convolutions and linear layers whose filters the units are, depthwise ones included; in the
        order in which they run.
    gated : tuple of str
        Modules behind whose output a gate on each unit is the same as its removal, if they all have
        it: the batch norm behind a producer, or the producer. None comes before a batch norm, which
        would meet a variance of zero.
    consumers : tuple of str
        Convolutions and linear layers whose weights shrink along their input.
    outputs : mapping of str to tuple of int
        By producer and batch norm: the unit of each output channel, -1 if of another group.
    inputs : mapping of str to tuple of int
        By consumer: the unit of each input channel, or feature, -1 if of another group.
    reason : str
        Why no unit can be removed; empty if each can.
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


def find_channel_groups(model: nn.Module, images: Tensor) -> tuple[ChannelGroup, ...]:
    """Find which filters can be removed, and which only together.

    The model is run on `images` while the identity of each channel is followed through additions,
    concatenations, depthwise convolutions, batch norms, pools, flattening and activations that keep
    zero at zero. What meets anything else is not removable, nor are the network's outputs.

    Parameters
    ----------
    model : nn.Module
        With a forward() that torch.fx can trace. It is not changed.
    images : Tensor of float, shape (N, C, H, W)
        At most two are used; only their shape matters.

    Returns
    -------
    tuple of ChannelGroup
        In the order in which their first producers run, those that are not removable included.

    Raises
    ------
    PruneError
        If the model cannot be traced.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    >>> for group in find_channel_groups(model, torch.zeros(1, 1, 4, 4)):
    ...     print(group.name, group.size, group.gated, group.consumers, group.removable)
    0 4 ('1',) ('3',) True
    3 2 ('3',) () False
    """
    followed = follow_channels(model, images)
    channels = followed.channels
    members: dict[int, list[str]] = {}
    for name in followed.producers:
        for root in dict.fromkeys(channels.roots(followed.outputs[name]).tolist()):
            members.setdefault(root, []).append(name)
    units: dict[tuple[str, ...], list[int]] = {}
    for root, names in members.items():
        units.setdefault((channels.reason(root), *names), []).append(root)
    groups: dict[str, ChannelGroup] = {}
    for (reason, *names), roots in units.items():
        title, number = names[0], 2
        while title in groups:
            title, number = f"{names[0]}#{number}", number + 1
        groups[title] = _group(title, names, roots, reason, followed)
    return tuple(groups.values())


def _group(
    title: str, producers: Sequence[str], roots: Sequence[int], reason: str, followed: Followed
) -> ChannelGroup:
    units = {root: unit for unit, root in enumerate(roots)}
    outputs = _units(followed.outputs, units, followed.channels)
    inputs = _units(followed.inputs, units, followed.channels)
    return ChannelGroup(
        name=title,
        size=len(units),
        producers=tuple(producers),
        gated=tuple(name for name in outputs if name in followed.exposed),
        consumers=tuple(inputs),
        outputs=outputs,
        inputs=inputs,
        reason=reason,
    )


def _units(
    labels: Mapping[str, Labels], units: Mapping[int, int], channels: Channels
) -> dict[str, tuple[int, ...]]:
    """Say which unit each channel of each module is, for modules that have any of them."""
    found = {
        name: tuple(units.get(root, NOT_HERE) for root in channels.roots(here).tolist())
        for name, here in labels.items()
    }
    return {name: here for name, here in found.items() if set(here) != {NOT_HERE}}
