"""Pruning without training: layers change one after the other so that their outputs stay."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from systolith.network import Dense, Pattern
from systolith.prune.decisions import is_by_kernel, weight_shape
from systolith.prune.errors import PruneError
from systolith.prune.masks import MaskSet
from systolith.prune.posttraining.elimination import eliminate
from systolith.prune.posttraining.least_squares import damp, output_errors, solve_kept
from systolith.prune.posttraining.moments import call_counts, input_moments
from systolith.prune.posttraining.splitting import split_mask
from systolith.prune.pruner import magnitude
from systolith.prune.rules import check_patterns
from systolith.prune.topk import topk_mask

__all__ = [
    "ReconstructedLayer",
    "ReconstructingPruner",
    "reconstruct_layer",
    "reconstruction_losses",
]

MOST_INPUTS = 1200
"""Weights per filter up to which kernels are eliminated one by one; time grows with the cube."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReconstructedLayer:
    """Mask and weights of one layer, and what they change.

    Parameters
    ----------
    mask : Tensor of bool
    weight : Tensor
        In shape and type of the layer's weights; zero where pruned.
    error : float
        Mean squared change of the outputs, added up over filters, as a share of their mean square.
    magnitude_error : float
        The same for the mask by magnitude with unchanged weights; never below `error`.
    """

    mask: Tensor
    weight: Tensor
    error: float
    magnitude_error: float


