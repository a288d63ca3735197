"""Second moments of layers' inputs, collected from images while a network runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.foundation import kind_problems
from systolith.prune.computed_weights import computed_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import Convolution, Transposed
from systolith.prune.posttraining.output_moments import OutputMoments, unfold_columns
from systolith.trace import evaluating

__all__ = [
    "BATCH",
    "count_calls",
    "lowered_input",
    "measure_input_moments",
    "measure_output_moments",
    "run_until",
]

BATCH = 64
"""Images that run at once."""
MOST_ELEMENTS = 2**23
"""Elements of lowered inputs that are multiplied at once: 32 MiB in float32."""

Watch = Callable[[nn.Module, Tensor, Tensor], None]
"""Called with a module, its input and its output."""


class _AllSeenError(Exception):
    """Every call that is watched has happened; the rest of the network need not run."""


def count_calls(model: nn.Module, names: Iterable[str], images: Tensor) -> dict[str, int]:
    """Count the calls of layers in one forward pass, in the order of their first calls.

    Raises
    ------
    PruneError
        If a layer is no convolution or linear layer, computes its weights by hooks or
        parametrizations, has weights that are not finite, or is never called as a module; all of
        them are listed. If there are no images, or the model does not take them.
    """
    calls: Counter[str] = Counter()
    names = tuple(names)
    PruneError.raise_if_any(kind_problems("images", images, Tensor))
    PruneError.raise_if_any(_kind_problems(model, names))
    if not len(images):
        raise PruneError(["reconstruction needs images, got none"])
    with evaluating(model), ExitStack() as hooks:
        for name in names:

            def count(module: nn.Module, given: Any, name: str = name) -> None:
                calls[name] += 1

            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(count))
        try:
            model(_on_device_of(model, images[:2]))
        except Exception as error:  # the model's code may raise anything
            shape, reason = tuple(images.shape), str(error) or type(error).__name__
            problem = f"images of shape {shape} do not fit the model: {reason}"
            raise PruneError([problem]) from error
    PruneError.raise_if_any(
        f"reconstruction needs the inputs of '{name}', but the model never calls this module"
        for name in names
        if name not in calls
    )
    return dict(calls)


def measure_input_moments(
    model: nn.Module, calls: Mapping[str, int], images: Tensor
) -> dict[str, Tensor]:
    """Mean of ``x x^T`` over all positions of the lowered inputs x of layers.

    Products are computed in the model's type, portion by portion, and added up in float64.

    Parameters
    ----------
    model : nn.Module
        Runs in evaluation mode; not changed.
    calls : mapping of str to int
        Layers by name, with the number of their calls, from :func:`count_calls`. The network runs
        no further than their last one.
    images : Tensor of float, shape (N, ...)
        They run in batches, so memory does not grow with their number.

    Returns
    -------
    dict of str to Tensor of float64, shape (groups, d, d)
        d weights read each position; in the order of the weights, shape (F, C/groups, Kh, Kw).

    Raises
    ------
    PruneError
        If an input is not finite.
    """
    sums: dict[str, Tensor] = {}
    positions: Counter[str] = Counter()
    names = {model.get_submodule(name): name for name in calls}

    def add(module: nn.Module, given: Tensor, output: Tensor) -> None:
        name = names[module]
        for lowered in lowered_input(module, given, output):
            product = (lowered @ lowered.mT).double()
            sums[name] = sums[name] + product if name in sums else product
            positions[name] += lowered.shape[2]

    for batch in torch.split(images, BATCH):
        run_until(model, batch, calls, add)
    PruneError.raise_if_any(
        f"inputs of '{name}' must be finite, but are not on the images given"
        for name in calls
        if not bool(sums[name].isfinite().all())
    )
    return {name: (sums[name] + sums[name].mT) / (2 * positions[name]) for name in calls}


def measure_output_moments(
    model: nn.Module,
    reference: nn.Module,
    calls: Mapping[str, int],
    images: Tensor,
    kept: Tensor | None = None,
) -> OutputMoments:
    """Measure moments of a layer's inputs in a model, and of its outputs in another one.

    Parameters
    ----------
    model, reference : nn.Module
        Run in evaluation mode; not changed.
    calls : mapping of str to int
        One layer, as for :func:`measure_input_moments`.
    images : Tensor of float, shape (N, ...)
        At least one; as for :func:`measure_input_moments`.
    kept : Tensor of bool, shape (F,), optional
        Outputs of the reference that the model still has.
    """
    (name,) = calls
    layer = model.get_submodule(name)

    def portions() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in torch.split(images, BATCH):
            seen = (_calls_of(network, calls, batch) for network in (model, reference))
            for (given, made), (_, output) in zip(*seen, strict=True):
                wanted = _rows(layer, output, kept)
                first = 0
                for x in lowered_input(layer, given, made):
                    count = x.shape[2]
                    yield x, wanted[:, first : first + count].reshape(len(x), -1, count)
                    first += count

    moments = OutputMoments.accumulate(portions())
    if not bool(moments.gram.isfinite().all() and moments.cross.isfinite().all()):
        raise PruneError([f"inputs of '{name}' must be finite, but are not on the images given"])
    return moments


def run_until(model: nn.Module, batch: Tensor, calls: Mapping[str, int], watch: Watch) -> None:
    """Run a batch until all these calls have happened; give each one's input and output."""
    missing = Counter(calls)
    with evaluating(model), ExitStack() as hooks:
        for name in calls:

            def see(module: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
                watch(module, given[0], output)
                missing[name] -= 1
                if not +missing:
                    raise _AllSeenError

            hooks.enter_context(model.get_submodule(name).register_forward_hook(see))
        try:
            model(_on_device_of(model, batch))
        except _AllSeenError:
            pass


def lowered_input(layer: nn.Module, given: Tensor, output: Tensor) -> Iterator[Tensor]:
    """Yield the columns that a layer multiplies its weights with, in portions of images.

    Weights have their filters first. A transposed convolution multiplies with zeros, too: those
    between the pixels.

    Parameters
    ----------
    layer : nn.Module
        Convolution, transposed or not, or linear layer.
    given, output : Tensor
        Its input and output in one call.

    Yields
    ------
    Tensor of the input's type, shape (groups, d, positions)
    """
    if isinstance(layer, nn.Linear):
        yield given.detach().flatten(0, -2).T[None]
        return
    assert isinstance(layer, Convolution)
    given = given.detach()
    if isinstance(layer, Transposed):
        given, stride = _spread_pixels(layer, given, output), (1,) * len(layer.stride)
    else:
        # With padding "same", the layer pads unequally; this is what its own forward pass uses.
        padding: list[int] = layer._reversed_padding_repeated_twice
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        given, stride = F.pad(given, padding, mode), layer.stride
    count = max(1, MOST_ELEMENTS // (given[0].numel() * prod(layer.kernel_size)))
    for part in torch.split(given, count):
        columns = unfold_columns(
            part, layer.kernel_size, stride=stride, dilation=layer.dilation, groups=layer.groups
        )
        if isinstance(layer, Transposed):  # its taps are in the opposite order
            taps = columns.reshape(len(columns), -1, prod(layer.kernel_size), columns.shape[2])
            columns = taps.flip(2).flatten(1, 2)
        yield columns


def _spread_pixels(layer: Transposed, given: Tensor, output: Tensor) -> Tensor:
    """Put zeros between and around pixels, so that a convolution of stride 1 reads them."""
    sides: list[int] = []
    for axis in reversed(range(len(layer.stride))):
        stride, size = layer.stride[axis], given.shape[2 + axis]
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
        before = reach - int(layer.padding[axis])
        whole = output.shape[2 + axis] + reach
        sides += [before, whole - before - ((size - 1) * stride + 1)]
        spread = given.new_zeros(*given.shape[: 2 + axis], size, stride, *given.shape[3 + axis :])
        spread.select(3 + axis, 0).copy_(given)
        flat = spread.flatten(2 + axis, 3 + axis)
        given = flat.narrow(2 + axis, 0, (size - 1) * stride + 1)
    return F.pad(given, sides)


def _calls_of(
    model: nn.Module, calls: Mapping[str, int], batch: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Input and output of each call of a layer."""
    seen: list[tuple[Tensor, Tensor]] = []
    run_until(model, batch, calls, lambda _, given, output: seen.append((given, output)))
    return seen


def _rows(layer: nn.Module, output: Tensor, kept: Tensor | None) -> Tensor:
    """From (N, F, ...) or (..., F) to (F, positions), in the order of lowered inputs."""
    axis = 1 if isinstance(layer, Convolution) else -1
    rows = output.detach().movedim(axis, 0).flatten(1)
    return rows if kept is None else rows[kept.to(rows.device)]


def _kind_problems(model: nn.Module, names: Iterable[str]) -> Iterator[str]:
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        if (layer := modules.get(name)) is None:
            yield f"reconstruction needs layers of the model, got '{name}'"
        elif not isinstance(layer, Convolution | nn.Linear):
            kind = type(layer).__name__
            yield f"reconstruction needs a convolution or Linear layer, but '{name}' is a {kind}"
        elif remedies := " and ".join(computed_weights(layer)):
            yield f"masks need parameters, but '{name}' computes its weights; call {remedies}"
        elif not bool(layer.weight.isfinite().all()):
            yield f"weights of '{name}' must be finite"


def _on_device_of(model: nn.Module, images: Tensor) -> Tensor:
    """Give images the device and the type of the model's weights."""
    return images.to(next(model.parameters()))
