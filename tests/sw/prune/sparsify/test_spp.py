"""Probabilities change by rank as in the paper; pruned columns stay pruned; masks are exact."""

from math import ceil, exp, log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import (
    SPP,
    MaskSet,
    PruneError,
    WeightSparsifier,
    spp_increment,
    spp_updates,
)
from tests.support.strategies import patterns_with_shapes

COLUMNS = Pattern(select=PerNeuron(8, shared_by=6))


def test_increments_are_the_papers_curve() -> None:
    # Flatness 1/4: the middle is at 2/3 of `prune`, and the curve falls to 1/8 per `prune` ranks.
    increments = spp_increment(torch.arange(12), torch.tensor(6), 0.1).tolist()
    assert increments[:5] == pytest.approx([0.1 * 8 ** (-r / 6) for r in range(5)])
    assert increments[4] == pytest.approx(0.25 * 0.1)
    assert increments[6] == 0.0
    assert all(value > 0 for value in increments[:6]) and all(value < 0 for value in increments[7:])
    # Point symmetric about the middle, (4, 0.025).
    assert [increments[4 + x] + increments[4 - x] for x in range(5)] == pytest.approx([0.05] * 5)
    assert increments == sorted(increments, reverse=True)


def test_increments_are_at_least_minus_one() -> None:
    assert spp_increment(torch.tensor([10_000]), torch.tensor(1), 0.05).tolist() == [-1.0]


@settings(deadline=None)
@given(st.integers(1, 300), st.sampled_from([0.05, 0.25, 0.9]))
def test_exactly_those_that_shall_go_get_likelier(prune: int, flatness: float) -> None:
    increments = spp_increment(torch.arange(2 * prune + 1), torch.tensor(prune), 0.05, flatness)
    assert bool((increments[:prune] > 0).all() and (increments[prune + 1 :] < 0).all())
    assert float(increments[0]) == 0.05 and float(increments[prune]) == 0.0


def _conv() -> nn.Sequential:
    """Columns whose L1 norms grow from the first to the last."""
    conv = nn.Conv2d(4, 6, 2, bias=False)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (6, 16), generator=generator) * 2 - 1
    with torch.no_grad():
        conv.weight.copy_((signs * torch.arange(1, 17)).reshape(6, 4, 2, 2))
    return nn.Sequential(conv)


def _train(spp: SPP, model: nn.Module, steps: int, progress: float = 0.0) -> list[Tensor]:
    """Run steps that change no weights; return the masks that they used."""
    masks = []
    for _ in range(steps):
        with spp.step(model, progress):
            masks.append(model[0].weight.detach() != 0)
            model[0].weight.sum().backward()
    return masks


def _probabilities(spp: SPP) -> Tensor:
    (probabilities,) = spp.probabilities().values()
    return probabilities


def _by_hand(norms: list[list[float]], prune: int, max_increment: float) -> list[float]:
    """Compute the update rule for one group, given the norms at successive updates."""
    n = len(norms[0])
    probabilities, sums = [0.0] * n, [0] * n
    for now in norms:
        for i in range(n):
            sums[i] += sum(other < now[i] for other in now)  # ranks of norms: no ties
        gone = [i for i in range(n) if probabilities[i] == 1]
        order = gone + sorted((i for i in range(n) if i not in gone), key=lambda i: (sums[i], -i))
        left = prune - len(gone)
        if not left:
            probabilities = [float(i in gone) for i in range(n)]
            continue
        a = log(2 / 0.25) / left
        m = log(4) / a
        for rank, i in enumerate(order[len(gone) :]):
            if rank == left:
                continue
            up = max_increment * exp(-a * rank)
            down = 0.5 * max_increment - max_increment * exp(-a * (2 * m - rank))
            probabilities[i] = min(max(probabilities[i] + (up if rank <= m else down), 0.0), 1.0)
    return probabilities


def test_odds_move_by_the_rank_of_average_ranks() -> None:
    model = nn.Sequential(nn.Conv2d(7, 2, 1, bias=False))
    spp = SPP(
        model, {"0": Pattern(select=PerNeuron(3, shared_by=2))}, interval=2, max_increment=0.3
    )
    generator = torch.Generator().manual_seed(4)
    norms = []
    for _ in range(6):
        weight = torch.randn(2, 7, 1, 1, generator=generator)
        norms.append(weight.abs().sum((0, 2, 3)).tolist())
        with torch.no_grad():
            model[0].weight.copy_(weight)
        _train(spp, model, 2)
        assert _probabilities(spp)[0].tolist() == pytest.approx(
            _by_hand(norms, prune=4, max_increment=0.3)
        )
    assert 1.0 in _probabilities(spp) and 0.0 in _probabilities(spp)


