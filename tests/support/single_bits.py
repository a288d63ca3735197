"""Networks whose weights and activations are single bits."""

import numpy as np

from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Linear,
    MaxPool2d,
    Pattern,
    Requantize,
    Strided,
    Tensor,
)

__all__ = ["bit_network", "sign_network"]

PAIR = ActType(bits=2, signed=True)
LOGITS = ActType(bits=8, signed=True)


def _signs() -> Requantize:
    """Make +1 of sums from 0 on, and -1 of others."""
    return Requantize(
        multiplier=np.array([2]), shift=np.array([0]), offset=np.array([1]), clamp=(-1, 1)
    )


def _bits(threshold: int, zero: int) -> Requantize:
    """Make 1 of sums from `threshold` on, and 0 of others."""
    return Requantize(
        multiplier=np.array([1]), shift=np.array([0]), offset=np.array([1 - zero - threshold])
    )


def _convolution(
    rng: np.random.Generator,
    name: str,
    source: str,
    shape: tuple[int, int, int, int],
    spread: int,
    requantize: Requantize,
    output: ActType,
    *,
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    pattern: Pattern | None = None,
    groups: int = 1,
) -> Conv2d:
    """Make a convolution of -1 and +1, of kept ones with a pattern, and biases below a spread."""
    mask = None if pattern is None else pattern.best_mask(rng.random(shape))
    return Conv2d(
        name=name,
        input=source,
        weight=rng.choice([-1, 1], shape) * (1 if mask is None else mask),
        bias=rng.integers(-spread, spread, shape[0]),
        requantize=requantize,
        output=output,
        weight_bits=1,
        padding=padding,
        groups=groups,
        pattern=pattern or Pattern(),
        mask=mask,
    )


def _ending(rng: np.random.Generator, source: str) -> tuple[Flatten, Linear]:
    """Make a flattening of 16 values, and a linear layer of -1 and +1 with three logits."""
    return Flatten(name="flat", input=source), Linear(
        name="fc",
        input="flat",
        weight=rng.choice([-1, 1], (3, 16)),
        bias=rng.integers(-9, 9, 3),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=LOGITS,
        weight_bits=1,
    )


def sign_network(seed: int = 0) -> IntegerNetwork:
    """Make a network of -1 and +1 in two bits, padded with zeros, also with kept channels."""
    rng = np.random.default_rng(seed)
    first = Conv2d(
        name="first",
        input="input",
        weight=rng.integers(-8, 8, (6, 2, 3, 3)),
        bias=rng.integers(-40, 40, 6),
        requantize=_signs(),
        output=PAIR,
        weight_bits=4,
        padding=(1, 1, 1, 1),
    )
    kept = Pattern(select=KOutOfN(2, 3))
    uneven = (1, 1, 0, 2)
    layers = (
        first,
        _convolution(rng, "second", "first", (6, 6, 3, 3), 9, _signs(), PAIR, padding=uneven),
        _convolution(rng, "third", "second", (4, 6, 3, 3), 9, _signs(), PAIR, pattern=kept),
        MaxPool2d(name="pool", input="third", kernel_size=(2, 2), stride=(2, 2)),
        *_ending(rng, "pool"),
    )
    return IntegerNetwork(
        input=Tensor((2, 4, 4), ActType(bits=4, signed=False, zero_point=3)), layers=layers
    )


def bit_network(seed: int = 0) -> IntegerNetwork:
    """Make a network of 0 and 1: zero points of both, depthwise, kept channels and taps."""
    rng = np.random.default_rng(seed)
    kept = Pattern(select=KOutOfN(1, 2), taps=Strided(2, (0, 0, 1, 1)))
    one, zero = (ActType(bits=1, signed=False, zero_point=point) for point in (1, 0))
    shape, none = (4, 4, 3, 3), (0, 0, 0, 0)
    layers = (
        _convolution(rng, "dense", "input", shape, 3, _bits(0, 1), one),
        _convolution(rng, "depthwise", "dense", (4, 1, 3, 3), 3, _bits(0, 0), zero, groups=4),
        _convolution(
            rng, "sparse", "depthwise", shape, 3, _bits(0, 1), one, padding=none, pattern=kept
        ),
        *_ending(rng, "sparse"),
    )
    return IntegerNetwork(input=Tensor((4, 4, 4), zero), layers=layers)
