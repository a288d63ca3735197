"""Layers behind removed filters: least squares brings their outputs near those from before."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from systolith.prune.filters import FilterMasks
from systolith.prune.filters_first import Convolution, as_stored, filter_weights
from systolith.prune.posttraining.least_squares import check_damping, damp
from systolith.prune.posttraining.moments import count_calls, measure_output_moments
from systolith.prune.posttraining.output_moments import OutputMoments

__all__ = ["reconstruct_consumers_", "reconstruct_masked_consumers_"]


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
        If damping is not positive and finite, or the inputs of a layer cannot be seen.

    Notes
    -----
    He, Zhang, Sun: Channel pruning for accelerating very deep neural networks (ICCV 2017), equation
    1, second step; Luo, Wu, Lin: ThiNet (ICCV 2017), section 3.3.

    **Deviation:** filters may be chosen by any method; damping.
    """
    check_damping(damping)
    kept_outputs = masks.channel_masks()
    names = [name for name, kept in masks.input_masks().items() if not bool(kept.all())]
    for name, count in count_calls(small, names, images).items():
        layer = small.get_submodule(name)
        assert isinstance(layer, Convolution | nn.Linear), "count_calls has checked it"
        if layer.weight.requires_grad:
            kept = kept_outputs.get(name)
            moments = measure_output_moments(small, model, {name: count}, images, kept)
            _reconstruct_(layer, moments, damping)


def reconstruct_masked_consumers_(
    model: nn.Module, earlier: FilterMasks | None, masks: FilterMasks, images: Tensor
) -> None:
    """Reconstruct the layers behind filters that will leave, in place, in the whole network.

    The weights that remain when filters leave are then those of :func:`reconstruct_consumers_`.

    Parameters
    ----------
    model : nn.Module
        It still has all filters.
    earlier : FilterMasks, optional
        Filters that were kept so far: the outputs to reproduce are those of the network with them.
        Default: all.
    masks : FilterMasks
        Filters that are kept now.
    images : Tensor of float, shape (N, ...)
        A few hundred training images.

    Raises
    ------
    PruneError
        If the inputs of a layer cannot be seen.
    """
    reference, places = deepcopy(model), deepcopy(model).double()
    if earlier is not None:
        earlier.apply_(reference)
    small = masks.shrink(reference)
    reconstruct_consumers_(small, reference, masks, images)
    with torch.no_grad():
        # A network whose parameters are their own positions shows which of them remain.
        for parameter in places.parameters():
            positions = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_(positions.reshape(parameter.shape))
        remaining = dict(masks.shrink(places).named_parameters())
        for name, parameter in small.named_parameters():
            whole = model.get_parameter(name)
            flat = whole.detach().reshape(-1).clone()
            flat[remaining[name].long().flatten()] = parameter.flatten()
            whole.copy_(flat.reshape(whole.shape))


def _reconstruct_(layer: Convolution | nn.Linear, moments: OutputMoments, damping: float) -> None:
    """Solve for weights and bias; damping pulls the weights to the present ones."""
    weight, bias = filter_weights(layer), layer.bias
    free_bias = bias is not None and bias.requires_grad
    fixed = moments if free_bias else moments.without_bias(bias)
    gram, right = fixed.gram.clone(), fixed.cross.clone()
    rows = weight.double().reshape(*moments.squares.shape, -1)
    inputs = rows.shape[2]
    level = damp(moments.gram[:, :inputs, :inputs], damping) - moments.gram[:, :inputs, :inputs]
    gram[:, :inputs, :inputs] += level
    right[:, :, :inputs] += rows @ level
    solution = torch.linalg.solve(gram, right.mT).mT
    with torch.no_grad():
        solved = solution[:, :, :inputs].reshape(weight.shape)
        layer.weight.copy_(as_stored(solved, layer))
        if free_bias and bias is not None:
            bias.copy_(solution[:, :, inputs].flatten())
