"""The comparison of the layers found with the model finds mistakes, and names the layer."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import process_time

import pytest
import torch
from torch import Tensor, nn

from systolith.models import ResNet8, TinyResNet
from systolith.quant import Activation, UnsupportedModelError, prepare
from systolith.quant.recognition import FloatLayer, Reading, read_layers, read_network
from systolith.quant.recognition.comparison import comparison_problems
from systolith.quant.recognition.operations import AddUp, AveragePool, Convolve, MaxPool
from tests.support.written_models import IMAGES, Written, problems_of

PREPARE = sys.modules["systolith.quant.prepare"]


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.running_mean)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.mean = nn.AvgPool2d(2)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = self.mean(self.pool(self.second(x) + x)).relu()
        logits: Tensor = self.fc(x.flatten(1))
        return logits


def _lose_norm(layer: FloatLayer) -> None:
    layer.norm = None


def _lose_activation(layer: FloatLayer) -> None:
    layer.activation = Activation.NONE


def _add_activation(layer: FloatLayer) -> None:
    layer.activation = Activation.RELU


def _move_padding(layer: FloatLayer) -> None:
    assert isinstance(layer.operation, Convolve)
    layer.operation = replace(layer.operation, padding=(0, 2, 1, 1))


def _pad_pool_elsewhere(layer: FloatLayer) -> None:
    assert isinstance(layer.operation, MaxPool)
    layer.operation = replace(layer.operation, padding=(0, 2, 1, 1))


def _add_itself(layer: FloatLayer) -> None:
    assert isinstance(layer.operation, AddUp)
    layer.inputs = layer.inputs[:1] * 2


def _other_window(layer: FloatLayer) -> None:
    assert isinstance(layer.operation, AveragePool)
    layer.operation = AveragePool((1, 1), (2, 2), (0, 0, 0, 0))


def _other_weight(layer: FloatLayer) -> None:
    module = nn.Linear(16, 5)
    module.load_state_dict(layer.operation.module.state_dict())
    with torch.no_grad():
        module.weight[2] += 0.01
    layer.operation = replace(layer.operation, module=module)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("first", _lose_norm),
        ("first", _lose_activation),
        ("second", _move_padding),
        ("second", _add_activation),
        ("add", _add_itself),
        ("pool", _pad_pool_elsewhere),
        ("mean", _other_window),
        ("mean", _lose_activation),
        ("fc", _other_weight),
    ],
)
def test_a_planted_mistake_is_found_and_its_layer_named(
    name: str, mistake: Callable[[FloatLayer], None]
) -> None:
    model = _Net().eval()
    network = read_network(model, IMAGES)
    assert list(comparison_problems(model, network, IMAGES)) == []
    (layer,) = (layer for layer in network.layers if layer.name == name)
    mistake(layer)
    (problem,) = comparison_problems(model, network, IMAGES)
    assert problem.startswith(f"{layer.title}: is the first layer that was understood wrongly")


def test_a_mistake_of_recognition_reaches_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(model: nn.Module, images: Tensor) -> Reading:
        reading = read_layers(model, images)
        reading.layers[0].norm = None
        return reading

    prepare(_Net(), IMAGES)
    monkeypatch.setattr(PREPARE, "read_layers", mistaken)
    message = r"^'first' \(Conv2d\): is the first layer that was understood wrongly: its values"
    with pytest.raises(UnsupportedModelError, match=message):
        prepare(_Net(), IMAGES)


def test_a_mistake_in_front_of_a_softmax_is_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)).eval()
    network = read_network(model, IMAGES)
    assert list(comparison_problems(model, network, IMAGES)) == []
    network.layers[0].activation = Activation.RELU
    (problem,) = comparison_problems(model, network, IMAGES)
    assert problem.startswith("'0' (Conv2d): is the first layer that was understood wrongly")


def test_models_that_depend_on_chance_or_on_earlier_calls_are_refused() -> None:
    def noisy(m: Written, x: Tensor) -> Tensor:
        return m.b(m.a(x) + torch.randn(4, 1, 1))

    def alternating(m: Written, x: Tensor) -> Tensor:
        m.calls = getattr(m, "calls", 0) + 1
        return m.b(m.a(x) if m.calls % 2 else m.d(x))

    (problem,) = problems_of(Written(noisy))
    assert problem.startswith("'b' (Conv2d): is the first layer that was understood wrongly")
    assert problems_of(Written(alternating)) == [
        "forward() (model): gives other outputs each time for the same images"
    ]


def test_models_that_depend_on_the_number_of_images_are_refused() -> None:
    (problem,) = problems_of(Written(lambda m, x: m.fc(m.a(x).reshape(2, -1))))
    assert problem.startswith(
        "forward() (model): needs to take any number of images, but with 4 it raises RuntimeError: "
    )
    constant = torch.ones(2, 1, 1, 1)
    (problem,) = problems_of(
        Written(lambda m, x: m.b(m.a(x)) if len(x) > 2 else m.b(m.a(x) * constant))
    )
    assert problem.startswith("'mul' (function mul): supported are")


@pytest.mark.parametrize("model", [TinyResNet(), ResNet8()])
def test_models_of_this_package_pass(model: nn.Module) -> None:
    channels = next(p for p in model.parameters() if p.ndim == 4).shape[1]
    images = torch.rand(5, channels, 16, 16)
    assert list(comparison_problems(model, read_network(model, images), images)) == []


def test_it_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0

    def timed(*arguments: object) -> Iterator[str]:
        nonlocal seconds
        start = process_time()
        problems = list(comparison_problems(*arguments))
        seconds = process_time() - start
        return iter(problems)

    monkeypatch.setattr(PREPARE, "comparison_problems", timed)
    prepare(TinyResNet(), torch.rand(2, 1, 8, 8))  # what only the first call takes
    start = process_time()
    prepare(ResNet8(), torch.rand(128, 3, 32, 32))
    assert 0 < seconds < 0.1 * (process_time() - start)
