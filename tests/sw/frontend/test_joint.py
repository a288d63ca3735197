"""Pruning while training quantized: what a sparsifier finds is what the hardware gets, exactly."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from systolith.data import load_digits
from systolith.frontend import IntegerModel, lower
from systolith.models import DigitsCNN
from systolith.network import Conv2d, Granularity, KOutOfN, Linear, Pattern, PerNeuron, trace
from systolith.prune import DPP, SRSTE, ScorePruner, WeightSparsifier
from systolith.quant import (
    QuantConfig,
    QuantConv2d,
    QuantizedModel,
    QuantLinear,
    prepare,
    quantized_patterns,
)
from systolith.train import fit

PATTERNS = {
    "conv2": Pattern(select=KOutOfN(1, 4)),
    "conv3": Pattern(select=KOutOfN(3, 16, Granularity.KERNEL, shared_by=2)),
    "fc": Pattern(select=PerNeuron(7)),
}

Method = Callable[[QuantizedModel, dict[str, Pattern]], WeightSparsifier]


@pytest.mark.parametrize(
    "method",
    [
        lambda model, patterns: SRSTE(ScorePruner(patterns=patterns)),
        lambda model, patterns: DPP(model, patterns),
    ],
    ids=["SR-STE", "DPP"],
)
@pytest.mark.parametrize(
    "config",
    [
        QuantConfig(),
        QuantConfig(weight_bits=3, act_bits=4),
        QuantConfig(weight_bits=2, narrow_range=True),
        QuantConfig(weight_bits=1),
    ],
    ids=["8 bit", "few bits", "ternary", "binary"],
)
def test_joint_training_lowers_to_its_patterns(method: Method, config: QuantConfig) -> None:
    data = load_digits()
    quantized = prepare(DigitsCNN(), data.train_images[:64], config)
    patterns = quantized_patterns(quantized, PATTERNS)
    sparsifier = method(quantized, patterns)
    before = {name: layer.weight.detach().clone() for name, layer in _weighted(quantized).items()}
    fit(quantized, data, epochs=1, batch_size=256, sparsifier=sparsifier)
    after = _weighted(quantized)
    assert all(not torch.equal(before[name], after[name].weight) for name in before)

    quantized.freeze_masks_(sparsifier.masks(quantized))
    network, integer = lower(quantized), IntegerModel(quantized)
    for name, pattern in PATTERNS.items():
        layer = network[name]
        assert isinstance(layer, Conv2d | Linear) and layer.mask is not None
        assert layer.pattern == pattern
        assert not list(pattern.violations(layer.mask.reshape(layer.weight_shape)))
        assert layer.mask.sum() == pattern.kept(layer.weight_shape)
        assert not layer.weight[~layer.mask].any()
        assert layer.weight[layer.mask].any()
        assert config.weight_bits > 1 or (np.abs(layer.weight[layer.mask]) == 1).all()
        trained = after[name]
        step = trained.weight_quantizer.step.reshape(-1, *[1] * (layer.weight.ndim - 1))
        fake = (trained.quantized_weight() / step).detach().round()
        assert np.array_equal(fake.numpy(), layer.weight)
    images = integer.quantize_input(data.test_images[:32])
    found, golden = integer.trace(images), trace(network, images)
    assert all(np.array_equal(found[name], golden[name]) for name in golden)


def _weighted(model: QuantizedModel) -> dict[str, QuantConv2d | QuantLinear]:
    return {
        wiring.name: layer
        for wiring, layer in model.named_layers()
        if isinstance(layer, QuantConv2d | QuantLinear)
    }
