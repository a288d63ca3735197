"""From a float model to a list of layers: trace, recognize, fold, fuse; or refuse, with reasons."""

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import UnionType

from torch import fx, nn

from systolith.network import INPUT
from systolith.quant.errors import UnsupportedModelError
from systolith.quant.operations import (
    Activate,
    AddUp,
    AveragePool,
    Convolve,
    Flatten,
    MaxPool,
    Normalize,
    Operation,
    Pad,
    Pass,
)
from systolith.quant.recognize import recognize_call, recognize_module
from systolith.quant.requantizing import Activation

__all__ = ["TracedLayer", "trace_layers"]

_OWNERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
_FOLDS_ZEROS = "a Conv2d, AvgPool2d or (after a ReLU) MaxPool2d"
_TO_BE_FOLDED = "to be folded into"


@dataclass(kw_only=True)
class TracedLayer:
    """One layer of hardware: an operation with what has been fused into it.

    Parameters
    ----------
    name : str
        Readable and unique.
    qualified_name : str
        Of the module, such as ``"layer1.0.conv1"``; of a function call, its readable name.
    operation : Convolve, Multiply, AddUp, AveragePool, MaxPool or Flatten
    inputs : tuple of str
        Layers read.
    norm : nn.BatchNorm2d, optional
        To fold into the convolution.
    activation : Activation
        To fuse.
    """

    name: str
    qualified_name: str
    operation: Operation
    inputs: tuple[str, ...]
    norm: nn.BatchNorm2d | None = None
    activation: Activation = Activation.NONE


def trace_layers(model: nn.Module) -> list[TracedLayer]:
    """List the layers of a model, batch norms folded and activations fused where they belong.

    A ReLU after a max pool or flattening moves in front of it, which changes no result.

    Parameters
    ----------
    model : nn.Module
        With one input and one output tensor, and no control flow that depends on values.

    Returns
    -------
    list of TracedLayer
        In an order in which every layer comes after its inputs; the last one is the output.

    Raises
    ------
    UnsupportedModelError
        With every module and call that cannot become a layer: qualified name, type, reason.
    """
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # whatever the model's own code raises when it meets a proxy
        problem = (
            f"'{type(model).__name__}' (model): needs a forward() that torch.fx can trace, one "
            f"that does not branch on values or shapes, got {type(error).__name__}: {error}"
        )
        raise UnsupportedModelError([problem]) from error
    return _Reader(traced).read()


