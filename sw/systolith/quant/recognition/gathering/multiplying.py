"""Products and sums of two activations, repeated over the axes that they lack."""

from torch import fx

from systolith.network import Shape
from systolith.quant.recognition.gathering.carrying import Carrying
from systolith.quant.recognition.nodes import inputs_of
from systolith.quant.recognition.operations import Enlarge, Operation, Product, TakeChannels
from systolith.trace import readable_name

__all__ = ["Multiplying"]


class Multiplying(Carrying):
    """A reader of recorded calls that makes layers of products, and repeats what is smaller."""

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
        names = self.spread(node)
        if names is not None:
            self.operations[node] = operation = Product()
            self.add_layer(node, readable_name(node), operation, names)

    def spread(self, node: fx.Node) -> tuple[str, ...] | None:
        """Repeat what a node reads over the axes that it lacks.

        Returns
        -------
        tuple of str, optional
            Layers with the results, all of the shape of the node's value; None if one is refused.
        """
        shape, names = self.shape_of(node), []
        for source in inputs_of(node):
            if not self._spreads(source, shape):
                return None
            names.append(self._repeat(node, source, shape))
        return tuple(names)

    def _spreads(self, source: fx.Node, shape: Shape) -> bool:
        """Whether each axis of a value has this length, or 1."""
        own, seen = self.shapes[self.sources[source]], self.shape_of(source)
        if seen not in (own, (*own, 1, 1)):
            self.refuse_operation(source)
            return False
        if own == shape:
            return True
        image = (*own, 1, 1)[:3]
        if not len(shape) == len(seen) == 3 or any(
            a not in (1, b) for a, b in zip(image, shape, strict=True)
        ):
            self.refuse(
                source,
                f"is repeated to {shape}, so each axis needs that length, or 1; got {own}",
            )
            return False
        return True

    def _repeat(self, node: fx.Node, source: fx.Node, shape: Shape) -> str:
        """Repeat a value over the axes that it lacks; name the layer with the result."""
        name = self.sources[source]
        own = self.shapes[name]
        if own == shape:
            return name
        if own[0] != shape[0]:
            chosen = TakeChannels((0,) * shape[0])
            name = self._insert(node, "channels", chosen, name, (shape[0], *own[1:]))
        rows, columns = own[1:] or (1, 1)
        if (rows, columns) != shape[1:]:
            factors = shape[1] // rows, shape[2] // columns
            name = self._insert(node, "pixels", Enlarge(factors), name, shape)
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
