"""Pools and means, however they are written."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import lower
from systolith.network import AvgPool2d, MaxPool2d
from systolith.quant import prepare
from systolith.quant.layers.requantizing import Activation
from systolith.quant.recognition import read_network
from systolith.quant.recognition.operations import AveragePool, MaxPool, Pad, ToVectors
from tests.support.written_models import IMAGES, Written, assert_computes_the_same, problems_of


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.mean([-1, -2], True).flatten(1),
        lambda x: torch.mean(x, dim=(2, 3), keepdim=True)[:, :, 0, 0],
        lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
        lambda x: F.avg_pool2d(x, x.size()[3]).view(x.size(0), -1),
        lambda x: F.avg_pool2d(x, kernel_size=x.shape[2:]).flatten(1),
        lambda x: nn.AdaptiveAvgPool2d((1, 1))(x).reshape(len(x), -1),
    ],
)
def test_global_average_pools_however_they_are_written(
    pool: Callable[[Tensor], Tensor],
) -> None:
    layers = assert_computes_the_same(Written(lambda m, x: pool(m.a(x))))
    assert isinstance(layers[1].operation, AveragePool)
    assert isinstance(layers[-1].operation, ToVectors)


def test_a_relu_behind_a_mean_is_fused_into_it() -> None:
    layers = assert_computes_the_same(Written(lambda m, x: F.relu(m.a(x).mean((2, 3)))))
    assert [layer.activation for layer in layers][1] is Activation.RELU


@pytest.mark.parametrize("axis", [2, 3])
def test_a_mean_over_one_axis_is_a_pool_if_the_axis_is_kept(axis: int) -> None:
    assert_computes_the_same(Written(lambda m, x: m.a(x).mean(axis, keepdim=True)))


def test_a_mean_over_columns_needs_to_keep_the_axis() -> None:
    assert problems_of(Written(lambda m, x: F.max_pool1d(m.a(x).mean(3), 2))) == [
        "'mean' (method mean): needs keepdim=True, or a flattening behind it"
    ]


@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.1), nn.Identity()])
def test_zeros_around_negative_values_may_be_the_greatest(activation: nn.Module) -> None:
    padded = nn.Sequential(activation, nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
    model = Written(lambda m, x: padded(m.a(x) - 1.0))
    layers = assert_computes_the_same(model)
    assert [type(layer.operation) for layer in layers][-2:] == [Pad, MaxPool]


def test_a_mean_over_columns_may_be_the_result() -> None:
    model = Written(lambda m, x: m.a(x).mean(3)).eval()
    quantized = prepare(model, IMAGES)
    with torch.no_grad():
        wanted, got = model(IMAGES), quantized.eval()(IMAGES)
    assert got.shape == wanted.shape == (6, 4, 6)
    assert float((got - wanted).abs().max()) < 0.02


def test_a_mean_over_rows_gives_a_sequence() -> None:
    (_, pool) = read_network(Written(lambda m, x: m.a(x).mean(2)), IMAGES).layers
    assert isinstance(pool.operation, AveragePool)
    assert pool.operation.kernel_size == (6, 1)


@pytest.mark.parametrize("options", [{"dim": 1}, {"dim": None}, {"dim": (0, 2, 3)}])
def test_means_over_other_axes_are_refused(options: dict[str, object]) -> None:
    (problem,) = problems_of(Written(lambda m, x: m.a(x).mean(**options)))
    assert problem.startswith("'mean' (method mean): needs axes of images, 2 and 3")


@pytest.mark.parametrize(
    ("pool", "kernel"),
    [
        (nn.AdaptiveMaxPool2d(1), (6, 6)),
        (nn.AdaptiveMaxPool2d((3, 2)), (2, 3)),
        (lambda x: F.adaptive_max_pool2d(x, 2), (3, 3)),
        (lambda x: x.amax((2, 3), keepdim=True), (6, 6)),
        (nn.MaxPool2d(2, ceil_mode=True), (2, 2)),
        (nn.MaxPool2d([3], 3), (3, 3)),
    ],
)
def test_max_pools_however_they_are_written(
    pool: Callable[[Tensor], Tensor], kernel: tuple[int, int]
) -> None:
    model = Written(lambda m, x: pool(m.a(x)))
    assert_computes_the_same(model)
    (_, layer) = lower(prepare(model.eval(), IMAGES)).layers
    assert isinstance(layer, MaxPool2d) and layer.kernel_size == kernel


@pytest.mark.parametrize(
    ("size", "kernel"), [(1, None), (3, (2, 2)), ((2, 1), (3, 6)), ((None, 1), (1, 6))]
)
def test_adaptive_average_pools_of_equal_windows(
    size: object, kernel: tuple[int, int] | None
) -> None:
    model = Written(lambda m, x: F.adaptive_avg_pool2d(m.a(x), size))
    assert_computes_the_same(model)
    (_, layer) = lower(prepare(model.eval(), IMAGES)).layers
    assert isinstance(layer, AvgPool2d) and layer.kernel_size == kernel


def test_adaptive_pools_as_large_as_the_image_vanish() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(6), nn.AdaptiveMaxPool2d(6))
    assert len(assert_computes_the_same(model)) == 1


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(4)])
def test_adaptive_pools_of_unequal_windows_are_refused(pool: nn.Module) -> None:
    (problem,) = problems_of(nn.Sequential(nn.Conv2d(3, 4, 3), pool))
    assert problem.endswith("output_size that divides (6, 6), so that windows are equal, got 4")


@pytest.mark.parametrize("axes", [(2, 3), (-1, -2), 2, (3,)])
def test_sums_over_rows_and_columns_are_pools(axes: int | tuple[int, ...]) -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x)).sum(axes, keepdim=True)

    assert len(assert_computes_the_same(Sums())) == 2


def test_gated_units_are_a_half_times_the_sigmoid_of_the_other() -> None:
    for gate in (nn.GLU(1), lambda x: F.glu(x, dim=1)):
        model = Written(lambda m, x, gate=gate: gate(m.a(x)))
        assert_computes_the_same(model)
