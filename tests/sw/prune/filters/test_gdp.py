import re
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune import PruneError
from systolith.prune.filters import (
    GDP,
    FilterBudget,
    FilterSparsifier,
    find_channel_groups,
    gated,
    macs_after,
    module_gates,
    select_filters,
    unit_costs,
)
from tests.sw.prune.filters.small_models import NETWORKS
from tests.sw.prune.filters.small_models import images as small_images
from tests.sw.prune.filters.training import IMAGES, batch, network, optimizer_of, train

GROUPS = find_channel_groups(network(), IMAGES)
HALF = FilterBudget(keep=0.5)


def _kept(sparsifier: FilterSparsifier, model: nn.Module) -> dict[str, list[bool]]:
    return {name: mask.tolist() for name, mask in sparsifier.filters(model).items()}


def _two_units(activation: nn.Module) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), activation, nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.fill_(0.5)
        model[2].weight.copy_(torch.tensor([[1.0, 2.0]]))
        model[2].bias.zero_()
    return model


def test_saliency_is_the_closed_form_on_a_linear_network() -> None:
    model = _two_units(nn.Identity())
    gdp = GDP(find_channel_groups(model, torch.zeros(1, 2)), HALF)
    batches = [torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([[-2.0, 1.0]])]
    expected = torch.zeros(2)
    for x in batches:
        with gdp.step(model, 0.0):
            (model(x) - 3).square().sum().backward()
        # L = sum_n (sum_j g_j v_j h_nj - 3)^2, so dL/dg_j = sum_n 2 (y_n - 3) v_j h_nj at g = 1.
        h, v = x + 0.5, torch.tensor([1.0, 2.0])
        expected += (2 * (h @ v - 3)[:, None] * v * h).sum(0).abs() / len(batches)
        model.zero_grad()
    assert torch.allclose(gdp._saliency.mean(model)["0"], expected)


def test_a_filter_that_was_removed_by_mistake_returns() -> None:
    model = _two_units(nn.ReLU())
    gdp = GDP(find_channel_groups(model, torch.zeros(1, 2)), HALF, interval=4, begin=0.0)
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.05)

    def steps(x: Tensor, count: int) -> list[bool]:
        for _ in range(count):
            optimizer.zero_grad()
            with gdp.step(model, 0.1):
                (model(x) - 3).square().sum().backward()
            optimizer.step()
        return gdp.filters(model)["0"].tolist()

    # These images drive the bias of unit 1 against its weight: it is worth nothing, and leaves.
    assert steps(torch.tensor([[1.0, -0.5]]), 5) == [True, False]
    masked = model[0].weight[1].clone()
    # These tell that it was worth more; it still learns while it is masked, and comes back.
    assert steps(torch.tensor([[-0.5, 1.0]]), 12) == [False, True]
    assert not torch.equal(model[0].weight[1], masked)


def test_sorts_all_filters_at_once_by_what_autograd_says() -> None:
    model = network()
    cost = macs_after(model, GROUPS, IMAGES)
    costs = unit_costs({"0": 6, "3": 8}, cost)
    budgets = {
        False: FilterBudget(keep=0.6, multiple_of=2),
        True: FilterBudget(keep=0.6, cost=cost),
    }
    for per_cost, budget in budgets.items():
        gdp = GDP(GROUPS, budget, interval=3, begin=0.0, per_cost=per_cost)
        expected = {name: torch.zeros(size) for name, size in (("0", 6), ("3", 8))}
        for step in range(4):
            images, labels = batch(step)
            model.zero_grad()
            with gdp.step(model, 0.0):
                F.cross_entropy(model(images), labels).backward()
            if step < 3:
                gates = {
                    name: torch.ones(len(s), requires_grad=True) for name, s in expected.items()
                }
                with gated(model, module_gates(GROUPS, gates)):
                    loss = F.cross_entropy(model(images), labels)
                for (name, total), derivative in zip(
                    expected.items(), torch.autograd.grad(loss, list(gates.values())), strict=True
                ):
                    total += derivative.abs() / (costs[name] if per_cost else 1)
        masks = select_filters(GROUPS, expected, budget)
        assert _kept(gdp, model) == {name: mask.tolist() for name, mask in masks.items()}


def test_fixed_shortcuts_have_saliency_too() -> None:
    model = NETWORKS["residual"]()
    model.shortcut.weight.requires_grad_(False)
    groups = find_channel_groups(model, small_images().float())
    gdp = GDP(groups, HALF, interval=1, begin=0.0)
    for _ in range(3):
        model.zero_grad()
        with gdp.step(model, 0.5):
            model(small_images().float()).square().sum().backward()
    masks = gdp.filters(model)
    assert sum(masks.kept.values()) == sum(group.size for group in groups if group.removable) // 2


def test_masked_and_measuring_steps_alternate() -> None:
    model = network()
    gdp = GDP(GROUPS, HALF, interval=4, batches=1, begin=0.0, ramp_until=0.0, freeze_at=1.0)
    list(train(model, gdp, optimizer_of(model), last=5))
    masks = gdp.filters(model)
    images, _ = batch(0)
    for step in range(6, 9):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with gated(other := deepcopy(model), masks.gates() if step < 8 else {}):
            expected = other(images)
        with gdp.step(model, 0.2):
            output = model(images)
            output.sum().backward()
        assert torch.allclose(output, expected, atol=1e-6)
        after = model.state_dict()
        changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
        statistics = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
        assert changed == (statistics if step < 8 else []), "measuring leaves no trace"


