"""Descriptions of sparsifiers: every argument that decides the result is among their settings."""

from collections.abc import Iterator
from functools import partial
from inspect import getmembers, isclass, signature
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith import prune, quant
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    ADMM,
    DPF,
    DPP,
    GDP,
    SPP,
    SRSTE,
    Cubic,
    DPPFilters,
    FilterBudget,
    FilterMasks,
    FrozenFilters,
    FrozenMasks,
    LearnedPatterns,
    LogitInit,
    ScorePruner,
    Sparsifier,
    TaylorGates,
    WandaScore,
    describe_sparsifier,
    find_channel_groups,
    macs_after,
    parameters_after,
    weight_cost,
)
from systolith.prune.sparsifier import describe_value
from systolith.quant import DJPQ

NETWORK = {"model", "groups", "images"}
"""Arguments that are no settings: checkpoints compare models, and training its images."""
IMAGES = torch.rand(4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
SEEDED = {"seed": 1}
DRAWN = {"noise": 0.5, "entropy": 0.5, "temperature": (4.0, 1.0), "draw_until": 0.7, "travel": 3.0}


def _model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Conv2d(2, 8, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 2, 4), nn.Flatten())


MODEL = _model()
GROUPS = find_channel_groups(MODEL, IMAGES)
HALF, QUARTER = ({"2": Pattern(select=KOutOfN(k, 4))} for k in (2, 1))
HALF_MASKS, QUARTER_MASKS = (ScorePruner(patterns=p).masks(MODEL) for p in (HALF, QUARTER))
FEW, MANY = (FilterMasks({"0": torch.arange(8) < kept}, GROUPS) for kept in (2, 6))
COUNTED = macs_after(MODEL, GROUPS, IMAGES)
BUDGET = FilterBudget(keep=0.5, cost=COUNTED)
COST = weight_cost(MODEL, IMAGES, macs=False)


def _price(patterns: Any) -> float:
    return COST(patterns)


BUDGETS = [
    FilterBudget(keep=0.6, cost=COUNTED),
    FilterBudget(keep=0.5, cost=parameters_after(MODEL, GROUPS, IMAGES)),
    FilterBudget(keep=0.5, cost=COUNTED, min_filters=2),
    FilterBudget(keep=0.5, cost=COUNTED, min_ratio=0.1),
    FilterBudget(keep=0.5, cost=COUNTED, multiple_of=2),
    FilterBudget(keep=0.5, cost=COUNTED, ratios={"0": 0.5}),
]
PRUNERS = [
    ScorePruner(patterns=QUARTER),
    ScorePruner(patterns=HALF, schedule=Cubic()),
    ScorePruner(patterns=HALF, score=WandaScore(norms={"2.weight": torch.ones(1)})),
]
Arguments = dict[str, Any]
CASES: dict[type, tuple[Arguments, Arguments]] = {
    ADMM: (
        {"model": MODEL, "patterns": HALF},
        {"patterns": QUARTER, "rho": 0.3, "interval": 7, "prune_at": 0.5},
    ),
    DPF: ({"pruner": ScorePruner(patterns=HALF)}, {"pruner": PRUNERS, "interval": 7}),
    DPP: (
        {"model": MODEL, "patterns": HALF},
        {"patterns": QUARTER, "init": LogitInit.MAGNITUDE, **DRAWN, **SEEDED},
    ),
    SPP: (
        {"model": MODEL, "patterns": HALF},
        {
            "patterns": QUARTER,
            "interval": 7,
            "max_increment": 0.1,
            "flatness": 0.3,
            "prune_until": 0.5,
            **SEEDED,
        },
    ),
    SRSTE: ({"pruner": ScorePruner(patterns=HALF)}, {"pruner": PRUNERS, "decay": 0.1}),
    GDP: (
        {"groups": GROUPS, "budget": BUDGET},
        {
            "budget": BUDGETS,
            "interval": 7,
            "batches": 5,
            "begin": 0.1,
            "ramp_until": 0.4,
            "freeze_at": 0.6,
            "per_cost": False,
            "momentum": 0.5,
            "hysteresis": 0.5,
        },
    ),
    TaylorGates: (
        {"groups": GROUPS, "budget": BUDGET},
        {"budget": BUDGETS, "batches": 7, "per_round": 2, "momentum": 0.5, "begin": 0.2},
    ),
    DPPFilters: (
        {"groups": GROUPS, "keep": 0.5},
        {
            "keep": [0.6, {"0": 3}],
            "multiple_of": 2,
            "scores": {"0": torch.arange(8.0)},
            **DRAWN,
            **SEEDED,
        },
    ),
    FrozenFilters: ({"masks": FEW}, {"masks": MANY}),
    FrozenMasks: ({"masks": HALF_MASKS}, {"masks": QUARTER_MASKS}),
    LearnedPatterns: (
        {
            "model": MODEL,
            "candidates": {name: [pattern] for name, pattern in QUARTER.items()},
            "cost": COST,
            "budget": 300.0,
        },
        {
            "candidates": {"2": [*QUARTER.values(), *HALF.values()]},
            "cost": _price,
            "budget": 310.0,
            "slope": _price,
            "init": LogitInit.RANDOM,
            "decide_at": 0.2,
            **DRAWN,
            **SEEDED,
        },
    ),
    DJPQ: (
        {"model": MODEL, "groups": GROUPS, "images": IMAGES},
        {
            "information": 0.1,
            "bit_operations": 0.2,
            "power_of_two": True,
            "settle_at": 0.6,
            "travel": 3.0,
            **SEEDED,
        },
    ),
}


