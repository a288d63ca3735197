import pytest
import torch
from torch import Tensor

from systolith.models import DigitsCNN
from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune import Cubic, PruneError, ScorePruner, magnitude

PATTERNS = {
    "conv2": Pattern(select=KOutOfN(2, 8)),
    "conv3": Pattern(select=KOutOfN(1, 4, Granularity.KERNEL, shared_by=2)),
    "fc": Pattern(select=PerNeuron(10)),
}


def test_keeps_the_greatest_magnitudes() -> None:
    model = DigitsCNN()
    masks = ScorePruner(patterns=PATTERNS).masks(model)
    groups = model.conv2.weight.detach().abs().reshape(32, 2, 8, 9)
    kept = masks["conv2.weight"].reshape(32, 2, 8, 9)
    least_kept = groups.masked_fill(~kept, torch.inf).amin(2)
    most_dropped = groups.masked_fill(kept, -torch.inf).amax(2)
    assert (least_kept >= most_dropped).all()
    assert list(masks) == ["conv2.weight", "conv3.weight", "fc.weight"]


def test_does_not_touch_the_model() -> None:
    model = DigitsCNN()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ScorePruner(patterns=PATTERNS).masks(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("step", range(0, 21))
def test_masks_are_exact_at_every_step_of_a_schedule(step: int) -> None:
    model = DigitsCNN(seed=step)
    pruner = ScorePruner(patterns=PATTERNS, schedule=Cubic(begin=0.1, end=0.8))
    masks = pruner.masks(model, step / 20)
    for name, mask in masks.items():
        shape = tuple((*mask.shape, 1, 1)[:4])
        pattern = masks.patterns[name]
        assert not list(pattern.violations(mask.numpy().reshape(shape)))
        assert mask.sum() == pattern.kept(shape)
    if step >= 16:
        assert masks.patterns == {f"{name}.weight": p for name, p in PATTERNS.items()}


def test_uses_the_score_it_is_given() -> None:
    def least(name: str, weight: Tensor) -> Tensor:
        assert name == "conv2.weight"
        return -magnitude(name, weight)

    model = DigitsCNN()
    patterns = {"conv2": Pattern(select=KOutOfN(4, 8))}
    most = ScorePruner(patterns=patterns).masks(model)["conv2.weight"]
    fewest = ScorePruner(patterns=patterns, score=least).masks(model)["conv2.weight"]
    assert torch.equal(fewest, ~most)


def test_refuses_patterns_that_do_not_fit() -> None:
    pruner = ScorePruner(patterns={"conv1": Pattern(select=KOutOfN(2, 8))})
    with pytest.raises(
        PruneError,
        match=r"^2-out-of-8 pruning needs in_channels divisible by 8, but layer 'conv1' has 1$",
    ):
        pruner.masks(DigitsCNN())
