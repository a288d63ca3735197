"""Pruning without training: layers change one after the other so that their outputs stay."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from systolith.network import Dense, Pattern
from systolith.prune.computed_weights import with_plain_weights
from systolith.prune.decisions import is_by_kernel, weight_shape
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import Convolution, as_stored, filter_weights
from systolith.prune.masks import MaskSet
from systolith.prune.posttraining.elimination import find_mask_by_elimination
from systolith.prune.posttraining.least_squares import check_damping, damp, solve_kept
from systolith.prune.posttraining.moments import (
    count_calls,
    measure_input_moments,
    measure_output_moments,
)
from systolith.prune.posttraining.operator_splitting import find_mask_by_splitting
from systolith.prune.posttraining.output_moments import OutputMoments
from systolith.prune.pruner import magnitude
from systolith.prune.rules import check_patterns, prunable_layers
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
        Mean squared difference from the wanted outputs, as a share of their mean square; both are
        added up over filters.
    magnitude_error : float
        The same for the mask by magnitude with unchanged weights; never below `error`.
    """

    mask: Tensor
    weight: Tensor
    error: float
    magnitude_error: float


def reconstruct_layer(
    weight: Tensor, moments: OutputMoments, pattern: Pattern, *, damping: float = 0.01
) -> ReconstructedLayer:
    """Prune one layer so that its outputs come near those wanted.

    :func:`find_mask_by_splitting` chooses a mask. If whole kernels leave,
    :func:`find_mask_by_elimination` chooses another one: for kernels it is as good, for single
    weights it left 3 to 60 % more error in ResNet-20. The mask by magnitude is the third. Least
    squares finds the kept weights for each mask. Each filter, or each team of filters that share a
    mask, takes the best of these and of the mask by magnitude with unchanged weights.

    Parameters
    ----------
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
    moments : OutputMoments
        Of the inputs and of the wanted outputs, without bias.
    pattern : Pattern
        Fits the weights.
    damping : float
        Share of the mean square of the inputs that pulls to the given weights, above 0.
    """
    shape, select = weight_shape(weight), pattern.select
    rows = weight.detach().double().reshape(*moments.squares.shape, -1)
    damped = damp(moments.gram, damping)
    dense = _best_dense(rows, moments, damped)
    by_magnitude = topk_mask(magnitude("", weight), pattern).reshape(rows.shape)
    masks = [by_magnitude, by_magnitude]
    values = [rows * by_magnitude]
    if not isinstance(select, Dense):
        masks.append(find_mask_by_splitting(dense, damped, pattern, shape))
        if is_by_kernel(select) and rows.shape[2] <= MOST_INPUTS:
            masks.append(find_mask_by_elimination(dense, damped, pattern, shape))
    values += [solve_kept(dense, damped, mask) for mask in masks[1:]]
    stored = torch.stack(values).to(weight.dtype)
    errors = torch.stack([_errors(value, moments).flatten() for value in stored.double()])
    shared = 1 if isinstance(select, Dense) else select.shared_by
    best = errors.reshape(len(errors), -1, shared).sum(2).argmin(0).repeat_interleave(shared)
    row = torch.arange(shape[0], device=weight.device)
    whole = float(moments.squares.sum()) or 1.0
    return ReconstructedLayer(
        mask=torch.stack(masks).flatten(1, 2)[best, row].reshape(weight.shape),
        weight=stored.flatten(1, 2)[best, row].reshape(weight.shape),
        error=float(errors[best, row].sum()) / whole,
        magnitude_error=float(errors[0].sum()) / whole,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReconstructingPruner:
    """Prunes a trained model with images only: no labels, no training.

    Layers are pruned in the order in which the network runs. With x the lowered inputs of a layer
    in the network as it then is, with all layers before it pruned, and y the outputs of the same
    layer in the dense network, mask and kept weights W shall minimize the mean of

    ``|| W x - y ||^2``

    over images and positions; see :func:`reconstruct_layer`. No layer ends with a greater error
    than the mask by magnitude leaves on the same inputs. Biases and other layers stay as they are;
    :func:`recalibrate_batch_norms_` afterwards is worth its time.

    Parameters
    ----------
    patterns : mapping of str to Pattern
        By layer name, for convolutions and linear layers; other layers stay as they are.
    images : Tensor of float, shape (N, ...)
        A few hundred training images.
    damping : float
        Share of the mean square of the inputs that pulls to the given weights, above 0.

    Raises
    ------
    PruneError
        If damping is not positive and finite.

    Notes
    -----
    Frantar, Alistarh: SparseGPT (ICML 2023), layer by layer on the inputs that the pruned network
    gives; Frantar, Singh, Alistarh: Optimal brain compression (NeurIPS 2022); Hassibi, Stork:
    Optimal brain surgeon (NeurIPS 1992).

    **Deviation:** outputs of the dense network are wanted, so that later layers make up for earlier
    ones: 1-of-4 of ResNet-20 gains 2.6 points. Convolutions, by their lowered inputs; every pattern
    here.

    **Deviation:** instead of elimination column by column, operator splitting chooses masks of
    single weights (Meng et al.: ALPS, NeurIPS 2024), and elimination one by one those of kernels.
    Least squares finds the kept weights exactly.

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
        check_damping(self.damping)

    def prune_(self, model: nn.Module) -> MaskSet:
        """Prune the model in place, and return its masks.

        Raises
        ------
        PruneError
            If a pattern does not fit its layer, or the inputs of a layer cannot be seen; all
            problems are listed. If inputs are not finite, or damping is too small to invert their
            moments. The model is then unchanged.
        """
        layers = prunable_layers(model)
        weights = [layers[name].weight for name in self.patterns if name in layers]
        before = [weight.detach().clone() for weight in weights]
        try:
            masks = {f"{name}.weight": layer.mask for name, layer in self.layers_(model)}
        except BaseException:  # an interruption, too
            with torch.no_grad():
                for weight, value in zip(weights, before, strict=True):
                    weight.copy_(value)
            raise
        ordered = {name: masks[f"{name}.weight"] for name in self.patterns}
        patterns = {f"{name}.weight": pattern for name, pattern in self.patterns.items()}
        return MaskSet({f"{name}.weight": mask for name, mask in ordered.items()}, patterns)

    def layers_(self, model: nn.Module) -> Iterator[tuple[str, ReconstructedLayer]]:
        """Prune layer by layer in place, and yield name and result of each one."""
        check_patterns(model, self.patterns)
        calls = count_calls(model, self.patterns, self.images)
        dense = with_plain_weights(model)
        for name, count in calls.items():
            module = model.get_submodule(name)
            assert isinstance(module, Convolution | nn.Linear), "count_calls has checked it"
            weight = filter_weights(module)
            moments = measure_output_moments(model, dense, {name: count}, self.images)
            moments = moments.without_bias(module.bias)
            try:
                layer = reconstruct_layer(
                    weight, moments, self.patterns[name], damping=self.damping
                )
            except RuntimeError as error:  # torch does not export its LinAlgError to type checkers
                if "linalg" not in str(error):
                    raise
                problem = f"reconstruction of '{name}' needs more damping, got {self.damping}"
                raise PruneError([problem]) from error
            if not module.weight.requires_grad:
                layer = _masked_only(weight, layer, self.patterns[name])
            with torch.no_grad():
                module.weight.copy_(as_stored(layer.weight, module))
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
    grams = measure_input_moments(model, count_calls(model, candidates, images), images)
    losses: dict[str, dict[Pattern, float]] = {}
    for name, patterns in candidates.items():
        weight = filter_weights(model.get_submodule(name))
        losses[name] = {Pattern(): 0.0}
        gram = grams[name]
        rows = weight.double().reshape(len(gram), len(weight) // len(gram), -1)
        cross = rows @ gram
        moments = OutputMoments(gram=gram, cross=cross, squares=(cross * rows).sum(2))
        for pattern in patterns:
            layer = reconstruct_layer(weight, moments, pattern, damping=damping)
            losses[name][pattern] = layer.error
    return losses


def _best_dense(rows: Tensor, moments: OutputMoments, damped: Tensor) -> Tensor:
    """Find the dense weights that give the wanted outputs best; damping pulls to those given."""
    right = moments.cross + rows @ (damped - moments.gram)
    solution: Tensor = torch.linalg.solve(damped, right.mT)
    return solution.mT


def _errors(rows: Tensor, moments: OutputMoments) -> Tensor:
    """Mean squared difference from the wanted outputs, shape (groups, rows)."""
    both = (rows @ moments.gram - 2 * moments.cross) * rows
    return both.sum(2) + moments.squares


def _masked_only(weight: Tensor, layer: ReconstructedLayer, pattern: Pattern) -> ReconstructedLayer:
    """Mask frozen weights by magnitude; what is kept stays exactly as it is."""
    mask = topk_mask(magnitude("", weight), pattern)
    return ReconstructedLayer(
        mask=mask,
        weight=weight.detach().masked_fill(~mask, 0.0),
        error=layer.magnitude_error,
        magnitude_error=layer.magnitude_error,
    )
