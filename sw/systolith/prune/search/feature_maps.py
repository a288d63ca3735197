"""Search for feature maps, the coarsest granularity, group by group."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters import ChannelGroup, FilterMasks, find_channel_groups
from systolith.prune.filters.groups import NOT_HERE
from systolith.prune.filters_first import filter_weights
from systolith.prune.search.evaluation import GateEvaluator
from systolith.prune.search.particles import ParticleFilter, ParticleLosses, Search
from systolith.prune.search.spaces import ExactlyK
from systolith.prune.search.split import EvaluationSplit
from systolith.prune.search.stages import SearchProgress, run_stages

__all__ = ["prune_feature_maps_by_particles"]


def prune_feature_maps_by_particles(
    model: nn.Module,
    split: EvaluationSplit,
    keep: Mapping[str, int],
    *,
    groups: Iterable[ChannelGroup] | None = None,
    search: Search | None = None,
    seed: int = 0,
    retrain: Callable[[FilterMasks], None] | None = None,
    report: Callable[[SearchProgress], None] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    state: Mapping[str, Any] | None = None,
) -> FilterMasks:
    """Search which feature maps to keep, one group of channels after the other.

    To go on with kernels and taps, remove the others first::

        filters = prune_feature_maps_by_particles(model, split, {"conv1": 8})
        smaller = remove_filters(model, filters, split.images)
        masks = prune_by_particles(smaller, split, plan)

    Parameters
    ----------
    model : nn.Module
        Changed only by `retrain` and `state`.
    split : EvaluationSplit
        A few thousand held-out training images.
    keep : mapping of str to int
        Number of feature maps to keep, by group name, in the order in which groups are pruned.
    groups : iterable of ChannelGroup, optional
        By default, those that :func:`find_channel_groups` finds.
    search, seed, retrain, report, save, state
        As for :func:`systolith.prune.prune_by_particles`; `retrain` is given the masks of filters
        so far.

    Returns
    -------
    FilterMasks
        Masks that keep exactly these numbers.

    Raises
    ------
    PruneError
        If a group is unknown, not removable or too small, or the network cannot be evaluated; all
        problems of `keep` are listed.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017).

    **Deviation:** one particle begins with the filters of largest L1 norm; the loss is that of
    `split`, cross entropy by default; feature maps tied by shortcuts are one decision.
    """
    given = find_channel_groups(model, split.images) if groups is None else groups
    known = {group.name: group for group in given}
    PruneError.raise_if_any(_problems(known, keep))
    stages = [_GroupStage(known, name, keep[name], split) for name in keep]
    device = next(model.parameters()).device

    def masks(chosen: Sequence[Tensor]) -> FilterMasks:
        named = {name: part[0].to(device) for name, part in zip(keep, chosen, strict=False)}
        return FilterMasks(named, known.values())

    def settle(chosen: Sequence[Tensor], train: bool) -> None:
        for stage in stages:
            stage.earlier = masks(chosen)
        if train and retrain is not None:
            retrain(masks(chosen))

    chosen = run_stages(
        model,
        stages,
        search=ParticleFilter() if search is None else search,
        seed=seed,
        settle=settle,
        report=report,
        save=save,
        state=state,
    )
    return masks(chosen)


@dataclass(slots=True)
class _GroupStage:
    groups: Mapping[str, ChannelGroup]
    name: str
    keep: int
    split: EvaluationSplit
    earlier: FilterMasks = field(default_factory=lambda: FilterMasks({}, ()))

    @property
    def granularity(self) -> str:
        return "feature map"

    @property
    def space(self) -> ExactlyK:
        return ExactlyK(rows=1, n=self.groups[self.name].size, k=self.keep)

    def guess(self, model: nn.Module) -> Tensor:
        group = self.groups[self.name]
        norms = torch.zeros(group.size, dtype=torch.float64)
        for name in group.producers:
            weights = filter_weights(model.get_submodule(name)).cpu().double()
            units = torch.tensor(group.outputs[name])
            here = units != NOT_HERE
            norms.index_add_(0, units[here], weights.abs().flatten(1).sum(1)[here])
        mask = torch.zeros(1, group.size, dtype=torch.bool)
        mask[0, norms.argsort(descending=True, stable=True)[: self.keep]] = True
        return mask

    def objective(self, model: nn.Module) -> ParticleLosses:
        # Removed maps are zeroed in a copy, so that layers before this group run only once.
        pruned = copy.deepcopy(model)
        self.earlier.apply_(pruned)
        evaluate = GateEvaluator(pruned, [self.groups[self.name]], self.split)

        def losses(particles: Tensor) -> Tensor:
            return evaluate({self.name: particles[:, 0]})

        return losses


def _problems(groups: Mapping[str, ChannelGroup], keep: Mapping[str, int]) -> Iterator[str]:
    if not keep:
        yield "feature maps need at least one group to prune, got none"
    for name, count in keep.items():
        if name not in groups:
            yield f"feature maps need a group of {', '.join(groups)}, got '{name}'"
        elif groups[name].reason:
            yield f"feature maps of '{name}' cannot be pruned: {groups[name].reason}"
        elif not 1 <= count <= groups[name].size:
            most = groups[name].size
            yield f"feature maps to keep of '{name}' must lie in 1..{most}, got {count}"
