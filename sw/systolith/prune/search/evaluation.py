"""Losses of many masks at once, on an unchanged network."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters import ChannelGroup, module_gates
from systolith.prune.filters_first import filter_weights
from systolith.prune.search.folding import FoldedNetwork
from systolith.prune.search.split import EvaluationSplit

__all__ = ["GateEvaluator", "LayerEvaluator"]

CHECK_IMAGES = 4
MANY = 4
"""Gates per group from which on it pays to record the network for each first group."""


class LayerEvaluator:
    """Losses of a network with masked weights in one layer, many masks at once.

    Parameters
    ----------
    model : nn.Module
        It is copied: later changes have no effect.
    layer : str
        Convolution or linear layer, called once.
    split : EvaluationSplit
        Images, labels, loss, and sizes of batches.

    Raises
    ------
    PruneError
        If the model cannot be recorded, does not call the layer, or mixes samples.
    """

    def __init__(self, model: nn.Module, layer: str, split: EvaluationSplit) -> None:
        network = FoldedNetwork(model, split.images, layer=layer)
        self._layer = layer
        self._weight = filter_weights(model.get_submodule(layer)).clone()
        self._batches = _Batches(network, split, {layer: self._weight[None]})

    def __call__(self, masks: Tensor) -> Tensor:
        """Mean losses, float64, shape (P,), of masks of bool, shape (P, F, C, Kh, Kw) or (P, O, I).

        Raises
        ------
        PruneError
            If the masks have another shape.
        """
        wanted, given = tuple(self._weight.shape), tuple(masks.shape)
        if given[1:] != wanted:
            shown = ", ".join(map(str, wanted))
            raise PruneError(
                [f"masks of layer '{self._layer}' need shape (P, {shown}), got {given}"]
            )
        weight = self._weight

        def variants(part: slice) -> Mapping[str, Tensor]:
            return {self._layer: weight * masks[part].to(weight.device)}

        return self._batches.losses(len(masks), variants)


class GateEvaluator:
    """Losses of a network with gated channels, many gates at once.

    Parameters
    ----------
    model : nn.Module
        It is copied: later changes have no effect.
    groups : iterable of ChannelGroup
        Groups of this model that may get gates.
    split : EvaluationSplit
        Images, labels, loss, and sizes of batches.
    """

    def __init__(
        self, model: nn.Module, groups: Iterable[ChannelGroup], split: EvaluationSplit
    ) -> None:
        self._model = copy.deepcopy(model)
        self._groups = {group.name: group for group in groups}
        self._split = split
        self._latest: tuple[frozenset[str], _Batches] | None = None

    def __call__(self, gates: Mapping[str, Tensor]) -> Tensor:
        """Mean losses, float64, shape (P,), of gates by group, shape (P, size).

        Groups that are not named stay whole. Everything before the first gate is computed once,
        and again only if other groups are named than in the last call. Many gates are evaluated
        together with those whose first gate of 0 is in the same group, so that less is computed
        for gates that leave the first groups whole.

        Raises
        ------
        PruneError
            Lists all problems: no group is named, a group is unknown or cannot be gated, gates have
            another shape. Also if the model cannot be recorded, or mixes samples.
        """
        PruneError.raise_if_any(self._problems(gates))
        names = [name for name in self._groups if name in gates]
        count = len(gates[names[0]])
        if count < MANY * len(names):
            return self._losses(gates)
        whole = torch.stack([(gates[name] == 1).all(1) for name in names]).cpu()
        first = whole.cumprod(0).sum(0).clamp(max=len(names) - 1)  # leading groups that are whole
        parts = [(first == place).nonzero()[:, 0] for place in range(len(names))]
        losses = [
            self._losses({name: gates[name][part.to(gates[name].device)] for name in names[place:]})
            for place, part in enumerate(parts)
            if len(part)
        ]
        order = torch.cat(parts).argsort()
        return torch.cat(losses)[order.to(losses[0].device)]

    def _losses(self, gates: Mapping[str, Tensor]) -> Tensor:
        batches = self._batches(frozenset(gates))

        def variants(part: slice) -> Mapping[str, Tensor]:
            some = {group: gate[part].to(batches.device) for group, gate in gates.items()}
            return module_gates(tuple(self._groups.values()), some)

        return batches.losses(len(next(iter(gates.values()))), variants)

    def _batches(self, named: frozenset[str]) -> "_Batches":
        if self._latest is None or self._latest[0] != named:
            self._latest = None  # free the memory first
            device = next(self._model.parameters()).device
            neutral = {
                name: torch.ones(1, len(self._groups[group].outputs[name]), device=device)
                for group in sorted(named)
                for name in self._groups[group].gated
            }
            network = FoldedNetwork(self._model, self._split.images, gated=neutral)
            self._latest = named, _Batches(network, self._split, neutral)
        return self._latest[1]

    def _problems(self, gates: Mapping[str, Tensor]) -> Iterator[str]:
        known = ", ".join(self._groups)
        if not gates:
            yield f"gates must name at least one group of {known}, got none"
        for name, gate in gates.items():
            if name not in self._groups:
                yield f"gates must name groups of {known}, got '{name}'"
                continue
            group = self._groups[name]
            if not group.gated:
                yield f"group '{name}' cannot be gated: {group.reason}"
            elif gate.shape[1:] != (group.size,):
                given = tuple(gate.shape)
                yield f"gates of group '{name}' need shape (P, {group.size}), got {given}"
        if len(counts := {len(gate) for gate in gates.values()}) > 1:
            yield f"gates need one number of variants, got {sorted(counts)}"


class _Batches:
    """Evaluates a folded network on a split; computes what all variants share once."""

    def __init__(
        self, network: FoldedNetwork, split: EvaluationSplit, neutral: Mapping[str, Tensor]
    ) -> None:
        self._network = network
        self._split = split
        self.device = next(iter(neutral.values())).device
        images = split.images.to(self.device)
        if split.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
            network.lay_channels_last()
        network.check(images[:CHECK_IMAGES], neutral)
        batch_size, self._masks_at_once = split.sizes(self.device)
        self._labels = torch.split(split.labels.to(self.device), batch_size)
        with self._precision():
            batches = torch.split(images, batch_size)
            self._prefixes = [network.prefix(batch) for batch in batches]

    def losses(self, count: int, variants: Callable[[slice], Mapping[str, Tensor]]) -> Tensor:
        """Compute mean losses, float64, shape (P,), of P = `count` variants, a few at a time."""
        totals = []
        for start in range(0, count, self._masks_at_once):
            part = variants(slice(start, start + self._masks_at_once))
            total = torch.zeros((), dtype=torch.float64, device=self.device)
            with self._precision():
                for prefix, labels in zip(self._prefixes, self._labels, strict=True):
                    logits = self._network.logits(prefix, part)
                    total = total + self._split.loss.total(logits, labels)
            totals.append(total)
        return torch.cat(totals) / len(self._split.images)

    def _precision(self) -> AbstractContextManager[object]:
        if self._split.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._split.dtype)
