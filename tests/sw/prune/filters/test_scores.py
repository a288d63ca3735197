import re

import pytest
import torch
from torch import nn

from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterBudget,
    FilterScore,
    batch_norm_scores,
    find_channel_groups,
    fpgm_scores,
    lamp_scores,
    norm_scores,
    random_scores,
    score_filters,
    select_filters,
    select_filters_by_layer,
)
from tests.sw.prune.filters.small_models import NETWORKS, images

ROWS = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-2.0, 0.0], [0.0, 0.0]])


def _linear() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(ROWS)
        model[1].weight.copy_(torch.tensor([0.5, -2.0, 1.0, 0.0]))
    return model.eval()


MODEL = _linear()
GROUPS = find_channel_groups(MODEL, torch.zeros(1, 2))


def test_scores_are_the_closed_forms() -> None:
    def relative(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64) / (sum(values) / len(values))

    assert torch.allclose(norm_scores(MODEL, GROUPS)["0"], relative([7, 1, 2, 0]))
    assert torch.allclose(norm_scores(MODEL, GROUPS, p=2)["0"], relative([5, 1, 2, 0]))
    distances = [[(a - b).norm().item() for b in ROWS] for a in ROWS]
    assert torch.allclose(fpgm_scores(MODEL, GROUPS)["0"], relative([sum(r) for r in distances]))
    # Squared norms 25, 1, 4, 0, each over the sum of those that are not smaller.
    lamp = torch.tensor([1, 1 / 30, 4 / 29, 0], dtype=torch.float64)
    assert torch.allclose(lamp_scores(MODEL, GROUPS)["0"], lamp)
    assert batch_norm_scores(MODEL, GROUPS)["0"].tolist() == [0.5, 2.0, 1.0, 0.0]


def test_tied_filters_have_the_sum_of_their_scores() -> None:
    model = NETWORKS["residual"]()
    groups = {g.name: g for g in find_channel_groups(model, images().float())}
    scores = norm_scores(model, groups.values())
    tied = sum(model.get_submodule(n).weight.detach().abs().flatten(1).sum(1).double()
               for n in groups["stem"].producers)  # fmt: skip
    assert torch.allclose(scores["stem"], tied / tied.mean())
    norms = [model.stem_bn, model.a2_bn]
    expected = sum(norm.weight.detach().abs().double() for norm in norms)
    assert torch.allclose(batch_norm_scores(model, [groups["stem"]])["stem"], expected)


@pytest.mark.parametrize("score", FilterScore)
@pytest.mark.parametrize("name", ["separable", "grouped", "dense-blocks"])
def test_every_score_fits_every_removable_group(score: FilterScore, name: str) -> None:
    model = NETWORKS[name]()
    groups = find_channel_groups(model, images().float())
    if score is FilterScore.BATCH_NORM:
        modules = {g.name: map(model.get_submodule, g.outputs) for g in groups}
        groups = tuple(
            g for g in groups if any(isinstance(m, nn.BatchNorm2d) for m in modules[g.name])
        )
    scores = score_filters(model, groups, score)
    assert {n: len(s) for n, s in scores.items()} == {g.name: g.size for g in groups if g.removable}
    assert all(bool(s.isfinite().all()) and bool((s >= 0).all()) for s in scores.values())
    for select in (select_filters, select_filters_by_layer) if scores else ():
        assert select(groups, scores, FilterBudget(keep=0.7)).density <= 0.7


def test_random_scores_come_from_the_seed() -> None:
    first, same, other = (random_scores(MODEL, GROUPS, seed=seed)["0"] for seed in (1, 1, 2))
    assert first.equal(same) and not first.equal(other)


def test_scores_by_batch_norms_name_groups_without_one() -> None:
    model = NETWORKS["option-a"]()
    message = "scores by batch norms need one in every group, but 'conv1' has none"
    with pytest.raises(PruneError, match=re.escape(message)):
        batch_norm_scores(model, find_channel_groups(model, images().float()))
