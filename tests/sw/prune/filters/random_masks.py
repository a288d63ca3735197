"""Masks drawn at random, for tests."""

from collections.abc import Iterable

import torch

from systolith.prune.filters import ChannelGroup, FilterMasks


def random_masks(groups: Iterable[ChannelGroup], seed: int) -> FilterMasks:
    """Keep each unit of each removable group with probability 1/2, and one in any case."""
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for group in groups:
        if group.removable:
            masks[group.name] = torch.rand(group.size, generator=generator) < 0.5
            masks[group.name][int(torch.randint(group.size, (), generator=generator))] = True
    return FilterMasks(masks, groups)