@pytest.mark.parametrize(
    "select", [PerNeuron(5, shared_by=6), KOutOfN(1, 2, shared_by=6), KOutOfN(3, 4, shared_by=6)]
)
def test_unimportant_columns_go_and_what_is_left_shrinks_the_gemm(
    select: PerNeuron | KOutOfN,
) -> None:
    model, pattern = _conv(), Pattern(select=select)
    spp = SPP(model, {"0": pattern}, interval=1, max_increment=0.2)
    last = _train(spp, model, 60)[-1]
    masks = spp.masks(model)
    assert torch.equal(masks["0.weight"], last), "all is decided"
    assert bool((_probabilities(spp) * (1 - _probabilities(spp)) == 0).all())
    wanted = pattern.best_mask(model[0].weight.detach().abs().double().numpy())
    assert masks["0.weight"].tolist() == wanted.tolist()
    columns = masks["0.weight"].reshape(6, 16)
    assert torch.equal(columns.any(0), columns.all(0))


@pytest.mark.filterwarnings("ignore:SPP needs")
@settings(deadline=None, max_examples=100)
@given(patterns_with_shapes(), st.integers(0, 20), st.integers(0, 2**20))
def test_final_masks_are_exact_at_any_time_for_every_pattern(
    drawn: tuple[Pattern, tuple[int, int, int, int]], steps: int, seed: int
) -> None:
    pattern, (filters, channels, kh, kw) = drawn
    model = nn.Sequential(nn.Conv2d(channels, filters, (kh, kw), bias=False))
    generator = torch.Generator().manual_seed(seed)
    spp = SPP(model, {"0": pattern}, interval=1, max_increment=0.5, seed=seed)
    assert isinstance(spp, WeightSparsifier)
    gone = torch.zeros(filters, channels, kh, kw, dtype=torch.bool)
    read = torch.from_numpy(pattern.tap_mask((filters, channels, kh, kw)))
    for _ in range(steps):
        with torch.no_grad():
            weight = torch.randn(model[0].weight.shape, generator=generator)
            model[0].weight.copy_(weight)
        (mask,) = _train(spp, model, 1)
        assert not mask[gone].any(), "what reached 1 stays pruned"
        assert not (mask & ~read).any()
        assert torch.equal(model[0].weight, weight), "dense weights are back"
        for probabilities in spp.probabilities().values():
            never = probabilities.shape[1] - pattern.select.k
            alive = (probabilities < 1).any(1)
            assert bool(((probabilities == 1).sum(1)[alive] <= never).all())
            gone = ~_spread(spp, probabilities < 1)
    masks = spp.masks(model)
    MaskSet(dict(masks), masks.patterns)
    (final,) = _train(spp, model, 1, progress=0.6)
    assert torch.equal(final, masks["0.weight"])
    assert not final[gone].any()


def _spread(spp: SPP, decisions: Tensor) -> Tensor:
    return spp._decisions["0.weight"].mask(decisions)


def test_masks_are_drawn_with_the_odds_and_pruned_weights_get_no_gradient() -> None:
    model, steps = _conv(), 2000
    spp = SPP(model, {"0": COLUMNS}, interval=steps, max_increment=0.9, seed=5)
    masks = torch.stack(_train(spp, model, steps)).reshape(steps, 6, 16)
    assert torch.equal(masks.any(1), masks.all(1)), "whole columns"
    pruned_share = 1 - masks[:, 0].double().mean(0)
    for wanted, share in zip(_probabilities(spp)[0].tolist(), pruned_share.tolist(), strict=True):
        assert abs(share - wanted) <= 5 * sqrt(wanted * (1 - wanted) / steps)
    model.zero_grad()
    (mask,) = _train(spp, model, 1)
    assert torch.equal(model[0].weight.grad, mask.float())


def test_a_column_whose_weights_grow_is_reprieved_unless_it_is_gone() -> None:
    for updates, ends in ((3, 0.0), (12, 1.0)):
        model = _conv()
        spp = SPP(model, {"0": COLUMNS}, interval=1, max_increment=0.1)
        _train(spp, model, updates)
        assert 0.2 < float(_probabilities(spp)[0, 0]) <= 1.0
        with torch.no_grad():
            model[0].weight[:, 0, 0, 0] = 1000.0
        _train(spp, model, 60)
        assert float(_probabilities(spp)[0, 0]) == ends


