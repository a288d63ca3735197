"""The derivative of the loss with respect to a gate on each filter, and its mean over steps."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.straight_through import MaskedFilters
from systolith.prune.filters_first import filters_first

__all__ = ["GateGradients", "Saliency", "average_over_rounds"]


class GateGradients:
    """Computes ``dL/dg`` for a gate g on each unit, from a few sums over parameters.

    Behind a batch norm, ``y = g (gamma x + beta)``, so ``dL/dg = dL/dgamma gamma + dL/dbeta beta``.
    Behind a convolution without one, ``dL/dg = sum_r dL/dW_r W_r + dL/db b``. The derivatives of a
    unit's gates are added. This needs no separate pass and no activations.

    Parameters
    ----------
    model : nn.Module
        The set of its trained parameters must not change later.
    groups : iterable of ChannelGroup
        Removable ones are used; there is at least one.

    Attributes
    ----------
    model : nn.Module
    watched : tuple of str
        Modules with frozen parameters, such as fixed shortcuts; they need activations.

    Notes
    -----
    Molchanov, Mallya, Tyree, Frosio, Kautz: Importance estimation for neural network pruning (CVPR
    2019), on gates behind batch norms. The weights in front of a batch norm carry
    no information: scaling a filter changes no output, so ``sum_r dL/dW_r W_r`` is zero.
    """

    def __init__(self, model: nn.Module, groups: Iterable[ChannelGroup]) -> None:
        self.model = model
        removable = [group for group in groups if group.removable]
        self._sizes = {group.name: group.size for group in removable}
        units: dict[str, Tensor] = {}
        first = 0
        for group in removable:
            for name in group.gated:
                here = torch.tensor(group.outputs[name])
                mine = torch.where(here >= 0, here + first, -1)
                units[name] = torch.maximum(units.get(name, mine), mine)
            first += group.size
        modules = {name: model.get_submodule(name) for name in units}
        trained = {name: _is_trained(module) for name, module in modules.items()}
        norms = [name for name in units if trained[name] and _is_norm(modules[name])]
        self._vectors = {
            f"{name}.{kind}": modules[name].get_parameter(kind)
            for kind in ("weight", "bias")
            for name in norms
        }
        self._weighted = {
            name: modules[name] for name in units if trained[name] and name not in norms
        }
        self.watched = tuple(name for name in units if not trained[name])
        order = [*norms, *norms, *self._weighted, *self.watched]
        self._seen: dict[str, Tensor] = {}
        device = next(model.parameters()).device
        self._where = _positions(torch.cat([units[name] for name in order]), first).to(device)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Collect derivatives of watched modules during forward and backward."""
        self._seen = {}
        with ExitStack() as hooks:
            for name in self.watched:

                def watch(module: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
                    if output.requires_grad:
                        collect = _Collector(self._seen, name, output.detach())
                        output.register_hook(collect)  # type: ignore[no-untyped-call]  # torch's

                hooks.enter_context(self.model.get_submodule(name).register_forward_hook(watch))
            yield

    def read(self) -> Tensor:
        """Compute derivatives of all units, in the order of the groups, after a backward pass.

        Returns
        -------
        Tensor of float32 or float64, shape (U,)

        Raises
        ------
        PruneError
            Lists every missing gradient.
        """
        if missing := list(self._missing()):
            raise PruneError(
                f"saliency needs gradients of all gated layers, but '{name}' has none"
                for name in missing
            )
        parts = []
        if self._vectors:
            vectors = self._vectors.values()
            gradients = torch.cat([vector.grad for vector in vectors if vector.grad is not None])
            parts.append(gradients * torch.cat([vector.detach() for vector in vectors]))
        parts += [_weight_products(module) for module in self._weighted.values()]
        parts += [self._seen[name] for name in self.watched]
        products = torch.cat([*parts, parts[0].new_zeros(1)])
        return products[self._where].sum(1)

    def _missing(self) -> Iterator[str]:
        yield from (name for name, vector in self._vectors.items() if vector.grad is None)
        for name, module in self._weighted.items():
            for kind, parameter in module.named_parameters(recurse=False):
                if parameter.grad is None:
                    yield f"{name}.{kind}"
        yield from (name for name in self.watched if name not in self._seen)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Split a tensor of all units, shape (U,), by group."""
        parts = torch.split(flat, list(self._sizes.values()))
        return dict(zip(self._sizes, parts, strict=True))


class _Collector:
    """Sums ``dL/dy y`` of each channel over all calls of a module."""

    def __init__(self, seen: dict[str, Tensor], name: str, output: Tensor) -> None:
        self._seen, self._name, self._output = seen, name, output

    def __call__(self, gradient: Tensor) -> None:
        products = (gradient * self._output).transpose(0, 1).flatten(1)
        sums = products.sum(1, dtype=torch.promote_types(products.dtype, torch.float32))
        self._seen[self._name] = sums + self._seen.get(self._name, 0)


def _positions(units: Tensor, count: int) -> Tensor:
    """Find the positions of each unit's terms, shape (U, most terms), padded with the last.

    A gather always adds in the same order, unlike an index_add on a GPU.
    """
    places: list[list[int]] = [[] for _ in range(count)]
    for place, unit in enumerate(units.tolist()):
        if unit >= 0:
            places[unit].append(place)
    most = max(map(len, places))
    return torch.tensor([[*here, *[len(units)] * (most - len(here))] for here in places])


def _is_trained(module: nn.Module) -> bool:
    return all(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)


def _weight_products(module: nn.Module) -> Tensor:
    """``sum_r dL/dW_r W_r + dL/db b`` of each filter."""
    return torch.stack(
        [
            filters_first(parameter.detach() * parameter.grad, module).flatten(1).sum(1)
            if parameter.ndim > 1
            else parameter.detach() * parameter.grad
            for parameter in module.parameters(recurse=False)
            if parameter.grad is not None
        ]
    ).sum(0)


class Saliency:
    """Masks a model during steps, and averages a function of ``dL/dgate`` of each filter.

    Parameters
    ----------
    groups : sequence of ChannelGroup
    measure : callable
        Function of the derivatives of one batch; its result is averaged over batches.
    """

    def __init__(self, groups: Sequence[ChannelGroup], measure: Callable[[Tensor], Tensor]) -> None:
        self._groups, self._measure = tuple(groups), measure
        self._gradients: GateGradients | None = None
        self._masks: FilterMasks | None = None
        self._masked: MaskedFilters | None = None
        self._sum: Tensor | None = None
        self._batches = 0

    @property
    def batches(self) -> int:
        """Number of steps in the mean."""
        return self._batches

    def mean(self, model: nn.Module) -> dict[str, Tensor]:
        """Mean since the last reset, by group name, on the CPU; needs at least one batch."""
        assert self._sum is not None, "there is a sum as soon as there is a batch"
        return self._reader(model).split((self._sum / self._batches).cpu())

    def reset(self) -> None:
        """Start a new mean."""
        self._sum, self._batches = None, 0

    def set_masks(self, masks: FilterMasks | None) -> None:
        """Mask these filters from now on."""
        self._masks, self._masked = masks, None

    @contextmanager
    def step(
        self, model: nn.Module, *, learn_on: bool, collect: bool, masked: bool = True
    ) -> Iterator[None]:
        """Mask filters inside the block, collect after it.

        Masked filters may continue to learn. A step that is not masked computes with all filters,
        and leaves the buffers of the model as they were, unless there are no masks at all.
        """
        reader = self._reader(model)
        masking = self._masking(model, learn_on) if masked else _keeping_buffers(model)
        if self._masks is None:
            masking = nullcontext()
        with masking, reader.watching() if collect else nullcontext():
            yield
        if collect:
            measured = self._measure(reader.read())
            self._sum = measured if self._sum is None else self._sum.to(measured.device) + measured
            self._batches += 1

    def state_dict(self) -> dict[str, Any]:
        """Sum and number of batches; the owner of the masks saves them."""
        return {"sum": self._sum, "batches": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state."""
        self._sum, self._batches = state["sum"], state["batches"]

    def _masking(self, model: nn.Module, learn_on: bool) -> AbstractContextManager[None]:
        masked = self._masked
        if masked is None or masked.model is not model or masked.learn_on != learn_on:
            masks: Mapping[str, Tensor] = {} if self._masks is None else self._masks
            masked = MaskedFilters(model, self._groups, masks, learn_on=learn_on)
            self._masked = masked
        return masked.applied()

    def _reader(self, model: nn.Module) -> GateGradients:
        if self._gradients is None or self._gradients.model is not model:
            self._gradients = GateGradients(model, self._groups)
        return self._gradients


@contextmanager
def _keeping_buffers(model: nn.Module) -> Iterator[None]:
    """Set buffers back after the block, such as the running statistics of batch norms."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])


def average_over_rounds(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], momentum: float
) -> dict[str, Tensor]:
    """``momentum * old + (1 - momentum) * new``, by name; `new` in the first round."""
    if not old:
        return dict(new)
    return {name: momentum * old[name] + (1 - momentum) * score for name, score in new.items()}
