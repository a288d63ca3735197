"""One layer of a network as a network of its own."""

from dataclasses import replace

from systolith.network import INPUT, Add, Flatten, IntegerNetwork, Layer

__all__ = ["additions", "isolate", "single_layers"]


def single_layers(network: IntegerNetwork) -> list[str]:
    """Name the layers with an engine that read one tensor: those that can stand alone."""
    return [
        layer.name
        for layer in network.layers
        if len(layer.inputs) == 1 and not isinstance(layer, Flatten)
    ]


def additions(network: IntegerNetwork) -> list[str]:
    """Name the layers that read two tensors: a design has one input, so they never stand alone."""
    return [layer.name for layer in network.layers if len(layer.inputs) > 1]


def isolate(network: IntegerNetwork, name: str) -> tuple[IntegerNetwork, str]:
    """Cut a layer out, with the flattening before it.

    Parameters
    ----------
    network : IntegerNetwork
        The whole.
    name : str
        One of :func:`single_layers`.

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
        assert not isinstance(layer, Add), "it has two inputs"
        layers = (replace(layer, input=INPUT),)
    alone = IntegerNetwork(
        name=f"{network.name}_{name}", input=network.tensors[source], layers=layers
    )
    return alone, source
