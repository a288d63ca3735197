"""Sparsity that weights have: what is found conforms, serves at least as well, and breaks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from systolith.exchange import Structure, detect_structure, detect_structures
from systolith.exchange.layers.structure import GATHER_COST, GROUPS, MAX_DENSITY
from systolith.network import (
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    IntArray,
    KOutOfN,
    Pattern,
    PerNeuron,
    Strided,
)

RELAXED = settings(deadline=None, max_examples=60)
"""Machines differ in speed by more than any deadline."""

Drawn = tuple[Pattern, BoolArray, IntArray]
"""A pattern, a mask of it, and weights that are 0 just outside the mask."""


def _four_axes(array: Any) -> Any:
    return array.reshape((*array.shape, 1, 1)[:4])


def _cost(found: Structure) -> float:
    by = GATHER_COST if isinstance(found.pattern.select, PerNeuron) else 1.0
    return found.density * by


@st.composite
def conforming(draw: st.DrawFn) -> Drawn:
    """Draw weights (F, C, Kh, Kw) that were pruned by a pattern that hardware gains by."""
    shared_by = draw(st.sampled_from([1, 2]))
    filters = shared_by * draw(st.integers(1, 4))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 5), (2, 2)]))
    n = draw(st.sampled_from(GROUPS))
    channels = n * draw(st.integers(1, 2))
    shape = (filters, channels, *kernel)
    granularity = draw(st.sampled_from(list(Granularity)))
    grouped = KOutOfN(draw(st.integers(1, n - 1)), n, granularity=granularity, shared_by=shared_by)
    most = channels * kernel[0] * kernel[1]
    neuron = PerNeuron(draw(st.integers(1, most)), shared_by=shared_by)
    pattern = Pattern(select=draw(st.sampled_from([grouped, neuron])))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    mask = pattern.best_mask(rng.random(shape))
    return pattern, mask, rng.choice([-8, -3, 1, 7], shape) * mask


@RELAXED
@given(conforming())
def test_finds_at_most_what_the_pattern_keeps(drawn: Drawn) -> None:
    pattern, mask, weight = drawn
    found = detect_structure(weight)
    given = Structure(pattern=pattern, mask=mask, density=float(mask.mean()))
    assert _cost(found) <= (_cost(given) if _cost(given) <= MAX_DENSITY else 1.0)


@RELAXED
@given(conforming(), st.floats(0, 1))
def test_masks_conform_and_keep_every_weight(drawn: Drawn, zeros: float) -> None:
    _, _, weight = drawn
    thinned = weight * (np.random.default_rng(0).random(weight.shape) >= zeros)
    for found in detect_structures(thinned):
        if found.mask is None:
            assert found.pattern.is_dense and found.density == 1.0
            continue
        assert list(found.pattern.violations(found.mask)) == []
        assert not (thinned * ~found.mask).any()
        assert found.density == found.mask.mean() == found.pattern.kept(weight.shape) / weight.size


@RELAXED
@given(conforming())
def test_the_pattern_that_pruned_is_among_those_listed(drawn: Drawn) -> None:
    pattern, mask, weight = drawn
    assume(_cost(Structure(pattern=pattern, mask=mask, density=float(mask.mean()))) <= MAX_DENSITY)
    if isinstance(pattern.select, KOutOfN) and weight[0, 0].size == 1:
        # Kernels of one weight are weights.
        pattern = Pattern(
            select=KOutOfN(pattern.select.k, pattern.select.n, shared_by=pattern.select.shared_by)
        )
    assert pattern in [found.pattern for found in detect_structures(weight)]


@RELAXED
@given(conforming(), st.randoms(use_true_random=False))
def test_one_more_weight_breaks_the_pattern(drawn: Drawn, random: Any) -> None:
    pattern, mask, weight = drawn
    pruned = np.flatnonzero(~mask)
    assume(pruned.size > 0)
    broken = weight.copy()
    broken.flat[random.choice(pruned.tolist())] = 1
    assert pattern not in [found.pattern for found in detect_structures(broken)]


@RELAXED
@given(conforming())
def test_best_comes_first_and_dense_last(drawn: Drawn) -> None:
    found = list(detect_structures(drawn[2]))
    assert found[-1].pattern.is_dense
    assert [each.pattern.is_dense for each in found].count(True) == 1
    costs = [_cost(each) for each in found]
    assert costs == sorted(costs)
    assert all(cost <= MAX_DENSITY for cost in costs[:-1])
    assert detect_structure(drawn[2]).pattern == found[0].pattern


@RELAXED
@given(
    arrays.arrays(
        np.int64,
        arrays.array_shapes(min_dims=4, max_dims=4, max_side=8),
        elements=st.integers(1, 127),
    )
)
def test_weights_without_zeros_are_dense(weight: IntArray) -> None:
    (only,) = detect_structures(weight)
    assert only.pattern == Pattern() and only.mask is None and only.density == 1.0


@RELAXED
@given(conforming())
def test_matrices_are_kernels_of_one_weight(drawn: Drawn) -> None:
    matrix = drawn[2][:, :, 0, 0]
    flat, kernels = detect_structure(matrix), detect_structure(matrix[:, :, None, None])
    assert flat.pattern == kernels.pattern
    assert (flat.mask is None) == (kernels.mask is None)
    if flat.mask is not None and kernels.mask is not None:
        assert flat.mask.shape == matrix.shape
        assert np.array_equal(_four_axes(flat.mask), kernels.mask)


@RELAXED
@given(conforming())
def test_scale_and_sign_do_not_matter(drawn: Drawn) -> None:
    real, integers = detect_structure(drawn[2] * -0.125), detect_structure(drawn[2])
    assert real.pattern == integers.pattern
    assert np.array_equal(real.mask, integers.mask)  # type: ignore[arg-type]


RECOVERED = [
    Pattern(select=KOutOfN(2, 4)),
    Pattern(select=KOutOfN(1, 4)),
    Pattern(select=KOutOfN(3, 4)),
    Pattern(select=KOutOfN(2, 8, shared_by=2)),
    Pattern(select=KOutOfN(3, 16)),
    Pattern(select=KOutOfN(2, 8, granularity=Granularity.KERNEL)),
    Pattern(select=KOutOfN(5, 32, granularity=Granularity.KERNEL)),
    Pattern(select=PerNeuron(20)),
    Pattern(select=PerNeuron(31, shared_by=2)),
    Pattern(taps=Strided(2, (0, 1) * 16)),
    Pattern(select=KOutOfN(2, 4), taps=Strided(3, (2,) * 16 + (0,) * 16)),
]


@pytest.mark.parametrize("pattern", RECOVERED, ids=str)
def test_recovers_what_weights_were_pruned_by(pattern: Pattern) -> None:
    rng = np.random.default_rng(0)
    mask = pattern.best_mask(rng.random((32, 32, 3, 3)))
    found = detect_structure(rng.integers(1, 100, mask.shape) * mask)
    assert found.pattern == pattern
    assert np.array_equal(found.mask, mask)  # type: ignore[arg-type]


@RELAXED
@given(st.integers(2, 9), st.data())
def test_finds_strided_taps_with_any_offsets(stride: int, data: st.DataObject) -> None:
    offsets = data.draw(st.lists(st.integers(0, stride - 1), min_size=3, max_size=3))
    pattern = Pattern(taps=Strided(stride, tuple(offsets)))
    shape = (2, 3, 3, 3)
    read = np.broadcast_to(pattern.tap_mask(shape), shape)
    found = detect_structure(read * 5)
    assert found.density <= read.mean() or read.mean() > MAX_DENSITY
    assert isinstance(found.pattern.select, Dense | KOutOfN | PerNeuron)


def test_groups_with_fewer_weights_are_filled_up() -> None:
    found = detect_structure([[1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3]])
    assert (found.pattern, found.density) == (Pattern(select=KOutOfN(2, 4)), 0.5)
    assert found.mask is not None
    assert found.mask.sum(axis=1).tolist() == [2, 2, 2]


def test_layers_of_zeros_keep_as_little_as_a_pattern_can() -> None:
    found = detect_structure(np.zeros((2, 16, 3, 3)))
    assert found.density <= 1 / 16
    assert isinstance(found.pattern.taps, AllTaps | Strided)


def test_whole_kernels_win_over_weights_of_the_same_number() -> None:
    rng = np.random.default_rng(1)
    kernels = Pattern(select=KOutOfN(2, 4, granularity=Granularity.KERNEL))
    weight = kernels.best_mask(rng.random((8, 8, 3, 3))) * 9
    listed = [found.pattern for found in detect_structures(weight)]
    assert listed[0] == kernels
    assert Pattern(select=KOutOfN(2, 4)) in listed


@pytest.mark.parametrize("axes", [0, 1, 3, 5])
def test_rejects_other_numbers_of_axes(axes: int) -> None:
    with pytest.raises(ValueError, match=r"^weights must be \(F, C, Kh, Kw\) or \(O, I\), got"):
        detect_structure(np.ones((2,) * axes))
