"""Offsets of strided taps, compared with all possible ones."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.network import Dense, Granularity, KOutOfN, Pattern, PerNeuron, Select, Strided
from systolith.prune import PruneError, StridedPattern, match_patterns, topk_mask

SELECTS: list[Select] = [
    Dense(),
    KOutOfN(1, 2),
    KOutOfN(2, 4),
    KOutOfN(1, 2, Granularity.KERNEL),
    KOutOfN(1, 2, shared_by=2),
]


def _weight(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9, 10, (2, 4, 2, 3), generator=generator).float()


def _kept(weight: Tensor, select: Select, stride: int, offsets: tuple[int, ...]) -> float:
    pattern = Pattern(select=select, taps=Strided(stride, offsets))
    return float((weight.abs() * topk_mask(weight.abs(), pattern)).sum())


@given(st.integers(0, 1000), st.sampled_from(SELECTS), st.integers(2, 3), st.sampled_from([1, 2]))
def test_no_other_offsets_keep_more(seed: int, select: Select, stride: int, groups: int) -> None:
    weight = _weight(seed)
    pattern = StridedPattern(select=select, stride=stride).over(weight, groups)
    assert isinstance(pattern.taps, Strided)
    assert not any(pattern.problems((2, 4, 2, 3)))
    team = select.n if isinstance(select, KOutOfN) else 1
    if groups > 1:
        team = 4
    every = [
        tuple(offset for offset in offsets for _ in range(team))
        for offsets in product(range(stride), repeat=4 // team)
    ]
    kept = {offsets: _kept(weight, select, stride, offsets) for offsets in every}
    assert kept[pattern.taps.offsets] == max(kept.values())
    assert pattern.taps.offsets == min(o for o in every if kept[o] == max(kept.values()))


def test_k_per_neuron_chooses_among_all_that_is_left() -> None:
    weight = _weight(0)
    offsets = StridedPattern(stride=3).over(weight).taps
    assert StridedPattern(select=PerNeuron(3), stride=3).over(weight).taps == offsets


def test_rules_give_grouped_convolutions_one_offset() -> None:
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Conv2d(8, 4, 3, groups=2))
    taps = match_patterns(model, [("1", StridedPattern(stride=3))])["1"].taps
    assert isinstance(taps, Strided) and len(taps.offsets) == 4 and len(set(taps.offsets)) == 1
    free = match_patterns(model, [("1", StridedPattern(select=PerNeuron(3), stride=3))])["1"].taps
    assert free == StridedPattern(stride=3).over(model[1].weight).taps


def test_rules_choose_offsets_by_the_weights_of_their_layer() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3))
    rule = StridedPattern(select=KOutOfN(1, 2), stride=3)
    assert match_patterns(model, [("1", rule)]) == {"1": rule.over(model[1].weight)}
    assert str(rule) == str(rule.over(model[1].weight)) == "1-out-of-2, every 3. tap"


def test_a_stride_that_does_not_fit_is_named_with_its_layer() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1))
    message = "^layer '1': tap stride must be at most the 1 taps of the kernel, got 2$"
    with pytest.raises(PruneError, match=message):
        match_patterns(model, [(".", StridedPattern(stride=2))])
