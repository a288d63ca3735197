"""Small networks with random weights, for checks that need hardware but no training."""

import numpy as np

from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Pattern,
    Requantize,
    Tensor,
)
from systolith.plan import ArrayShape

U8 = ActType(bits=8, signed=False)


def small_network(seed: int = 0) -> IntegerNetwork:
    """A dense and a 2-out-of-8 convolution, a pool and a linear layer on 6x6 images."""
    rng = np.random.default_rng(seed)
    pattern = Pattern(select=KOutOfN(2, 8))
    mask = pattern.best_mask(rng.random((8, 8, 3, 3)))

    def requantize(shift: int) -> Requantize:
        return Requantize(multiplier=np.array([181]), shift=np.array([shift]))

    return IntegerNetwork(
        name="small",
        input=Tensor((1, 6, 6), U8),
        layers=(
            Conv2d(
                name="conv1",
                input="input",
                weight=rng.integers(-127, 128, (8, 1, 3, 3)),
                bias=rng.integers(-3000, 3000, 8),
                padding=(1, 1, 1, 1),
                requantize=requantize(15),
                output=U8,
            ),
            Conv2d(
                name="conv2",
                input="conv1",
                weight=rng.choice([-97, -61, -35, 35, 61, 97], (8, 8, 3, 3)) * mask,
                mask=mask,
                pattern=pattern,
                bias=rng.integers(-3000, 3000, 8),
                padding=(1, 1, 1, 1),
                requantize=requantize(15),
                output=U8,
            ),
            MaxPool2d(name="pool2", input="conv2", kernel_size=(2, 2), stride=(2, 2)),
            Flatten(name="flatten", input="pool2"),
            Linear(
                name="fc",
                input="flatten",
                weight=rng.integers(-127, 128, (5, 72)),
                bias=rng.integers(-3000, 3000, 5),
                requantize=requantize(12),
                output=ActType(bits=16, signed=True),
            ),
        ),
    )


def residual_network(seed: int = 0) -> IntegerNetwork:
    """A convolution, a depthwise one around which its input is added, and means that leave, too."""
    rng = np.random.default_rng(seed)

    def requantize(shift: int) -> Requantize:
        return Requantize(multiplier=np.array([181]), shift=np.array([shift]))

    def conv(name: str, source: str, channels: int, groups: int) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-127, 128, (4, channels // groups, 3, 3)),
            bias=rng.integers(-3000, 3000, 4),
            padding=(1, 1, 1, 1),
            groups=groups,
            requantize=requantize(14),
            output=U8,
        )

    return IntegerNetwork(
        name="residual",
        input=Tensor((2, 4, 5), U8),
        layers=(
            conv("stem", "input", 2, 1),
            conv("body", "stem", 4, 4),
            Add(
                name="sum",
                inputs=("body", "stem"),
                multipliers=(3, 5),
                requantize=requantize(10),
                output=U8,
            ),
            AvgPool2d(name="mean", input="sum", requantize=requantize(11), output=U8),
            Flatten(name="flat", input="mean"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-127, 128, (3, 4)),
                bias=rng.integers(-3000, 3000, 3),
                requantize=requantize(9),
                output=ActType(bits=16, signed=True),
            ),
        ),
        outputs=("mean", "fc"),
    )


def convolution(
    *,
    channels: int,
    filters: int,
    size: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    kept: tuple[int, int] | None = None,
    seed: int = 0,
) -> IntegerNetwork:
    """One convolution; padding keeps the output of an odd kernel the size of its input."""
    rng = np.random.default_rng(seed)
    shape = (filters, channels, *kernel)
    pattern = Pattern() if kept is None else Pattern(select=KOutOfN(*kept))
    mask = pattern.best_mask(rng.random(shape))
    top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
    layer = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-127, 128, shape) * mask,
        bias=rng.integers(-999, 1000, filters),
        mask=None if kept is None else mask,
        pattern=pattern,
        padding=(top, top, left, left),
        requantize=Requantize(multiplier=np.array([201]), shift=np.array([16])),
        output=U8,
    )
    return IntegerNetwork(name="conv", input=Tensor((channels, *size), U8), layers=(layer,))


def random_convolution(seed: int) -> tuple[IntegerNetwork, ArrayShape]:
    """Draw a shape, a pattern, rows, columns and multipliers."""
    rng = np.random.default_rng(seed)
    groups, n = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    k = int(rng.integers(1, n + 1))
    kernel = (int(rng.choice([1, 3])), int(rng.choice([1, 3, 5])))
    size = (int(rng.integers(3, 9)), int(rng.integers(5, 9)))
    filters = int(rng.integers(1, 11))
    network = convolution(
        channels=groups * n,
        filters=filters,
        size=size,
        kernel=kernel,
        kept=None if n == 1 else (k, n),
        seed=seed,
    )
    reduction = kernel[0] * kernel[1] * groups
    array = ArrayShape(
        rows=int(rng.integers(1, min(reduction, 12) + 1)),
        columns=int(rng.integers(1, filters + 1)),
        multipliers=int(rng.integers(1, (1 if n == 1 else k) + 1)),
    )
    return network, array


def network_with_heads() -> IntegerNetwork:
    """A feature map of 3 channels, a vector of 16 bits and one of 8."""
    rng, act = np.random.default_rng(5), ActType(bits=8, signed=True)
    scale = Requantize(multiplier=np.array([3]), shift=np.array([5]))
    body = Conv2d(
        name="body", input="input", weight=rng.integers(-8, 8, (4, 1, 3, 3)), padding=(1, 1, 1, 1),
        bias=rng.integers(-9, 9, 4), requantize=scale, output=act,
    )  # fmt: skip
    boxes = Conv2d(
        name="boxes", input="body", weight=rng.integers(-8, 8, (3, 4, 1, 1)),
        bias=rng.integers(-9, 9, 3), requantize=scale, output=ActType(bits=7, signed=False),
    )  # fmt: skip
    layers: list[Layer] = [body, boxes, Flatten(name="flat", input="body")]
    for name, count, bits in (("age", 5, 16), ("kind", 3, 8)):
        layers.append(
            Linear(
                name=name,
                input="flat",
                weight=rng.integers(-8, 8, (count, 4 * 5 * 6)),
                bias=rng.integers(-9, 9, count),
                requantize=scale,
                output=ActType(bits=bits, signed=True),
            )  # fmt: skip
        )
    image = Tensor((1, 5, 6), ActType(bits=8, signed=True))
    return IntegerNetwork(
        name="heads", input=image, layers=tuple(layers), outputs=("boxes", "age", "kind")
    )
