"""Layers whose results are joined share a step; others are rescaled, which is said."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import AvgPool2d, Concat, trace
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.train import save_tensors

IMAGES = torch.rand(8, 4, 6, 6, generator=torch.Generator().manual_seed(1))
Rest = Callable[["Branches", Tensor], Tensor]


class Branches(nn.Module):
    def __init__(self, rest: Rest) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 3, padding=1)
        self.last = nn.Conv2d(10, 3, 1)
        self.rest = rest

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self, x)


def joined(model: Branches, x: Tensor) -> Tensor:
    y: Tensor = model.last(torch.cat([F.relu(model.a(x)), model.b(x)], 1))
    return y


def ended(model: Branches, x: Tensor) -> Tensor:
    return torch.cat([model.a(x), F.relu(model.b(x))], 1)


def prepared(rest: Rest, config: QuantConfig | None = None) -> QuantizedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prepare(Branches(rest).eval(), IMAGES, config)


def assert_equal_everywhere(model: QuantizedModel) -> None:
    """Fake-quantized, integer and golden results agree in every value."""
    model.eval()
    network, integer = lower(model), IntegerModel(model)
    images = integer.quantize_input(IMAGES)
    golden, values, floats = trace(network, images), integer.trace(images), model.trace(IMAGES)
    for name, tensor in golden.items():
        np.testing.assert_array_equal(values[name], tensor)
        step = model.quantizer(name).step
        assert torch.equal(floats[name], torch.from_numpy(tensor).float() * step)


def train(model: QuantizedModel) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(IMAGES).square().mean().backward()
        optimizer.step()


def test_joined_layers_share_a_step_and_nothing_is_rescaled() -> None:
    model = prepared(joined)
    assert model.quantizer("a") is model.quantizer("b") is model.quantizer("cat")
    assert model.quantizer("last") is not model.quantizer("cat")
    assert [layer.name for layer in lower(model).layers] == ["a", "b", "cat", "last"]


def test_shared_step_is_the_largest_that_a_layer_chooses() -> None:
    config = QuantConfig(output_bits=8)
    shared = prepared(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), config).quantizer("cat").step
    alone = [
        prepared(rest, config).quantizer(name).step
        for name, rest in (("a", lambda m, x: m.a(x)), ("b", lambda m, x: m.b(x)))
    ]
    assert shared == max(alone)


@pytest.mark.parametrize("rest", [joined, ended])
@pytest.mark.parametrize("bits", [4, 8])
def test_results_are_equal_everywhere_before_and_after_training(rest: Rest, bits: int) -> None:
    model = prepared(rest, QuantConfig(weight_bits=4, act_bits=bits))
    assert_equal_everywhere(model)
    train(model)
    assert_equal_everywhere(model)


def test_relu_clamps_where_the_shared_type_is_signed() -> None:
    model = prepared(joined)
    assert model.quantizer("a").act_type.signed
    network = lower(model)
    images = IntegerModel(model).quantize_input(IMAGES)
    values = trace(network, images)
    assert values["a"].min() == 0 and values["b"].min() < 0


def test_results_at_the_end_have_the_width_of_the_output() -> None:
    model = prepared(ended, QuantConfig(output_bits=12))
    assert model.quantizer("cat").act_type.bits == 12


def test_input_is_rescaled_and_it_is_said() -> None:
    def rest(model: Branches, x: Tensor) -> Tensor:
        y: Tensor = model.last(torch.cat([model.b(x), x], 1))
        return y

    with pytest.warns(UserWarning, match=r"'cat'.*: 'input' is rescaled in front of it, because"):
        model = prepare(Branches(rest).eval(), IMAGES)
    network = lower(model)
    assert isinstance(network["cat_rescaled_input"], AvgPool2d)
    assert network["cat"].inputs == ("b", "cat_rescaled_input")
    assert_equal_everywhere(model)


def test_parts_of_the_input_alone_are_joined_as_they_are() -> None:
    model = prepared(lambda m, x: m.a(torch.cat([x[:, 2:], x[:, :2]], 1)))
    assert model.quantizer("cat") is model.input_quantizer
    assert_equal_everywhere(model)


def test_narrower_layer_is_rescaled_and_it_is_said() -> None:
    config = QuantConfig(layers={"a": LayerBits(act_bits=5)})
    with pytest.warns(
        UserWarning, match=r"'a' is rescaled in front of it, because it has 5 bits; "
    ):
        model = prepare(Branches(joined).eval(), IMAGES, config)
    assert model.quantizer("a").act_type.bits == 5
    network = lower(model)
    assert isinstance(network["cat"], Concat)
    assert network["cat"].inputs == ("cat_rescaled_a", "b")
    assert_equal_everywhere(model)


def test_shared_step_is_saved_and_loaded(tmp_path: Path) -> None:
    model = prepared(joined)
    train(model)
    save_tensors(model.state_dict(), tmp_path / "weights.safetensors")
    other = prepared(joined)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert other.quantizer("a") is other.quantizer("b")
    assert torch.equal(other.quantizer("a").step, model.quantizer("a").step)
