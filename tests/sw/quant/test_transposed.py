"""Transposed convolutions from PyTorch to integers: no multiplication by zeros between pixels."""

from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.frontend import IntegerModel, lower
from systolith.network import (
    Conv2d,
    DepthToSpace,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Pad2d,
    Pattern,
    SelectChannels,
    Strided,
    trace,
)
from systolith.prune import MaskSet, PruneError, ScorePruner
from systolith.quant import QuantConfig, UnsupportedModelError, prepare
from systolith.quant.layers.transposed import QuantConvTranspose2d
from tests.support.written_models import assert_computes_the_same, problems_of

IMAGES = torch.rand(6, 4, 5, 6, generator=torch.Generator().manual_seed(0))


def lower_and_compare(model: nn.Module, images: Tensor = IMAGES) -> IntegerNetwork:
    """See that layers, quantized model and both kinds of integers agree; give the network."""
    assert_computes_the_same(model, images)
    quantized = prepare(model, images)
    network, integer = lower(quantized), IntegerModel(quantized)
    given = integer.quantize_input(images)
    expected, got = integer.trace(given), trace(network, given)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    return network


@pytest.mark.parametrize(
    ("settings", "kernel"),
    [
        ({"kernel_size": 2, "stride": 2}, (1, 1)),
        ({"kernel_size": 4, "stride": 2, "padding": 1}, (2, 2)),
        ({"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}, (2, 2)),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, (2, 2)),
        ({"kernel_size": (3, 5), "stride": 2, "padding": (0, 2), "output_padding": (0, 1)}, (2, 3)),
        ({"kernel_size": 2, "stride": 3}, (1, 1)),
        ({"kernel_size": 5, "stride": 3, "padding": 4}, (2, 2)),
        ({"kernel_size": 3, "stride": 1, "padding": 1}, (3, 3)),
        ({"kernel_size": 3, "stride": 1, "padding": 3, "bias": False}, (3, 3)),
        ({"kernel_size": 4, "stride": 2, "padding": 1, "groups": 2}, (2, 2)),
        ({"kernel_size": 2, "stride": 2, "groups": 2, "bias": False}, (1, 1)),
        ({"kernel_size": (3, 4), "stride": (1, 2), "padding": (0, 1), "groups": 2}, (3, 2)),
        ({"kernel_size": (4, 3), "stride": (3, 2), "padding": 1, "output_padding": 1}, (2, 2)),
    ],
)
def test_phases(settings: dict[str, object], kernel: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, **settings)  # type: ignore[arg-type]
    network = lower_and_compare(nn.Sequential(layer, nn.BatchNorm2d(6), nn.ReLU()))
    conv = network.layers[0]
    assert isinstance(conv, Conv2d)
    assert conv.weight.shape[0] == 6 * prod(layer.stride)
    assert conv.weight.shape[2:] == kernel
    assert all(
        isinstance(other, SelectChannels | DepthToSpace | Pad2d) for other in network.layers[1:]
    )


@pytest.mark.parametrize(
    ("settings", "taps"),
    [
        ({"kernel_size": 4, "stride": 2, "padding": 1}, 2),
        ({"kernel_size": 3, "stride": 3, "padding": 1, "output_padding": 1, "groups": 2}, 1),
        ({"kernel_size": 5, "stride": 4, "groups": 4, "bias": False}, 2),
        ({"kernel_size": 3, "stride": 1}, 3),
    ],
)
def test_phases_of_sequences(settings: dict[str, int], taps: int) -> None:
    """Sequences have phases along their length only."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(4, 8, **settings)  # type: ignore[arg-type]
    network = lower_and_compare(
        nn.Sequential(layer, nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten()), torch.rand(6, 4, 7)
    )
    conv = network.layers[0]
    assert isinstance(conv, Conv2d)
    assert conv.weight.shape[0] == 8 * settings["stride"]
    assert conv.weight.shape[2:] == (1, taps)
    blocks = [other.sides for other in network.layers if isinstance(other, DepthToSpace)]
    assert blocks == ([(1, settings["stride"])] if settings["stride"] > 1 else [])


def test_depthwise_and_a_norm_that_is_not_trivial() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.rand(4), torch.rand(4) + 0.5
    layer = nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=4)
    model = nn.Sequential(layer, norm, nn.ReLU6(), nn.Conv2d(4, 2, 1)).eval()
    network = lower_and_compare(model)
    assert [type(layer).__name__ for layer in network.layers] == [
        *("Conv2d", "SelectChannels", "DepthToSpace", "Pad2d", "Conv2d")
    ]


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(4, 3, 2, 2), nn.ConvTranspose2d(4, 3, 3)])
def test_slopes_behind(layer: nn.Module) -> None:
    torch.manual_seed(0)
    lower_and_compare(nn.Sequential(layer, nn.PReLU(3), nn.Conv2d(3, 2, 1)))
    lower_and_compare(nn.Sequential(layer, nn.LeakyReLU()))


def test_multiplications_per_output() -> None:
    """An even kernel costs what it has to; an odd one pays for taps that do not exist."""
    torch.manual_seed(0)
    for kernel, expected in ((2, 1.0), (4, 4.0), (3, 4.0)):
        model = nn.Sequential(nn.ConvTranspose2d(4, 4, kernel, 2, (kernel - 1) // 2))
        network = lower(prepare(model, IMAGES))
        conv = network.layers[0]
        assert isinstance(conv, Conv2d)
        taps = conv.weight.shape[2] * conv.weight.shape[3]
        assert taps == expected  # for one input channel; the minimum is kernel**2 / 4


def test_training_keeps_the_weights_of_the_model() -> None:
    torch.manual_seed(0)
    model = prepare(nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1)), IMAGES).train()
    (layer,) = (part for part in model.modules() if isinstance(part, QuantConvTranspose2d))
    assert layer.weight.shape == (6, 4, 3, 3)
    assert layer.weight_quantizer.step.numel() == 6
    model(IMAGES).square().sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    assert bool((gradient != 0).any(1).all())


def test_a_scale_in_front_is_folded_and_a_shift_is_not() -> None:
    class Scaled(nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.up, self.shift = nn.ConvTranspose2d(4, 3, 2, 2), shift

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.up(x * 0.5 + self.shift)
            return result

    assert len(lower_and_compare(Scaled(0.0)).layers) == 2
    assert len(lower_and_compare(Scaled(0.25)).layers) == 3


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(4, 4, 3, dilation=2), "needs dilation 1, got (2, 2)"),
        (
            nn.ConvTranspose2d(4, 4, 2, 2, output_padding=1),
            "needs output_padding up to the padding (0, 0), got (1, 1)",
        ),
    ],
)
def test_other_transposed_convolutions_are_refused(layer: nn.Module, reason: str) -> None:
    (problem,) = problems_of(nn.Sequential(layer), IMAGES)
    assert problem == f"'0' (ConvTranspose2d): {reason}"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [4, 3, 1])
@pytest.mark.parametrize(
    "select",
    [
        KOutOfN(1, 2),
        KOutOfN(1, 4, shared_by=2),
        KOutOfN(3, 4, Granularity.KERNEL),
        KOutOfN(2, 4, Granularity.KERNEL, shared_by=3),
    ],
    ids=str,
)
def test_phases_keep_what_masks_keep(select: KOutOfN, kernel: int, groups: int) -> None:
    """With a stride of 2, a kernel of 3 or 1 has taps that do not exist in some phases."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(8, 6 * groups, kernel, (2, 1), groups=groups))
    pattern = Pattern(select=select)
    masks = ScorePruner(patterns={"0": pattern}).masks(model)
    assert masks["0.weight"].shape == (6 * groups, 8 // groups, kernel, kernel)
    masks.apply_(model)
    kept = int((model[0].weight != 0).sum())
    assert kept * select.n == model[0].weight.numel() * select.k
    images = torch.rand(3, 8, 3, 4)
    quantized = prepare(model, images, masks=masks)
    network, integer = lower(quantized), IntegerModel(quantized)
    given = integer.quantize_input(images)
    expected, got = integer.trace(given), trace(network, given)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    conv = network.layers[0]
    assert isinstance(conv, Conv2d)
    assert conv.mask is not None and not conv.weight[~conv.mask].any()
    assert int((conv.weight != 0).sum()) <= kept
    assert quantized.masks().density == select.k / select.n


def test_masks_of_single_taps_are_refused() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, 2))
    pattern = Pattern(taps=Strided(2, (0, 0, 0, 0)))
    taps = torch.tensor([True, False]).expand(4, 4, 2, 2)
    masks = MaskSet({"0.weight": taps}, {"0.weight": pattern})
    reason = "transposed convolutions need k of every n weights or kernels, got dense, every 2"
    with pytest.raises(UnsupportedModelError, match=reason):
        prepare(model, IMAGES, masks=masks)
    with pytest.raises(PruneError, match="layer '0': transposed convolutions need k of"):
        ScorePruner(patterns={"0": pattern}).masks(model)


def test_one_bit_becomes_two_where_taps_are_missing() -> None:
    torch.manual_seed(0)
    bits = {}
    for kernel in (2, 3):
        model = nn.Sequential(nn.ConvTranspose2d(4, 2, kernel, stride=2), nn.ReLU())
        quantized = prepare(model, IMAGES, QuantConfig(weight_bits=1))
        network, integer = lower(quantized), IntegerModel(quantized)
        given = integer.quantize_input(IMAGES)
        golden, own = trace(network, given), integer.trace(given)
        assert all(np.array_equal(golden[name], own[name]) for name in golden)
        conv = network.layers[0]
        assert isinstance(conv, Conv2d)
        bits[kernel] = conv.weight_bits
    assert bits == {2: 1, 3: 2}
