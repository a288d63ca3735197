import copy
import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import lower
from systolith.models import DigitsCNN, TinyResNet
from systolith.network import Granularity, KOutOfN, Pattern, Strided
from systolith.prune import MaskSet, PruneError, ScorePruner
from systolith.prune.search import (
    BestOfRandom,
    EvaluationSplit,
    LayerEvaluator,
    LayerPlan,
    Loss,
    ParticleFilter,
    Search,
    SearchProgress,
    prune_by_particles,
)
from systolith.quant import prepare

SMALL = ParticleFilter(particles=6, generations=3)
KERNELS = LayerPlan(select=KOutOfN(2, 8, Granularity.KERNEL))
BOTH = LayerPlan(select=KOutOfN(4, 8, Granularity.KERNEL, shared_by=2), stride=3)
TAPS = LayerPlan(stride=2)
PLAN = {"conv2": BOTH, "conv3": TAPS, "fc": LayerPlan(select=KOutOfN(8, 16))}


def _split(loss: Loss = Loss.CROSS_ENTROPY) -> EvaluationSplit:
    generator = torch.Generator().manual_seed(0)
    return EvaluationSplit(
        images=torch.randn(12, 1, 8, 8, generator=generator),
        labels=torch.randint(10, (12,), generator=generator),
        loss=loss,
    )


@pytest.mark.parametrize("search", [SMALL, BestOfRandom(particles=5, generations=2)])
def test_masks_conform_and_are_applied(search: Search) -> None:
    model = DigitsCNN()
    masks = prune_by_particles(model, _split(), PLAN, search=search)
    assert list(masks) == ["conv2.weight", "conv3.weight", "fc.weight"]
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    assert kept["conv2.weight"] == 32 * 16 // 2 * 3
    assert kept["fc.weight"] == 10 * 64
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert torch.equal(weight != 0, mask)  # MaskSet has checked the patterns
    taps = masks.patterns["conv2.weight"].taps
    assert isinstance(taps, Strided)
    assert taps.stride == 3
    assert len(set(taps.offsets[:8])) == len(set(taps.offsets[8:])) == 1


@pytest.mark.parametrize("select", [None, KOutOfN(1, 2, Granularity.KERNEL)])
def test_taps_of_a_grouped_convolution_share_an_offset(select: KOutOfN | None) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))
    plan = {"2": LayerPlan(select=select, stride=3)}
    masks = prune_by_particles(model, _split(), plan, search=SMALL)
    taps = masks.patterns["2.weight"].taps
    assert isinstance(taps, Strided) and len(taps.offsets) == 4 and len(set(taps.offsets)) == 1
    network = lower(prepare(model.eval(), _split().images.abs(), masks=masks))
    assert str(network["layer_2"].pattern).endswith("every 3. tap")


def test_stages_go_coarse_to_fine_and_see_the_earlier_ones() -> None:
    model, reports = DigitsCNN(), []
    dense = copy.deepcopy(model)
    masks = prune_by_particles(model, _split(), PLAN, search=SMALL, report=reports.append)
    order = [(report.name, report.granularity) for report in reports]
    assert order == [
        ("conv2", "kernel"),
        ("conv2", "strided taps"),
        ("conv3", "strided taps"),
        ("fc", "weight"),
    ]
    assert [report.stage for report in reports] == [1, 2, 3, 4]
    assert all(report.stages == 4 and report.evaluations == 18 for report in reports)
    assert all(min(report.history) == report.loss for report in reports)
    # The last loss is that of the network with all masks.
    masks.apply_(dense)
    split = _split()
    expected = F.cross_entropy(dense.eval()(split.images), split.labels)
    assert reports[-1].loss == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("loss", Loss)
def test_is_never_worse_than_magnitude_on_the_search_images(loss: Loss) -> None:
    for seed in range(3):
        model, reports = DigitsCNN(seed), []
        magnitude = ScorePruner(patterns={"conv2": Pattern(select=KERNELS.select)}).masks(model)
        dense = copy.deepcopy(model)
        prune_by_particles(
            model, _split(loss), {"conv2": KERNELS}, search=SMALL, report=reports.append
        )
        masks = magnitude["conv2.weight"][None]
        (expected,) = LayerEvaluator(dense, "conv2", _split(loss))(masks)
        assert reports[0].history[0] <= float(expected)


def test_keeps_what_the_network_needs() -> None:
    """Only kernels of channel 3 carry the label; the search must find them."""
    model = nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.copy_(torch.rand(4, 8, 1, 1, generator=torch.Generator().manual_seed(1)))
        model[0].weight[:, 3] = torch.tensor([0.0, 10.0, 20.0, 30.0])[:, None, None]
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(64, 8, 4, 4, generator=generator)
    labels = torch.where(images[:, 3].mean((1, 2)) > 0, 3, 0)
    split = EvaluationSplit(images=images, labels=labels, loss=Loss.MISCLASSIFICATION)
    masks = prune_by_particles(
        model, split, {"0": LayerPlan(select=KOutOfN(1, 8, Granularity.KERNEL, shared_by=4))}
    )
    assert masks["0.weight"][:, :, 0, 0].nonzero()[:, 1].tolist() == [3] * 4


