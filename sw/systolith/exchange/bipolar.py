"""Activations of one bit, -1 or +1."""

from dataclasses import replace
from math import inf

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.plain_layers import pending_of
from systolith.exchange.quantizer import Quantizer
from systolith.exchange.values import Activation, Images, Pending, Value
from systolith.network import ActType

__all__ = ["signs_of", "whole_numbers"]

ONE_BIT = Quantizer(scale=1.0, type=ActType(bits=1, signed=False, zero_point=1), rounding="FLOOR")
"""0 for what is negative, 1 for what is not: ``clip(floor(x) + 1, 0, 1)``."""


def signs_of(node: Node, x: Value, scale: float, made: Building) -> Activation:
    """Make -1 or +1 times the scale, stored in one bit.

    The integer q is 0 or 1, and stands for ``2 * scale * (q - 1) + scale``.
    """
    if isinstance(x, Images) and x.quantizer is None:
        found = made.take(replace(x, quantizer=ONE_BIT))
    else:
        held = pending_of(node, x, made)
        found = made.quantized(_key(x), ONE_BIT, _scaleless(held))
    return replace(found, scale=2 * scale, origin=scale)


def whole_numbers(node: Node, x: Activation, made: Building) -> Activation:
    """Store -1 and +1 as such, in two bits, where a result leaves the network."""
    quantizer = Quantizer(scale=x.origin, type=ActType(bits=2, signed=True))
    return made.quantized(x, quantizer, pending_of(node, x, made))


def _key(x: Value) -> Pending | Activation:
    assert isinstance(x, Pending | Activation)
    return x


def _scaleless(x: Pending) -> Pending:
    """Keep the signs of a layer's results, each channel in steps of its accumulator."""
    if any(x.padding):
        raise ExchangeError(["makes +1 of the zeros of a padded image; pad after it"])
    if x.low >= 0 or x.high < 0:
        raise ExchangeError(
            [f"makes -1 or +1 of numbers of {x.low:g} to {x.high:g}, which have one sign"]
        )
    silent = x.scale == 0
    step = np.where(silent, 1.0, x.scale)
    least = float(step.min())
    return replace(
        x,
        scale=np.where(silent, 0.0, 1.0),
        offset=x.offset / step,
        low=-inf,
        high=inf,
        step=None,
        error=x.error / least,
        terms=tuple(replace(term, scale=term.scale / least) for term in x.terms),
    )