@dataclass
class _Reader:
    """Reads a traced graph node by node."""

    traced: fx.GraphModule
    layers: dict[str, TracedLayer] = field(default_factory=dict)
    sources: dict[fx.Node, str] = field(default_factory=dict)
    """Name of the layer that computes a node's value."""
    operations: dict[fx.Node, Operation | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def read(self) -> list[TracedLayer]:
        self.traced.graph.eliminate_dead_code()
        nodes = list(self.traced.graph.nodes)
        self.problems += _shared(self.traced, nodes)
        placeholders = [node for node in nodes if node.op == "placeholder"]
        if len(placeholders) != 1:
            names = ", ".join(str(node.target) for node in placeholders)
            self.problems.append(f"forward() (model): needs exactly one input, got {names}")
        self.sources.update({node: INPUT for node in placeholders})
        for node in nodes:
            if node.op not in ("placeholder", "output"):
                self.operations[node] = self._recognize(node)
                self._add(node, self.operations[node])
        self._check_output(nodes[-1])
        if self.problems:
            raise UnsupportedModelError(self.problems)
        return _reachable(list(self.layers.values()), self.sources[nodes[-1].args[0]])

    def _recognize(self, node: fx.Node) -> Operation | None:
        if node.op == "get_attr":
            self.problems.append(f"{_title(self.traced, node)}: activations only, no constants")
            return None
        if node.op == "call_module":
            operation, reasons = recognize_module(self.traced.get_submodule(str(node.target)))
        else:
            operation, reasons = recognize_call(node)
        self.problems += [f"{_title(self.traced, node)}: {reason}" for reason in reasons]
        return operation

    def _add(self, node: fx.Node, operation: Operation | None) -> None:
        """Make a layer of a node, or fuse it into the layer before."""
        if any(source not in self.sources for source in node.all_input_nodes):
            return  # what it reads has been reported
        inputs = [self.sources[source] for source in node.all_input_nodes]
        if operation is None or not inputs:
            return
        before, name = inputs[0], _readable(node)
        self.sources[node] = name
        operation = self._padded(node, operation)
        match operation:
            case Pass() | Pad():
                self.sources[node] = before
            case Normalize():
                self._fold(node, operation, before)
                self.sources[node] = before
            case Activate():
                self._fuse(node, operation)
                self.sources[node] = before
            case _:
                if isinstance(operation, AddUp):
                    self._check_in_place(node)
                    inputs *= 3 - len(inputs)  # x + x has one input node
                self.layers[name] = TracedLayer(
                    name=name,
                    qualified_name=_qualified(node),
                    operation=operation,
                    inputs=tuple(inputs),
                )

    def _padded(self, node: fx.Node, operation: Operation) -> Operation:
        """Take over zeros that were added in front; only what pads with zeros itself can.

        A max pool's own padding never wins. Zeros do not win either over what a ReLU left.
        """
        for source in node.all_input_nodes:
            pad = self.operations.get(source)
            if not isinstance(pad, Pad):
                continue
            kernel = _kernel(operation)
            if kernel is None or (isinstance(operation, MaxPool) and not self._activated(source)):
                self._refuse(source, f"needs only {_FOLDS_ZEROS} to read it, {_TO_BE_FOLDED}")
                continue
            assert isinstance(operation, Convolve | AveragePool | MaxPool)
            top, bottom, left, right = (
                own + added for own, added in zip(operation.padding, pad.padding, strict=True)
            )
            if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
                self._refuse(
                    source,
                    f"needs padding smaller than the kernel {kernel} it is folded into, "
                    f"got {(top, bottom, left, right)}",
                )
            operation = replace(operation, padding=(top, bottom, left, right))
        return operation

    def _activated(self, node: fx.Node) -> bool:
        """Whether the layer that computes a node's value ends in a ReLU or ReLU6."""
        layer = self.layers.get(self.sources[node])
        return layer is not None and layer.activation is not Activation.NONE

    def _fold(self, node: fx.Node, operation: Normalize, before: str) -> None:
        conv = self.layers.get(before)
        origin = self._only_origin(node, through=Pass)
        if conv is None or origin is None or not isinstance(self.operations[origin], Convolve):
            self._refuse(
                node, "needs a Conv2d directly before it, read by nothing else, to be folded into"
            )
            return
        assert isinstance(conv.operation, Convolve)
        if operation.module.num_features != conv.operation.module.out_channels:
            self._refuse(
                node,
                f"needs num_features {conv.operation.module.out_channels} as "
                f"'{conv.qualified_name}' before it, got {operation.module.num_features}",
            )
        conv.norm = operation.module

    def _fuse(self, node: fx.Node, operation: Activate) -> None:
        # Maximum and flattening commute with a monotone function of each value.
        origin = self._only_origin(node, through=Pass | MaxPool | Flatten | Normalize | Activate)
        if origin is None:
            self._refuse(
                node,
                "needs a convolution, linear layer, addition or average pool before it, "
                "read by nothing else, to be fused into",
            )
            return
        layer = self.layers[self.sources[origin]]
        if layer.activation is not Activation.RELU6:
            layer.activation = operation.activation

    def _only_origin(self, node: fx.Node, through: type | UnionType) -> fx.Node | None:
        """Walk up from a one-input node to what computes its value, if nothing else reads that."""
        while True:
            node = node.all_input_nodes[0]
            if len(node.users) > 1 or self.operations.get(node) is None:
                return None
            if not isinstance(self.operations[node], through):
                return node

    def _check_in_place(self, node: fx.Node) -> None:
        """Refuse ``x += y`` if x is read again later, which would see the sum."""
        if node.target in (operator.iadd, "add_"):
            (changed, *_) = node.all_input_nodes
            order = list(self.traced.graph.nodes)
            if any(order.index(user) > order.index(node) for user in changed.users):
                self._refuse(node, "changes in place what is read again later; write x = x + y")

    def _check_output(self, node: fx.Node) -> None:
        if not isinstance(node.args[0], fx.Node):
            self.problems.append("forward() (model): needs to return one tensor, got several")
        elif self.sources.get(node.args[0]) == INPUT:
            self.problems.append("forward() (model): needs at least one layer, got none")
        elif isinstance(self.operations.get(node.args[0]), Pad):
            self._refuse(node.args[0], f"needs {_FOLDS_ZEROS} behind it, {_TO_BE_FOLDED}")
        elif node.args[0] not in self.sources and not self.problems:
            self.problems.append("forward() (model): needs to return what a layer computes")

    def _refuse(self, node: fx.Node, reason: str) -> None:
        self.problems.append(f"{_title(self.traced, node)}: {reason}")


def _kernel(operation: Operation) -> tuple[int, int] | None:
    """Kernel of what can pad with zeros: a global pool cannot, for its kernel would grow."""
    match operation:
        case Convolve(module=module):
            return module.kernel_size[0], module.kernel_size[1]
        case AveragePool(kernel_size=kernel) | MaxPool(kernel_size=kernel):
            return kernel
        case _:
            return None


def _shared(traced: fx.GraphModule, nodes: list[fx.Node]) -> Iterator[str]:
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    for target, count in calls.items():
        module = traced.get_submodule(target)
        if count > 1 and isinstance(module, _OWNERS):
            yield (
                f"'{target}' ({type(module).__name__}): needs to be called once, as each call is a "
                f"layer of its own in hardware, got {count} calls"
            )


def _reachable(layers: list[TracedLayer], output: str) -> list[TracedLayer]:
    """Keep what the output depends on, and put the output last."""
    needed = {output}
    for layer in reversed(layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return [layer for layer in layers if layer.name in needed]


def _title(traced: fx.GraphModule, node: fx.Node) -> str:
    match node.op:
        case "call_module":
            kind = type(traced.get_submodule(str(node.target))).__name__
        case "call_method":
            kind = f"method {node.target}"
        case "get_attr":
            kind = "constant"
        case _:
            kind = f"function {getattr(node.target, '__name__', node.target)}"
    return f"'{_qualified(node)}' ({kind})"


def _qualified(node: fx.Node) -> str:
    return str(node.target) if node.op in ("call_module", "get_attr") else _readable(node)


def _readable(node: fx.Node) -> str:
    """Name that is an identifier in Python and Verilog: ``layer1.0.conv`` is ``layer1_0_conv``."""
    return f"layer{node.name}" if node.name.startswith("_") else node.name
