import time
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from systolith.network import (
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    NetworkError,
    Pattern,
    PerNeuron,
    Strided,
    WeightShape,
)
from tests.support.strategies import generators, patterns, small_shapes

WEIGHT, KERNEL = Granularity.WEIGHT, Granularity.KERNEL


def fitting(most: tuple[int, ...] = (4, 6, 3, 3)) -> st.SearchStrategy[tuple[WeightShape, Pattern]]:
    return small_shapes(most).flatmap(lambda shape: st.tuples(st.just(shape), patterns(shape)))


def conforming_masks(pattern: Pattern, shape: WeightShape) -> list[BoolArray]:
    """All masks that conform, enumerated from the definition and not from the implementation."""
    filters, channels, kh, kw = shape
    positions = list(product(range(channels), range(kh), range(kw)))
    taps, select = pattern.taps, pattern.select
    read = [
        (c, y, x)
        for c, y, x in positions
        if isinstance(taps, AllTaps) or (y * kw + x) % taps.stride == taps.offsets[c]
    ]
    per_filter: list[set[tuple[int, int, int]]]
    if isinstance(select, Dense):
        per_filter, shared_by = [set(read)], 1
    elif isinstance(select, PerNeuron):
        per_filter = [set(chosen) for chosen in combinations(read, select.k)]
        shared_by = select.shared_by
    else:
        shared_by = select.shared_by
        groups = [range(g, g + select.n) for g in range(0, channels, select.n)]
        if select.granularity is KERNEL:
            decisions = [
                [{w for w in read if w[0] in kept} for kept in combinations(group, select.k)]
                for group in groups
            ]
        else:
            decisions = [
                [{(c, y, x) for c in kept} for kept in combinations(group, select.k)]
                for group in groups
                for y, x in product(range(kh), range(kw))
                if (group[0], y, x) in read
            ]
        per_filter = [set().union(*parts) for parts in product(*decisions)]
    masks = []
    for chosen in product(per_filter, repeat=filters // shared_by):
        mask = np.zeros(shape, dtype=np.bool_)
        for f in range(filters):
            for place in chosen[f // shared_by]:
                mask[(f, *place)] = True
        masks.append(mask)
    return masks


@given(fit=fitting(), rng=generators())
def test_best_mask_conforms_and_keeps_what_kept_says(
    fit: tuple[WeightShape, Pattern], rng: np.random.Generator
) -> None:
    shape, pattern = fit
    mask = pattern.best_mask(rng.normal(size=shape))
    assert list(pattern.problems(shape)) == []
    assert list(pattern.violations(mask)) == []
    assert mask.sum() == pattern.kept(shape)
    assert len({int(count) for count in mask.sum(axis=(1, 2, 3))}) == 1
    assert not (mask & ~pattern.tap_mask(shape)).any()


@given(fit=fitting((2, 4, 2, 2)), rng=generators())
def test_best_mask_is_optimal_and_violations_accept_exactly_the_conforming(
    fit: tuple[WeightShape, Pattern], rng: np.random.Generator
) -> None:
    shape, pattern = fit
    select = pattern.select
    per_filter = shape[1] * shape[2] * shape[3]
    assume(per_filter <= 8 and (shape[0] == 1 or per_filter <= 4 or not isinstance(select, Dense)))
    masks = conforming_masks(pattern, shape) if per_filter <= 8 else []
    assume(len(masks) <= 600)
    # Whole scores, so that sums are exact, and few of them, so that there are ties.
    score = rng.integers(-3, 4, shape).astype(float)
    best = pattern.best_mask(score)
    assert score[best].sum() == max(score[mask].sum() for mask in masks)
    assert all(not list(pattern.violations(mask)) for mask in masks[:: max(1, len(masks) // 20)])
    allowed = {mask.tobytes() for mask in masks}
    assert best.tobytes() in allowed
    for _ in range(10):
        mask = best ^ (rng.random(shape) < 0.2)
        assert (mask.tobytes() in allowed) == (not list(pattern.violations(mask)))


@given(fit=fitting(), rng=generators(), data=st.data())
def test_one_weight_more_or_less_is_found_and_named(
    fit: tuple[WeightShape, Pattern], rng: np.random.Generator, data: st.DataObject
) -> None:
    shape, pattern = fit
    mask = pattern.best_mask(rng.normal(size=shape))
    f, c, y, x = (data.draw(st.integers(0, size - 1)) for size in shape)
    mask[f, c, y, x] ^= True
    found = list(pattern.violations(mask))
    assert any(f"filter {f}" in problem for problem in found)
    read = pattern.tap_mask(shape)[c, y, x]
    select = pattern.select
    if not read:
        wanted = f"filter {f} keeps tap ({y}, {x}) of input channel {c}, which every"
    elif isinstance(select, Dense):
        wanted = f"filter {f} drops the weight of input channel {c} at tap ({y}, {x})"
    elif isinstance(select, PerNeuron):
        count = select.k + (1 if mask[f, c, y, x] else -1)
        wanted = f"filter {f} keeps {count} weights, but {pattern} needs {select.k}"
        if isinstance(pattern.taps, Strided):
            wanted = f"filter {f} keeps {count} weights, but {select} needs {select.k}"
    else:
        count = select.k + (1 if mask[f, c, y, x] else -1)
        g, n = c // select.n, select.n
        wanted = (
            f"filter {f}, group {g} (input channels {g * n}..{g * n + n - 1}) at tap ({y}, {x}) "
            f"keeps {count} weights, but {select} needs {select.k}"
        )
    assert found[0].startswith(wanted)


@given(fit=fitting(), data=st.data())
def test_ties_go_to_the_lower_index(fit: tuple[WeightShape, Pattern], data: st.DataObject) -> None:
    shape, pattern = fit
    mask = pattern.best_mask(np.zeros(shape))
    read = np.broadcast_to(pattern.tap_mask(shape), shape)
    select = pattern.select
    if isinstance(select, PerNeuron):
        flat = mask.reshape(shape[0], -1)
        first = read.reshape(shape[0], -1)
        assert (flat == (first & (first.cumsum(axis=1) <= select.k))).all()
    elif isinstance(select, KOutOfN):
        low = np.arange(shape[1]) % select.n < select.k
        assert (mask == (read & low[:, None, None])).all()


@pytest.mark.parametrize("select", [KOutOfN(20, 64), PerNeuron(20)])
def test_ties_among_many_go_to_the_lower_index(select: KOutOfN | PerNeuron) -> None:
    # Sorting is stable by accident in groups of 16 and less.
    score = np.random.default_rng(0).integers(0, 3, (2, 64, 1, 1))
    expected = np.zeros((2, 64), dtype=bool)
    for f in range(2):
        order = sorted(range(64), key=lambda c: (-int(score[f, c, 0, 0]), c))
        expected[f, order[:20]] = True
    assert np.array_equal(Pattern(select=select).best_mask(score)[..., 0, 0], expected)


def test_shared_filters_add_their_scores() -> None:
    score = np.array([[5.0, 4.0], [0.0, 2.0]]).reshape(2, 2, 1, 1)
    alone, shared = Pattern(select=KOutOfN(1, 2)), Pattern(select=KOutOfN(1, 2, shared_by=2))
    assert alone.best_mask(score).reshape(2, 2).tolist() == [[True, False], [False, True]]
    assert shared.best_mask(score).reshape(2, 2).tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize(
    "select", [KOutOfN(1, 2), KOutOfN(1, 2, KERNEL, 2), PerNeuron(2), PerNeuron(2, 2)]
)
def test_infinite_scores_still_give_a_conforming_mask(select: KOutOfN | PerNeuron) -> None:
    pattern = Pattern(select=select, taps=Strided(2, (1, 1)))
    score = np.full((2, 2, 2, 2), -np.inf)
    score[0] = np.inf
    mask = pattern.best_mask(score)
    assert list(pattern.violations(mask)) == []
    score[1, 1] = np.inf
    assert pattern.best_mask(score)[1, 1].any()


def test_scores_may_have_any_number_type() -> None:
    pattern = Pattern(select=KOutOfN(1, 2))
    for dtype in (np.uint8, np.int64, np.float32):
        score = np.array([1, 200, 7, 0], dtype=dtype).reshape(1, 4, 1, 1)
        assert pattern.best_mask(score).ravel().tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (KOutOfN, {"k": 0, "n": 4}, r"^k-out-of-n needs 1 <= k <= n, got k=0, n=4$"),
        (KOutOfN, {"k": 5, "n": 4}, r"^k-out-of-n needs 1 <= k <= n, got k=5, n=4$"),
        (KOutOfN, {"k": 1.0, "n": 4}, r"^k must be an integer, got 1\.0$"),
        (KOutOfN, {"k": 1, "n": "4"}, r"^n must be an integer, got '4'$"),
        (KOutOfN, {"k": 1, "n": 4, "shared_by": 0}, r"^shared_by must be at least 1, got 0$"),
        (KOutOfN, {"k": 1, "n": 4, "granularity": "kernel"}, r"^granularity must be Granularity"),
        (PerNeuron, {"k": 0}, r"^per-neuron k must be at least 1, got 0$"),
        (PerNeuron, {"k": 1, "shared_by": True}, r"^shared_by must be an integer, got True$"),
        (PerNeuron, {"k": 1, "shared_by": -1}, r"^shared_by must be at least 1, got -1$"),
        (Strided, {"stride": 0, "offsets": (0,)}, r"^tap stride must be at least 1, got 0$"),
        (Strided, {"stride": 2, "offsets": (0, 2)}, r"^tap offsets must lie in 0\.\.1, got 2$"),
        (Strided, {"stride": 2, "offsets": (0, -1)}, r"^tap offsets must lie in 0\.\.1, got -1$"),
        (Strided, {"stride": 2, "offsets": (0.5,)}, r"^offsets must be integers, got \(0\.5,\)$"),
        (Strided, {"stride": 2, "offsets": "01"}, r"^offsets must be integers, got '01'$"),
        (Strided, {"stride": 2, "offsets": 1}, r"^offsets must be integers, got 1$"),
        (Strided, {"stride": None, "offsets": (1,)}, r"^stride must be an integer, got None$"),
        (Pattern, {"select": Dense}, r"^select must be Dense or KOutOfN or PerNeuron, got <class"),
        (Pattern, {"taps": "all"}, r"^taps must be AllTaps or Strided, got 'all'$"),
    ],
)
def test_rejects_wrong_fields(kind: type, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        kind(**fields)


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (lambda: KOutOfN(3, 2, granularity=1, shared_by=0), 3),  # type: ignore[arg-type]
        (lambda: PerNeuron(0, 0), 2),
        (lambda: Strided(0, ("a",)), 2),  # type: ignore[arg-type]
        (lambda: Pattern(select=None, taps=None), 2),  # type: ignore[arg-type]
    ],
)
def test_reports_all_wrong_fields(made: Any, count: int) -> None:
    with pytest.raises(NetworkError) as error:
        made()
    assert len(error.value.problems) == count


@pytest.mark.parametrize(
    ("pattern", "shape", "message"),
    [
        (
            Pattern(select=KOutOfN(2, 4)),
            (4, 18, 3, 3),
            "2-out-of-4 pruning needs input channels divisible by 4, got 18",
        ),
        (
            Pattern(select=KOutOfN(2, 4, shared_by=2)),
            (3, 4, 1, 1),
            "selections shared by 2 filters need a multiple of 2 filters, got 3",
        ),
        (
            Pattern(select=PerNeuron(9)),
            (1, 2, 2, 2),
            "9-out-of-8 per neuron needs k of at most 8, the weights that each filter reads",
        ),
        (
            Pattern(select=PerNeuron(5), taps=Strided(2, (0, 0))),
            (1, 2, 2, 2),
            "5-out-of-4 per neuron needs k of at most 4, the weights that each filter reads",
        ),
        (
            Pattern(taps=Strided(2, (0, 1, 0))),
            (1, 2, 2, 2),
            "strided taps need one offset per input channel (2), got 3",
        ),
        (
            Pattern(taps=Strided(5, (0, 4))),
            (1, 2, 2, 2),
            "tap stride must be at most the 4 taps of the kernel, got 5",
        ),
        (
            Pattern(select=KOutOfN(1, 2), taps=Strided(4, (1, 1, 2, 0))),
            (1, 4, 2, 2),
            "strided taps with 1-out-of-2 need one offset per group, but group 1 has [0, 2]",
        ),
    ],
)
def test_says_why_a_pattern_does_not_fit(
    pattern: Pattern, shape: WeightShape, message: str
) -> None:
    assert list(pattern.problems(shape)) == [message]
    for use in (pattern.kept, lambda shape: pattern.best_mask(np.zeros(shape))):
        with pytest.raises(NetworkError) as error:
            use(shape)
        assert error.value.problems == (message,)
    assert list(pattern.violations(np.ones(shape, dtype=bool))) == [message]


def test_reports_all_reasons_why_a_pattern_does_not_fit() -> None:
    pattern = Pattern(select=KOutOfN(1, 4, shared_by=2), taps=Strided(9, (0,)))
    assert len(list(pattern.problems((3, 6, 2, 2)))) == 4


@pytest.mark.parametrize(
    "shape", [(), (1,), (1, 2, 3), (0, 4, 1, 1), (1, 4, -1, 1), (1, 4, 1.0, 1), None, "abcd"]
)
@pytest.mark.parametrize("pattern", [Pattern(), Pattern(select=PerNeuron(1))])
def test_weird_shapes_are_a_problem_and_no_crash(pattern: Pattern, shape: Any) -> None:
    assert len(list(pattern.problems(shape))) == 1
    for use in (pattern.kept, pattern.tap_mask):
        with pytest.raises(NetworkError, match=r"^weights and masks must have shape \(F, C, Kh,"):
            use(shape)


@pytest.mark.parametrize("mask", [None, [True], np.ones((1, 1, 1, 1)), np.ones(1, dtype=int)])
def test_violations_need_a_bool_array(mask: Any) -> None:
    (problem,) = Pattern().violations(mask)
    assert problem.startswith("a mask must be an array of bool, got")


def test_best_mask_refuses_what_is_not_a_number() -> None:
    with pytest.raises(NetworkError, match=r"^scores must be numbers, got nan$"):
        Pattern().best_mask(np.full((1, 1, 1, 1), np.nan))
    with pytest.raises(NetworkError, match=r"^weights and masks must have shape .* got \(2,\)$"):
        Pattern().best_mask(np.zeros(2))


def test_tap_mask_needs_one_offset_for_each_channel() -> None:
    with pytest.raises(NetworkError, match=r"^strided taps need one offset per input channel \(3"):
        Pattern(taps=Strided(2, (0, 1))).tap_mask((1, 3, 2, 2))


def test_strided_taps_count_in_raster_order() -> None:
    taps = Pattern(taps=Strided(3, (0, 2))).tap_mask((1, 2, 2, 3))
    assert taps.astype(int).tolist() == [[[1, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]]


def test_broken_sharing_names_both_filters() -> None:
    pattern = Pattern(select=KOutOfN(1, 2, shared_by=2))
    mask = np.array([[1, 0], [0, 1]], dtype=bool).reshape(2, 2, 1, 1)
    assert list(pattern.violations(mask)) == [
        (
            "filter 1 selects other weights than filter 0, "
            "but 2 neighbouring filters share one selection"
        )
    ]


def test_sharing_is_broken_by_a_single_group() -> None:
    pattern = Pattern(select=KOutOfN(1, 2, shared_by=2))
    mask = np.array([[1, 0, 1, 0], [1, 0, 0, 1]], dtype=bool).reshape(2, 4, 1, 1)
    (problem,) = pattern.violations(mask)
    assert problem.startswith("filter 1 selects other weights than filter 0")


def test_kernel_granularity_refuses_parts_of_kernels() -> None:
    pattern = Pattern(select=KOutOfN(1, 2, KERNEL))
    mask = np.array([[1, 0], [0, 1]], dtype=bool).reshape(1, 2, 2, 1)
    assert list(pattern.violations(mask)) == [
        "filter 0 keeps only some taps of the kernel of input channel 0",
        "filter 0 keeps only some taps of the kernel of input channel 1",
    ]
    assert list(Pattern(select=KOutOfN(1, 2)).violations(mask)) == []


def test_many_violations_are_counted_and_not_listed() -> None:
    found = list(Pattern().violations(np.zeros((3, 3, 1, 1), dtype=bool)))
    assert len(found) == 6
    assert found[-1] == "and 4 more places that break the pattern dense"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (Pattern(), "dense"),
        (Pattern(select=KOutOfN(1, 4, WEIGHT, 2)), "1-out-of-4 shared by 2"),
        (Pattern(select=KOutOfN(1, 4, KERNEL)), "1-out-of-4 kernels"),
        (Pattern(select=PerNeuron(9, 2)), "9 per neuron shared by 2"),
        (Pattern(taps=Strided(2, (1,))), "dense, every 2. tap"),
        (Pattern(select=PerNeuron(3), taps=AllTaps()), "3 per neuron"),
    ],
)
def test_reads_as_text(pattern: Pattern, text: str) -> None:
    assert str(pattern) == text
    assert str(AllTaps()) == "all taps"


def test_patterns_compare_and_hash_by_value() -> None:
    plain = Pattern(select=KOutOfN(1, 2), taps=Strided(2, (0, 1)))
    odd = Pattern(
        select=KOutOfN(np.int64(1), np.int8(2)),  # type: ignore[arg-type]
        taps=Strided(np.int64(2), np.array([0, 1])),  # type: ignore[arg-type]
    )
    assert plain == odd and hash(plain) == hash(odd)
    assert plain != Pattern(select=KOutOfN(1, 2), taps=Strided(2, (1, 0)))
    assert Pattern().is_dense and not plain.is_dense


@pytest.mark.parametrize(
    "select", [Dense(), KOutOfN(2, 4), KOutOfN(2, 4, KERNEL, 2), PerNeuron(1000, 2)]
)
def test_big_layers_are_checked_quickly(select: Dense | KOutOfN | PerNeuron) -> None:
    shape = (512, 512, 3, 3)
    pattern = Pattern(select=select)
    mask = pattern.best_mask(np.random.default_rng(0).random(shape, dtype=np.float32))
    start = time.process_time()
    assert list(pattern.violations(mask)) == []
    assert len(list(pattern.violations(np.zeros_like(mask)))) == 6
    assert time.process_time() - start < 2.0, "twice, and on a busy machine"
