import re

import pytest
import torch
from torch import nn

from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterMasks,
    find_channel_groups,
    gated,
    gated_channels,
    module_gates,
    straight_through,
)
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.small_models import NETWORKS, images, integers

GATE = torch.tensor([0.0, 0.5, 1.0])


def _model() -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1)), torch.randn(4, 2, 2, 2)


def _groups() -> tuple:
    return find_channel_groups(*_model())


def test_multiplies_outputs_inside_the_block_only() -> None:
    model, x = _model()
    dense = model(x)
    with gated(model, {"0": GATE}):
        assert torch.equal(model[0](x), model[0].forward(x) * GATE.view(1, 3, 1, 1))
        assert not torch.equal(model(x), dense)
    assert torch.equal(model(x), dense)


def test_multiplies_what_consumers_read_inside_the_block_only() -> None:
    model, x = _model()
    dense = model(x)
    with gated_channels(model, _groups(), {"0": GATE}):
        hidden = model[1](model[0](x))
        assert torch.equal(model(x), model[2].forward(hidden * GATE.view(1, 3, 1, 1)))
    assert torch.equal(model(x), dense)


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_on_channels_and_on_outputs_silence_the_same(name: str) -> None:
    model = integers(NETWORKS[name]())
    groups = find_channel_groups(model, images())
    masks = random_masks(groups, seed=2)
    with gated(model, masks.gates()):
        expected = model(images())
    with gated_channels(model, groups, masks):
        assert torch.equal(model(images()), expected)
    with straight_through(model, groups, masks):
        assert torch.equal(model(images()), expected)


def test_takes_a_gate_for_each_sample() -> None:
    model, x = _model()
    gates = torch.tensor([[True, False, True], [False, True, True]] * 2)
    with gated(model, {"0": gates}):
        outputs = model(x)
    with gated_channels(model, _groups(), {"0": gates}):
        channels = model(x)
    for sample, mask in enumerate(gates):
        with gated(model, FilterMasks({"0": mask}, _groups()).gates()):
            alone = model(x)[sample]
        assert torch.allclose(outputs[sample], alone, atol=1e-6)
        assert torch.allclose(channels[sample], alone, atol=1e-6)


def test_a_gate_gets_its_gradient_even_if_it_is_zero() -> None:
    model, x = _model()
    gate = GATE.clone().requires_grad_()
    with gated_channels(model, _groups(), {"0": gate}):
        model(x).sum().backward()
    # The loss is the sum over c of gate[c] * w[c] * sum of channel c, plus a constant.
    expected = model[2].weight.flatten() * model[:2](x).sum((0, 2, 3))
    assert expected[0] != 0
    assert torch.allclose(gate.grad, expected, rtol=1e-5)


def test_what_is_gated_learns_as_much_as_its_gate_is_open() -> None:
    model, x = _model()
    with gated_channels(model, _groups(), {"0": GATE}):
        model(x).sum().backward()
    active = (model[0](x) > 0).float()
    passed = (model[2].weight.flatten() * GATE)[:, None]
    expected = passed * torch.einsum("nchw,ndhw->cd", active, x)
    assert torch.allclose(model[0].weight.grad.flatten(1), expected, rtol=1e-5)


def test_gates_take_the_type_of_activations() -> None:
    model, x = _model()
    gate = GATE.clone().requires_grad_()
    with gated_channels(model, _groups(), {"0": gate}), torch.autocast("cpu", torch.bfloat16):
        out = model(x)
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    assert gate.grad is not None and gate.grad.dtype == torch.float32


def test_hooks_leave_after_an_error() -> None:
    model, x = _model()
    dense = model(x)
    for gates in (gated(model, {"0": GATE}), gated_channels(model, _groups(), {"0": GATE})):
        with pytest.raises(ValueError), gates:
            raise ValueError
        assert torch.equal(model(x), dense)


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
    assert module_gates(_groups(), {}) == {}
