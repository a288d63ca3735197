"""Scores of weights by the inputs that they multiply."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters_first import filter_weights
from systolith.prune.posttraining.moments import BATCH, count_calls, lowered_input, run_until

__all__ = ["WandaScore", "measure_wanda"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WandaScore:
    """Score by ``|w| ||x||``: magnitude times the norm of the inputs that the weight multiplies.

    For :class:`systolith.prune.ScorePruner`; :func:`measure_wanda` makes it.

    Parameters
    ----------
    norms : mapping of str to Tensor
        Norms of the lowered inputs by parameter name, in a shape that broadcasts over the weights.

    Notes
    -----
    Sun, Liu, Bair, Kolter: A simple and effective pruning approach for large language models (ICLR
    2024), equation 1.

    **Deviation:** convolutions, by their lowered inputs; norms of the dense network instead of the
    network that is pruned up to the layer; the groups of each pattern compete.
    """

    norms: Mapping[str, Tensor]

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """See :class:`systolith.prune.Score`.

        Raises
        ------
        PruneError
            If the inputs of this weight were not measured.
        """
        if name not in self.norms:
            raise PruneError([f"scores need the norms of the inputs of '{name}', but have none"])
        return weight.detach().abs() * self.norms[name].to(weight)


def measure_wanda(model: nn.Module, layers: Iterable[str], images: Tensor) -> WandaScore:
    """Measure the norms of the inputs of layers on images; the model is not changed.

    Raises
    ------
    PruneError
        If the inputs of a layer cannot be seen; all of them are listed.
    """
    calls = count_calls(model, layers, images)
    sums: dict[str, Tensor] = {}
    names = {model.get_submodule(name): name for name in calls}

    def add(module: nn.Module, given: Tensor, output: Tensor) -> None:
        name = names[module]
        for lowered in lowered_input(module, given, output):
            squares = lowered.double().square().sum(2)
            sums[name] = sums[name] + squares if name in sums else squares

    for batch in torch.split(images, BATCH):
        run_until(model, batch, calls, add)
    return WandaScore(
        norms={
            f"{name}.weight": _spread(total.sqrt(), filter_weights(model.get_submodule(name)))
            for name, total in sums.items()
        }
    )


def _spread(norms: Tensor, weight: Tensor) -> Tensor:
    """From (groups, d) to the shape of the weights."""
    filters = len(weight) // len(norms)
    return norms.repeat_interleave(filters, dim=0).reshape(weight.shape)
