"""Gates close where nothing is lost, widths fall where nothing is gained."""

import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import load_digits
from systolith.frontend import IntegerModel, lower
from systolith.models import DigitsCNN, TinyResNet
from systolith.models._blocks import identity_shortcut
from systolith.network import Conv2d, IntegerNetwork, Linear, trace
from systolith.prune import FilterSparsifier, find_channel_groups, remove_filters
from systolith.quant import DJPQ, LayerBits, QuantConfig, UnsupportedModelError, prepare
from systolith.quant.steps.learned_width import LearnedWidth
from systolith.train import Precision, evaluate, fit

IMAGES = torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(0))
PLANTED = (1, 4)


def _planted() -> nn.Sequential:
    """A network that reads six filters, but two of them with weights of zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 4), nn.Flatten()
        )
    with torch.no_grad():
        model[3].weight *= 10
        model[3].weight[:, PLANTED] = 0.0
    model.requires_grad_(False)
    model[0].requires_grad_(True)
    return model


def _train(
    model: nn.Module, method: DJPQ, images: Tensor, target: Tensor, steps: int, until: float = 0.6
) -> None:
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    for i in range(steps):
        optimizer.zero_grad()
        with method.step(model, until * i / steps):
            F.mse_loss(model(images), target).backward()
        optimizer.step()


def _method(model: nn.Module, **options: float) -> DJPQ:
    return DJPQ(model, find_channel_groups(model, IMAGES), IMAGES, **options)


def _widths(method: DJPQ) -> list[LearnedWidth]:
    return [*method.weights.values(), *method.acts.values()]


def test_gates_of_useless_filters_close_and_others_stay_open() -> None:
    model = _planted()
    target = model(IMAGES).detach()
    method = _method(model, information=1e-2, bit_operations=0.0, travel=13.0)
    _train(model, method, IMAGES, target, 150)
    kept = method.filters(model)["0"]
    assert [i for i in range(6) if not kept[i]] == list(PLANTED)


def test_widths_fall_under_a_penalty_and_stop_at_two_bits() -> None:
    model = _planted()
    target = torch.zeros(64, 4)
    method = _method(model, information=0.0, bit_operations=1e3, travel=22.0)
    assert set(method.bits().values()) == {LayerBits(weight_bits=8, act_bits=8)}
    _train(model, method, IMAGES, target, 150)
    assert method.bits() == {"0": LayerBits(weight_bits=2, act_bits=2)}


def test_without_penalty_nothing_is_given_up() -> None:
    model = _planted()
    method = _method(model, information=0.0, bit_operations=0.0)
    target = model(IMAGES).detach()
    _train(model, method, IMAGES, target, 50)
    assert method.filters(model).density == 1.0
    assert method.bits() == {"0": LayerBits(weight_bits=8, act_bits=8)}


def test_power_of_two_widths() -> None:
    model = _planted()
    method = _method(model, information=0.0, bit_operations=1e3, power_of_two=True, travel=1.5)
    seen = set()
    for _ in range(15):
        _train(model, method, IMAGES, torch.zeros(64, 4), 10)
        seen |= {method.bits()["0"].weight_bits, method.bits()["0"].act_bits}
    assert seen == {2, 4, 8}


def test_counts_bit_operations_of_what_is_left() -> None:
    model = _planted()
    method = _method(model)
    # 16 places x 6 filters x 9 in the first layer (whose input has 8 bits), 4 x 96 in the second,
    # whose weights are frozen and keep 8 bits.
    assert method.bit_operations(model) == (16 * 6 * 9 + 4 * 96) * 64
    with torch.no_grad():
        method.log_alpha["0"][:4] = -1.0
        for width in _widths(method):
            width.free_bits.fill_(3.0)
    assert method.filters(model).kept == {"0": 2}
    assert method.bits() == {"0": LayerBits(weight_bits=3, act_bits=3)}
    assert method.bit_operations(model) == 16 * 2 * 9 * 3 * 8 + 4 * 32 * 8 * 3


def test_a_group_keeps_its_best_filter() -> None:
    model = _planted()
    method = _method(model)
    with torch.no_grad():
        method.log_alpha["0"].copy_(torch.tensor([-0.3, -0.1, -0.2, -0.4, -0.3, -0.2]))
    assert method.filters(model)["0"].tolist() == [False, True, False, False, False, False]


def test_what_went_too_far_comes_back_into_its_bounds() -> None:
    model = _planted()
    method = _method(model)
    with torch.no_grad():
        method.log_alpha["0"].fill_(-100.0)
        for width in _widths(method):
            width.free_bits.fill_(-100.0)
    with method.step(model, 0.0):
        output = model(IMAGES)
        output.square().sum().backward()
    assert output.isfinite().all()
    assert (method.log_alpha["0"] == -4.0).all()
    assert method.bits() == {"0": LayerBits(weight_bits=2, act_bits=2)}
    assert all(width.free_bits.item() == 2.0 for width in _widths(method))


def test_the_model_is_left_as_it_is() -> None:
    model = _planted().train()
    model[1].eval()
    before = deepcopy(model.state_dict())
    _method(model)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_are_quantized_inside_a_step_and_back_after_it() -> None:
    model = _planted()
    method = _method(model)
    before = deepcopy(model.state_dict())
    with method.step(model, 0.0):
        inside = model[0].weight.detach().clone()
        model.eval()(IMAGES).square().sum().backward()
    assert inside.unique().numel() <= 255 and not torch.equal(inside, before["0.weight"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model[0].weight.grad is not None
    with pytest.raises(RuntimeError, match="interrupted"), method.step(model, 0.0):
        raise RuntimeError("interrupted")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_settled_gates_are_masks_and_only_ranges_learn_on() -> None:
    model = _planted().eval()
    method = _method(model)
    with torch.no_grad():
        method.log_alpha["0"][2] = -0.1
    with method.step(model, 0.7):
        first = model[:2](IMAGES)
        model(IMAGES).sum().backward()
    assert not first[:, 2].any() and all(first[:, i].any() for i in (0, 1, 3, 4, 5))
    with method.step(model, 0.9):
        again = model[:2](IMAGES)
        assert torch.equal(again.any(dim=(0, 2, 3)), first.any(dim=(0, 2, 3)))
        model(IMAGES).square().sum().backward()
    assert method.log_alpha["0"].grad is None
    assert all(width.free_bits.item() == 8.0 for width in _widths(method))
    assert all(width.log2_range.grad is not None for width in _widths(method))


def test_goes_on_from_a_saved_state() -> None:
    def run(interrupt: bool) -> list[Tensor]:
        model = _planted()
        target = model(IMAGES).detach()
        method = _method(model, seed=3)
        for _ in range(2):
            _train(model, method, IMAGES, target, 5)
            if interrupt:
                state = deepcopy(method.state_dict())
                method = _method(model, seed=9)
                method.load_state_dict(state)
        own = [value for width in _widths(method) for value in width.parameters()]
        return [*model.state_dict().values(), *method.log_alpha.values(), *own]

    assert all(torch.equal(a, b) for a, b in zip(run(True), run(False), strict=True))


def test_frozen_layers_keep_their_weights() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), identity_shortcut(2, 4, 1), nn.Conv2d(4, 2, 3))
    method = _method(model)
    assert method.bits()["1"] == LayerBits(weight_bits=None, act_bits=8)
    before = model[1].weight.clone()
    _train(model, method, IMAGES, torch.zeros(64, 2, 2, 2), 3)
    assert torch.equal(model[1].weight, before)


def test_trains_in_bfloat16() -> None:
    data, model = load_digits(), DigitsCNN()
    fit(model, data, epochs=3)
    groups = find_channel_groups(model, data.train_images[:2])
    method = DJPQ(model, groups, data.train_images[:64], travel=5.3)
    fit(model, data, epochs=2, precision=Precision.BFLOAT16, sparsifier=method)
    assert evaluate(model, data.test_images, data.test_labels) > 0.9
    widths = {bits.weight_bits for bits in method.bits().values()}
    assert min(widths) < 8


@pytest.mark.parametrize("network", [DigitsCNN, TinyResNet])
def test_result_is_removed_prepared_and_lowered(network: type[nn.Module]) -> None:
    data = load_digits()
    model = network()
    groups = find_channel_groups(model, data.train_images[:2])
    method = DJPQ(
        model,
        groups,
        data.train_images[:64],
        information=1.0,
        bit_operations=50.0,
        travel=10.0,
    )
    assert isinstance(method, FilterSparsifier)
    fit(model, data, epochs=2, batch_size=128, learning_rate=1e-2, sparsifier=method)
    filters, bits = method.filters(model), method.bits()
    assert 0 < filters.density < 1
    widths = {bit.weight_bits for bit in bits.values()} - {None}
    assert min(widths) < 8

    small = remove_filters(model, filters, data.train_images[:2])
    quantized = prepare(small, data.train_images[:64], QuantConfig(layers=bits))
    network_ = lower(quantized)
    for wiring, _ in quantized.named_layers():
        layer, own = network_[wiring.name], bits.get(quantized.origins[wiring.name])
        if own is not None and own.act_bits is not None:
            assert layer.output.bits == own.act_bits
        if isinstance(layer, Conv2d | Linear):
            assert own is not None and layer.weight_bits == own.weight_bits
    integer = IntegerModel(quantized)
    images = integer.quantize_input(data.test_images[:16])
    found, golden = integer.trace(images), trace(network_, images)
    assert all(np.array_equal(found[name], golden[name]) for name in golden)
    macs = {
        layer.name: layer.weight.size * np.prod(network_.tensors[layer.name].shape[1:], dtype=int)
        for layer in network_.layers
        if isinstance(layer, Conv2d | Linear)
    }
    assert method.bit_operations(model) == sum(
        macs[layer.name] * layer.weight_bits * _read(network_, layer.input)
        for layer in network_.layers
        if isinstance(layer, Conv2d | Linear)
    )


def _read(network: IntegerNetwork, name: str) -> int:
    return network.tensors[name].type.bits


def test_reports_all_numbers_out_of_range() -> None:
    message = (
        "4 problems:\n  - information must be at least 0, got -1"
        "\n  - bit_operations must be at least 0, got -2"
        "\n  - settle_at must lie in 0..1, got 3"
        "\n  - travel must be positive and finite, got 0"
    )
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        _method(_planted(), information=-1, bit_operations=-2, settle_at=3, travel=0)
