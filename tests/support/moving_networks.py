"""Small networks of layers that only move channels and pixels."""

from systolith.network import (
    ActType,
    Concat,
    DepthToSpace,
    IntegerNetwork,
    Layer,
    MaxPool2d,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Tensor,
)

ACT = ActType(bits=4, signed=True)


def select(channels: tuple[int, ...], name: str = "select", source: str = "input") -> Layer:
    return SelectChannels(name=name, input=source, channels=channels)


MOVING_NETWORKS: dict[str, tuple[Shape, list[Layer]]] = {
    "pixels to channels": ((4, 4, 6), [SpaceToDepth(name="s", input="input", block=2)]),
    "one channel": ((1, 4, 4), [SpaceToDepth(name="s", input="input", block=2)]),
    "threes to channels": ((2, 6, 3), [SpaceToDepth(name="s", input="input", block=3)]),
    "channels to pixels": ((8, 3, 5), [DepthToSpace(name="s", input="input", block=2)]),
    "channels to one channel": ((4, 2, 3), [DepthToSpace(name="s", input="input", block=2)]),
    "channels to threes": ((9, 3, 2), [DepthToSpace(name="s", input="input", block=3)]),
    "columns to channels": ((2, 3, 6), [SpaceToDepth(name="s", input="input", block=(1, 2))]),
    "rows to channels": ((2, 6, 3), [SpaceToDepth(name="s", input="input", block=(3, 1))]),
    "channels to columns": ((8, 2, 3), [DepthToSpace(name="s", input="input", block=(1, 4))]),
    "channels to rows": ((4, 3, 3), [DepthToSpace(name="s", input="input", block=(2, 1))]),
    "channels to oblongs": ((12, 2, 3), [DepthToSpace(name="s", input="input", block=(2, 3))]),
    "there and back": (
        (2, 4, 4),
        [
            SpaceToDepth(name="s", input="input", block=2),
            DepthToSpace(name="d", input="s", block=2),
        ],
    ),
    "any channels": ((6, 3, 3), [select((5, 3, 3, 0))]),
    "slice": ((6, 3, 3), [select((2, 3))]),
    "last channel": ((5, 2, 2), [select((4,))]),
    "first channel": ((5, 2, 2), [select((0,))]),
    "shuffle": ((6, 3, 3), [select((0, 3, 1, 4, 2, 5))]),
    "shuffle in blocks": ((8, 3, 3), [select((1, 0, 4, 5))]),
    "more channels": ((2, 3, 3), [select((0, 0, 1, 1, 1, 1))]),
    "twice": ((4, 3, 3), [Concat(name="c", inputs=("input", "input"))]),
    "vector": (
        (6,),
        [select((0, 3, 1, 4, 2, 5)), Concat(name="c", inputs=("input", "select"))],
    ),
    "split and joined": (
        (4, 3, 3),
        [
            select((0, 1), "a"),
            select((2, 3), "b"),
            MaxPool2d(name="m", input="b", kernel_size=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)),
            Concat(name="c", inputs=("a", "m", "input")),
        ],
    ),
}


def moving_network(name: str) -> IntegerNetwork:
    shape, layers = MOVING_NETWORKS[name]
    return IntegerNetwork(input=Tensor(shape, ACT), layers=tuple(layers))
