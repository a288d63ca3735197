"""Search for channel groups in a recording of a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from systolith.foundation import kind_problems
from systolith.prune.computed_weights import with_plain_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters.analysis.channels import Channels, Labels
from systolith.prune.filters.analysis.following import (
    FollowedChannels,
    follow_channels,
    not_followed,
)
from systolith.prune.filters.analysis.moving import changes_sizes
from systolith.prune.filters.groups import NOT_HERE, ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.trace import Recording, first_difference, read_call, record

__all__ = ["find_channel_groups"]


def find_channel_groups(model: nn.Module, images: Tensor) -> tuple[ChannelGroup, ...]:
    """Find filters that can be removed, and those that can only be removed together.

    The model is recorded on `images`, and the identity of each channel is followed through
    additions, concatenations, depthwise convolutions, batch norms, pools, flattening, activations
    that keep zero at zero, splits into equal parts, shuffles of channels and pixel shuffles.
    Channels that meet anything else are not removable, nor are the network's outputs. Layers that
    no output depends on lose the inputs that others lose, and keep their filters. A second
    recording, of the model with fewer units in each group, finds what the model computes from the
    number of its channels.

    Parameters
    ----------
    model : nn.Module
        As quantization takes it: see :func:`systolith.trace.record`. It is not changed.
    images : Tensor of float, shape (N, C, H, W)
        At most two are used.

    Returns
    -------
    tuple of ChannelGroup
        In the order in which their first producers run; groups that have to stay have a reason.

    Raises
    ------
    PruneError
        Lists every reason why the model cannot be recorded.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    >>> for group in find_channel_groups(model, torch.zeros(1, 1, 4, 4)):
    ...     print(group.name, group.size, group.gated, group.consumers, group.removable)
    0 4 ('1',) ('3',) True
    3 2 ('3',) () False
    """
    PruneError.raise_if_any(
        [*kind_problems("model", model, nn.Module), *kind_problems("images", images, Tensor)]
    )
    model, images = _on_cpu(with_plain_weights(model)), images.cpu()
    recording = record(model, images, keep_unread=True)
    PruneError.raise_if_any(recording.problems)
    followed = follow_channels(model, recording)
    groups = _groups(followed)
    return tuple(_without_counted(groups, followed, model, recording, images))


def _on_cpu(model: nn.Module) -> nn.Module:
    """Move a model, unless it is there: computed weights warn when they are moved."""
    tensors = [*model.parameters(), *model.buffers()]
    return model if all(tensor.device.type == "cpu" for tensor in tensors) else model.cpu()


def _without_counted(
    groups: Sequence[ChannelGroup],
    followed: FollowedChannels,
    model: nn.Module,
    recording: Recording,
    images: Tensor,
) -> Iterator[ChannelGroup]:
    """Refuse groups whose size enters the computation, as in ``x / x.shape[1]``.

    Sizes of calls that reshape and split may follow the channels, and have to: a value has the
    channels that are left, in a smaller model.
    """

    def may_differ(node: fx.Node) -> bool:
        return changes_sizes(read_call(node, recording.values))

    def first_difference_when_smaller(*chosen: ChannelGroup) -> fx.Node | None:
        # One unit less can go unseen: the first of two parts of 5 channels has 3, as that of 6 has.
        sizes = {
            group.name: torch.arange(group.size)
            for group in chosen
            if group.removable and group.size > 1
        }
        for masks in (
            {name: units > 0 for name, units in sizes.items()},
            {name: units < 1 for name, units in sizes.items()},
        ):
            if not masks:
                return None
            smaller = FilterMasks(masks, groups).shrink(model)
            other = record(smaller, images, keep_unread=True)
            node = first_difference(recording, other, may_differ)
            if node is None:
                node = _first_misfit(followed, recording, other, masks, chosen)
            if node is not None:
                return node
        return None

    if first_difference_when_smaller(*groups) is None:
        yield from groups
        return
    for group in groups:
        node = first_difference_when_smaller(group)
        yield group if node is None else replace(group, reason=not_followed(node))


def _first_misfit(
    followed: FollowedChannels,
    recording: Recording,
    other: Recording,
    kept: Mapping[str, Tensor],
    chosen: Sequence[ChannelGroup],
) -> fx.Node | None:
    """Find the first value of a smaller model that has not the channels that are left."""
    node: fx.Node
    removed: set[int] = set()
    for group in chosen:
        if group.name in kept:
            for name, units in group.outputs.items():
                roots = followed.channels.roots(followed.outputs[name]).tolist()
                left = kept[group.name].tolist()
                removed |= {
                    root
                    for root, unit in zip(roots, units, strict=True)
                    if unit >= 0 and not left[unit]
                }
    for node, twin in zip(recording.graph.nodes, other.graph.nodes, strict=True):
        labels = followed.values[node]
        if labels.ndim > 1 or not len(labels) or twin not in other.values:
            continue
        channels = sum(root not in removed for root in followed.channels.roots(labels).tolist())
        before, after = recording.values[node].shape, other.values[twin].shape
        if (*before[:1], channels, *before[2:]) != tuple(after):
            return node
    return None


def _groups(followed: FollowedChannels) -> list[ChannelGroup]:
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
    return list(groups.values())


def _group(
    title: str,
    producers: Sequence[str],
    roots: Sequence[int],
    reason: str,
    followed: FollowedChannels,
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
    """Unit of each channel, by module that has channels of the group."""
    by_module = {
        name: tuple(units.get(root, NOT_HERE) for root in channels.roots(here).tolist())
        for name, here in labels.items()
    }
    return {name: here for name, here in by_module.items() if set(here) != {NOT_HERE}}
