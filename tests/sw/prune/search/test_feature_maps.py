import re
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from systolith.models import DigitsCNN, TinyResNet
from systolith.network import Granularity, KOutOfN
from systolith.prune import PruneError
from systolith.prune.filters import FilterMasks, gated, remove_filters
from systolith.prune.search import (
    BestOfRandom,
    EvaluationSplit,
    LayerPlan,
    Loss,
    ParticleFilter,
    Search,
    SearchProgress,
    prune_by_particles,
    prune_feature_maps_by_particles,
)

SMALL = ParticleFilter(particles=6, generations=3)


def _split() -> EvaluationSplit:
    generator = torch.Generator().manual_seed(0)
    return EvaluationSplit(
        images=torch.randn(12, 1, 8, 8, generator=generator),
        labels=torch.randint(10, (12,), generator=generator),
        loss=Loss.CROSS_ENTROPY,
    )


@pytest.mark.parametrize("search", [SMALL, BestOfRandom(particles=5, generations=2)])
def test_keeps_exactly_so_many_of_each_group(search: Search) -> None:
    keep = {"conv3": 5, "conv1": 8}
    masks = prune_feature_maps_by_particles(DigitsCNN(), _split(), keep, search=search)
    assert masks.kept == keep


def test_later_groups_see_the_earlier_ones() -> None:
    model, split = TinyResNet().eval(), _split()
    reports: list[SearchProgress] = []
    keep = {"stem.0": 8, "conv1.0": 4}
    masks = prune_feature_maps_by_particles(model, split, keep, search=SMALL, report=reports.append)
    assert [(report.name, report.granularity) for report in reports] == [
        ("stem.0", "feature map"),
        ("conv1.0", "feature map"),
    ]
    with gated(model, masks.gates()):
        loss = F.cross_entropy(model(split.images), split.labels)
    assert reports[-1].loss == pytest.approx(float(loss.detach()), rel=1e-5)


def test_feature_maps_kernels_and_taps_combined() -> None:
    model, split = DigitsCNN().eval(), _split()
    filters = prune_feature_maps_by_particles(model, split, {"conv1": 8, "conv2": 16}, search=SMALL)
    smaller = remove_filters(model, filters, split.images)
    kernels = KOutOfN(4, 8, Granularity.KERNEL)
    plan = {"conv2": LayerPlan(select=kernels, stride=3), "conv3": LayerPlan(select=kernels)}
    masks = prune_by_particles(smaller, split, plan, search=SMALL)
    assert masks["conv2.weight"].shape == (16, 8, 3, 3)
    assert masks["conv2.weight"].sum() == 16 * 4 * 3
    assert masks["conv3.weight"].sum() == 32 * 8 * 9


def test_retrains_after_each_group_and_goes_on_from_a_saved_one() -> None:
    def run(model: DigitsCNN, state: Any = None, save: Any = None) -> tuple[FilterMasks, int]:
        seen = []

        def retrain(masks: FilterMasks) -> None:
            seen.append(masks.kept)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.1).add_(0.01)

        keep = {"conv1": 8, "conv2": 16, "conv3": 4}
        masks = prune_feature_maps_by_particles(
            model, _split(), keep, search=SMALL, retrain=retrain, state=state, save=save
        )
        return masks, len(seen)

    states: list[dict[str, Any]] = []
    expected, trainings = run(DigitsCNN(), save=states.append)
    assert trainings == len(states) == 3
    for number, state in enumerate(states):
        masks, trainings = run(DigitsCNN(seed=4), state=state)
        assert trainings == 2 - number
        assert all(torch.equal(masks[name], expected[name]) for name in expected)


def test_reports_all_problems_at_once() -> None:
    message = (
        "3 problems:\n  - feature maps need a group of conv1, conv2, conv3, fc, got 'conv9'"
        "\n  - feature maps of 'fc' cannot be pruned: it is an output of the network"
        "\n  - feature maps to keep of 'conv1' must lie in 1..16, got 17"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        prune_feature_maps_by_particles(DigitsCNN(), _split(), {"conv9": 1, "fc": 1, "conv1": 17})
    with pytest.raises(
        PruneError, match="^feature maps need at least one group to prune, got none"
    ):
        prune_feature_maps_by_particles(DigitsCNN(), _split(), {})
