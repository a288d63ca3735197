"""Whether patterns fit once filters are removed, foreseen from the portions that methods keep."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from systolith.compress import DJPQPruning, FilterRemoval, TaylorPruning
from systolith.compress.check.after_removal import find_misfits
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    FilterMasks,
    PruneError,
    check_patterns,
    find_channel_groups,
    remove_filters,
)

IMAGES = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))


class _Branches(nn.Module):
    """Two convolutions whose channels are concatenated, with a flattened end."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, first, 3), nn.Conv2d(1, second, 3)
        self.c = nn.Conv2d(first + second, 4, 2)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.a(x), self.b(x)], 1)
        y: Tensor = self.fc(self.c(x).relu().flatten(1))
        return y


def _removals(model: nn.Module, portion: int) -> Iterator[nn.Module]:
    """Yield every network that a method with this portion can leave, with any floor."""
    groups = [group for group in find_channel_groups(model, IMAGES) if group.removable]
    sizes = [sorted({*range(portion, group.size, portion), group.size}) for group in groups]
    for kept in product(*sizes):
        masks = {
            group.name: torch.arange(group.size) < number
            for group, number in zip(groups, kept, strict=True)
        }
        yield remove_filters(model, FilterMasks(masks, groups), IMAGES)


def _fits(model: nn.Module, patterns: dict[str, Pattern]) -> bool:
    try:
        check_patterns(model, patterns)
    except PruneError:
        return False
    return True


@pytest.mark.parametrize(("first", "second"), [(4, 4), (6, 2), (3, 5)])
@pytest.mark.parametrize("portion", [1, 2, 3, 4])
@pytest.mark.parametrize("select", [KOutOfN(1, 2), KOutOfN(1, 4), KOutOfN(1, 2, shared_by=2)])
def test_doubts_are_those_of_every_possible_removal(
    first: int, second: int, portion: int, select: KOutOfN
) -> None:
    model = _Branches(first, second).eval()
    groups = find_channel_groups(model, IMAGES)
    left = list(_removals(model, portion))
    for name in ("c", "fc"):
        patterns = {name: Pattern(select=select)}
        misfits = list(
            find_misfits(model, groups, [TaylorPruning(keep=0.5, multiple_of=portion)], patterns)
        )
        fits = [_fits(network, patterns) for network in left]
        assert bool(misfits) == (not all(fits)), (name, misfits)
        if any(misfit.certain for misfit in misfits):
            assert not any(fits), (name, misfits)


@pytest.mark.parametrize("removal", [TaylorPruning(keep=0.5, multiple_of=2), DJPQPruning()])
def test_a_portion_that_makes_the_pattern_fit_is_proposed(removal: FilterRemoval) -> None:
    model = _Branches(4, 4).eval()
    groups = find_channel_groups(model, IMAGES)
    (misfit,) = find_misfits(model, groups, [removal], {"c": Pattern(select=KOutOfN(1, 4))})
    assert not misfit.certain
    assert misfit.text == (
        "1-out-of-4 of layer 'c' needs in_channels divisible by 4, but "
        f"{removal.method} may leave another number of its 8"
    )
    proposed = isinstance(removal, TaylorPruning)
    assert misfit.remedy == ("set multiple_of = 4 in the step before" if proposed else "")


def test_a_pattern_that_no_removal_can_fit_is_certain() -> None:
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)).eval()
    groups = find_channel_groups(model, IMAGES)
    (misfit,) = find_misfits(
        model,
        groups,
        [TaylorPruning(keep=0.5, multiple_of=3)],
        {"2": Pattern(select=KOutOfN(1, 4))},
    )
    assert misfit.certain
    assert "taylor leaves another number of its 6" in misfit.text
