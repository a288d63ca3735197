"""Any spelling of a slice, a shuffle or a rearrangement of pixels becomes the same layers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.quant import UnsupportedModelError, prepare
from systolith.quant.recognition import comparison_problems, read_network
from systolith.quant.recognition.operations import (
    DepthToPixels,
    Join,
    MaxPool,
    Operation,
    PixelsToDepth,
    TakeChannels,
    ToVectors,
)

IMAGES = torch.rand(4, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """A convolution of 8 channels, and what is written behind it."""

    def __init__(self, rest: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 8, 3, padding=1)
        self.rest = rest

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rest(self.first(x))
        return y


def shuffle(x: Tensor, groups: int) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


def shuffle_in_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Give the even and the odd channels, as ShuffleNetV2's authors write it."""
    b, c, h, w = x.shape
    pairs = x.reshape(b * c // 2, 2, h * w).permute(1, 0, 2)
    halves = pairs.reshape(2, -1, c // 2, h, w)
    return halves[0], halves[1]


def operations(rest: Callable[[Tensor], Tensor]) -> list[Operation]:
    model = Model(rest).eval()
    network = read_network(model, IMAGES)
    assert not list(comparison_problems(model, network, IMAGES))
    return [layer.operation for layer in network.layers[1:]]


SHUFFLE = TakeChannels((0, 4, 1, 5, 2, 6, 3, 7))
HALF = TakeChannels((0, 1, 2, 3))
REST = TakeChannels((4, 5, 6, 7))


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (lambda x: shuffle(x, 2), [SHUFFLE]),
        (nn.ChannelShuffle(2), [SHUFFLE]),
        (lambda x: F.channel_shuffle(x, 2), [SHUFFLE]),
        (lambda x: shuffle(shuffle(x, 2), 4), []),
        (
            lambda x: (
                x.view(len(x), 2, 4, 6, 6).transpose(1, 2).contiguous().view(len(x), -1, 6, 6)
            ),
            [SHUFFLE],
        ),
        (lambda x: x.reshape(len(x), 2, 4, 6, 6).swapaxes(1, 2).flatten(1, 2), [SHUFFLE]),
        (
            lambda x: x.permute(0, 2, 3, 1).flip(3).permute(0, 3, 1, 2),
            [TakeChannels((7, 6, 5, 4, 3, 2, 1, 0))],
        ),
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), []),
        (lambda x: x.roll(1, 1), [TakeChannels((7, 0, 1, 2, 3, 4, 5, 6))]),
        (lambda x: x.chunk(2, 1)[0], [HALF]),
        (lambda x: torch.split(x, [4, 4], dim=1)[1], [REST]),
        (lambda x: torch.tensor_split(x, 2, 1)[1], [REST]),
        (lambda x: x[:, :4], [HALF]),
        (lambda x: x[:, 4:, :, :], [REST]),
        (lambda x: x.narrow(1, 4, 4), [REST]),
        (lambda x: x[:, [1, 1, 6]], [TakeChannels((1, 1, 6))]),
        (lambda x: torch.index_select(x, 1, torch.tensor([6, 0])), [TakeChannels((6, 0))]),
        (lambda x: x[:, 3:4], [TakeChannels((3,))]),
        (lambda x: shuffle(x, 2).chunk(2, 1)[0], [TakeChannels((0, 4, 1, 5))]),
        (lambda x: x[:, 2:4].flatten(1), [TakeChannels((2, 3)), ToVectors()]),
        (nn.PixelShuffle(2), [SHUFFLE, DepthToPixels((2, 2))]),
        (
            nn.PixelUnshuffle(2),
            [
                PixelsToDepth((2, 2)),
                TakeChannels(tuple(part * 8 + c for c in range(8) for part in range(4))),
            ],
        ),
        (lambda x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), []),
        (lambda x: torch.cat(x.chunk(2, 1), 1), [HALF, REST, Join()]),
        (lambda x: torch.cat([x, x], dim=-3), [Join()]),
        (lambda x: torch.cat([x], 1), []),
        (lambda x: x[:, :, ::2, ::2], [MaxPool((1, 1), (2, 2), (0, 0, 0, 0))]),
        (lambda x: x[:, :, 1::2], [PixelsToDepth((2, 1)), TakeChannels(tuple(range(8, 16)))]),
        (lambda x: x[:, :, 1::2, ::2], [PixelsToDepth((2, 2)), TakeChannels(tuple(range(16, 24)))]),
    ],
)
def test_becomes_layers(rest: Callable[[Tensor], Tensor], expected: list[Operation]) -> None:
    assert operations(rest) == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (lambda x: F.relu(shuffle(x, 2)), SHUFFLE),
        (lambda x: F.relu(F.max_pool2d(shuffle(x, 2), 2)), SHUFFLE),
        (lambda x: F.relu(shuffle(x, 2).contiguous())[:, :4], TakeChannels((0, 4, 1, 5))),
    ],
)
def test_relu_moves_in_front(rest: Callable[[Tensor], Tensor], expected: Operation) -> None:
    model = Model(rest).eval()
    network = read_network(model, IMAGES)
    assert not list(comparison_problems(model, network, IMAGES))
    assert network.layers[0].activation.name == "RELU"
    assert network.layers[1].operation == expected


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (
            lambda x: F.max_pool2d(x.transpose(2, 3), 2),
            r"'transpose' \(method transpose\): needs to move whole chan",
        ),
        (lambda x: x.flip(0), r"'flip' \(method flip\): needs to move whole channels"),
        (
            lambda x: F.max_pool2d(x[:, :, [1, 2]], 2),
            r"'getitem' \(function getitem\): cannot leave parts of a tensor ",
        ),
        (lambda x: torch.cat([x, x], 2), r"'cat' \(function cat\): needs axis 1, .*, got 2"),
        (
            lambda x: torch.cat([x, torch.zeros(len(x), 1, 6, 6)], 1),
            r"'cat' .* needs activations o",
        ),
        (lambda x: torch.cat([x[:, :4], x.flip(2)], 1), r"'flip' \(method flip\): needs to move"),
    ],
)
def test_refuses_by_name(rest: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        read_network(Model(rest).eval(), IMAGES)


def test_images_may_be_mixed_until_the_next_layer() -> None:
    even, odd = TakeChannels((0, 2, 4, 6)), TakeChannels((1, 3, 5, 7))
    assert operations(lambda x: torch.cat(shuffle_in_pairs(x), 1)) == [even, odd, Join()]
    assert operations(lambda x: shuffle_in_pairs(x)[1]) == [odd]
    assert operations(lambda x: F.max_pool2d(x.reshape(-1, 6, 6).view(-1, 8, 6, 6), 2)) == [
        MaxPool((2, 2), (2, 2), (0, 0, 0, 0))
    ]


@pytest.mark.parametrize(
    "rest",
    [
        lambda x: x.reshape(-1, 4, 6, 6),
        lambda x: F.max_pool2d(x.reshape(-1, 4, 6, 6), 2),
        lambda x: F.relu(x.reshape(-1, 1, 6, 6) - 0.5).reshape(-1, 8, 6, 6),
        lambda x: x.reshape(-1, 2, 36).permute(1, 0, 2).reshape(-1, 8, 6, 6),
        lambda x: x.reshape(-1, 2, 36).permute(1, 0, 2),
    ],
)
def test_mixed_images_are_refused_where_a_layer_reads_them(
    rest: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(UnsupportedModelError):
        prepare(Model(rest).eval(), IMAGES)
