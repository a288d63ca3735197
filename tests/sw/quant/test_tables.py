"""Functions of each value: recognized, trained and lowered as tables."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.data import load_digits
from systolith.frontend import IntegerModel, lower
from systolith.network import MAX_TABLE_BITS, ActType, Table, trace
from systolith.quant import ActQuantizer, QuantConfig, QuantTable, UnsupportedModelError, prepare
from tests.support.functions import FUNCTIONS, Applied

IMAGES = torch.rand(40, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_integers_agree(name: str, flattened: bool) -> None:
    model = Applied(FUNCTIONS[name], flattened=flattened).eval()
    quantized = prepare(model, IMAGES).eval()
    network, integer = lower(quantized), IntegerModel(quantized)
    assert [type(layer).__name__ for layer in network.layers] == [
        "Conv2d",
        "Table",
        "Flatten",
        "Linear",
    ]
    images = integer.quantize_input(IMAGES)
    golden, mirrored = trace(network, images), integer.trace(images)
    with torch.no_grad():
        fake = quantized.trace(IMAGES)
        error = (quantized(IMAGES) - model(IMAGES)).abs().max() / model(IMAGES).abs().max()
    for layer, values in golden.items():
        assert np.array_equal(values, mirrored[layer])
        step = quantized.quantizer(layer).step.item()
        assert np.array_equal(values, np.rint(fake[layer].numpy() / step))
    # A step of a function is moved by as much as half a unit of its input.
    assert error < (0.5 if name == "Hardshrink" else 0.06)


def test_a_table_is_what_pytorch_computes_for_each_integer() -> None:
    quantized = prepare(Applied(nn.SiLU()), IMAGES).eval()
    network = lower(quantized)
    (table,) = (layer for layer in network.layers if isinstance(layer, Table))
    before, after = (quantized.quantizer(name) for name in ("conv", table.name))
    assert len(table.values) == 1 << MAX_TABLE_BITS
    reals = torch.arange(-128, 128) * before.step.detach()
    assert np.array_equal(table.values, after.integers(torch.nn.functional.silu(reals)).numpy())


@pytest.mark.parametrize(
    ("function", "signed"), [(nn.Hardsigmoid(), False), (nn.Softplus(), False), (nn.SiLU(), True)]
)
def test_functions_without_negative_values_have_unsigned_tables(
    function: nn.Module, signed: bool
) -> None:
    (table,) = (
        layer
        for layer in lower(prepare(Applied(function), IMAGES)).layers
        if isinstance(layer, Table)
    )
    assert table.output == ActType(bits=8, signed=signed)


def test_a_function_of_the_input_and_one_at_the_end_are_tables() -> None:
    model = nn.Sequential(nn.Tanh(), nn.Conv2d(2, 3, 3), nn.Softplus()).eval()
    network = lower(prepare(model, IMAGES - 0.5, QuantConfig(input_signed=True)))
    first, _, last = network.layers
    assert isinstance(first, Table) and first.input == "input"
    assert isinstance(last, Table) and last.output.bits == 16


def test_functions_behind_each_other_are_one_table() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.ReLU(), nn.Softplus(), nn.Flatten())
    network = lower(prepare(model, IMAGES))
    assert [type(layer).__name__ for layer in network.layers] == ["Conv2d", "Table", "Flatten"]


def test_a_function_that_is_read_twice_is_one_table() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(2, 2, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(self.a(x))
            return self.b(x) + self.c(x)  # type: ignore[no-any-return]

    kinds = [type(layer).__name__ for layer in lower(prepare(Twice(), IMAGES)).layers]
    assert kinds == ["Conv2d", "Table", "Conv2d", "Conv2d", "Add"]


def test_a_sigmoid_at_the_end_is_left_to_the_host() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.Sigmoid())
    with pytest.warns(UserWarning, match=r"'2' \(Sigmoid\) is left out, as it does not change"):
        quantized = prepare(model, IMAGES)
    assert [type(layer).__name__ for layer in lower(quantized).layers] == ["Flatten", "Linear"]


@pytest.mark.parametrize("axis", [1, -1])
def test_the_class_is_left_to_the_host(axis: int) -> None:
    class Class(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.flatten(1)).softmax(1).argmax(axis)  # type: ignore[no-any-return]

    with pytest.warns(UserWarning, match="is left out, as it does not change the predicted class"):
        quantized = prepare(Class(), IMAGES)
    assert [type(layer).__name__ for layer in lower(quantized).layers] == ["Flatten", "Linear"]


def test_the_greatest_of_another_axis_is_refused() -> None:
    class Place(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x).argmax(2)

    with pytest.raises(UnsupportedModelError, match="needs dim 1, that of the classes, got 2"):
        prepare(Place(), IMAGES)


def test_parameters_of_functions_are_trained() -> None:
    quantized = prepare(Applied(nn.PReLU(), flattened=True), IMAGES).train()
    table = quantized.layer("function")
    assert isinstance(table, QuantTable)
    (slope,) = table.function.parameters()
    before = slope.item()
    optimizer = torch.optim.SGD(quantized.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        quantized(IMAGES).square().mean().backward()
        optimizer.step()
    assert slope.item() != before
    quantized.eval()
    images = IntegerModel(quantized).quantize_input(IMAGES)
    golden = trace(lower(quantized), images)
    with torch.no_grad():
        fake = quantized.trace(IMAGES)
    for name, values in golden.items():
        step = quantized.quantizer(name).step.item()
        assert np.array_equal(values, np.rint(fake[name].numpy() / step))


def test_undefined_values_are_zero() -> None:
    table = QuantTable(_Root(), ActQuantizer(ActType(bits=8, signed=False)))
    values = table.integers(torch.tensor(1.0), ActType(bits=3, signed=True))
    assert values.tolist() == [0, 0, 0, 0, 0, 1, 1, 2]


class _Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (
            lambda m, x: m.norm(m.conv(x)) / m.conv2(x),
            r"'truediv' \(function truediv\): needs two functions of one tensor, as in x \*",
        ),
    ],
)
def test_what_is_no_function_of_one_value_is_refused(forward: object, problem: str) -> None:
    class Model(Applied):
        def __init__(self) -> None:
            super().__init__(nn.Identity())
            self.conv2 = nn.Conv2d(2, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x)  # type: ignore[no-any-return,operator]

    with pytest.raises(UnsupportedModelError, match=problem):
        prepare(Model(), IMAGES)


class _PreActivation(nn.Module):
    """A block of a pre-activation ResNet: batch norm and activation behind an addition."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(4), activation
        self.norm.running_mean.uniform_(-1, 1)  # type: ignore[union-attr,operator]
        self.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
        self.head = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.second(x)
        return self.head(self.act(self.norm(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("activation", "kinds"),
    [
        (nn.ReLU(), ["Conv2d", "Conv2d", "Add", "Conv2d", "Conv2d"]),
        (nn.SiLU(), ["Conv2d", "Conv2d", "Add", "Conv2d", "Table", "Conv2d"]),
    ],
)
def test_batch_norms_that_fold_into_nothing_are_depthwise_convolutions(
    activation: nn.Module, kinds: list[str]
) -> None:
    model = _PreActivation(activation).eval()
    quantized = prepare(model, IMAGES).eval()
    network = lower(quantized)
    assert [type(layer).__name__ for layer in network.layers] == kinds
    with torch.no_grad():
        error = (quantized(IMAGES) - model(IMAGES)).abs().max() / model(IMAGES).abs().max()
    assert error < 0.05
    images = IntegerModel(quantized).quantize_input(IMAGES)
    golden, mirrored = trace(network, images), IntegerModel(quantized).trace(images)
    assert all(np.array_equal(golden[name], mirrored[name]) for name in golden)


def test_numbers_that_fold_into_nothing_are_tables() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x * 2 - 1).relu() * 3 + 1  # type: ignore[no-any-return]

    kinds = [type(layer).__name__ for layer in lower(prepare(Scaled(), IMAGES)).layers]
    assert kinds == ["Table", "Conv2d", "Table"]


def test_hardswish_and_silu_are_trained_on_digits() -> None:
    torch.manual_seed(0)
    data = load_digits()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Hardswish(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    images, labels = data.train_images[:256], data.train_labels[:256]
    quantized = prepare(model, images, QuantConfig(weight_bits=4, act_bits=4)).train()
    optimizer = torch.optim.Adam(quantized.parameters(), 0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(quantized(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    quantized.eval()
    integer, network = IntegerModel(quantized), lower(quantized)
    codes = integer.quantize_input(data.test_images)
    golden, mirrored = trace(network, codes), integer.trace(codes)
    with torch.no_grad():
        fake = quantized.trace(data.test_images)
    for name, values in golden.items():
        assert np.array_equal(values, mirrored[name])
        step = quantized.quantizer(name).step.item()
        assert np.array_equal(values, np.rint(fake[name].numpy() / step))