def reconstruct_layer(
    weight: Tensor, gram: Tensor, pattern: Pattern, *, damping: float = 0.01
) -> ReconstructedLayer:
    """Prune one layer so that its outputs change little.

    :func:`split_mask` chooses a mask, and :func:`eliminate` another one if whole kernels leave: for
    them it is as good, for single weights it left 5 to 60 % more error in ResNet-20. The mask by
    magnitude is the third. Least squares finds the kept weights for each mask. Each filter, or each
    team of filters that share a mask, takes the best of these and of the mask by magnitude with
    unchanged weights.

    Parameters
    ----------
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
    gram : Tensor of float64, shape (groups, d, d)
        Second moments of the inputs, from :func:`input_moments`.
    pattern : Pattern
        Fits the weights.
    damping : float
        Share of the mean of the moments' diagonal that is added to it, above 0.
    """
    shape, groups = weight_shape(weight), len(gram)
    rows = weight.detach().double().reshape(groups, shape[0] // groups, -1)
    damped = damp(gram, damping)
    by_magnitude = topk_mask(magnitude("", weight), pattern).reshape(rows.shape)
    masks = [by_magnitude, by_magnitude]
    values = [rows * by_magnitude]
    if not isinstance(pattern.select, Dense):
        masks.append(split_mask(rows, damped, pattern, shape))
        if is_by_kernel(pattern.select) and rows.shape[2] <= MOST_INPUTS:
            masks.append(eliminate(rows, damped, pattern, shape))
    values += [solve_kept(rows, damped, mask) for mask in masks[1:]]
    stored = torch.stack(values).to(weight.dtype)
    errors = torch.stack([output_errors(value - rows, gram) for value in stored.double()])
    errors = errors.flatten(1)
    shared = 1 if isinstance(pattern.select, Dense) else pattern.select.shared_by
    best = errors.reshape(len(errors), -1, shared).sum(2).argmin(0).repeat_interleave(shared)
    row = torch.arange(shape[0], device=weight.device)
    whole = float(output_errors(rows, gram).sum()) or 1.0
    return ReconstructedLayer(
        mask=torch.stack(masks).flatten(1, 2)[best, row].reshape(weight.shape),
        weight=stored.flatten(1, 2)[best, row].reshape(weight.shape),
        error=float(errors[best, row].sum()) / whole,
        magnitude_error=float(errors[0].sum()) / whole,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReconstructingPruner:
    """Prunes a trained model with images only: no labels, no training.

    Layers are pruned in the order in which the network runs. For each, the second moments ``H`` of
    its inputs are collected from the network as it then is, with all layers before it pruned. The
    mask and the kept weights shall minimize

    ``tr((W - W0) H (W - W0)^T)``

    the mean squared change of the layer's outputs; see :func:`reconstruct_layer`. No layer ends
    with a greater error than the mask by magnitude leaves on the same inputs.

    Parameters
    ----------
    patterns : mapping of str to Pattern
        By layer name, for convolutions and linear layers; other layers stay as they are.
    images : Tensor of float, shape (N, ...)
        A few hundred training images.
    damping : float
        Share of the mean of the moments' diagonal that is added to it, above 0.

    Raises
    ------
    PruneError
        If damping is not positive.

    Notes
    -----
    Frantar, Alistarh: SparseGPT (ICML 2023), layer by layer on the inputs that the pruned network
    gives; Frantar, Singh, Alistarh: Optimal brain compression (NeurIPS 2022); Hassibi, Stork:
    Optimal brain surgeon (NeurIPS 1992).

    **Deviation:** convolutions, by their lowered inputs; every pattern here. Operator splitting
    chooses masks of single weights (Meng et al.: ALPS, NeurIPS 2024), and elimination one by one
    those of kernels, instead of elimination column by column. Exact least squares for what is kept.

    Weights without gradients are only masked, by magnitude. The same model and images give the same
    result on the same machine with the same number of threads.

    Examples
    --------
    >>> from systolith.network import KOutOfN
    >>> layer = nn.Linear(4, 1, bias=False)
    >>> layer.weight.data.copy_(torch.tensor([[1.0, 1.0, 1.0, 2.0]]))
    tensor([[1., 1., 1., 2.]])
    >>> images = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    >>> pruner = ReconstructingPruner(patterns={"0": Pattern(select=KOutOfN(3, 4))}, images=images)
    >>> model = nn.Sequential(layer)
    >>> pruner.prune_(model)["0.weight"].sum().item()  # one of the equal inputs leaves
    3
    >>> bool((model(images)[:, 0] - torch.tensor([2.0, 1.0, 2.0])).abs().max() < 0.02)
    True
    """

    patterns: Mapping[str, Pattern]
    images: Tensor
    damping: float = 0.01

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise PruneError([f"reconstruction needs damping above 0, got {self.damping}"])

    def prune_(self, model: nn.Module) -> MaskSet:
        """Prune the model in place, and return its masks.

        Raises
        ------
        PruneError
            If a pattern does not fit its layer, or the inputs of a layer cannot be seen; all
            problems are listed. The model is then unchanged.
        """
        masks = {f"{name}.weight": layer.mask for name, layer in self.layers_(model)}
        ordered = {name: masks[f"{name}.weight"] for name in self.patterns}
        patterns = {f"{name}.weight": pattern for name, pattern in self.patterns.items()}
        return MaskSet({f"{name}.weight": mask for name, mask in ordered.items()}, patterns)

    def layers_(self, model: nn.Module) -> Iterator[tuple[str, ReconstructedLayer]]:
        """Prune layer by layer in place, and yield name and result of each one."""
        check_patterns(model, self.patterns)
        calls = call_counts(model, self.patterns, self.images)
        for name in calls:
            weight = model.get_submodule(name).get_parameter("weight")
            gram = input_moments(model, {name: calls[name]}, self.images)[name]
            layer = reconstruct_layer(weight, gram, self.patterns[name], damping=self.damping)
            if not weight.requires_grad:
                layer = _masked_only(weight, layer, self.patterns[name])
            with torch.no_grad():
                weight.copy_(layer.weight)
            yield name, layer


def reconstruction_losses(
    model: nn.Module,
    candidates: Mapping[str, Iterable[Pattern]],
    images: Tensor,
    *,
    damping: float = 0.01,
) -> dict[str, dict[Pattern, float]]:
    """Error of each layer's outputs under each pattern, for :func:`allocate_patterns`.

    Parameters
    ----------
    model : nn.Module
        Not changed: each error is that of the layer alone, in the dense network.
    candidates : mapping of str to iterable of Pattern
        By layer name; dense is added.
    images : Tensor of float, shape (N, ...)
        A few hundred training images.
    damping : float
        As for :class:`ReconstructingPruner`.

    Returns
    -------
    dict of str to dict of Pattern to float
        By layer name: squared change of the outputs as a share of their squares; 0 for dense.
    """
    grams = input_moments(model, call_counts(model, candidates, images), images)
    losses: dict[str, dict[Pattern, float]] = {}
    for name, patterns in candidates.items():
        weight = model.get_submodule(name).get_parameter("weight")
        losses[name] = {Pattern(): 0.0}
        for pattern in patterns:
            layer = reconstruct_layer(weight, grams[name], pattern, damping=damping)
            losses[name][pattern] = layer.error
    return losses


def _masked_only(weight: Tensor, layer: ReconstructedLayer, pattern: Pattern) -> ReconstructedLayer:
    """Mask frozen weights by magnitude; what is kept stays exactly as it is."""
    mask = topk_mask(magnitude("", weight), pattern)
    return ReconstructedLayer(
        mask=mask,
        weight=weight.detach().masked_fill(~mask, 0.0),
        error=layer.magnitude_error,
        magnitude_error=layer.magnitude_error,
    )