def test_the_same_seed_finds_the_same_masks() -> None:
    runs = [
        prune_by_particles(DigitsCNN(), _split(), {"conv2": BOTH}, search=SMALL, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0]["conv2.weight"], runs[1]["conv2.weight"])
    assert not torch.equal(runs[0]["conv2.weight"], runs[2]["conv2.weight"])


def _trainer(model: nn.Module) -> Any:
    """Changes weights in a way that depends on them, and revives pruned ones."""
    seen: list[float] = []

    def retrain(masks: MaskSet) -> None:
        seen.append(masks.density)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1).add_(0.01)

    return retrain, seen


def test_retrains_after_each_stage_and_masks_stay() -> None:
    model = DigitsCNN()
    retrain, seen = _trainer(model)
    masks = prune_by_particles(model, _split(), PLAN, search=SMALL, retrain=retrain)
    assert len(seen) == 4
    assert seen[0] == 0.5
    assert seen[1] == pytest.approx(0.5 / 3)
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name) != 0, mask)


def test_goes_on_from_a_saved_stage() -> None:
    whole = DigitsCNN()
    states: list[dict[str, Any]] = []
    expected = prune_by_particles(
        whole, _split(), PLAN, search=SMALL, retrain=_trainer(whole)[0], save=states.append
    )
    assert len(states) == 4
    for state in states:
        model = DigitsCNN(seed=7)
        masks = prune_by_particles(
            model, _split(), PLAN, search=SMALL, retrain=_trainer(model)[0], state=state
        )
        assert masks.patterns == expected.patterns
        assert all(torch.equal(masks[name], expected[name]) for name in expected)
        for name, value in model.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name])


def test_a_residual_network_with_a_depthwise_layer() -> None:
    plan = {"conv1.0": KERNELS, "depthwise.0": LayerPlan(stride=3), "pointwise.0": KERNELS}
    masks = prune_by_particles(TinyResNet(), _split(Loss.MISCLASSIFICATION), plan, search=SMALL)
    assert masks["depthwise.0.weight"].sum((2, 3)).eq(3).all()


def test_reports_all_problems_of_a_plan_at_once() -> None:
    message = (
        "4 problems:\n  - a plan must name a layer of conv1, conv2, conv3, fc, got 'conv9'"
        "\n  - layer 'conv1': 2-out-of-8 pruning needs input channels divisible by 8, got 1"
        "\n  - layer 'conv2': tap stride must lie in 1..9, the taps of the kernel, got 10"
        "\n  - layer 'fc': tap stride must lie in 1..1, the taps of the kernel, got 2"
    )
    plan = {"conv9": TAPS, "conv1": KERNELS, "conv2": LayerPlan(stride=10), "fc": TAPS}
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        prune_by_particles(DigitsCNN(), _split(), plan)
    with pytest.raises(PruneError, match="^a plan must name at least one layer, got none$"):
        prune_by_particles(DigitsCNN(), _split(), {})
    message = "a plan for a layer needs a selection or a stride above 1, got none"
    with pytest.raises(PruneError, match=f"^{message}$"):
        LayerPlan()


def test_refuses_a_state_of_other_stages() -> None:
    states: list[dict[str, Any]] = []
    prune_by_particles(DigitsCNN(), _split(), {"conv3": TAPS}, search=SMALL, save=states.append)
    message = (
        "a state must be of the stages ['conv2: strided taps'], got one of ['conv3: strided taps']"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        prune_by_particles(DigitsCNN(), _split(), {"conv2": TAPS}, state=states[0])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_stops_when_the_network_gives_no_numbers(bad: float) -> None:
    model = DigitsCNN()
    model.fc.bias.data.fill_(bad)
    message = f"a network must give finite logits before it is pruned, got {bad}"
    with pytest.raises(PruneError, match=f"^{message}$"):
        prune_by_particles(model, _split(), {"conv2": TAPS}, search=SMALL)


def _means(search: Search, seeds: Sequence[int]) -> Tensor:
    reports: list[SearchProgress] = []
    for seed in seeds:
        prune_by_particles(
            DigitsCNN(),
            _split(),
            {"conv3": KERNELS},
            search=search,
            seed=seed,
            report=reports.append,
        )
    return torch.tensor([report.loss for report in reports]).mean()


def test_beats_random_masks_at_the_same_number_of_evaluations() -> None:
    filtered = _means(ParticleFilter(particles=24, generations=10), range(3))
    assert filtered < _means(BestOfRandom(particles=24, generations=10), range(3))


def test_the_loss_of_a_stage_is_that_of_its_mask() -> None:
    model, dense, reports = DigitsCNN(), DigitsCNN(), []
    masks = prune_by_particles(
        model, _split(), {"conv2": KERNELS}, search=SMALL, report=reports.append
    )
    alone = LayerEvaluator(dense, "conv2", _split())(masks["conv2.weight"][None])
    assert float(alone) == pytest.approx(reports[0].loss, rel=1e-6)
