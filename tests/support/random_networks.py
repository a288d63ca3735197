"""Random networks and images from a seed."""

import numpy as np

from systolith.fuzz import SeededChoices, draw_network
from systolith.fuzz.layers import draw_add, draw_convolution
from systolith.fuzz.networks import NetworkDrawing
from systolith.network import IntArray, IntegerNetwork

__all__ = ["random_images", "random_network", "random_residual_network"]


def random_network(seed: int, most_layers: int = 4) -> IntegerNetwork:
    """Draw a network of any kind."""
    return draw_network(SeededChoices(seed), most_layers=most_layers, additions=10)


def random_residual_network(seed: int, blocks: int = 3) -> IntegerNetwork:
    """Draw blocks of a convolution and an addition with any earlier tensor of the same shape."""
    choices = SeededChoices(seed)
    drawing = NetworkDrawing(choices, 6, vectors=0)
    for _ in range(blocks):
        source = list(drawing.shapes)[-1]
        shape = drawing.shapes[source]
        body = draw_convolution(choices, drawing.next_name(), source, shape, same_size=True)
        drawing.append(body)
        partners = drawing.partners(body.name)
        name, shape = drawing.next_name(), drawing.shapes[body.name]
        drawing.append(draw_add(choices, name, (body.name, choices.one_of(partners)), shape))
    return drawing.finish()


def random_images(network: IntegerNetwork, count: int, seed: int) -> IntArray:
    """Draw images over the whole range of the input type."""
    act = network.input.type
    rng = np.random.default_rng(seed)
    return rng.integers(act.low, act.high + 1, (count, *network.input.shape))
