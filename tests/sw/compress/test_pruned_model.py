"""Files of pruned and quantized models give the same models again."""

from pathlib import Path

import pytest
import torch

from systolith.compress import (
    GDPPruning,
    PrunedModel,
    SRSTEPruning,
    Trainer,
    load_pruned,
    load_quantized,
    prune_model,
    quantize_model,
    save_pruned,
    save_quantized,
)
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.quant import LayerBits, QuantConfig
from systolith.train import Recipe


def test_models_are_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    data, bits = load_digits(), QuantConfig(weight_bits=4)
    trainer = Trainer(data=data, recipe=Recipe(prune_epochs=1, quantize_epochs=1))
    rules = [("conv[23]", Pattern(select=KOutOfN(2, 8)))]
    prunings = [GDPPruning(keep=0.6, multiple_of=8), SRSTEPruning(patterns=rules)]
    pruned = prune_model(DigitsCNN(), trainer, prunings)
    quantized = quantize_model(pruned, trainer, bits)
    save_pruned(pruned, tmp_path / "pruned")
    save_quantized(quantized, tmp_path / "quantized")

    again = load_pruned(DigitsCNN(seed=3), data, tmp_path / "pruned")
    images = data.test_images[:20]
    assert torch.equal(again.model(images), pruned.model(images))
    assert again.masks.patterns == pruned.masks.patterns and len(again.filters) == 1
    loaded = load_quantized(again, data, bits, tmp_path / "quantized")
    assert torch.equal(loaded(images), quantized.eval()(images))


@pytest.mark.parametrize("name", ["block.conv", "block_conv"])
def test_widths_that_are_given_win_over_learned_ones(name: str) -> None:
    learned = {"block.conv": LayerBits(weight_bits=3), "fc": LayerBits(weight_bits=5)}
    given = QuantConfig(layers={name: LayerBits(weight_bits=7)})
    config = PrunedModel(model=DigitsCNN(), bits=learned).config(given)
    assert config.layers == {"fc": LayerBits(weight_bits=5), name: LayerBits(weight_bits=7)}