def _changes(kind: type) -> Iterator[tuple[str, Any]]:
    for name, values in CASES[kind][1].items():
        yield from ((name, value) for value in (values if isinstance(values, list) else [values]))


def test_every_sparsifier_of_the_project_has_cases() -> None:
    classes = {
        kind
        for _, kind in chain(getmembers(prune, isclass), getmembers(quant, isclass))
        if hasattr(kind, "step") and hasattr(kind, "load_state_dict")
        if not issubclass(kind, nn.Module) and not getattr(kind, "_is_protocol", False)
    }
    assert classes == set(CASES)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_every_argument_but_the_network_is_a_setting(kind: type) -> None:
    wanted = set(signature(kind).parameters) - NETWORK
    sparsifier: Sparsifier = kind(**CASES[kind][0])
    assert set(sparsifier.settings) == wanted == set(CASES[kind][1])


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_another_value_of_any_argument_gives_another_description(kind: type) -> None:
    usual, same = (describe_sparsifier(kind(**CASES[kind][0])) for _ in range(2))
    others = [
        describe_sparsifier(kind(**{**CASES[kind][0], name: value}))
        for name, value in _changes(kind)
    ]
    assert usual == same
    assert len({usual, *others}) == len(others) + 1
    assert usual.startswith(f"{kind.__name__}(")
    assert not any(" at 0x" in text for text in (usual, *others))


@pytest.mark.filterwarnings("ignore:.* needs .*, got")  # of so short a training
@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_a_description_stays_during_training(kind: type) -> None:
    model = _model()
    sparsifier: Sparsifier = kind(**CASES[kind][0])
    before = describe_sparsifier(sparsifier)
    for step in range(4):
        with sparsifier.step(model, step / 4):
            model(IMAGES).square().mean().backward()
    assert describe_sparsifier(sparsifier) == before


@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.bfloat16])
def test_tensors_are_described_by_their_values(kind: torch.dtype) -> None:
    def described(value: Tensor) -> str:
        score = WandaScore(norms={"a": value})
        return describe_sparsifier(SRSTE(ScorePruner(patterns={}, score=score)))

    values = torch.tensor([[0, 1], [1, 0]]).to(kind)
    texts = [described(values), described(values.flip(0)), described(values[0, 0])]
    assert described(values.clone()) == texts[0]
    assert described(values.T.contiguous().T) == texts[0]
    assert len(set(texts)) == len(texts)


class _Scaled:
    def __init__(self, scale: float) -> None:
        self.scale, self._cache = scale, object()


def test_objects_are_described_by_what_they_compute_with() -> None:
    values = [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(weight=torch.ones(2)),
        nn.CrossEntropyLoss(weight=torch.zeros(2)),
        partial(F.cross_entropy, label_smoothing=0.1),
        partial(F.cross_entropy, label_smoothing=0.2),
        F.cross_entropy,
        _Scaled(1.0),
        _Scaled(2.0),
        np.float32(0.5),
        np.float32(0.25),
    ]
    texts = [describe_value(value) for value in values]
    assert len(set(texts)) == len(texts) and not any(" at 0x" in text for text in texts)
    assert describe_value(_Scaled(1.0)) == describe_value(_Scaled(1.0))
    assert describe_value(np.float64(0.5)) == describe_value(0.5)
