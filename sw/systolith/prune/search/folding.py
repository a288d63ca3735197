"""Many variants of a network at once, folded into the batch axis."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from systolith.prune.computed_weights import computed_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import Convolution, Transposed, as_stored
from systolith.trace import record_for_any_count, run_node

__all__ = ["FoldedNetwork", "Prefix"]

AGREEMENT = 1e-3


@dataclass(frozen=True, slots=True)
class Prefix:
    """Values that all variants share and that the varied part of a network reads."""

    images: int
    """Number of images in the batch, N."""
    values: Mapping[fx.Node, Any]


class FoldedNetwork:
    """A network whose variants differ in the weights of one layer, or in gates behind modules.

    Everything that does not depend on the variation is computed once, by :meth:`prefix`. The layer
    runs as one convolution with P * F filters, and everything after it runs on P * N samples,
    variant by variant: ``folded[p * N + i]`` is image i in variant p. Values of the prefix that the
    varied part reads, such as shortcuts, are repeated P times.

    Parameters
    ----------
    model : nn.Module
        Copied and put into evaluation mode, so later changes do not matter. Samples must not
        depend on each other.
    images : Tensor of float, shape (N, ...)
        The model is recorded on at most three of them.
    layer : str, optional
        Convolution or linear layer whose weights vary, called once.
    gated : iterable of str
        Modules whose output, shape (N, channels, ...), is multiplied by gates.

    Raises
    ------
    PruneError
        If the model cannot be recorded, or does not call these modules.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        layer: str | None = None,
        gated: Iterable[str] = (),
    ) -> None:
        self._model = copy.deepcopy(model).eval()
        recording = record_for_any_count(self._model, images)
        PruneError.raise_if_any(recording.problems)
        if len(recording.outputs) > 1:
            raise PruneError(["forward() (model): needs to return one tensor, got several"])
        self._graph, (self._output,) = recording.graph, recording.outputs
        self._layer = layer
        calls: dict[str, list[fx.Node]] = {}
        for node in self._graph.nodes:
            if node.op == "call_module":
                calls.setdefault(str(node.target), []).append(node)
        gated = tuple(gated)
        PruneError.raise_if_any(_problems(self._model, calls, layer, gated))
        self._varied: dict[fx.Node, str] = {}
        if layer is not None:
            self._varied[calls[layer][0]] = layer
        for name in gated:
            for node in calls[name]:
                gate = _insert_gate(node)
                self._varied[gate] = name
                self._output = gate if node is self._output else self._output
        self._sort()

    def _sort(self) -> None:
        """Find what depends on the variation, what it reads, and the last reader of each value."""
        folded: set[fx.Node] = set()
        self._suffix: list[fx.Node] = []
        self._last: dict[fx.Node, list[fx.Node]] = {}
        reader: dict[fx.Node, fx.Node] = {}
        for node in self._graph.nodes:
            reads = node.all_input_nodes
            if node in self._varied or any(read in folded for read in reads):
                folded.add(node)
                self._suffix.append(node)
                reader.update(dict.fromkeys(reads, node))
        reader.pop(self._output, None)
        for node, last in reader.items():
            self._last.setdefault(last, []).append(node)
        self._folded = folded
        self._frontier = {node for node in (*reader, self._output) if node not in folded}

    def lay_channels_last(self) -> None:
        """Lay the weights of convolutions channels last; images must come so, too."""
        modules = {node.meta["module"] for node in self._graph.nodes if node.op == "call_module"}
        for module in (self._model, *modules):
            module.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def prefix(self, images: Tensor) -> Prefix:
        """Compute what all variants share, for a batch of images, shape (N, ...)."""
        values: dict[fx.Node, Any] = {}
        for node in self._graph.nodes:
            if node.op == "placeholder":
                values[node] = images.clone()  # a network may change its inputs in place
            elif node not in self._folded:
                values[node] = run_node(node, values.__getitem__, len(images))
        return Prefix(len(images), {node: values[node] for node in self._frontier})

    @torch.no_grad()
    def logits(self, prefix: Prefix, variants: Mapping[str, Tensor]) -> Tensor:
        """Run P variants of the part behind the prefix.

        Parameters
        ----------
        prefix : Prefix
            Of N images.
        variants : mapping of str to Tensor
            For the layer, its weights, shape (P, F, C, Kh, Kw) or (P, O, I); for each gated module,
            gates, shape (P, channels).

        Returns
        -------
        Tensor, shape (P, N, classes)
        """
        (count,) = {len(variant) for variant in variants.values()}
        values: dict[fx.Node, Any] = {}

        def read(node: fx.Node) -> Any:
            if node in values:
                return values[node]
            value = prefix.values[node]
            batched = isinstance(value, Tensor) and value.shape[:1] == (prefix.images,)
            return _repeat(value, count) if batched else value

        for node in self._suffix:
            if node in self._varied:
                source = node.all_input_nodes[0]
                value = values[source] if source in values else prefix.values[source]
                variant = variants[self._varied[node]]
                values[node] = (
                    _run_layer(node.meta["module"], value, variant)
                    if self._varied[node] == self._layer and node.op == "call_module"
                    else _apply_gates(value, variant, prefix.images)
                )
            else:
                values[node] = run_node(node, read, count * prefix.images)
            for dead in self._last.get(node, ()):
                values.pop(dead, None)
        output = read(self._output)
        logits: Tensor = output.reshape(count, prefix.images, *output.shape[1:])
        return logits

    def check(self, images: Tensor, variants: Mapping[str, Tensor]) -> None:
        """Check that a variant that changes nothing agrees with the network.

        Parameters
        ----------
        images : Tensor, shape (N, ...)
            A few different images.
        variants : mapping of str to Tensor
            As for :meth:`logits`, with P = 1: the layer's own weights, or gates of 1.

        Raises
        ------
        PruneError
            If a logit is not finite, or if logits differ because the network mixes samples or
            depends on their number.
        """
        with torch.no_grad():
            expected: Tensor = self._model(images.clone())
        if not expected.isfinite().all():
            bad = float(expected[~expected.isfinite()][0])
            raise PruneError([f"a network must give finite logits before it is pruned, got {bad}"])
        try:
            pairs = {name: torch.cat([value, value / 2]) for name, value in variants.items()}
            folded = self.logits(self.prefix(images), pairs)[0]
            bound = AGREEMENT * (1 + float(expected.abs().max()))
            agree = float((folded - expected).abs().max()) <= bound
            reason = "it gives other logits then"
        except Exception as error:  # whatever a forward() raises that counts its samples
            agree, reason = False, f"got {type(error).__name__}: {error}"
        if not agree:
            problem = (
                "a network is evaluated with many masks at once, so each of its samples must be "
                f"computed by itself, whatever their number; {reason}"
            )
            raise PruneError([problem])


