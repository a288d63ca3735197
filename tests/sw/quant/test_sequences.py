"""Sequences (N, C, L) from PyTorch to integers: images of one row."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import (
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    MaxPool2d,
    Pattern,
    trace,
)
from systolith.prune import MaskSet
from systolith.quant import prepare
from tests.support.written_models import problems_of

SEQUENCES = torch.rand(6, 3, 16, generator=torch.Generator().manual_seed(0))


def lower_and_compare(model: nn.Module, images: Tensor = SEQUENCES) -> IntegerNetwork:
    """See that layers, quantized model and both kinds of integers agree; give the network."""
    model.eval()
    quantized = prepare(model, images)
    with torch.no_grad():
        expected, close = model(images), quantized(images)
    assert close.shape == expected.shape
    assert (close - expected).abs().max() < 0.1 * expected.abs().max()
    network, integer = lower(quantized), IntegerModel(quantized)
    given = integer.quantize_input(images)
    computed, golden = integer.trace(given), trace(network, given)
    assert computed.keys() == golden.keys()
    assert all(np.array_equal(computed[name], golden[name]) for name in computed)
    return network


def heartbeats() -> nn.Sequential:
    """Make a small classifier of sequences, with batch norms."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(3, 4, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 4, 3, padding="same", dilation=2, groups=4),
        nn.Conv1d(4, 8, 1),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def test_a_classifier_of_sequences() -> None:
    network = lower_and_compare(heartbeats())
    assert network.input.shape == (3, 1, 16)
    first = network.layers[0]
    assert isinstance(first, Conv2d)
    assert first.weight.shape == (4, 3, 1, 5)
    assert (first.stride, first.padding) == ((1, 2), (0, 0, 2, 2))


class Calls(nn.Module):
    def __init__(self, forward: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.written = forward
        self.a, self.b = nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(3, 4, 1)
        self.norm = nn.BatchNorm1d(3)
        self.fc = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: F.relu(m.a(x)) + m.b(x),
        lambda m, x: F.relu(F.conv1d(x, m.a.weight, m.a.bias, stride=3)),
        lambda m, x: torch.cat([m.a(x), m.b(x)], dim=1),
        lambda m, x: torch.cat([m.a(x), m.b(x)], dim=-2)[:, 2:5],
        lambda m, x: m.a(m.norm(x)[:, :, 1:-2]),
        lambda m, x: m.a(x * 0.5)[..., 3:],
        lambda m, x: m.a(x).mean(2),
        lambda m, x: m.a(x).mean(-1, keepdim=True),
        lambda m, x: m.a(x).amax(dim=2),
        lambda m, x: F.max_pool1d(F.relu(m.a(x)), 3, 2, 1),
        lambda m, x: F.avg_pool1d(m.a(x), 3, 2, 1, False, False),
        lambda m, x: F.adaptive_avg_pool1d(m.a(x), 4),
        lambda m, x: F.adaptive_max_pool1d(m.a(x), 4),
        lambda m, x: F.max_pool1d(m.a(x), 3, ceil_mode=True),
        lambda m, x: F.interpolate(m.a(x), scale_factor=2),
        lambda m, x: m.a(F.pad(x, (2, 1))),
        lambda m, x: F.pad(m.a(x), (2, -1)),
        lambda m, x: m.fc(m.a(x).flatten(1)),
        lambda m, x: m.fc(F.relu(m.a(x)).view(len(x), -1)),
        lambda m, x: torch.sigmoid(m.a(x)) * 0.5 + 1.0,
        lambda m, x: torch.cat(m.a(x).chunk(2, 1)[::-1], 1),
        lambda m, x: m.a(x.unsqueeze(2).squeeze(2)),
        lambda m, x: m.a(x + torch.ones(3, 1))[:, :, :8],
    ],
)
def test_spellings(forward: Callable[..., Tensor]) -> None:
    lower_and_compare(Calls(forward))


@pytest.mark.parametrize(
    ("layer", "kind", "window"),
    [
        (nn.MaxPool1d(3, 2, 1, dilation=2), MaxPool2d, ((1, 3), (1, 2), (0, 0, 1, 1))),
        (nn.AvgPool1d(3, 2, 1), AvgPool2d, ((1, 3), (1, 2), (0, 0, 1, 1))),
    ],
)
def test_windows_of_pools(layer: nn.Module, kind: type, window: object) -> None:
    network = lower_and_compare(nn.Sequential(nn.Conv1d(3, 4, 1), nn.ReLU(), layer))
    pool = network.layers[-1]
    assert isinstance(pool, kind)
    assert (pool.kernel_size, pool.stride, pool.padding) == window


def test_masks_have_the_shape_of_the_model() -> None:
    model = nn.Sequential(nn.Conv1d(4, 4, 3), nn.ReLU())
    mask = torch.zeros(4, 4, 3, dtype=torch.bool)
    mask[:, ::2] = True
    masks = MaskSet({"0.weight": mask}, {"0.weight": Pattern(select=KOutOfN(2, 4))})
    network = lower(prepare(model, torch.rand(4, 4, 8), masks=masks))
    (conv,) = network.layers
    assert isinstance(conv, Conv2d)
    assert not conv.weight[:, 1::2].any()


def test_matrices_of_other_meanings_are_refused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Linear(14, 2))
    (problem,) = problems_of(model, SEQUENCES)
    assert problem == "'1' (Linear): needs vectors, got (4, 1, 14); flatten before it"
    (problem,) = problems_of(nn.Sequential(nn.Conv1d(3, 4, 3, padding_mode="circular")), SEQUENCES)
    assert problem == "'0' (Conv1d): needs padding_mode 'zeros', got 'circular'"
    images = torch.rand(2, 3, 4, 4)
    mixed = Calls(lambda m, x: m.a(x.flatten(2)))
    assert "flatten" in problems_of(mixed, images)[0]


@pytest.mark.parametrize("keepdim", [False, True])
def test_rows_of_an_image_are_averaged_to_a_sequence_of_the_same_shape(keepdim: bool) -> None:
    class Averages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).mean(2, keepdim=keepdim)

    images = torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    network = lower_and_compare(Averages(), images)
    assert network.tensors[network.outputs[0]].shape == (4, 1, 5)
