"""Statements in place, aliases and views: what PyTorch computes, or a refusal by name."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.quant import UnsupportedModelError, prepare
from systolith.quant.layers.requantizing import Activation
from systolith.quant.recognition.operations import AddUp
from tests.support.written_models import IMAGES, Written, assert_computes_the_same, problems_of

Forward = Callable[[Written, Tensor], Tensor]


def _relu_method(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.relu_()
    return m.b(y)


def _relu_function(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    F.relu(y, inplace=True)
    return m.b(y)


def _relu_of_torch(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    torch.relu_(y)
    return m.b(y)


def _relu_module(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    m.relu(y)
    return m.b(y)


def _relu_of_an_alias(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    m.same(y).relu_()
    return m.b(y)


def _relu_of_detached(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.detach().relu_()
    return m.b(y)


def _relu_of_data(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.data.relu_()
    return m.b(y)


def _clamp(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.clamp_(min=0)
    return m.b(y)


def _clamp_to_six(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    torch.clamp_(y, 0, 6)
    return m.b(y)


@pytest.mark.parametrize(
    "forward",
    [
        *(_relu_method, _relu_function, _relu_of_torch, _relu_module, _relu_of_an_alias),
        *(_relu_of_detached, _relu_of_data, _clamp, _clamp_to_six),
    ],
)
def test_activations_in_place_are_activations(forward: Forward) -> None:
    first, _ = assert_computes_the_same(Written(forward))
    assert first.activation is not Activation.NONE


def _sum(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.add_(m.d(x))
    return m.b(y)


def _alias_of_a_sum(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    z = m.same(y)
    y += m.d(x)
    return m.b(y + z)


def _flattened_before_the_sum(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    z = y.flatten(1)
    y += m.d(x)
    return m.fc(z)


def _sum_through_a_view(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y.view(y.shape).add_(m.d(x))
    return m.b(y)


def _kept_by_the_module(m: Written, x: Tensor) -> Tensor:
    m.kept = m.a(x)
    m.kept += m.d(x)
    return m.b(m.kept)


@pytest.mark.parametrize(
    "forward",
    [_sum, _alias_of_a_sum, _flattened_before_the_sum, _sum_through_a_view, _kept_by_the_module],
)
def test_sums_in_place_are_seen_through_all_aliases(forward: Forward) -> None:
    layers = assert_computes_the_same(Written(forward))
    assert any(isinstance(layer.operation, AddUp) for layer in layers)


def test_a_value_read_before_it_changes_is_the_old_one() -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        y = m.a(x)
        z = F.relu(y)
        y.zero_()
        return m.b(z)

    assert_computes_the_same(Written(forward))


def test_a_copy_does_not_change_with_its_original() -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        y = m.a(x)
        z = m.c(y.clone())
        y += m.d(x)
        return m.b(y + z)

    assert_computes_the_same(Written(forward))


def _sum_of_numbers_first(m: Written, x: Tensor) -> Tensor:
    return m.b(sum([m.a(x), m.d(x)]))


def _sum_of_branches(m: Written, x: Tensor) -> Tensor:
    return m.b(sum(branch(x) for branch in (m.a, m.d)))


def _zero_first(m: Written, x: Tensor) -> Tensor:
    return m.b(0 + m.a(x))


def _neutral(m: Written, x: Tensor) -> Tensor:
    return m.b((m.a(x) * 1 - 0) / 1.0)


def _doubled(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    return m.b(y + y)


def _named_arguments(m: Written, x: Tensor) -> Tensor:
    return m.b(torch.add(other=m.d(x), input=m.a(x)))


@pytest.mark.parametrize(
    "forward",
    [_sum_of_numbers_first, _sum_of_branches, _zero_first, _neutral, _doubled, _named_arguments],
)
def test_additions_however_they_are_written(forward: Forward) -> None:
    assert_computes_the_same(Written(forward))


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (
            lambda m, x: m.b(F.relu(m.a(x) + torch.arange(36.0).reshape(6, 6))),
            "'add' (function add): needs two activations, got a constant tensor",
        ),
        (
            lambda m, x: m.b(torch.add(m.a(x), m.d(x), out=torch.empty(0))),
            "'add' (function add): has an argument that is not understood: out",
        ),
    ],
)
def test_other_constants_and_arguments_are_refused(forward: Forward, problem: str) -> None:
    assert problems_of(Written(forward)) == [problem]


def _part_of(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y[:, :2].relu_()
    return m.b(y)


def _assigned(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    y[:, 0] = 0
    return m.b(y)


def _written_into_a_constant(m: Written, x: Tensor) -> Tensor:
    z = torch.zeros(len(x), 4, 6, 6)
    z.copy_(m.a(x))
    return m.b(z)


def _written_into_a_part_of_a_constant(m: Written, x: Tensor) -> Tensor:
    z = torch.zeros(len(x), 4, 6, 6)
    z[:, 1:3].copy_(m.a(x)[:, 1:3])
    return m.b(m.d(x) + z)


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (
            _part_of,
            "'relu_' (method relu_): changes in place what is read later through another view",
        ),
        (_assigned, "'setitem' (function setitem): supported are"),
        (_written_into_a_constant, "'copy_' (method copy_): supported are"),
        (_written_into_a_part_of_a_constant, "'copy_' (method copy_): supported are"),
    ],
)
def test_changes_of_a_part_are_refused(forward: Forward, problem: str) -> None:
    assert any(reported.startswith(problem) for reported in problems_of(Written(forward)))


def _branches(m: Written, x: Tensor) -> Tensor:
    return m.a(x) if x.mean() > 0 else m.d(x)


def _number(m: Written, x: Tensor) -> Tensor:
    return m.a(x) * float(x.max())


def _item(m: Written, x: Tensor) -> Tensor:
    return m.a(x) + x.sum().item()


def _array(m: Written, x: Tensor) -> Tensor:
    return m.b(torch.from_numpy(m.a(x).numpy()))


@pytest.mark.parametrize(
    ("forward", "call"),
    [(_branches, "__bool__"), (_number, "__float__"), (_item, "item"), (_array, "numpy")],
)
def test_values_that_reach_python_are_refused(forward: Forward, call: str) -> None:
    expected = (
        "'Written' (model): needs a forward() that does not branch on values or take them out of "
        f"tensors, but it, or a hook, calls {call}() of what depends on the images"
    )
    assert expected in problems_of(Written(forward))


def test_shapes_may_be_branched_on_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        assert x.shape[1] == 3 and x.dim() == 4 and x.is_floating_point(), f"got {x.shape}"
        print(tuple(x.shape[1:]), x.device)
        return m.b(m.a(x) if x.size(-1) == 8 else m.d(x))

    layers = assert_computes_the_same(Written(forward))
    assert [layer.name for layer in layers] == ["a", "b"]
    assert capsys.readouterr().out.startswith("(3, 8, 8) cpu")


@pytest.mark.parametrize("forward", [_sum, _branches])
def test_the_model_is_left_as_it_is(forward: Forward) -> None:
    model = Written(forward).train()
    model.norm.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with suppress(UnsupportedModelError):
        prepare(model, IMAGES)
    assert [module.training for module in model.modules()] == modes
    assert all("forward" not in vars(module) for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_modules_without_weights_may_be_called_again() -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        return m.relu(m.b(m.relu(m.c(m.relu(m.a(x))))))

    layers = assert_computes_the_same(Written(forward))
    assert [layer.activation for layer in layers] == [Activation.RELU] * 3


def test_one_module_under_two_names_is_called_twice() -> None:
    conv = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(conv, nn.ReLU(), conv)
    with pytest.warns(UserWarning, match=r"^'0' \(Conv2d\) is called 2 times: each call"):
        layers = assert_computes_the_same(model)
    assert [layer.qualified_name for layer in layers] == ["0", "layer_0_1"]