_VARIED = ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Linear")


def _problems(
    model: nn.Module,
    calls: Mapping[str, list[fx.Node]],
    layer: str | None,
    gated: tuple[str, ...],
) -> Iterable[str]:
    for name in (*gated, *(() if layer is None else (layer,))):
        if name not in calls:
            yield f"the model must call the module '{name}' to vary it, but calls none so named"
    if layer is None or layer not in calls:
        return
    (node, *_) = calls[layer]
    module, kind = node.meta["module"], node.meta["title"]
    if not isinstance(module, Convolution | nn.Linear) or kind not in _VARIED:
        yield f"the layer to vary must be a convolution or Linear, but '{layer}' is a {kind}"
    elif remedies := " and ".join(computed_weights(model.get_submodule(layer))):
        yield f"masks need parameters, but '{layer}' computes its weights; call {remedies}"
    if (times := len(calls[layer])) > 1:
        yield f"the layer to vary must be called once, but '{layer}' is called {times} times"


def _insert_gate(node: fx.Node) -> fx.Node:
    """Insert a node behind a module; all readers of the module read it instead."""
    with node.graph.inserting_after(node):
        gate = node.graph.call_function(torch.mul, (node, 1))
    node.replace_all_uses_with(gate, delete_user_cb=lambda user: user is not gate)
    return gate


def _repeat(value: Tensor, count: int) -> Tensor:
    """Repeat a value; it is always copied, as a network may change its inputs in place."""
    tiled = value.repeat(count, *[1] * (value.ndim - 1))
    last = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
    return tiled.contiguous(memory_format=torch.channels_last) if last else tiled


def _run_layer(layer: Convolution | nn.Linear, value: Tensor, weights: Tensor) -> Tensor:
    """Run a layer on N samples with P weights: one layer with P times the filters."""
    # Filters of a group must be neighbours: (P, g * F/g, ...) becomes (g, P, F/g, ...).
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    sizes = (groups, len(weights), weights.shape[1] // groups)
    filters = weights.reshape(sizes[1], groups, sizes[2], *weights.shape[2:]).transpose(0, 1)
    weight, bias = filters.flatten(0, 2), layer.bias
    if bias is not None:
        bias = bias.reshape(groups, 1, -1).expand(sizes).flatten()
    output: Tensor
    if isinstance(layer, nn.Linear):
        output = F.linear(value, weight, bias)
    elif isinstance(layer, Transposed):
        own, padding = as_stored(weight, layer), [int(size) for size in layer.padding]
        settings = layer.stride, padding, layer.output_padding, groups, layer.dilation
        spread = F.conv_transpose1d if own.ndim == 3 else F.conv_transpose2d
        output = spread(value, own, bias, *settings)
    else:
        output = layer._conv_forward(value, weight, bias)
    # From (N, H, W, g * P * F/g), where runs of F/g are copied, or (N, g * P * F/g, H, W).
    last = output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last)
    if last:
        output = output.permute(0, 2, 3, 1)
    axis = output.ndim - 1 if last or isinstance(layer, nn.Linear) else 1
    split = output.reshape(*output.shape[:axis], *sizes, *output.shape[axis + 1 :])
    folded = split.movedim(axis + 1, 0).flatten(axis + 1, axis + 2).flatten(0, 1)
    return folded.permute(0, 3, 1, 2) if last else folded


def _apply_gates(value: Tensor, gates: Tensor, images: int) -> Tensor:
    """Multiply outputs, shape (N or P * N, channels, ...), by gates, shape (P, channels)."""
    variants = value.reshape(-1, images, *value.shape[1:])
    gates = gates.to(value.dtype).reshape(len(gates), 1, -1, *[1] * (value.ndim - 2))
    return (variants * gates).flatten(0, 1)
