"""Dynamic probabilistic pruning: masks are drawn, and the odds of each weight are trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError
from systolith.prune.gumbel import draw_top_k, gumbel_noise, relaxed_gradient
from systolith.prune.mask_statistics import MaskStatistics, mask_statistics
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers
from systolith.prune.topk import group_decisions, topk_mask, ungroup_decisions, weight_shape

__all__ = ["DPP", "LogitInit"]

INITIAL_DEVIATION = 0.5
LINEAR_NOISE, CONVOLUTION_NOISE = 0.1, 0.01
WEIGHT_ENTROPY, KERNEL_ENTROPY = 5e-5, 1e-5


class LogitInit(Enum):
    """Where mask logits start."""

    RANDOM = "random"
    """Normal with deviation 0.5, as in the paper: nothing is known."""
    MAGNITUDE = "magnitude"
    """By the weights' size, standardized to the same deviation: for networks that are trained."""


class DPP:
    """Draws a mask with exactly k of every n for each mini-batch, and trains the odds of each.

    A row j of n competing weights (or kernels) has logits phi_j. A mask keeps the k largest of
    ``phi_j + noise * G``, with standard Gumbel noise G, and the model computes with ``mask * W``.
    With g the gradient there, W gets ``mask * g``; the logits get what ``g * W``, the gradient at
    the mask, gives through k softmaxes one after the other: see :func:`relaxed_gradient`. To the
    loss comes ``entropy * sum_j H(softmax(phi_j))``, which makes the odds decide.

    Patterns: k-out-of-n weights or kernels, k per neuron, each shared by neighbouring filters or
    not, with strided taps or all. A group of n < C input channels is the tile of the follow-up
    paper (ISCAS 2022). The model may be a quantized one: pruning and quantization then are joint.

    Parameters
    ----------
    model : nn.Module
        Its layers' shapes and devices are looked at, and with `init` MAGNITUDE its weights.
    patterns : mapping of str to Pattern
        By layer name.
    init : LogitInit
    noise : float, optional
        Of the Gumbel samples, at least 0; by default 0.1 for linear layers and 0.01 for
        convolutions.
    entropy : float, optional
        Weight of the entropies, at least 0; by default 5e-5 for weights, 1e-5 for kernels.
    temperature : pair of float
        Of the softmaxes at the start and at the end, falling linearly; positive.
    draw_until : float
        Progress, 0..1, from which on the final masks are used and logits rest, so that weights
        settle: fine-tuning with frozen masks.
    seed : int
        Of logits and noise.

    Raises
    ------
    PruneError
        If a pattern does not fit its layer, or a number is out of range; all problems are listed.

    Notes
    -----
    Gonzalez-Carabarin, Huijben, Veeling, Schmid, van Sloun: Dynamic probabilistic pruning (IEEE
    TNNLS 2022; arXiv 2105.12686), and the same group's structured and tiled-based pruning (ISCAS
    2022).

    **Deviation:** what was drawn before counts as constant in the gradient of a draw.

    **Deviation:** masks of one step are shared by the whole network's mini-batch, and fine-tuning
    with frozen masks may be part of the same training.
    """

    def __init__(
        self,
        model: nn.Module,
        patterns: Mapping[str, Pattern],
        *,
        init: LogitInit = LogitInit.RANDOM,
        noise: float | None = None,
        entropy: float | None = None,
        temperature: tuple[float, float] = (5.0, 0.5),
        draw_until: float = 0.8,
        seed: int = 0,
    ) -> None:
        problems = [
            f"{name} must be at least 0, got {value}"
            for name, value in (("noise", noise), ("entropy", entropy))
            if value is not None and value < 0
        ]
        if min(temperature) <= 0:
            problems.append(f"temperature must be positive, got {temperature}")
        if not 0 <= draw_until <= 1:
            problems.append(f"draw_until must lie in 0..1, got {draw_until}")
        if problems:
            raise PruneError(problems)
        self._patterns = {
            f"{name}.weight": p for name, p in check_patterns(model, patterns).items()
        }
        self._temperature, self._draw_until = temperature, draw_until
        self._generator = torch.Generator().manual_seed(seed)
        layers = prunable_layers(model)
        self._rows: dict[str, _Rows] = {}
        for name, pattern in self._patterns.items():
            weight = layers[name.removesuffix(".weight")].weight
            if isinstance(pattern.select, Dense):
                continue
            linear = weight.ndim == 2
            rows = _Rows(
                pattern,
                weight,
                noise=(LINEAR_NOISE if linear else CONVOLUTION_NOISE) if noise is None else noise,
                entropy=_default_entropy(pattern.select) if entropy is None else entropy,
            )
            rows.start_(init, weight, self._generator)
            self._rows[name] = rows

    def parameters(self) -> list[nn.Parameter]:
        """Logits of all layers."""
        return [rows.logits for rows in self._rows.values()]

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`."""
        drawing = progress < self._draw_until
        if drawing:
            for rows in self._rows.values():
                rows.draw_(self._generator)
            masks = MaskSet.trusted(
                {name: self._mask(name, model) for name in self._patterns}, self._patterns
            )
        else:
            masks = self.masks(model)
        dense = {name: model.get_parameter(name).detach().clone() for name in self._rows}
        with masks.applied(model):
            yield
        share = min(progress / self._draw_until, 1.0) if self._draw_until else 1.0
        first, last = self._temperature
        for name, mask in masks.items():
            gradient = model.get_parameter(name).grad
            if gradient is None:
                continue
            if drawing and name in self._rows:
                at_mask = gradient * dense[name]
                self._rows[name].learn_(at_mask, first + (last - first) * share)
            gradient.masked_fill_(~mask, 0.0)

    def masks(self, model: nn.Module) -> MaskSet:
        """Keep the k largest logits of each row, without noise."""
        masks = {}
        for name, pattern in self._patterns.items():
            if name in self._rows:
                masks[name] = self._rows[name].final_mask()
            else:
                masks[name] = topk_mask(model.get_parameter(name), pattern)
        return MaskSet.trusted(masks, self._patterns)

    def statistics(self) -> dict[str, MaskStatistics]:
        """Confidence and diversity by layer name."""
        return {
            name.removesuffix(".weight"): mask_statistics(
                rows.logits[..., rows.read] if rows.read is not None else rows.logits, rows.k
            )
            for name, rows in self._rows.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Logits, and the state of the random generator."""
        logits = {name: rows.logits.detach().clone() for name, rows in self._rows.items()}
        return {"logits": logits, "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, with identical results."""
        with torch.no_grad():
            for name, rows in self._rows.items():
                rows.logits.copy_(state["logits"][name])
        self._generator.set_state(state["generator"])

    def _mask(self, name: str, model: nn.Module) -> Tensor:
        if name in self._rows:
            return self._rows[name].drawn_mask()
        return topk_mask(model.get_parameter(name), self._patterns[name])


class _Rows:
    """Logits of one layer: a row for every set of k-out-of-n decisions, (J, n)."""

    def __init__(self, pattern: Pattern, weight: Tensor, *, noise: float, entropy: float) -> None:
        assert not isinstance(pattern.select, Dense)
        self.select: KOutOfN | PerNeuron = pattern.select
        self.k = self.select.k
        self.shape: WeightShape = weight_shape(weight)
        self._weight_size = weight.shape
        self._taps = torch.from_numpy(pattern.tap_mask(self.shape)).to(weight.device)
        taps = self._taps.expand(self.shape)
        self._grouped = group_decisions(taps.double(), self.select)
        self._noise, self._entropy = noise, entropy
        self.read: Tensor | None = None
        """Per neuron with strided taps: which decisions there are at all, (n,)."""
        if isinstance(self.select, PerNeuron) and not bool(taps.all()):
            self.read = self._grouped[0] > 0
        n = self._grouped.shape[-1]
        self.logits = nn.Parameter(torch.zeros(prod(self._grouped.shape) // n, n))
        self.logits.data = self.logits.data.to(weight.device)
        self._noisy = self.logits.detach()
        self._drawn = draw_top_k(self._noisy, self.k)

    def start_(self, init: LogitInit, weight: Tensor, generator: torch.Generator) -> None:
        drawn = torch.randn(self.logits.shape, generator=generator).to(weight.device)
        if init is LogitInit.MAGNITUDE:
            score = weight.detach().reshape(self.shape).abs() * self._taps
            drawn = group_decisions(score, self.select).reshape(self.logits.shape)
            drawn = (drawn - drawn.mean()) / drawn.std().clamp_min(1e-12)
        with torch.no_grad():
            self.logits.copy_(drawn * INITIAL_DEVIATION)

    def draw_(self, generator: torch.Generator) -> None:
        """Draw anew."""
        noise = gumbel_noise(self.logits.detach(), generator)
        self._noisy = self._competing(self.logits.detach() + self._noise * noise)
        self._drawn = draw_top_k(self._noisy, self.k)

    def drawn_mask(self) -> Tensor:
        """Mask of the latest draw, shape of the weight."""
        return self._spread(self._drawn)

    def final_mask(self) -> Tensor:
        """Mask of the logits themselves, shape of the weight."""
        return self._spread(draw_top_k(self._competing(self.logits.detach()), self.k))

    def learn_(self, at_mask: Tensor, temperature: float) -> None:
        """Add to the logits' gradients, given the one at the mask."""
        values = at_mask.detach().reshape(self.shape) * self._taps
        gradient = group_decisions(values, self.select).reshape(self.logits.shape)
        result = relaxed_gradient(self._noisy, self._drawn, gradient, temperature)
        if self._entropy:
            result += self._entropy * _entropy_gradient(self._competing(self.logits.detach()))
        if self.logits.grad is None:
            self.logits.grad = result
        else:
            self.logits.grad += result

    def _competing(self, values: Tensor) -> Tensor:
        if self.read is None:
            return values
        return values.masked_fill(~self.read, torch.finfo(values.dtype).min / 4)

    def _spread(self, drawn: Tensor) -> Tensor:
        chosen = torch.zeros(self.logits.shape, dtype=torch.bool, device=drawn.device)
        chosen = chosen.scatter_(1, drawn, True).reshape(self._grouped.shape)
        mask = ungroup_decisions(chosen, self.select, self.shape) & self._taps
        return mask.reshape(self._weight_size)


def _default_entropy(select: KOutOfN | PerNeuron) -> float:
    kernel = isinstance(select, KOutOfN) and select.granularity.value == "kernel"
    return KERNEL_ENTROPY if kernel else WEIGHT_ENTROPY


def _entropy_gradient(logits: Tensor) -> Tensor:
    """Gradient of ``sum_j H(softmax(logits_j))``: ``-p (log p + H)``."""
    log_p = torch.log_softmax(logits, dim=1)
    p = log_p.exp()
    weighted = torch.where(p > 0, p * log_p, 0.0)
    return -(weighted - p * weighted.sum(1, keepdim=True))
