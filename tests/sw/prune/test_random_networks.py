"""Every method on random networks: sequences and images, grouped, depthwise and transposed."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune import (
    ADMM,
    DPF,
    DPP,
    GDP,
    SPP,
    SRSTE,
    BestOfRandom,
    DPPFilters,
    EvaluationSplit,
    FilterBudget,
    FilterMasks,
    FilterScore,
    FilterSparsifier,
    LayerPlan,
    MaskSet,
    ReconstructingPruner,
    ScorePruner,
    TaylorGates,
    WeightSparsifier,
    find_channel_groups,
    measure_wanda,
    prunable_layers,
    prune_by_ensembles,
    prune_by_particles,
    prune_feature_maps_by_particles,
    recalibrate_batch_norms_,
    reconstruct_consumers_,
    remove_filters,
    score_filters,
    select_filters_by_layer,
)
from systolith.prune.filters_first import Transposed, filter_weights
from tests.sw.prune.filters.random_graphs import RandomGraph

IMAGES = torch.rand(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3
BUDGET = FilterBudget(keep=0.8)
SHORT = pytest.mark.filterwarnings("ignore::UserWarning")
"""Methods warn of trainings that are too short, and of few filters."""


def make_model(seed: int) -> tuple[RandomGraph, torch.Tensor]:
    torch.manual_seed(seed)
    model = RandomGraph(seed)
    return model, model.inputs(IMAGES)


def draw_patterns(model: nn.Module, seed: int) -> dict[str, Pattern]:
    """Draw a pattern that fits for each layer but the first."""
    draw = torch.Generator().manual_seed(seed)
    patterns: dict[str, Pattern] = {}
    for name, layer in list(prunable_layers(model).items())[1:]:
        filters, channels = filter_weights(layer).shape[:2]
        groups = [n for n in (2, 4) if channels % n == 0]
        choices: list[Pattern] = []
        for n in groups:
            for k in {1, n - 1}:
                choices += [
                    Pattern(select=KOutOfN(k, n)),
                    Pattern(select=KOutOfN(k, n, Granularity.KERNEL)),
                ]
                if filters % 2 == 0:
                    choices.append(Pattern(select=KOutOfN(k, n, shared_by=2)))
        if not isinstance(layer, Transposed) and filter_weights(layer)[0].numel() > 3:
            choices.append(Pattern(select=PerNeuron(3)))
        if choices:
            patterns[name] = choices[int(torch.randint(len(choices), (), generator=draw))]
    return patterns


def sparsifiers(model: nn.Module, patterns: dict[str, Pattern]) -> Iterator[WeightSparsifier]:
    pruner = ScorePruner(patterns=patterns)
    yield SRSTE(pruner)
    yield DPF(pruner)
    yield ADMM(model, patterns)
    yield SPP(model, patterns)
    yield DPP(model, patterns)


def step(model: nn.Module, x: torch.Tensor, sparsifier: object, progress: float) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with sparsifier.step(model, progress):  # type: ignore[attr-defined]
        F.cross_entropy(model(x), LABELS).backward()
    optimizer.step()


def assert_exact(model: nn.Module, masks: MaskSet, patterns: dict[str, Pattern]) -> None:
    """Masks conform, count exactly, and what they prune is zero once they are applied."""
    checked = MaskSet(dict(masks), masks.patterns)
    checked.apply_(model)
    for name, pattern in patterns.items():
        weight = filter_weights(model.get_submodule(name))
        mask = checked[f"{name}.weight"]
        assert mask.shape == weight.shape and not weight[~mask].any()
        select = pattern.select
        if isinstance(select, KOutOfN):
            assert int(mask.sum()) * select.n == mask.numel() * select.k
        else:
            assert (mask.flatten(1).sum(1) == 3).all()


@SHORT
@given(st.integers(0, 2**31))
@settings(max_examples=3, deadline=None)
def test_masks_of_every_method_are_exact(seed: int) -> None:
    first, _ = make_model(seed)
    patterns = draw_patterns(first, seed)
    count = len(list(sparsifiers(first, patterns)))
    for number in range(count):
        model, x = make_model(seed)
        sparsifier = list(sparsifiers(model, patterns))[number]
        for progress in (0.0, 0.9):
            step(model, x, sparsifier, progress)
        assert_exact(model, sparsifier.masks(model), patterns)
    model, x = make_model(seed)
    used = {name: pattern for name, pattern in patterns.items() if is_called(model, name, x)}
    wanda = ScorePruner(patterns=used, score=measure_wanda(model.eval(), used, x))
    assert_exact(model, wanda.masks(model), used)
    model, x = make_model(seed)
    pruner = ReconstructingPruner(patterns=used, images=x)
    assert_exact(model, pruner.prune_(model.eval()), used)
    recalibrate_batch_norms_(model, x)
    kernels = {n: LayerPlan(select=p.select) for n, p in used.items() if is_by_kernel(p)}
    if kernels:
        model, x = make_model(seed)
        split = EvaluationSplit(images=x, labels=LABELS)
        found = prune_by_particles(
            model.eval(), split, kernels, search=BestOfRandom(particles=3, generations=2)
        )
        assert_exact(model, found, {name: patterns[name] for name in kernels})


def is_by_kernel(pattern: Pattern) -> bool:
    select = pattern.select
    return isinstance(select, KOutOfN) and select.shared_by == 1


def is_called(model: RandomGraph, name: str, x: torch.Tensor) -> bool:
    """Whether the output depends on a layer; searches refuse others."""
    model.eval().zero_grad()
    model(x).square().sum().backward()
    return model.get_parameter(f"{name}.weight").grad is not None


@SHORT
@given(st.integers(0, 2**31))
@settings(max_examples=3, deadline=None)
def test_every_method_that_removes_filters(seed: int) -> None:
    model, x = make_model(seed)
    groups = find_channel_groups(model, x)
    removable = [group for group in groups if group.removable]
    if sum(group.size for group in removable) * BUDGET.keep < len(removable) or not removable:
        return  # each group keeps one filter

    def by_score(score: FilterScore) -> Callable[[], FilterMasks]:
        return lambda: select_filters_by_layer(groups, score_filters(model, groups, score), BUDGET)

    def by_step(sparsifier: FilterSparsifier) -> FilterMasks:
        for progress in (0.0, 0.5, 1.0):
            step(model, x, sparsifier, progress)
        return sparsifier.filters(model)

    split = EvaluationSplit(images=x, labels=LABELS)
    sizes = {group.name: max(1, group.size // 2) for group in removable}
    methods: list[Callable[[], FilterMasks]] = [
        *map(by_score, set(FilterScore) - {FilterScore.BATCH_NORM}),
        lambda: by_step(GDP(groups, BUDGET, interval=1, begin=0.0)),
        lambda: by_step(TaylorGates(groups, BUDGET, batches=1)),
        lambda: by_step(DPPFilters(groups, keep=sizes)),
        lambda: prune_by_ensembles(model.eval(), split, BUDGET, rounds=1),
        lambda: prune_feature_maps_by_particles(
            model.eval(), split, sizes, search=BestOfRandom(particles=2, generations=2)
        ),
    ]
    for method in methods:
        model, x = make_model(seed)
        masks = method()
        masked = FilterMasks(dict(masks), groups)
        model.eval()
        small = remove_filters(model, masked, x)  # compares outputs, too
        assert masked.kept.items() <= {
            group.name: group.size for group in find_channel_groups(small, x)
        }.items() or any(1 in layer.weight.shape[:2] for layer in prunable_layers(small).values())
    reconstruct_consumers_(small, model, masked, x)
    assert small(x).isfinite().all()
