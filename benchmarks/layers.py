"""Single convolutions with random weights, as networks."""

import numpy as np

from systolith.network import (
    ActType,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    Requantize,
    Tensor,
)

__all__ = ["single_convolution"]


def single_convolution(
    *, channels: int, filters: int, size: int, kept: tuple[int, int] | None, seed: int = 0
) -> IntegerNetwork:
    """A 3x3 convolution with padding 1 on 8-bit activations and weights, dense or k-out-of-n."""
    rng = np.random.default_rng(seed)
    shape = (filters, channels, 3, 3)
    pattern = Pattern() if kept is None else Pattern(select=KOutOfN(*kept))
    mask = pattern.best_mask(rng.random(shape))
    act = ActType(bits=8, signed=False)
    layer = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-127, 128, shape) * mask,
        bias=rng.integers(-1000, 1000, filters),
        mask=None if kept is None else mask,
        pattern=pattern,
        padding=(1, 1, 1, 1),
        requantize=Requantize(multiplier=np.full(filters, 20_000), shift=np.array([26])),
        output=act,
    )
    return IntegerNetwork(input=Tensor((channels, size, size), act), layers=(layer,))
