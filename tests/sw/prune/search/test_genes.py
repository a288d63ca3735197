"""Every particle is a mask of its pattern, every mask one particle; strided taps shrink GEMMs."""

import itertools
import re
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from systolith.network import Granularity, KOutOfN, Pattern, Strided, WeightShape
from systolith.prune import PruneError, topk_mask
from systolith.prune.search import ChoicePerRow, ExactlyK, SelectionGenes, TapGenes, lowered_rows


@st.composite
def selections(draw: st.DrawFn) -> tuple[KOutOfN, WeightShape]:
    n, shared_by = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    select = KOutOfN(draw(st.integers(1, n)), n, draw(st.sampled_from(Granularity)), shared_by)
    filters = shared_by * draw(st.integers(1, 3))
    return select, (
        filters,
        n * draw(st.integers(1, 3)),
        *draw(st.tuples(*[st.integers(1, 3)] * 2)),
    )


@settings(deadline=None, max_examples=100)
@given(selections(), st.booleans(), st.data())
def test_every_particle_conforms_to_its_pattern(
    drawn: tuple[KOutOfN, WeightShape], equal: bool, data: st.DataObject
) -> None:
    select, shape = drawn
    stride = data.draw(st.integers(1, shape[2] * shape[3]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    kernels, taps = SelectionGenes(select), TapGenes(stride=stride, group=select.n, equal=equal)
    assert not [*kernels.problems(shape), *taps.problems(shape)]
    coarse, fine = (genes.space(shape).sample(4, generator) for genes in (kernels, taps))
    chosen, read = kernels.masks(coarse, shape), taps.masks(fine, shape)
    assert chosen.shape == read.shape == (4, *shape)
    for i in range(4):
        pattern = kernels.refine(Pattern(), coarse[i], shape)
        assert not list(pattern.violations(chosen[i].numpy()))
        only = taps.refine(Pattern(), fine[i], shape)
        assert not list(only.violations(read[i].numpy()))
        both = taps.refine(pattern, fine[i], shape)
        assert not list(both.violations((chosen[i] & read[i]).numpy()))


def test_rows_are_ordered_by_filter_group_and_tap() -> None:
    shape, select = (4, 4, 1, 2), KOutOfN(1, 2, Granularity.WEIGHT, shared_by=2)
    genes = SelectionGenes(select)
    rows = torch.zeros(2, 2, 2, 2, dtype=torch.bool)  # team, group, tap, channel of the group
    rows[..., 0] = True
    rows[1, 0, 1] = torch.tensor([False, True])
    (mask,) = genes.masks(rows.reshape(1, 8, 2), shape)
    expected = torch.zeros(shape, dtype=torch.bool)
    expected[:, [0, 2]] = True
    expected[2:, 0, 0, 1], expected[2:, 1, 0, 1] = False, True
    assert torch.equal(mask, expected)


@pytest.mark.parametrize("granularity", Granularity)
def test_every_mask_is_one_particle(granularity: Granularity) -> None:
    shape, select = (2, 4, 2, 1), KOutOfN(1, 2, granularity)
    genes = SelectionGenes(select)
    space = genes.space(shape)
    rows = 4 if granularity is Granularity.KERNEL else 8
    assert space == ExactlyK(rows=rows, n=2, k=1)
    single = torch.eye(2, dtype=torch.bool)
    everything = torch.stack([single[list(c)] for c in itertools.product(range(2), repeat=rows)])
    masks = genes.masks(everything, shape).flatten(1)
    assert len(masks.long().unique(dim=0)) == comb(2, 1) ** rows


@pytest.mark.parametrize(
    ("stride", "offsets"), [(2, [1]), (3, [0, 1, 2]), (4, [1, 2, 3]), (9, range(9))]
)
def test_equal_offsets_keep_the_fewest_taps(stride: int, offsets: list[int]) -> None:
    shape = (2, 3, 3, 3)
    genes = TapGenes(stride=stride, equal=True)
    assert genes.space(shape) == ChoicePerRow(rows=3, choices=len(offsets))
    particles = torch.arange(len(offsets))[:, None].expand(-1, 3)
    masks = genes.masks(particles, shape)
    assert (masks.sum((3, 4)) == 9 // stride).all()
    found = [genes.refine(Pattern(), particle, shape).taps for particle in particles]
    assert found == [Strided(stride, (offset,) * 3) for offset in offsets]


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 2),
    st.integers(0, 1),
    st.data(),
)
def test_the_shrunken_gemm_equals_the_masked_convolution(
    filters: int,
    channels: int,
    kernel: tuple[int, int],
    step: int,
    padding: int,
    data: st.DataObject,
) -> None:
    shape = (filters, channels, *kernel)
    genes = TapGenes(stride=data.draw(st.integers(1, kernel[0] * kernel[1])))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    particle = genes.space(shape).sample(1, generator)
    mask = genes.masks(particle, shape)[0]
    pattern = genes.refine(Pattern(), particle[0], shape)
    # Whole numbers below 2**53 in float64: every sum is exact, in any order.
    weight = torch.randint(-128, 128, shape, generator=generator).double()
    image = torch.randint(-128, 128, (1, channels, 6, 5), generator=generator).double()

    rows = lowered_rows(pattern, shape)
    lowered = F.unfold(image, kernel, stride=step, padding=padding)[0]
    assert lowered.shape[0] == len(rows)
    shrunken = weight.flatten(1)[:, rows] @ lowered[rows]

    expected = F.conv2d(image, weight * mask, stride=step, padding=padding)
    assert torch.equal(shrunken, expected[0].flatten(1))
    assert int(rows.sum()) * filters == int(mask.sum())
    without_sharing = (weight * mask).flatten(1).abs().sum(0) > 0
    assert not (without_sharing & ~rows).any()


def test_stride_3_keeps_a_third_of_a_3x3_kernel_whatever_the_offset() -> None:
    shape = (4, 6, 3, 3)
    pattern = Pattern(taps=Strided(3, (0, 1, 2, 2, 1, 0)))
    assert int(lowered_rows(pattern, shape).sum()) == 6 * 3


def test_names_what_does_not_fit() -> None:
    message = (
        "tap stride must lie in 1..9, the taps of the kernel, got 10; "
        "offsets shared by 4 channels need a multiple of as many input channels, got 6"
    )
    assert "; ".join(TapGenes(stride=10, group=4).problems((2, 6, 3, 3))) == message
    (problem,) = SelectionGenes(KOutOfN(1, 4)).problems((2, 6, 3, 3))
    assert problem == "1-out-of-4 pruning needs input channels divisible by 4, got 6"
    with pytest.raises(PruneError, match=re.escape("needs 1 <= k <= n, got k=3, n=2")):
        ExactlyK(rows=1, n=2, k=3)


@pytest.mark.parametrize("granularity", [Granularity.KERNEL, Granularity.WEIGHT])
@pytest.mark.parametrize("shared_by", [1, 2])
def test_the_largest_kernels_and_weights_are_those_of_the_pattern(
    granularity: Granularity, shared_by: int
) -> None:
    weights = torch.randn(4, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    select = KOutOfN(2, 4, granularity, shared_by=shared_by)
    genes, shape = SelectionGenes(select), (4, 8, 3, 3)
    particle = genes.keep_largest(weights)
    assert genes.space(shape).contains(particle[None])
    expected = topk_mask(weights.abs(), Pattern(select=select))
    assert torch.equal(genes.masks(particle[None], shape)[0], expected)


@pytest.mark.parametrize(("stride", "group", "equal"), [(2, 1, False), (3, 4, False), (4, 2, True)])
def test_the_largest_taps_are_those_with_most_magnitude(
    stride: int, group: int, equal: bool
) -> None:
    weights = torch.randn(4, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    genes, shape = TapGenes(stride=stride, group=group, equal=equal), (4, 8, 3, 3)
    particle = genes.keep_largest(weights)
    space = genes.space(shape)
    assert space.contains(particle[None])
    kept = (weights.abs() * genes.masks(particle[None], shape)[0]).sum()
    others = space.sample(500, torch.Generator().manual_seed(1))
    assert ((weights.abs() * genes.masks(others, shape)).sum((1, 2, 3, 4)) <= kept + 1e-4).all()
