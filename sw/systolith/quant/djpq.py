"""Differentiable joint pruning and quantization: gates and widths in one loss."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.foundation import kind_problems, show_value
from systolith.prune import ChannelGroup, FilterMasks, SparsifierOptimizer, gated, module_gates
from systolith.quant.bit_operations import LayerOperations, layer_operations
from systolith.quant.config import LayerBits, UnsupportedModelError
from systolith.quant.steps.learned_width import MAX_WIDTH, LearnedWidth
from systolith.trace import evaluating

__all__ = ["DJPQ"]

OPEN = 5.0
"""Initial logarithm of alpha: 8 % noise."""
LEAST, MOST = -4.0, 9.0
RANGE_TRAVEL = 0.1
"""Travel of ranges, relative to that of gates and widths."""


class DJPQ:
    """Learns which filters to keep, and how many bits each layer needs, while the weights train.

    Units of channel groups have noisy gates ``z = 1 + epsilon / sqrt(alpha)``, with epsilon drawn
    from a standard normal distribution at each step: an information bottleneck. Weights and
    activations that are multiplied have learned widths: see :class:`LearnedWidth`. The loss of the
    task grows by

    ``information * sum log(1 + alpha) + bit_operations * B / B_8``

    where B is the number of bit operations of a forward pass, ``MACs * weight bits * act bits``
    summed over layers, and B_8 that of the whole network in 8 bits. Each unit contributes its share
    ``alpha / (1 + alpha)`` to B. Units with alpha < 1, more noise than signal, are pruned.

    The float model is trained, with its batch norms. Afterwards, pass :meth:`filters` to
    :func:`systolith.prune.remove_filters` and :meth:`bits` to :class:`systolith.quant.QuantConfig`.

    Parameters
    ----------
    model : nn.Module
        Trained, and accepted by :func:`systolith.quant.prepare`; it is not changed. Ranges start
        from the values that the model computes now, so an untrained model gives useless ranges.
    groups : iterable of ChannelGroup
        From :func:`systolith.prune.find_channel_groups`; those that can be pruned get gates.
    images : Tensor of float32, shape (N, C, H, W)
        Training images for calibrating ranges; a few hundred are enough.
    information, bit_operations : float
        Weights in the loss, at least 0.
    power_of_two : bool
        Widths are 2, 4 or 8.
    settle_at : float
        Progress, 0..1, at which gates and widths become final; the rest of the training is
        fine-tuning.
    travel : float
        How far gates and widths can move during the whole training, by Adam, whatever the number of
        steps: in bits, or as change of log alpha; positive. Steps become smaller, linearly, down to
        0 at `settle_at`. With too short a travel all widths fall alike. Ranges travel a tenth of
        it, in powers of 2, until the end.
    seed : int
        Seed of the noise.

    Attributes
    ----------
    log_alpha : dict of str to nn.Parameter of float32, shape (size,)
        By group name.
    weights, acts : dict of str to LearnedWidth
        Of the weights by layer name, and of the activations by name of the layer that makes them.

    Raises
    ------
    UnsupportedModelError
        If a number is out of range, or a layer has no integer form; all problems are listed.

    Notes
    -----
    Wang, Lu, Blankevoort: Differentiable joint pruning and quantization for hardware efficiency
    (ECCV 2020). Gates: Dai, Zhu, Guo, Wipf: Compressing neural networks using the variational
    information bottleneck (ICML 2018).

    **Deviation:** gates have mean 1 and a learned alpha, instead of a learned mean and variance
    with alpha their ratio. The batch norm (or filter) before a gate is its mean, so nothing has to
    be folded back into the weights.

    **Deviation:** noise is drawn once per mini-batch, not once per image.

    **Deviation:** for a differentiable B, a unit contributes the share of the signal in the power
    behind its gate; B is relative to the whole network in 8 bits.

    **Deviation:** gates and widths settle before training ends, so the final epochs train the
    network that is built. Ranges are not passed on: :func:`systolith.quant.prepare` calibrates its
    own steps, per channel for weights. The input, outputs that no layer multiplies, and frozen
    weights keep 8 bits.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Iterable[ChannelGroup],
        images: Tensor,
        *,
        information: float = 1e-3,
        bit_operations: float = 0.1,
        power_of_two: bool = False,
        settle_at: float = 0.7,
        travel: float = 16.0,
        seed: int = 0,
    ) -> None:
        groups = tuple(groups) if isinstance(groups, Iterable) else groups
        problems = [*_kind_problems(model, groups, images)]
        problems += [
            f"{name} must be at least 0, got {value}"
            for name, value in (("information", information), ("bit_operations", bit_operations))
            if not value >= 0
        ]
        if not 0 <= settle_at <= 1:
            problems.append(f"settle_at must lie in 0..1, got {settle_at}")
        problems += SparsifierOptimizer.problems(travel)
        UnsupportedModelError.raise_if_any(problems)
        self._groups = tuple(group for group in groups if group.removable)
        self._information, self._bit_operations = information, bit_operations
        self._settle_at = settle_at
        self.settings = {
            "information": information,
            "bit_operations": bit_operations,
            "power_of_two": power_of_two,
            "settle_at": settle_at,
            "travel": travel,
            "seed": seed,
        }
        self._generator = torch.Generator().manual_seed(seed)
        self._layers = layer_operations(model, self._groups, images)
        self._whole = sum(layer.macs for layer in self._layers) * MAX_WIDTH**2
        device = next(model.parameters()).device
        self.log_alpha = {
            group.name: nn.Parameter(torch.full((group.size,), OPEN, device=device))
            for group in self._groups
        }

        def width(peak: Tensor, signed: bool) -> LearnedWidth:
            made = LearnedWidth(float(peak) or 1.0, signed=signed, power_of_two=power_of_two)
            return made.to(device)

        weights = {
            layer.name: model.get_submodule(layer.name).get_parameter("weight")
            for layer in self._layers
        }
        self.weights = {
            name: width(weight.detach().abs().max(), signed=True)
            for name, weight in weights.items()
            if weight.requires_grad
        }
        self.acts = {
            source: width(peak, signed)
            for source, (peak, signed) in _observe(model, self._layers, images).items()
        }
        widths = [*self.weights.values(), *self.acts.values()]
        self._settling = SparsifierOptimizer(
            [*self.log_alpha.values(), *(width.free_bits for width in widths)],
            travel=travel,
            until=settle_at,
        )
        self._ranges = SparsifierOptimizer(
            (width.log2_range for width in widths), travel=RANGE_TRAVEL * travel
        )

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`.

        Inside the block, the model has quantized weights.
        """
        settled = progress >= self._settle_at
        self._settling.begin_(progress)
        self._ranges.begin_(progress)
        gates = self.filters(model).gates() if settled else self._draw()
        weights = {name: model.get_submodule(name).get_parameter("weight") for name in self.weights}
        dense = {name: weight.detach().clone() for name, weight in weights.items()}
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(self.weights[name](weight))
        try:
            with gated(model, gates), self._quantized_inputs(model):
                yield
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(dense[name])
        for name, weight in weights.items():
            if weight.grad is not None:
                upstream, weight.grad = weight.grad, None
                torch.autograd.backward(self.weights[name](weight), upstream)
        if not settled:
            torch.autograd.backward(self._penalty())
            self._settling.step_(progress)
            self._clamp_()
        self._ranges.step_(progress)

    def filters(self, model: nn.Module) -> FilterMasks:
        """Keep units with more signal than noise, and at least the best unit of each group."""
        masks = {}
        for name, log_alpha in self.log_alpha.items():
            best = torch.zeros_like(log_alpha, dtype=torch.bool)
            best[log_alpha.argmax()] = True
            masks[name] = (log_alpha > 0) | best
        return FilterMasks(masks, self._groups)

    def bits(self) -> dict[str, LayerBits]:
        """Widths by layer, for :class:`systolith.quant.QuantConfig`."""
        return {
            name: LayerBits(
                weight_bits=self.weights[name].width if name in self.weights else None,
                act_bits=self.acts[name].width if name in self.acts else None,
            )
            for name in dict.fromkeys([*self.weights, *self.acts])
        }

    def bit_operations(self, model: nn.Module) -> float:
        """Count bit operations for one image, if training ended now; the input has 8 bits."""
        kept = self.filters(model)
        return sum(
            float(
                layer.bit_operations(
                    kept,
                    self.weights[layer.name].width if layer.name in self.weights else MAX_WIDTH,
                    self.acts[layer.source].width if layer.source else MAX_WIDTH,
                )
            )
            for layer in self._layers
        )

    def state_dict(self) -> dict[str, Any]:
        """Gates, widths, and the state of the random generator."""
        return {
            "log_alpha": {name: value.detach().clone() for name, value in self.log_alpha.items()},
            "weights": {name: width.state_dict() for name, width in self.weights.items()},
            "acts": {name: width.state_dict() for name, width in self.acts.items()},
            "settling": self._settling.state_dict(),
            "ranges": self._ranges.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state, with identical results."""
        with torch.no_grad():
            for name, value in self.log_alpha.items():
                value.copy_(state["log_alpha"][name])
        for name, width in self.weights.items():
            width.load_state_dict(state["weights"][name])
        for name, width in self.acts.items():
            width.load_state_dict(state["acts"][name])
        self._settling.load_state_dict(state["settling"])
        self._ranges.load_state_dict(state["ranges"])
        self._generator.set_state(state["generator"])

    def _draw(self) -> dict[str, Tensor]:
        gates = {}
        for name, log_alpha in self.log_alpha.items():
            noise = torch.randn(log_alpha.shape, generator=self._generator).to(log_alpha.device)
            gates[name] = 1 + noise * torch.exp(-log_alpha / 2)
        return module_gates(self._groups, gates)

    def _penalty(self) -> Tensor:
        log_alpha = self.log_alpha
        information = [nn.functional.softplus(value).sum() for value in log_alpha.values()]
        kept = {name: value.sigmoid() for name, value in log_alpha.items()}
        operations = [
            layer.bit_operations(
                kept,
                self.weights[layer.name].bits if layer.name in self.weights else MAX_WIDTH,
                self.acts[layer.source].bits if layer.source else MAX_WIDTH,
            )
            for layer in self._layers
        ]
        penalty = self._bit_operations * torch.stack(operations).sum() / self._whole
        if information:
            penalty = penalty + self._information * torch.stack(information).sum()
        return penalty

    def _clamp_(self) -> None:
        with torch.no_grad():
            for value in self.log_alpha.values():
                value.clamp_(LEAST, MOST)
        for width in (*self.weights.values(), *self.acts.values()):
            width.clamp_()

    @contextmanager
    def _quantized_inputs(self, model: nn.Module) -> Iterator[None]:
        def hook(source: str) -> Any:
            return lambda module, given: (self.acts[source](given[0]), *given[1:])

        with ExitStack() as hooks:
            for layer in self._layers:
                if layer.source:
                    module = model.get_submodule(layer.name)
                    hooks.enter_context(module.register_forward_pre_hook(hook(layer.source)))
            yield


def _kind_problems(model: object, groups: object, images: object) -> Iterator[str]:
    yield from kind_problems("model", model, nn.Module)
    if not isinstance(groups, tuple):
        yield f"groups must be a sequence of ChannelGroup, got {show_value(groups)}"
    else:
        for number, group in enumerate(groups):
            yield from kind_problems(f"groups[{number}]", group, ChannelGroup)
    yield from kind_problems("images", images, Tensor)
    if isinstance(images, Tensor) and not (len(images) and images.is_floating_point()):
        yield f"DJPQ needs float images, at least 1, got {images.dtype} {tuple(images.shape)}"


def _observe(
    model: nn.Module, layers: Iterable[LayerOperations], images: Tensor
) -> dict[str, tuple[Tensor, bool]]:
    """Greatest magnitude of each layer's input, and whether it can be negative, by source."""
    seen: dict[str, tuple[Tensor, bool]] = {}
    with evaluating(model), ExitStack() as hooks:
        for layer in layers:
            if layer.source:

                def look(module: nn.Module, given: Any, source: str = layer.source) -> None:
                    seen[source] = given[0].abs().max(), bool((given[0] < 0).any())

                module = model.get_submodule(layer.name)
                hooks.enter_context(module.register_forward_pre_hook(look))
        model(images.to(next(model.parameters()).device))
    return seen
