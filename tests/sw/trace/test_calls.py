"""One table of operators: functions, methods and modules as the same calls."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.trace import Call, read_call, record

IMAGES = torch.rand(2, 3, 8, 8)


class _Written(nn.Module):
    def __init__(self, compute: Callable[..., Tensor] | nn.Module) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x)


def _call(compute: Callable[..., Tensor] | nn.Module) -> Call:
    recording = record(_Written(compute), IMAGES)
    assert not recording.problems
    (output,) = recording.outputs
    return read_call(output, recording.values)


def _arguments(call: Call) -> dict[str, object]:
    return {name: value for name, value in call.arguments.items() if name != "input"}


@pytest.mark.parametrize(
    ("operator", "ways"),
    [
        ("relu", (F.relu, torch.relu, Tensor.relu, lambda x: x.relu_(), nn.ReLU())),
        ("hardtanh", (lambda x: F.hardtanh(x, 0, 4), nn.Hardtanh(0, 4))),
        ("leaky_relu", (lambda x: F.leaky_relu(x, 0.5), nn.LeakyReLU(0.5))),
        ("max_pool2d", (lambda x: F.max_pool2d(x, 2, padding=1), nn.MaxPool2d(2, padding=1))),
        ("flatten", (lambda x: torch.flatten(x, 1), lambda x: x.flatten(1), nn.Flatten())),
        ("add", (lambda x: x + 2, lambda x: torch.add(x, 2), lambda x: x.add_(2))),
        ("mul", (lambda x: 2 * x, lambda x: x.mul(2), lambda x: torch.multiply(x, 2))),
        ("pad", (lambda x: F.pad(x, (1, 1, 2, 2)), nn.ZeroPad2d((1, 1, 2, 2)))),
        ("softmax", (lambda x: x.softmax(-3), nn.Softmax2d(), nn.Softmax(-3))),
        ("identity", (lambda x: x.clone(), lambda x: x.detach(), nn.Identity())),
    ],
)
def test_all_ways_to_compute_something_are_one_operator(
    operator: str, ways: tuple[Callable[..., Tensor], ...]
) -> None:
    assert [_call(way).operator for way in ways] == [operator] * len(ways)


@pytest.mark.parametrize(
    ("compute", "arguments"),
    [
        (lambda x: x.view(2, -1), {"shape": (2, -1)}),
        (lambda x: x.view((2, -1)), {"shape": (2, -1)}),
        (lambda x: torch.reshape(x, (2, -1)), {"shape": (2, -1)}),
        (lambda x: x.mean((2, 3)), {"dim": (2, 3)}),
        (lambda x: x.mean(axis=(2, 3)), {"dim": (2, 3)}),
        (lambda x: F.avg_pool2d(x, x.size(3)), {"kernel_size": 8}),
        (nn.AdaptiveAvgPool2d(1), {"output_size": 1}),
        (nn.Hardtanh(0, 4), {"min_val": 0, "max_val": 4, "inplace": False}),
        (nn.Dropout(0.5), {"training": False}),
    ],
)
def test_arguments_have_the_names_of_parameters(
    compute: Callable[..., Tensor], arguments: dict[str, object]
) -> None:
    assert _arguments(_call(compute)) == arguments


def test_several_tensors_are_one_argument() -> None:
    call = _call(lambda x: torch.concat([x, x.relu()], axis=1))
    assert (call.operator, call.arguments["dim"]) == ("cat", 1)
    assert call.arguments["tensors"] == list(call.node.all_input_nodes)
    assert (call.inputs, call.output) == (((2, 3, 8, 8),) * 2, (2, 6, 8, 8))


def test_what_is_not_in_the_table_has_no_operator() -> None:
    assert [_call(compute).operator for compute in (torch.sinc, nn.LPPool2d(2, 2))] == ["", ""]


def test_a_subclass_of_a_module_is_another_operator() -> None:
    class Shifted(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    assert _call(Shifted()).operator == "add"


def test_arguments_that_the_table_does_not_know_are_problems() -> None:
    call = _call(lambda x: torch.sum(x, 1, True, dtype=torch.float64))
    assert call.problems == ()
    call = _call(lambda x: torch.amax(x, 1, out=torch.empty(0)))
    assert call.problems == ("has an argument that is not understood: out",)
