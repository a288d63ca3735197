"""One layer of a network as a network of its own."""

from dataclasses import replace

from systolith.network import INPUT, Flatten, IntegerNetwork, Layer

__all__ = ["computing_layers", "isolate"]


def computing_layers(network: IntegerNetwork) -> list[Layer]:
    """List the layers that need an engine: all but flattenings."""
    return [layer for layer in network.layers if not isinstance(layer, Flatten)]


def isolate(network: IntegerNetwork, name: str) -> tuple[IntegerNetwork, str]:
    """Cut a layer out, with the flattening before it.

    Parameters
    ----------
    network : IntegerNetwork
        The whole.
    name : str
        A layer with one input.

    Returns
    -------
    network : IntegerNetwork
        The layer alone, under its name.
    source : str
        Whose output it reads in the whole network.
    """
    layer = network[name]
    source = layer.inputs[0]
    layers: tuple[Layer, ...]
    if source != INPUT and isinstance(flatten := network[source], Flatten):
        layers = (replace(flatten, input=INPUT), layer)
        source = flatten.input
    else:
        assert not hasattr(layer, "multipliers"), "an Add has two inputs"
        layers = (replace(layer, input=INPUT),)
    alone = IntegerNetwork(
        name=f"{network.name}_{name}", input=network.tensors[source], layers=layers
    )
    return alone, source
