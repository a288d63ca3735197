import re

import pytest
import torch
from torch import nn

from systolith.prune import PruneError
from systolith.prune.filters import gated


def _model() -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 1, 1)), torch.randn(4, 2, 2, 2)


def test_multiplies_channels_inside_the_block_only() -> None:
    model, x = _model()
    dense, gate = model(x), torch.tensor([0.0, 0.5, 1.0])
    with gated(model, {"0": gate}):
        assert torch.equal(model(x), model[1](model[0].forward(x) * gate.view(1, 3, 1, 1)))
    assert torch.equal(model(x), dense)


def test_takes_a_gate_for_each_sample() -> None:
    model, x = _model()
    gates = torch.tensor([[True, False, True], [False, True, True]] * 2)
    with gated(model, {"0": gates}):
        together = model(x)
    for sample, gate in enumerate(gates):
        with gated(model, {"0": gate}):
            alone = model(x)[sample]
        assert torch.allclose(together[sample], alone, atol=1e-6)


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_gate_gets_its_gradient(straight_through: bool) -> None:
    model, x = _model()
    gate = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    with gated(model, {"0": gate}, straight_through):
        model(x).sum().backward()
    # The loss is the sum over c of gate[c] * w[c] * sum of channel c, plus a constant.
    expected = model[1].weight.flatten() * model[0](x).sum((0, 2, 3))
    assert torch.allclose(gate.grad, expected, rtol=1e-5)


@pytest.mark.parametrize("straight_through", [False, True])
def test_only_straight_through_lets_what_is_gated_learn(straight_through: bool) -> None:
    model, x = _model()
    with gated(model, {"0": torch.tensor([0.0, 0.5, 1.0])}, straight_through):
        model(x).sum().backward()
    scale = torch.ones(3) if straight_through else torch.tensor([0.0, 0.5, 1.0])
    expected = torch.outer(model[1].weight.flatten() * scale, x.sum((0, 2, 3)))
    assert torch.allclose(model[0].weight.grad.flatten(1), expected, rtol=1e-5)
    # What comes after the gate sees what the gate lets through, in either case.
    seen = torch.tensor([0.0, 0.5, 1.0]) * model[0](x).sum((0, 2, 3))
    assert torch.allclose(model[1].weight.grad.flatten(), seen, rtol=1e-4, atol=1e-5)


def test_what_needs_its_output_learns_straight_through_too() -> None:
    model, x = _model()
    model.insert(1, nn.ReLU())
    with gated(model, {"1": torch.tensor([0.0, 0.5, 1.0])}, straight_through=True):
        model(x).sum().backward()
    active = (model[0](x) > 0).double()
    expected = model[2].weight.flatten()[:, None] * torch.einsum(
        "nchw,ndhw->cd", active, x.double()
    )
    assert torch.allclose(model[0].weight.grad.flatten(1).double(), expected.double(), rtol=1e-5)


def test_gates_take_the_type_of_activations() -> None:
    model, x = _model()
    gate = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    for gates in (gate, gate.detach()):
        with gated(model, {"0": gates}, True), torch.autocast("cpu", torch.bfloat16):
            out = model(x)
        out.sum().backward()
        assert out.dtype == torch.bfloat16
    assert gate.grad is not None and gate.grad.dtype == torch.float32


def test_hooks_leave_after_an_error() -> None:
    model, x = _model()
    with pytest.raises(ValueError), gated(model, {"0": torch.zeros(3)}):
        raise ValueError
    with gated(model, {}):
        assert torch.equal(model(x), model[1](model[0](x)))


def test_refuses_unknown_modules_and_leaves_no_hooks() -> None:
    model, x = _model()
    dense = model(x)
    message = (
        "2 problems:\n  - gates must name a module of the model, got 'a'"
        "\n  - gates must name a module of the model, got 'b'"
    )
    gates = dict.fromkeys(["0", "a", "b"], torch.zeros(3))
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"), gated(model, gates):
        pass
    assert torch.equal(model(x), dense)
