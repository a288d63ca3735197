"""Products of two activations, the smaller one repeated over the axes that it lacks."""

from torch import fx

from systolith.network import Shape
from systolith.quant.recognition.gathering.carrying import Carrying
from systolith.quant.recognition.nodes import inputs_of
from systolith.quant.recognition.operations import Enlarge, Operation, Product, TakeChannels
from systolith.trace import readable_name

__all__ = ["Multiplying"]


class Multiplying(Carrying):
    """A reader of recorded calls that makes layers of products."""

    def multiply(self, node: fx.Node) -> None:
        """Make a table of a product of functions of one tensor, otherwise a product of two."""
        if any(source in self.unknown for source in node.all_input_nodes):
            self.unknown.add(node)
            return
        if self.tabulate(node):
            return
        computed = [self.compute_scales(source) for source in node.all_input_nodes]
        if self.settle(node) or (any(computed) and self.tabulate(node)):
            return
        shape, names = self.shape_of(node), []
        for source in inputs_of(node):
            if not self._spreads(source, shape):
                return
            names.append(self._spread(node, source, shape))
        self.operations[node] = operation = Product()
        self.add_layer(node, readable_name(node), operation, tuple(names))

    def _spreads(self, source: fx.Node, shape: Shape) -> bool:
        """Whether a value has this shape, or one value for each channel or pixel of it."""
        own, seen = self.shapes[self.sources[source]], self.shape_of(source)
        if seen not in (own, (*own, 1, 1)):
            self.refuse_operation(source)
            return False
        channels, size = own[0], own[1:] or (1, 1)
        if own != shape and (
            len(shape) != 3 or channels not in (1, shape[0]) or size not in ((1, 1), shape[1:])
        ):
            self.refuse(
                source,
                f"is multiplied, so it needs one value, one for each channel, one for "
                f"each pixel, or all of {shape}; got {own}",
            )
            return False
        return True

    def _spread(self, node: fx.Node, source: fx.Node, shape: Shape) -> str:
        """Repeat a value over the axes that it lacks; name the layer with the result."""
        name = self.sources[source]
        own = self.shapes[name]
        if own == shape:
            return name
        if own[0] != shape[0]:
            chosen = TakeChannels((0,) * shape[0])
            name = self._insert(node, "channels", chosen, name, (shape[0], *own[1:]))
        if own[1:] != shape[1:]:
            rows, columns = shape[1:]
            name = self._insert(node, "pixels", Enlarge((rows, columns)), name, shape)
        return name

    def _insert(
        self, node: fx.Node, what: str, operation: Operation, before: str, shape: Shape
    ) -> str:
        """Make a layer without a call of its own behind the layer `before`."""
        name = self.unused(f"{readable_name(node)}_{what}")
        self.add_layer(node, name, operation, (before,))
        self.layers[name].qualified_name = name
        self.layers[name].reference = ""
        self.shapes[name] = shape
        return name
