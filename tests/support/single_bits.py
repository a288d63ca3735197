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


def _unscaled() -> Requantize:
    return Requantize(multiplier=np.array([1]), shift=np.array([0]))


def sign_network(seed: int = 0) -> IntegerNetwork:
    """Make a network of -1 and +1 in two bits, padded with zeros, also with kept channels."""
    rng = np.random.default_rng(seed)
    pattern = Pattern(select=KOutOfN(2, 3))
    mask = pattern.best_mask(rng.random((4, 6, 3, 3)))
    layers = (
        Conv2d(
            name="first",
            input="input",
            weight=rng.integers(-8, 8, (6, 2, 3, 3)),
            bias=rng.integers(-40, 40, 6),
            requantize=_signs(),
            output=PAIR,
            weight_bits=4,
            padding=(1, 1, 1, 1),
        ),
        Conv2d(
            name="second",
            input="first",
            weight=rng.choice([-1, 1], (6, 6, 3, 3)),
            bias=rng.integers(-9, 9, 6),
            requantize=_signs(),
            output=PAIR,
            weight_bits=1,
            padding=(1, 1, 0, 2),
        ),
        Conv2d(
            name="third",
            input="second",
            weight=rng.choice([-1, 1], (4, 6, 3, 3)) * mask,
            bias=rng.integers(-9, 9, 4),
            requantize=_signs(),
            output=PAIR,
            weight_bits=1,
            padding=(1, 1, 1, 1),
            pattern=pattern,
            mask=mask,
        ),
        MaxPool2d(name="pool", input="third", kernel_size=(2, 2), stride=(2, 2)),
        Flatten(name="flat", input="pool"),
        Linear(
            name="fc",
            input="flat",
            weight=rng.choice([-1, 1], (3, 16)),
            bias=rng.integers(-9, 9, 3),
            requantize=_unscaled(),
            output=LOGITS,
            weight_bits=1,
        ),
    )
    return IntegerNetwork(
        input=Tensor((2, 4, 4), ActType(bits=4, signed=False, zero_point=3)), layers=layers
    )


def bit_network(seed: int = 0) -> IntegerNetwork:
    """Make a network of 0 and 1: zero points of both, depthwise, kept channels and taps."""
    rng = np.random.default_rng(seed)
    pattern = Pattern(select=KOutOfN(1, 2), taps=Strided(2, (0, 0, 1, 1)))
    mask = pattern.best_mask(rng.random((4, 4, 3, 3)))
    one, zero = (ActType(bits=1, signed=False, zero_point=point) for point in (1, 0))
    layers = (
        Conv2d(
            name="dense",
            input="input",
            weight=rng.choice([-1, 1], (4, 4, 3, 3)),
            bias=rng.integers(-3, 3, 4),
            requantize=_bits(0, 1),
            output=one,
            weight_bits=1,
            padding=(1, 1, 1, 1),
        ),
        Conv2d(
            name="depthwise",
            input="dense",
            weight=rng.choice([-1, 1], (4, 1, 3, 3)),
            bias=rng.integers(-3, 3, 4),
            requantize=_bits(0, 0),
            output=zero,
            weight_bits=1,
            padding=(1, 1, 1, 1),
            groups=4,
        ),
        Conv2d(
            name="sparse",
            input="depthwise",
            weight=rng.choice([-1, 1], (4, 4, 3, 3)) * mask,
            bias=rng.integers(-3, 3, 4),
            requantize=_bits(0, 1),
            output=one,
            weight_bits=1,
            pattern=pattern,
            mask=mask,
        ),
        Flatten(name="flat", input="sparse"),
        Linear(
            name="fc",
            input="flat",
            weight=rng.choice([-1, 1], (3, 16)),
            bias=rng.integers(-9, 9, 3),
            requantize=_unscaled(),
            output=LOGITS,
            weight_bits=1,
        ),
    )
    return IntegerNetwork(input=Tensor((4, 4, 4), zero), layers=layers)