def test_taps_that_are_not_read_do_not_compete() -> None:
    """Weights on dropped taps have the largest magnitudes, but no effect."""
    pattern = Pattern(select=PerNeuron(3, shared_by=6), taps=Strided(2, (0, 1, 0, 1)))
    model = _conv()
    read = torch.from_numpy(pattern.tap_mask((6, 4, 2, 2)))
    with torch.no_grad():
        model[0].weight.masked_fill_(~read, 1000.0)
    spp = SPP(model, {"0": pattern}, interval=1, max_increment=0.2)
    assert torch.equal(_probabilities(spp)[0] == 1, ~read.flatten())
    _train(spp, model, 60)
    # The largest three at kept taps: channel 3 at taps 1 and 3, channel 2 at tap 2.
    kept = spp.masks(model)["0.weight"][0].flatten().nonzero().flatten().tolist()
    assert kept == [10, 13, 15]


def test_whole_kernels_are_ranked_by_their_norm() -> None:
    model = _conv()
    spp = SPP(model, {"0": Pattern(select=KOutOfN(1, 4, Granularity.KERNEL, 6))})
    assert spp.masks(model)["0.weight"].all(dim=(0, 2, 3)).tolist() == [False, False, False, True]


def test_a_state_goes_on_identically() -> None:
    first, second = (
        SPP(_conv(), {"0": COLUMNS}, interval=2, max_increment=0.1, seed=seed) for seed in (0, 9)
    )
    model = _conv()
    _train(first, model, 7)
    second.load_state_dict(first.state_dict())
    for a, b in zip(_train(first, model, 9), _train(second, model, 9), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(_probabilities(first), _probabilities(second))


def test_a_state_does_not_change_as_training_goes_on() -> None:
    model = _conv()
    spp = SPP(model, {"0": COLUMNS}, interval=1)
    _train(spp, model, 2)
    state = spp.state_dict()
    before = {kind: state[kind]["0.weight"].clone() for kind in ("probabilities", "ranks")}
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.flip(1))
    _train(spp, model, 3)
    assert all(torch.equal(state[kind]["0.weight"], value) for kind, value in before.items())


@pytest.mark.parametrize(("n", "k"), [(2, 1), (16, 2), (16, 15), (72, 18), (5, 5)])
def test_counts_the_updates_until_all_is_decided(n: int, k: int) -> None:
    model = nn.Sequential(nn.Conv2d(n, 1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(1, n + 1).reshape(1, n, 1, 1))
    spp = SPP(model, {"0": Pattern(select=KOutOfN(k, n))}, interval=1)
    updates = spp_updates(n, k, 0.05)
    _train(spp, model, max(updates - 1, 0))
    assert int((_probabilities(spp) == 1).sum()) < n - k or k == n
    _train(spp, model, 1)
    assert _probabilities(spp).flatten().tolist()[: n - k] == [1.0] * (n - k)
    _train(spp, model, 1)
    assert _probabilities(spp).flatten().tolist() == [1.0] * (n - k) + [0.0] * k


@pytest.mark.parametrize("steps", [20, 60, 240, 5000])
def test_everything_is_decided_by_its_probability_within_the_steps_of_a_training(
    steps: int,
) -> None:
    model, generator = _conv(), torch.Generator().manual_seed(steps)
    spp = SPP.for_training(model, {"0": COLUMNS}, steps=steps)
    for step in range(ceil(0.6 * steps)):
        with torch.no_grad():
            model[0].weight.mul_(1 + 0.1 * torch.randn(6, 4, 2, 2, generator=generator))
        _train(spp, model, 1, progress=step / steps)
    assert int((_probabilities(spp) == 1).sum()) == 8


def test_warns_in_the_second_step_if_the_training_is_too_short() -> None:
    model = _conv()
    spp = SPP(model, {"0": COLUMNS})
    _train(spp, model, 1, progress=0.0)
    message = (
        rf"SPP needs {spp_updates(16, 8, 0.05)} updates until prune_until=0.6 to decide every "
        r"column, got 3 in 100 steps with interval=20; .* a larger max_increment"
    )
    with pytest.warns(UserWarning, match=f"^{message}$"):
        _train(spp, model, 1, progress=0.01)
    _train(spp, model, 1, progress=0.02)


def test_refuses_everything_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        SPP(_conv(), {}, interval=0, max_increment=0, flatness=1, prune_until=2)
    assert list(caught.value.problems) == [
        "interval must be at least 1, got 0",
        "max_increment must be above 0, got 0",
        "flatness must lie between 0 and 1, got 1",
        "prune_until must lie in 0..1, got 2",
    ]
    with pytest.raises(PruneError, match="needs in_channels divisible by 3"):
        SPP(_conv(), {"0": Pattern(select=KOutOfN(1, 3))})