def test_warms_up_ramps_and_freezes() -> None:
    model, seen = network(), []
    gdp = GDP(GROUPS, HALF, interval=2, begin=0.2, ramp_until=0.6, freeze_at=0.8)
    for progress in train(model, gdp, optimizer_of(model)):
        seen.append((progress, gdp._ramp, _kept(gdp, model) if gdp._masks else None))
    assert all(masks is None for progress, _, masks in seen if progress < 0.2)
    ramp = [way for _, way, _ in seen]
    assert ramp == sorted(ramp)
    assert all(way == 1 for progress, way, _ in seen if progress >= 0.65)
    middle = {way for progress, way, _ in seen if 0.38 < progress < 0.42}
    assert any(way == pytest.approx(0.5) for way in middle)
    frozen = [masks for progress, _, masks in seen if progress >= 0.85]
    assert all(masks == frozen[0] for masks in frozen)
    assert gdp.filters(model).density == 0.5


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_ratios_of_groups_ramp_like_the_budget(keep: float) -> None:
    model, kept = network(), []
    budget = FilterBudget(keep=keep, ratios={"3": 0.25})
    gdp = GDP(GROUPS, budget, interval=1, begin=0.2, ramp_until=0.6, freeze_at=0.8)
    for _ in train(model, gdp, optimizer_of(model)):
        kept.append(8 if gdp._masks is None else gdp._masks.kept["3"])
    assert kept == sorted(kept, reverse=True)
    # Of 8: half of the ramp leaves 0.25 + 0.75 / 8 of them.
    assert {8, 5, 3, 2} <= set(kept)
    assert gdp.filters(model).kept["3"] == 2


def test_a_state_from_before_any_masks_takes_them_off() -> None:
    model = network()
    gdp = GDP(GROUPS, HALF, interval=1, begin=0.0)
    fresh = gdp.state_dict()
    list(train(model, gdp, optimizer_of(model), last=5))
    gdp.load_state_dict(fresh)
    images, _ = batch(0)
    expected = model(images)
    with gdp.step(model, 0.0):
        output = model(images)
        output.sum().backward()
    assert torch.equal(output, expected)


def test_warns_in_the_second_step_if_training_is_too_short_and_then_chooses_at_once() -> None:
    model = network()
    gdp = GDP(GROUPS, HALF, interval=100)
    with pytest.raises(PruneError, match="^filters are chosen by their saliency, which needs a"):
        gdp.filters(model)
    message = (
        "GDP needs 3 updates of its masks before they freeze, got 0 in 40 steps with interval=100; "
        "use a smaller interval, or train for longer"
    )
    list(train(model, gdp, optimizer_of(model), last=1))
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        list(train(model, gdp, optimizer_of(model), first=1, last=2))
    list(train(model, gdp, optimizer_of(model), first=2, last=4))
    assert gdp.filters(model).density == 0.5


def test_without_hysteresis_masks_change_more() -> None:
    changes = {}
    for hysteresis, momentum in ((0.0, 0.0), (1.0, 0.7)):
        model, changes[hysteresis] = network(), 0
        gdp = GDP(
            GROUPS,
            HALF,
            interval=2,
            begin=0.0,
            freeze_at=1.0,
            ramp_until=0.0,
            hysteresis=hysteresis,
            momentum=momentum,
        )
        before: dict[str, Tensor] = {}
        for _ in train(model, gdp, optimizer_of(model)):
            masks = gdp._masks or {}
            changes[hysteresis] += sum(int((masks[n] ^ before[n]).sum()) for n in before)
            before = dict(masks)
    assert changes[1.0] < changes[0.0] / 2


def test_is_a_filter_sparsifier() -> None:
    gdp = GDP(GROUPS, HALF)
    assert isinstance(gdp, FilterSparsifier)


def test_refuses_settings_out_of_range() -> None:
    message = (
        "6 problems:\n  - interval must be at least 1, got 0"
        "\n  - GDP needs 0 <= begin <= freeze_at <= 1, got begin=0.9, freeze_at=0.5"
        "\n  - ramp_until must be at most freeze_at (0.5), got 0.8"
        "\n  - momentum must be at least 0 and below 1, got 1.0"
        "\n  - hysteresis must be at least 0, got -1"
        "\n  - saliency per cost needs a budget with a cost"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        GDP(
            *(GROUPS, HALF),
            interval=0,
            begin=0.9,
            ramp_until=0.8,
            per_cost=True,
            momentum=1.0,
            hysteresis=-1,
        )
    with pytest.raises(PruneError, match=r"^batches must lie in 1\.\.4, the interval, got 5$"):
        GDP(GROUPS, HALF, interval=4, batches=5)
    with pytest.raises(PruneError, match="^keep=0.5 allows a cost of 7, but with min_filters=8"):
        GDP(GROUPS, FilterBudget(keep=0.5, min_filters=8))
    with pytest.raises(PruneError, match="^a network needs filters that can be removed, got none$"):
        GDP(find_channel_groups(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2)), HALF)
