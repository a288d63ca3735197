import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterBudget,
    FilterSparsifier,
    TaylorGates,
    find_channel_groups,
    select_filters,
    taylor_scores,
)
from tests.sw.prune.filters.training import IMAGES, batch, network, optimizer_of, train

GROUPS = find_channel_groups(network(), IMAGES)
HALF = FilterBudget(keep=0.5)


def _sizes(sparsifier: TaylorGates) -> int:
    masks = sparsifier._masks
    return 14 if masks is None else sum(masks.kept.values())


def test_scores_are_the_closed_form_on_a_linear_network() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        model[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
    batches = [
        (torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0]])),
        (torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0]])),
    ]
    scores = taylor_scores(
        model, find_channel_groups(model, torch.zeros(1, 2)), batches, nn.MSELoss()
    )
    # h = (1, 3), y - t = -3, dL/dg = 2 * -3 * (1, -3); then h = (2, 4), y - t = -2, and so on.
    expected = [(6**2 + 8**2) / 2, (18**2 + 16**2) / 2]
    assert scores["0"].tolist() == expected
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_are_what_training_measures_in_its_first_round() -> None:
    model = network()
    gates = TaylorGates(GROUPS, HALF, batches=3)
    expected = taylor_scores(model, GROUPS, map(batch, range(3)))
    for step in range(3):
        images, labels = batch(step)
        model.zero_grad()
        with gates.step(model, 0.0):
            F.cross_entropy(model(images), labels).backward()
    for name, score in gates._saliency.mean(model).items():
        assert torch.allclose(score, expected[name], rtol=1e-4, atol=1e-9)


def test_importance_is_averaged_over_rounds_with_momentum() -> None:
    model = network()
    gates = TaylorGates(GROUPS, HALF, batches=1, per_round=1, momentum=0.75, begin=1.0)
    rounds = []
    for step in range(3):
        images, labels = batch(step)
        model.zero_grad()
        with gates.step(model, 0.0):
            F.cross_entropy(model(images), labels).backward()
        rounds.append(gates._saliency.mean(model)["0"])
    with gates.step(model, 0.0):
        F.cross_entropy(model(images), labels).backward()
    expected = 0.75 * (0.75 * rounds[0] + 0.25 * rounds[1]) + 0.25 * rounds[2]
    assert torch.allclose(gates._importance["0"], expected)


def test_removes_a_few_of_the_least_important_in_each_round_until_the_budget_is_met() -> None:
    model, seen = network(), []
    gates = TaylorGates(GROUPS, HALF, batches=2, per_round=2, begin=0.2)
    before: dict[str, torch.Tensor] = {}
    for progress in train(model, gates, optimizer_of(model)):
        seen.append(_sizes(gates))
        if progress < 0.2:
            assert gates._masks is None
        if gates._masks is not None:
            for name, mask in gates._masks.items():
                assert not (mask & ~before.get(name, torch.ones_like(mask))).any(), "one returned"
            before = dict(gates._masks)
    assert list(dict.fromkeys(seen)) == [14, 12, 10, 8, 7]
    assert gates.filters(model).density == 0.5


def test_the_first_round_removes_the_lowest_scores() -> None:
    model = network()
    gates = TaylorGates(GROUPS, HALF, batches=2, per_round=3)
    list(train(model, gates, torch.optim.SGD(model.parameters(), lr=0.0), last=3))
    scores = taylor_scores(network(), GROUPS, map(batch, range(2)))
    expected = select_filters(GROUPS, scores, HALF, limit=3)
    assert gates._masks is not None
    assert {n: m.tolist() for n, m in gates._masks.items()} == {
        n: m.tolist() for n, m in expected.items()
    }


def test_what_has_left_stays_out_even_if_the_rest_is_worth_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
    groups = find_channel_groups(model, torch.zeros(1, 3))
    gates = TaylorGates(groups, FilterBudget(keep=0.4), batches=1, per_round=1, momentum=0.0)
    for x in ([0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]):
        model.zero_grad()
        with gates.step(model, 0.0):
            model(torch.tensor([x])).sum().backward()
    assert gates.filters(model)["0"].tolist() == [False, True, False]


def test_portions_leave_when_they_are_complete() -> None:
    model, seen = network(), []
    gates = TaylorGates(GROUPS, FilterBudget(keep=0.6, multiple_of=4), batches=1, per_round=1)
    for _ in train(model, gates, optimizer_of(model)):
        seen.append(gates._masks.kept if gates._masks else {})
    kept = [list(masks.values()) for masks in seen if masks]
    assert all(a in (4, 6) and b in (4, 8) for a, b in kept)
    assert kept[-1] == [4, 4]
    assert all(x <= y for old, new in zip(kept, kept[1:], strict=False)
               for x, y in zip(new, old, strict=True))  # fmt: skip


def test_goes_on_at_once_if_training_ends_before_the_budget_is_met() -> None:
    model = network()
    gates = TaylorGates(GROUPS, HALF, batches=2, per_round=2)
    assert isinstance(gates, FilterSparsifier)
    with pytest.raises(PruneError, match="^filters are chosen by their importance, which needs a"):
        gates.filters(model)
    for _ in train(model, gates, optimizer_of(model), last=5):
        assert gates.filters(model).density == 0.5
    assert _sizes(gates) == 10
    left = gates._masks
    assert left is not None
    assert all(not (mask & ~left[name]).any() for name, mask in gates.filters(model).items())


def test_warns_if_the_rounds_do_not_suffice() -> None:
    model = network()
    gates = TaylorGates(GROUPS, HALF, batches=10, per_round=2)
    message = (
        "pruning by Taylor gates needs rounds to remove 7 filters to meet the budget, "
        "got 3 of 2 filters in 40 steps with batches=10; the rest leaves at once at the end"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        list(train(model, gates, optimizer_of(model)))
    gates = TaylorGates(GROUPS, HALF, batches=50)
    with pytest.warns(
        UserWarning, match="^pruning by Taylor gates needs rounds .*, got 0 of 8 filters in 40"
    ):
        list(train(model, gates, optimizer_of(model)))
    gates = TaylorGates(GROUPS, HALF, batches=10, per_round=3)
    list(train(model, gates, optimizer_of(model)))
    assert gates._done


def test_refuses_settings_out_of_range() -> None:
    message = (
        "4 problems:\n  - batches must be at least 1, got 0"
        "\n  - per_round must be at least 1, got 0"
        "\n  - momentum must be at least 0 and below 1, got 1\n  - begin must be from 0 to 1, got 2"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        TaylorGates(GROUPS, HALF, batches=0, per_round=0, momentum=1, begin=2)
    with pytest.raises(PruneError, match="^importance needs at least one batch, got none$"):
        taylor_scores(network(), GROUPS, [])
