"""Dynamic probabilistic pruning of filters: exactly k of each group, drawn by trained odds."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.gates import gated_channels
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.gumbel import draw_top_k, gumbel_noise, relaxed_gradient
from systolith.prune.mask_statistics import MaskStatistics, mask_statistics

__all__ = ["DPPFilters"]

INITIAL_DEVIATION = 0.5


class DPPFilters:
    """Draws which k filters of each group a mini-batch uses, and trains the odds of each.

    As :class:`DPP`, with one row of logits per group of channels and gates on activations instead
    of masks on weights.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        From :func:`find_channel_groups`; those that are not removable stay whole.
    keep : float
        Share of each group's filters, above 0 and at most 1; at least one filter.
    multiple_of : int
        Lanes: each group keeps a multiple of it, rounded up, or all.
    noise, temperature, draw_until, seed
        As :class:`DPP`.
    entropy : float
        Weight of the entropies, at least 0.

    Raises
    ------
    PruneError
        If a number is out of range, or no group is removable; all problems are listed.

    Notes
    -----
    Gonzalez-Carabarin, Huijben, Veeling, Schmid, van Sloun: Dynamic probabilistic pruning (IEEE
    TNNLS 2022; arXiv 2105.12686), feature maps.

    **Deviation:** filters that additions or depthwise convolutions tie are drawn together; gates
    sit where their channels are read, behind the ReLU, which would stop the gradients of filters
    that are not drawn.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        *,
        keep: float,
        multiple_of: int = 1,
        noise: float = 0.01,
        entropy: float = 1e-5,
        temperature: tuple[float, float] = (5.0, 0.5),
        draw_until: float = 0.8,
        seed: int = 0,
    ) -> None:
        self._groups = tuple(group for group in groups if group.removable)
        problems = []
        if not self._groups:
            problems.append("a network needs filters that can be removed, got none")
        if not 0 < keep <= 1:
            problems.append(f"keep must be above 0 and at most 1, got {keep}")
        if multiple_of < 1:
            problems.append(f"multiple_of must be at least 1, got {multiple_of}")
        if noise < 0 or entropy < 0:
            problems.append(f"noise and entropy must be at least 0, got {noise} and {entropy}")
        if min(temperature) <= 0:
            problems.append(f"temperature must be positive, got {temperature}")
        if not 0 <= draw_until <= 1:
            problems.append(f"draw_until must lie in 0..1, got {draw_until}")
        if problems:
            raise PruneError(problems)
        self._noise, self._entropy = noise, entropy
        self._temperature, self._draw_until = temperature, draw_until
        self._generator = torch.Generator().manual_seed(seed)
        self._kept: dict[str, int] = {}
        self._logits: dict[str, nn.Parameter] = {}
        for group in self._groups:
            portions = -(-max(1, round(keep * group.size)) // multiple_of)
            self._kept[group.name] = min(portions * multiple_of, group.size)
            start = torch.randn(1, group.size, generator=self._generator) * INITIAL_DEVIATION
            self._logits[group.name] = nn.Parameter(start)

    def parameters(self) -> list[nn.Parameter]:
        """Logits of all groups."""
        return list(self._logits.values())

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`."""
        device = next(model.parameters()).device
        drawing = progress < self._draw_until
        first, last = self._temperature
        share = min(progress / self._draw_until, 1.0) if self._draw_until else 1.0
        gates: dict[str, Tensor] = {}
        for name, logits in self._logits.items():
            noise = gumbel_noise(logits.detach(), self._generator) * (self._noise * drawing)
            now = first + (last - first) * share
            gate: Tensor = _Draw.apply(  # type: ignore[no-untyped-call]  # torch has no type for it
                logits, noise, self._kept[name], now
            )
            gate = gate[0] if drawing else gate[0].detach()
            gates[name] = gate.to(device)
        with gated_channels(model, self._groups, gates):
            yield
        if drawing and self._entropy:
            entropies = [
                torch.special.entr(torch.softmax(logits, 1)).sum()
                for logits in self._logits.values()
            ]
            torch.autograd.backward(self._entropy * torch.stack(entropies).sum())

    def filters(self, model: nn.Module) -> FilterMasks:
        """Keep the k largest logits of each group, without noise."""
        masks = {}
        for name, logits in self._logits.items():
            drawn = draw_top_k(logits.detach(), self._kept[name])[0]
            masks[name] = torch.zeros(logits.shape[1], dtype=torch.bool).index_fill_(0, drawn, True)
        return FilterMasks(masks, self._groups)

    def statistics(self) -> dict[str, MaskStatistics]:
        """Confidence by group name; the diversity of a single row is 0."""
        return {
            name: mask_statistics(logits, self._kept[name]) for name, logits in self._logits.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Logits, and the state of the random generator."""
        logits = {name: value.detach().clone() for name, value in self._logits.items()}
        return {"logits": logits, "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, with identical results."""
        with torch.no_grad():
            for name, logits in self._logits.items():
                logits.copy_(state["logits"][name])
        self._generator.set_state(state["generator"])


class _Draw(torch.autograd.Function):
    """Hard mask forward, relaxed gradient backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, noise: Tensor, k: int, temperature: float) -> Tensor:
        noisy = logits.detach() + noise
        drawn = draw_top_k(noisy, k)
        ctx.save_for_backward(noisy, drawn)
        ctx.temperature = temperature
        return torch.zeros_like(noisy).scatter_(1, drawn, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        noisy, drawn = ctx.saved_tensors
        (gradient,) = gradients
        return relaxed_gradient(noisy, drawn, gradient, ctx.temperature), None, None, None
