"""Which layers the network has for those of hls4ml."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    KOutOfN,
    Overflow,
    Pattern,
    Rounding,
    trace,
)
from tests.flow.hls4ml_backend.comparing import convert, quantized


def rectified(folder: Path, first: str, second: str) -> Any:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    torch.manual_seed(0)
    nn.init.normal_(model[0].weight)
    config = quantized(model, (3, 4, 4))
    config["LayerName"]["_0"]["Precision"]["result"] = first
    config["LayerName"]["_1"]["Precision"]["result"] = second
    return convert(model, config, folder)


def test_a_cast_that_the_sums_do_not_need_is_no_layer(tmp_path: Path) -> None:
    converted = rectified(tmp_path, "auto", "ap_ufixed<6,3,AP_RND,AP_SAT>")
    (layer,) = converted.mapped.network.layers
    assert isinstance(layer, Conv2d)
    assert str(layer.output) == "uint6" and layer.requantize.clamp is None


def test_a_wrap_before_a_relu_is_one_requantization(tmp_path: Path) -> None:
    (layer,) = rectified(tmp_path, "ap_fixed<6,3>", "ap_fixed<6,3>").mapped.network.layers
    assert layer.requantize.overflow is Overflow.WRAP
    assert layer.requantize.clamp == (0, 31)


def test_a_wrap_after_a_relu_is_a_layer_of_its_own(tmp_path: Path) -> None:
    converted = rectified(tmp_path, "ap_fixed<12,6,AP_RND,AP_SAT>", "ap_fixed<6,1>")
    conv, relu = converted.mapped.network.layers
    assert isinstance(relu, AvgPool2d) and relu.kernel_size == (1, 1)
    assert relu.requantize.overflow is Overflow.WRAP
    assert conv.requantize.clamp == (0, 2047) or conv.output.low == 0


def test_dense_layers_find_features_wherever_they_stand(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 1, bias=False))
    with torch.no_grad():
        model[1].weight[:] = torch.arange(24) / 8
    config = quantized(model, (2, 3, 4), weight="ap_fixed<8,5>", result="ap_fixed<16,10>")
    config["LayerName"]["input_1"]["Precision"]["result"] = "ap_int<4>"
    converted = convert(model, config, tmp_path)
    x = np.random.default_rng(0).integers(-8, 8, size=(5, 3, 4, 2)).astype(np.float32)
    expected = (x.transpose(0, 3, 1, 2).reshape(5, 24) * np.arange(24) / 8).sum(axis=1)
    (output,) = converted.mapped.outputs
    got = trace(converted.mapped.network, converted.quantize(x))[output.layer].reshape(5)
    assert np.array_equal(got * 2.0**-output.fraction, np.floor(expected * 64) / 64)


def test_scales_are_aligned_by_the_factors_of_an_addition(tmp_path: Path) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.add(self.a(x), self.b(x))

    model = Residual()
    config = quantized(model, (4,))
    config["LayerName"]["a"]["Precision"]["result"] = "ap_fixed<9,5>"
    add = convert(model, config, tmp_path).mapped.network.layers[-1]
    assert isinstance(add, Add)
    assert add.multipliers == (4, 1)


def test_weights_that_are_2_of_4_get_their_engine_without_being_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU())
    pattern = Pattern(select=KOutOfN(2, 4))
    with torch.no_grad():
        nn.init.uniform_(model[0].weight, 0.5, 1.0)
        mask = pattern.best_mask(torch.rand(4, 8, 3, 3).numpy())
        model[0].weight *= torch.from_numpy(mask)
    config = quantized(model, (8, 5, 5))
    config["LayerName"]["_0"]["Precision"]["result"] = "auto"
    config["LayerName"]["_1"]["Precision"]["result"] = "ap_ufixed<8,4,AP_RND_CONV,AP_SAT>"
    converted = convert(model, config, tmp_path)
    (layer,) = converted.mapped.network.layers
    assert layer.pattern == pattern and np.array_equal(layer.mask, mask)
    assert layer.requantize.rounding is Rounding.HALF_EVEN
    (engine,) = converted.plan.convolutions
    assert (engine.group, engine.macs_kept) == (4, layer.weight.size // 2 * 9)
