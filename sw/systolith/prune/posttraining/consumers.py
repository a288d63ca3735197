"""Layers behind removed filters: least squares brings their outputs near those from before."""

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters import FilterMasks
from systolith.prune.posttraining.least_squares import damp
from systolith.prune.posttraining.moments import BATCH, call_counts, lowered_input, run_until

__all__ = ["reconstruct_consumers_"]


def reconstruct_consumers_(
    small: nn.Module,
    model: nn.Module,
    masks: FilterMasks,
    images: Tensor,
    *,
    damping: float = 0.01,
) -> None:
    """Give layers that lost inputs the weights that reproduce their outputs best, in place.

    In the order of the network, each consumer of removed filters gets the weights W and, if it has
    one, the bias b that minimize ``|| W x + b - y ||^2`` over images and positions: x are its
    lowered inputs in the small network as it then is, y its outputs in the whole network. Weights
    without gradients stay as they are.

    Parameters
    ----------
    small : nn.Module
        From :func:`systolith.prune.remove_filters`.
    model : nn.Module
        The whole network, not masked; not changed.
    masks : FilterMasks
        The filters that were removed.
    images : Tensor of float, shape (N, ...)
        A few hundred training images.
    damping : float
        Share of the mean square of the inputs that pulls the weights to those they have.

    Raises
    ------
    PruneError
        If damping is not positive, or the inputs of a layer cannot be seen.

    Notes
    -----
    He, Zhang, Sun: Channel pruning for accelerating very deep neural networks (ICCV 2017), equation
    1, second step; Luo, Wu, Lin: ThiNet (ICCV 2017), section 3.3.

    **Deviation:** filters may be chosen by any method; damping.
    """
    if not damping > 0:
        raise PruneError([f"reconstruction needs damping above 0, got {damping}"])
    kept_outputs = masks.channel_masks()
    names = [name for name, kept in masks.input_masks().items() if not bool(kept.all())]
    for name, count in call_counts(small, names, images).items():
        layer = small.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear), "call_counts has checked it"
        if layer.weight.requires_grad:
            kept = kept_outputs.get(name)
            _reconstruct_(layer, *_sums(small, model, name, count, kept, images), damping)


def _sums(
    small: nn.Module, model: nn.Module, name: str, calls: int, kept: Tensor | None, images: Tensor
) -> tuple[Tensor, Tensor]:
    """Means of ``x x^T`` and ``y x^T``, where x has a last input that is always 1."""
    gram, cross, positions = None, None, 0
    for batch in torch.split(images, BATCH):
        seen = (_calls_of(network, name, calls, batch) for network in (small, model))
        for (given, _), (_, output) in zip(*seen, strict=True):
            wanted = _rows(output if kept is None else _chosen(output, kept))
            first = 0
            for lowered in lowered_input(small.get_submodule(name), given):
                ones = lowered.new_ones(len(lowered), 1, lowered.shape[2])
                x = torch.cat([lowered, ones], dim=1)
                y = wanted[:, first : first + x.shape[2]].reshape(len(x), -1, x.shape[2])
                first += x.shape[2]
                squares, products = (x @ x.mT).double(), (y @ x.mT).double()
                gram = squares if gram is None else gram + squares
                cross = products if cross is None else cross + products
                positions += x.shape[2]
    assert gram is not None and cross is not None, "call_counts has checked that there are images"
    return gram / positions, cross / positions


def _calls_of(
    model: nn.Module, name: str, calls: int, batch: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Input and output of each call of a layer."""
    seen: list[tuple[Tensor, Tensor]] = []
    run_until(model, batch, {name: calls}, lambda _, given, output: seen.append((given, output)))
    return seen


def _reconstruct_(
    layer: nn.Conv2d | nn.Linear, gram: Tensor, cross: Tensor, damping: float
) -> None:
    """Solve for weights and bias; damping pulls the weights to the present ones."""
    weight = layer.weight
    rows = weight.detach().double().reshape(len(gram), len(weight) // len(gram), -1)
    inputs, mean = gram[:, :-1, :-1], gram[:, :-1, -1:]
    level = damp(inputs, damping) - inputs
    bias = layer.bias
    if bias is None or not bias.requires_grad:
        given = 0.0 if bias is None else bias.detach().double().reshape(len(gram), -1, 1) * mean.mT
        right = cross[:, :, :-1] - given + rows @ level
        solution = torch.linalg.solve(inputs + level, right.mT).mT
    else:
        damped, right = gram.clone(), cross.clone()
        damped[:, :-1, :-1] += level
        right[:, :, :-1] += rows @ level
        both = torch.linalg.solve(damped, right.mT).mT
        solution = both[:, :, :-1]
        with torch.no_grad():
            bias.copy_(both[:, :, -1].flatten())
    with torch.no_grad():
        weight.copy_(solution.reshape(weight.shape))


def _chosen(output: Tensor, kept: Tensor) -> Tensor:
    """Keep the outputs of filters that stay."""
    axis = 1 if output.ndim == 4 else output.ndim - 1
    return output.index_select(axis, kept.to(output.device).nonzero()[:, 0])


def _rows(output: Tensor) -> Tensor:
    """From (N, F, H, W) or (..., F) to (F, positions), in the order of lowered inputs."""
    if output.ndim == 4:
        return output.detach().permute(1, 0, 2, 3).flatten(1)
    return output.detach().flatten(0, -2).T
