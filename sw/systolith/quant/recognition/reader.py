"""Layers read from a recording: recognized, folded and fused, or refused with reasons."""

from dataclasses import dataclass, field
from math import prod

from torch import fx

from systolith.network import INPUT, Shape
from systolith.quant.recognition.calls.recognize import depends_on_size, recognize
from systolith.quant.recognition.gathering.fusing import FUSES
from systolith.quant.recognition.gathering.moves import MovedValues
from systolith.quant.recognition.gathering.pixels import Imaging
from systolith.quant.recognition.gathering.unfolded import Unfolded
from systolith.quant.recognition.nodes import (
    inputs_of,
    reachable_layers,
    repeated_calls,
    shape_misfits,
)
from systolith.quant.recognition.operations import (
    Activate,
    AddUp,
    Apply,
    AveragePool,
    Combine,
    Convolve,
    Enlarge,
    Extend,
    FloatLayer,
    FloatNetwork,
    Join,
    MaxPool,
    Move,
    Normalize,
    Operation,
    Pad,
    Pass,
    Reading,
    Reshape,
    ScaleAndShift,
    Softmax,
    ToVectors,
)
from systolith.quant.recognition.sequences import image_call, image_shape
from systolith.quant.returned import SIGMOID, Returned, ReturnedTensor
from systolith.trace import Recording, qualified_name, read_call, readable_name, title
from systolith.trace.aliases import changed_through_a_view

__all__ = ["Reader"]

NOT_OF_A_LAYER = "forward() (model): needs to return what a layer computes"
_LAYERS = FUSES | MaxPool | Join | Enlarge | Extend


