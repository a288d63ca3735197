"""Losses of many masks at once, on a network that stays as it is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.search.folding import FoldedNetwork
from systolith.prune.search.split import EvaluationSplit

__all__ = ["GateEvaluator", "LayerEvaluator"]

CHECK_IMAGES = 4


class LayerEvaluator:
    """Losses of a network with masked weights in one layer, many masks at once.

    Parameters
    ----------
    model : nn.Module
        As it is now: later changes do not matter.
    layer : str
        Convolution or linear layer, called once.
    split : EvaluationSplit
        Images, labels, loss, and sizes of batches.

    Raises
    ------
    PruneError
        If the model cannot be traced, does not call the layer, or mixes samples.
    """

    def __init__(self, model: nn.Module, layer: str, split: EvaluationSplit) -> None:
        network = FoldedNetwork(model, layer=layer)
        self._layer = layer
        self._weight = model.get_parameter(f"{layer}.weight").detach().clone()
        self._batches = _Batches(network, split, {layer: self._weight[None]})

    def __call__(self, masks: Tensor) -> Tensor:
        """Mean losses, float64, shape (P,), of masks of bool, shape (P, *weight.shape).

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
    """Losses of a network with gates behind modules, many gates at once.

    Parameters
    ----------
    model : nn.Module
        As it is now: later changes do not matter.
    gated : mapping of str to sequence of str
        By group of channels that share their gates: the modules whose outputs are multiplied.
    sizes : mapping of str to int
        Channels of each group.
    split : EvaluationSplit
        Images, labels, loss, and sizes of batches.

    Raises
    ------
    PruneError
        If the model cannot be traced, does not call a module, or mixes samples.
    """

    def __init__(
        self,
        model: nn.Module,
        gated: Mapping[str, Sequence[str]],
        sizes: Mapping[str, int],
        split: EvaluationSplit,
    ) -> None:
        self._gated = {group: tuple(modules) for group, modules in gated.items()}
        self._sizes = dict(sizes)
        network = FoldedNetwork(model, gated=[name for names in gated.values() for name in names])
        device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
        neutral = {
            name: torch.ones(1, sizes[group], device=device)
            for group, names in gated.items()
            for name in names
        }
        self._device = device
        self._batches = _Batches(network, split, neutral)

    def __call__(self, gates: Mapping[str, Tensor]) -> Tensor:
        """Mean losses, float64, shape (P,), of gates by group, shape (P, size).

        Raises
        ------
        PruneError
            If a group is missing or unknown, or gates have another shape; all are listed.
        """
        counts = {len(gate) for gate in gates.values()}
        problems = [
            f"gates of group '{group}' need shape (P, {size}), got {tuple(gates[group].shape)}"
            for group, size in self._sizes.items()
            if group in gates and gates[group].shape[1:] != (size,)
        ]
        if gates.keys() != self._sizes.keys():
            problems.append(
                f"gates must name the groups {', '.join(self._sizes)}, got {', '.join(gates)}"
            )
        if len(counts) > 1:
            problems.append(f"gates need one number of variants, got {sorted(counts)}")
        if problems:
            raise PruneError(problems)

        def variants(part: slice) -> Mapping[str, Tensor]:
            return {
                name: gates[group][part].to(self._device)
                for group, names in self._gated.items()
                for name in names
            }

        return self._batches.losses(counts.pop(), variants)


class _Batches:
    """Evaluates a folded network on a split; what all variants share is computed here, once."""

    def __init__(
        self, network: FoldedNetwork, split: EvaluationSplit, neutral: Mapping[str, Tensor]
    ) -> None:
        self._network = network
        self._split = split
        self._device = next(iter(neutral.values())).device
        images = split.images.to(self._device)
        if split.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
            network.lay_channels_last()
        network.check(images[:CHECK_IMAGES], neutral)
        self._labels = torch.split(split.labels.to(self._device), split.batch_size)
        with self._precision():
            batches = torch.split(images, split.batch_size)
            self._prefixes = [network.prefix(batch) for batch in batches]

    def losses(self, count: int, variants: Callable[[slice], Mapping[str, Tensor]]) -> Tensor:
        """Mean losses, float64, shape (P,), of P = `count` variants, made a few at a time."""
        some = max(1, self._split.folded // min(self._split.batch_size, len(self._split.images)))
        totals = []
        for start in range(0, count, some):
            part = variants(slice(start, start + some))
            total = torch.zeros((), dtype=torch.float64, device=self._device)
            with self._precision():
                for prefix, labels in zip(self._prefixes, self._labels, strict=True):
                    logits = self._network.logits(prefix, part)
                    total = total + self._split.loss.total(logits, labels)
            totals.append(total)
        return torch.cat(totals) / len(self._split.images)

    def _precision(self) -> AbstractContextManager[object]:
        if self._split.dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._split.dtype)
