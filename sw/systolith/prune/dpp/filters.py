"""Dynamic probabilistic pruning of filters: exactly k of each group are drawn."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.dpp.mask_logits import TRAVEL, Annealing, MaskLogits
from systolith.prune.dpp.mask_statistics import MaskStatistics
from systolith.prune.errors import PruneError
from systolith.prune.filters.gates import gated_channels
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.sparsifier_optimizer import SparsifierOptimizer

__all__ = ["DPPFilters"]


class DPPFilters:
    """Draws which k filters of each group a mini-batch uses, and trains their probabilities.

    **It loses to frozen random filters; take it for comparisons only.** On digits at 12 % of the
    MACs, its test loss is 0.194 ± 0.023, that of random filters 0.156 ± 0.011, and that of random
    filters whose layers are reconstructed 0.064 ± 0.005: see
    :func:`systolith.prune.reconstruct_consumers_`.

    Works like :class:`systolith.prune.DPP`, with one row of logits per group of channels, and gates
    on activations instead of masks on weights.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        From :func:`systolith.prune.find_channel_groups`; groups that are not removable stay whole.
    keep : float, or mapping of str to int
        Share of each group's filters to keep, above 0 and at most 1; at least one filter is kept.
        Or numbers of kept filters by group name, 1 to the group's size, such as
        :func:`systolith.prune.uniform_filters` finds for a budget; groups not named stay whole.
    multiple_of : int
        Each group keeps a multiple of this number of filters, rounded up, or all.
    scores : mapping of str to Tensor of float, shape (size,), optional
        Initial logits by group name, such as :func:`systolith.prune.taylor_scores`, standardized to
        a deviation of 0.5, so that a trained network keeps important filters. Groups without scores
        start at random, as all do in the paper.
    noise, temperature, draw_until, travel, seed
        See :class:`systolith.prune.DPP`.
    entropy : float
        Weight of the entropies, at least 0.

    Raises
    ------
    PruneError
        If a number is out of range, no group is removable, or scores fit none; all problems are
        listed.

    Notes
    -----
    Gonzalez-Carabarin, Huijben, Veeling, Schmid, van Sloun: Dynamic probabilistic pruning (IEEE
    TNNLS 2022; arXiv 2105.12686), feature maps.

    The figures above are of 12 epochs, three seeds, Taylor scores, the same share of each layer. At
    30 % of the MACs they are 0.070 ± 0.005 and, of random filters, 0.066 ± 0.006. From random
    logits, with a quarter of the filters, two seeds, it did not beat its own initial filters
    without learning: 0.39 and 0.33 against 0.29 and 0.30. Filters change while it draws, and
    weights do not follow in so short a training.

    **Deviation:** feature maps are chosen at their source, once for all readers. Channels that are
    tied by additions or depthwise convolutions are drawn together. Gates are placed behind the
    ReLU, which would otherwise block the gradients of filters that are not drawn.

    **Deviation:** logits may start with scores.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        *,
        keep: float | Mapping[str, int],
        multiple_of: int = 1,
        scores: Mapping[str, Tensor] | None = None,
        noise: float = 0.01,
        entropy: float = 1e-5,
        temperature: tuple[float, float] = (5.0, 0.5),
        draw_until: float = 0.8,
        travel: float = TRAVEL,
        seed: int = 0,
    ) -> None:
        self._groups = {group.name: group for group in groups if group.removable}
        self._annealing = Annealing(temperature=temperature, draw_until=draw_until)
        scores = scores or {}
        problems = list(_problems(self._groups, scores, keep, multiple_of))
        if not (noise >= 0 and entropy >= 0):
            problems.append(f"noise and entropy must be at least 0, got {noise} and {entropy}")
        problems += self._annealing.problems()
        problems += SparsifierOptimizer.problems(travel)
        if problems:
            raise PruneError(problems)
        self.settings = {
            "keep": keep,
            "multiple_of": multiple_of,
            "scores": scores,
            "noise": noise,
            "entropy": entropy,
            "temperature": temperature,
            "draw_until": draw_until,
            "travel": travel,
            "seed": seed,
        }
        self._generator = torch.Generator().manual_seed(seed)
        self._logits: dict[str, MaskLogits] = {}
        for name, group in self._groups.items():
            if isinstance(keep, Mapping):
                wanted = keep.get(name, group.size)
            else:
                wanted = max(1, round(keep * group.size))
            multiples = -(-wanted // multiple_of)
            read = torch.ones(1, group.size, dtype=torch.bool)
            kept = min(multiples * multiple_of, group.size)
            self._logits[name] = MaskLogits(read, kept, noise=noise, entropy=entropy)
            score = scores[name].cpu().unsqueeze(0) if name in scores else None
            self._logits[name].start_(self._generator, score)
        self._optimizer = SparsifierOptimizer(
            self.logits().values(), travel=travel, until=draw_until
        )

    def logits(self) -> dict[str, nn.Parameter]:
        """Return the logits by group name; float32 (1, size)."""
        return {name: logits.parameter for name, logits in self._logits.items()}

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        device = next(model.parameters()).device
        drawing = self._annealing.draws_at(progress)
        self._optimizer.begin_(progress)
        gates = {}
        for name, logits in self._logits.items():
            mask = logits.draw_mask(self._generator) if drawing else logits.final_mask()
            gates[name] = mask[0].to(device, torch.float32).requires_grad_(drawing)
        with gated_channels(model, tuple(self._groups.values()), gates):
            yield
        for name, gate in gates.items():
            if gate.grad is not None:
                at_mask = gate.grad.unsqueeze(0).to(self._logits[name].value)
                self._logits[name].learn_(at_mask, self._annealing.temperature_at(progress))
        self._optimizer.step_(progress)

    def filters(self, model: nn.Module) -> FilterMasks:
        """Return the masks that keep the k largest logits of each group, without noise."""
        masks = {name: logits.final_mask()[0] for name, logits in self._logits.items()}
        return FilterMasks(masks, self._groups.values())

    def statistics(self) -> dict[str, MaskStatistics]:
        """Return the confidence by group name; the diversity of a single row is 0."""
        return {name: logits.statistics() for name, logits in self._logits.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the logits, and the states of their optimizer and the random generator."""
        return {
            "logits": {name: logits.value.clone() for name, logits in self._logits.items()},
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        for name, logits in self._logits.items():
            logits.value.copy_(state["logits"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])


def _problems(
    groups: Mapping[str, ChannelGroup],
    scores: Mapping[str, Tensor],
    keep: float | Mapping[str, int],
    multiple_of: int,
) -> Iterator[str]:
    if not groups:
        yield "a network needs filters that can be removed, got none"
    for name, count in keep.items() if isinstance(keep, Mapping) else ():
        if name not in groups:
            yield f"keep must name a removable group of {', '.join(groups)}, got '{name}'"
        elif not 1 <= count <= groups[name].size:
            yield f"group '{name}' must keep 1..{groups[name].size} filters, got {count}"
    if not isinstance(keep, Mapping) and not 0 < keep <= 1:
        yield f"keep must be above 0 and at most 1, got {keep}"
    if multiple_of < 1:
        yield f"multiple_of must be at least 1, got {multiple_of}"
    for name, score in scores.items():
        if name not in groups:
            yield f"scores must name a removable group of {', '.join(groups)}, got '{name}'"
        elif score.shape != (groups[name].size,) or not bool(score.isfinite().all()):
            yield (
                f"scores of group '{name}' must be {groups[name].size} finite numbers, "
                f"got {score.tolist()}"
            )