@dataclass
class Reader(Imaging):
    """Reads a recorded graph node by node.

    Parameters
    ----------
    recording : Recording
    """

    recording: Recording
    layers: dict[str, FloatLayer] = field(default_factory=dict)
    sources: dict[fx.Node, str] = field(default_factory=dict)
    """Name of the layer that computes a node's value."""
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Shape of one image's output of each layer."""
    operations: dict[fx.Node, Operation | None] = field(default_factory=dict)
    moved: MovedValues = field(default_factory=MovedValues)
    unfolded: dict[fx.Node, Unfolded] = field(default_factory=dict)
    """Padding and scales to be folded into the readers of a node."""
    refused: set[fx.Node] = field(default_factory=set)
    unknown: set[fx.Node] = field(default_factory=set)
    """Nodes whose value depends on a refused call in a way that is not known."""
    problems: list[str] = field(default_factory=list)
    host_moves: list[str] = field(default_factory=list)
    """Moves of returned values that are left to the host."""
    fixed_shape: bool = False

    def read(self) -> Reading:
        """Make layers of all nodes, and collect all problems."""
        recording = self.recording
        nodes = list(recording.graph.nodes)
        for node in nodes:
            if node.op == "placeholder":
                self.sources[node] = INPUT
                self.shapes[INPUT] = self.shape_of(node)
            else:
                self.operations[node] = self._recognize(node)
                self._add(node, self.operations[node])
        self.problems += recording.problems
        notes, returned = self._check_outputs()
        layers, network = list(self.layers.values()), None
        if not self.problems:
            network = FloatNetwork(
                layers=reachable_layers(layers, returned.layers),
                notes=notes,
                returned=returned,
                fixed_shape=recording.reads_sizes or self.fixed_shape,
                repeated=tuple(repeated_calls(nodes)),
            )
        return Reading(
            layers=layers,
            shapes=self.shapes,
            problems=tuple(dict.fromkeys(self.problems)),
            network=network,
        )

    def shape_of(self, node: fx.Node) -> Shape:
        """Shape of one image's value of a node; a sequence is an image of one row."""
        return image_shape(tuple(self.recording.values[node].shape[1:]))

    def _recognize(self, node: fx.Node) -> Operation | None:
        if node.target is changed_through_a_view:
            return None  # the recording has reported it
        if node.all_input_nodes[0] in self.moved.parts:
            return self.operations[node.all_input_nodes[0]]
        if any(source not in self.recording.values for source in node.all_input_nodes):
            return None  # it reads a list of tensors, which has been reported
        call = image_call(read_call(node, self.recording.values))
        operation, reasons = recognize(call)
        self.fixed_shape |= depends_on_size(call, operation)
        before = self.recording.values[node.all_input_nodes[0]]
        value = self.recording.values.get(node, before)
        if reasons:
            self.refused.add(node)
        elif value.dtype != before.dtype and not isinstance(operation, Softmax):
            reasons = [f"needs {before.dtype}, as its input, got {value.dtype}"]
        self.problems += [f"{title(node)}: {reason}" for reason in reasons]
        return None if reasons and operation is None else operation

    def _add(self, node: fx.Node, operation: Operation | None) -> None:
        """Make a layer of a node, or fuse it into the layer before."""
        if any(source not in self.sources for source in node.all_input_nodes):
            return  # what it reads has been reported
        if "failed" in node.meta:
            return
        if node not in self.recording.values and not isinstance(operation, Move):
            return
        (first, *_) = node.all_input_nodes
        if operation is None or (first in self.unknown and not isinstance(operation, _LAYERS)):
            # What reads it is checked as if this were a layer.
            self.lose(node)
            return
        before, name = self.sources[first], readable_name(node)
        self.sources[node] = before
        if self.follow(node, first):
            return
        before = self.sources[node]
        match operation:
            case Pass():
                self.carry(first, node)
            case Reshape():
                self.reshape(node, first)
            case ScaleAndShift() if self.is_table(first) and self.tabulate(node):
                pass
            case Pad(crops=False) | ScaleAndShift():
                self.carry(first, node, operation)
            case Normalize():
                self.normalize(node, operation, before)
            case Activate():
                scaled = bool(self.unfolded.get(first, Unfolded()).scales)
                if scaled and self.tabulate(node):
                    return
                if scaled and self.compute_scales(first):
                    self.sources[node], scaled = self.sources[first], False
                if not scaled:
                    self.fuse(node, operation)
                else:
                    self.settle(node)
            case Apply() if operation.slope is not None and self.fuse_slope(node, operation.slope):
                pass
            case Combine(multiplies=True):
                self.multiply(node)
            case Apply() | Combine():
                self.apply(node)
            case AddUp() if any(map(self._is_function, inputs_of(node))) and self.tabulate(node):
                pass
            case Softmax():
                self.settle(node)
            case _:
                known = len(self.problems)
                if isinstance(operation, AddUp) and self._repeats(node):
                    self._add_repeated(node, name, operation)
                    return
                self._check_shapes(node)
                operation = self.fold_into(node, operation)
                read = inputs_of(node) if isinstance(operation, AddUp | Join) else [first]
                inputs = tuple(self.sources[source] for source in read)
                if len(self.problems) == known:
                    self.problems += shape_misfits(
                        node, operation, [self.shapes[i] for i in inputs]
                    )
                self.add_layer(node, name, operation, inputs)
                if isinstance(operation, Convolve) and operation.phases is not None:
                    self.add_moves(node, name, operation)

    def _repeats(self, node: fx.Node) -> bool:
        """Whether one of the images that a node reads is repeated over an axis."""
        shapes = {self.shape_of(source) for source in inputs_of(node)}
        return len(shapes) > 1 and len(self.shape_of(node)) == 3

    def _add_repeated(self, node: fx.Node, name: str, operation: AddUp) -> None:
        """Add two images, and repeat the smaller one to the size of the other."""
        for source in node.all_input_nodes:
            self.compute_scales(source)
        if not self.settle(node) and (inputs := self.spread(node)) is not None:
            self.add_layer(node, name, operation, inputs)

    def _is_function(self, node: fx.Node) -> bool:
        """Whether a node's value is a function of each value of a layer."""
        return self.is_table(node) or bool(self.unfolded.get(node, Unfolded()).scales)

    def add_layer(
        self, node: fx.Node, name: str, operation: Operation, inputs: tuple[str, ...]
    ) -> None:
        """Make a layer that computes a node's value."""
        qualified = qualified_name(node)
        if any(layer.qualified_name == qualified for layer in self.layers.values()):
            qualified = name
        self.layers[name] = FloatLayer(
            name=name,
            qualified_name=qualified,
            operation=operation,
            inputs=inputs,
            reference=node.name,
            title=title(node),
            module=str(node.target if node.op == "call_module" else node.meta.get("owner", "")),
        )
        self.sources[node] = name
        shape = self.shape_of(node)
        if isinstance(operation, AveragePool | MaxPool) and self._drops_axes(node):
            self._drop_axes(node, name, operation, shape)
        else:
            self.shapes[name] = shape

    def _drops_axes(self, node: fx.Node) -> bool:
        """Whether a value has fewer axes than the one that it is computed from."""
        values, first = self.recording.values, node.all_input_nodes[0]
        return first in values and values[node].ndim < values[first].ndim

    def _drop_axes(
        self, node: fx.Node, name: str, operation: AveragePool | MaxPool, shape: Shape
    ) -> None:
        """Treat a reduction without ``keepdim`` as a pool and, if vectors remain, a flattening."""
        before = self.shapes[self.layers[name].inputs[0]]
        if len(before) == 1:  # an image of a vector, which is refused
            self.shapes[name] = shape
            return
        channels, height, width = before
        rows, columns = operation.kernel_size or (height, width)
        self.shapes[name] = channels, height // rows, width // columns
        if len(shape) == 1:
            self.flatten(node, f"{name}_flatten", name)

    def flatten(self, node: fx.Node, name: str, before: str) -> None:
        """Make a flattening behind the layer `before`."""
        name = self.unused(name)
        self.add_layer(node, name, ToVectors(), (before,))
        self.layers[name].qualified_name = (
            qualified_name(node) if name == readable_name(node) else name
        )

    def reshape(self, node: fx.Node, first: fx.Node) -> None:
        """Make a flattening if the result is vectors; other shapes must be undone later."""
        shape = self.shape_of(node)
        if self.unfolded.get(first, Unfolded()).pads and shape != self.shape_of(first):
            self.settle(node)
            self.unfolded[first] = Unfolded()
        before = self.sources[first]
        whole = len(self.recording.values[node]) == len(self.recording.values[first])
        if not whole and first not in self.moved.mixed:
            self.refuse_operation(node)
            return
        self.carry(first, node, self.operations[node])
        if len(self.shapes[before]) == 1 < len(shape):
            self.make_image(node, shape)
        if len(shape) == 1 and self.shapes[before] != shape:
            self.flatten(node, readable_name(node), before)

    def _check_shapes(self, node: fx.Node) -> None:
        """Refuse inputs that are neither images nor vectors, as hardware has no others."""
        for source in node.all_input_nodes:
            if not self.is_reshaped(source):
                continue
            while source in self.operations and isinstance(self.operations[source], Pass):
                source = source.all_input_nodes[0]
            self.refuse_operation(source)

    def refuse_operation(self, node: fx.Node) -> None:
        """Refuse an operation that was recognized but does not fit here."""
        if node in self.refused:
            return
        match self.operations[node]:
            case Reshape(reason=reason) | ScaleAndShift(reason=reason) | Move(reason=reason):
                self.refuse(node, reason)
            case _:
                self.refuse(node, "needs keepdim=True, or a flattening behind it")

    def _check_outputs(self) -> tuple[tuple[str, ...], Returned]:
        """Check what is returned, ignoring softmaxes at the ends. Returns notes, too."""
        softmaxes = [n for n, one in self.operations.items() if isinstance(one, Softmax)]
        left_out: dict[fx.Node, None] = {}
        returned = []
        for output in self.recording.outputs:
            node, ends = self._before_end(output)
            left_out.update(dict.fromkeys(ends))
            if node in self.sources:
                returned.append(self._returned(node, list(ends.values())))
            elif not self.problems:
                self.problems.append(NOT_OF_A_LAYER)
        for inner in softmaxes:
            if inner not in left_out:
                self.refuse(inner, "needs to be the very last operation, where it is left out")
        if not returned and not self.problems:
            self.problems.append(NOT_OF_A_LAYER)
        notes = tuple(
            f"{title(node)} is left out, as it does not change the predicted class"
            for node in left_out
        )
        moves = tuple(dict.fromkeys(self.host_moves))
        return notes, Returned(tensors=tuple(returned), form=self.recording.form, moves=moves)

    def _before_end(self, node: fx.Node) -> tuple[fx.Node, dict[fx.Node, str]]:
        """Go back over what is left out at an end; name what makes probabilities, by node."""
        ends: dict[fx.Node, str] = {}
        while isinstance(operation := self.operations.get(node), Softmax | Pass | Apply):
            if isinstance(operation, Apply) and (not operation.ordered or len(node.users) > 1):
                break
            if not isinstance(operation, Pass):
                ends[node] = operation.end if isinstance(operation, Softmax) else SIGMOID
            node = node.all_input_nodes[0]
        return node, ends

    def _returned(self, node: fx.Node, ends: list[str]) -> ReturnedTensor:
        """Make the layers that a returned value still lacks, and describe it."""
        places = self.leave_to_host(node)
        self.settle_output(node)
        layer, shape = self.sources[node], tuple(self.recording.values[node].shape[1:])
        if layer == INPUT:
            self.problems.append("forward() (model): needs at least one layer, got none")
        elif places is None and prod(shape) != prod(self.shapes[layer]):
            self.refuse_operation(node)
        elif places is not None:
            moved = node
            while isinstance(self.operations[moved], Pass | Activate):
                moved = moved.all_input_nodes[0]
            self.host_moves.append(
                f"{title(moved)} is left to the host: the network gives the values of '{layer}' in "
                f"its own order, {self.shapes[layer]}"
            )
        end, *more = [end for end in ends if end] or [""]
        return ReturnedTensor(
            layer=layer,
            end="" if more else end,
            shape=None if places is None and shape == self.shapes[layer] else shape,
            places=places,
            node=node.name if places is None else "",
        )

    def refuse(self, node: fx.Node, reason: str) -> None:
        """Report that a node is not supported."""
        self.refused.add(node)
        self.problems.append(f"{title(node)}: {reason}")
