"""Networks for shells: small, and awkward to frame."""

import numpy as np

from systolith.network import (
    INPUT,
    ActType,
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Linear,
    MaxPool2d,
    Pattern,
    Requantize,
    Tensor,
)

U5 = ActType(bits=5, signed=False)
I7 = ActType(bits=7, signed=True)


def framed_network() -> IntegerNetwork:
    """A pool that never reads the last row and column, a 1-out-of-2 convolution, a linear layer.

    No type has 8 bits.
    """
    rng = np.random.default_rng(0)
    pattern = Pattern(select=KOutOfN(1, 2))
    mask = pattern.best_mask(rng.random((4, 2, 2, 2)))
    conv = Conv2d(
        name="conv",
        input="pool",
        weight=rng.integers(-7, 8, (4, 2, 2, 2)) * mask,
        mask=mask,
        pattern=pattern,
        bias=rng.integers(-30, 30, 4),
        requantize=Requantize(multiplier=np.array([301]), shift=np.array([10])),
        output=U5,
        padding=(0, 1, 0, 1),
    )
    linear = Linear(
        name="fc",
        input="flat",
        weight=rng.integers(-7, 8, (3, 16)),
        bias=rng.integers(-30, 30, 3),
        requantize=Requantize(multiplier=np.array([77]), shift=np.array([11])),
        output=I7,
    )
    layers = (
        MaxPool2d(name="pool", input=INPUT, kernel_size=(2, 2), stride=(2, 2)),
        conv,
        Flatten(name="flat", input="conv"),
        linear,
    )
    return IntegerNetwork(input=Tensor((2, 5, 5), U5), layers=layers)


def forked_network() -> IntegerNetwork:
    """Two convolutions; the first one's output leaves, too."""
    rng = np.random.default_rng(2)
    layers = tuple(
        Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-7, 8, (filters, channels, 3, 3)),
            bias=rng.integers(-30, 30, filters),
            requantize=Requantize(multiplier=np.array([301]), shift=np.array([12])),
            output=U5,
            padding=(1, 1, 1, 1),
        )
        for name, source, filters, channels in (("a", INPUT, 4, 2), ("b", "a", 3, 4))
    )
    return IntegerNetwork(input=Tensor((2, 4, 5), U5), layers=layers, outputs=("b", "a"))
