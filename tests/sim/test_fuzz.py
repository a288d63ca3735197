"""Random networks, all the way to RTL; and what happens when one fails."""

import json
from collections import Counter
from dataclasses import replace
from itertools import count
from math import prod
from pathlib import Path

import numpy as np
import pytest

from systolith.emit import Design, write_design
from systolith.fuzz import (
    Case,
    EmitFunction,
    FindingKind,
    SeededChoices,
    draw_case,
    fuzz,
    judge_case,
    replay,
)
from systolith.network import Conv2d, IntegerNetwork, Linear, forward
from systolith.plan import NetworkPlan, plan_network
from tests.support.slow import first_few
from tests.support.twins import disguise

SEED, NETWORKS, MOST_LAYERS = 20261, 12, 2


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the runtime of Verilator once for all tests."""
    return tmp_path_factory.mktemp("simulators")


@pytest.mark.parametrize(
    "number", first_few(range(NETWORKS), 3), ids=lambda number: f"seed{SEED}-{number}"
)
def test_random_networks_are_equal_and_take_the_cycles_predicted(
    number: int, simulators: Path
) -> None:
    verdict = judge_case(draw_case(SeededChoices(f"{SEED}/{number}"), MOST_LAYERS), simulators)
    assert verdict.findings == ()


def _with_wrong_bias(network: IntegerNetwork) -> IntegerNetwork:
    """Invert the lowest bit of one bias."""
    layers = list(network.layers)
    for position, layer in enumerate(layers):
        if isinstance(layer, Conv2d | Linear):
            bias = layer.bias.copy()
            bias[-1] ^= 1
            layers[position] = replace(layer, bias=bias)
            break
    return replace(network, layers=tuple(layers))


def _wrong_bias(plan: NetworkPlan, folder: Path) -> Design:
    """EmitFunction of another network, as if nothing were wrong."""
    return disguise(_with_wrong_bias(plan.network), plan, folder)


def _other_arrays(plan: NetworkPlan, folder: Path) -> Design:
    """EmitFunction what computes the same in other cycles than the plan says."""
    return write_design(plan_network(plan.network, multipliers=10_000), folder)


def _shows_a_wrong_bias(number: int) -> bool:
    """Whether a network is cheap, has a bias, and gives other results with another bias."""
    case = draw_case(SeededChoices(f"10/{number}"), 1)
    values = sum(prod(tensor.shape) for tensor in case.network.tensors.values())
    return 30 < values < 300 and any(
        not np.array_equal(right, wrong)
        for right, wrong in zip(
            forward(case.network, case.images).values(),
            forward(_with_wrong_bias(case.network), case.images).values(),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("saboteur", "kind"),
    [
        (_wrong_bias, FindingKind.MISMATCH),
        pytest.param(_other_arrays, FindingKind.CYCLES, marks=pytest.mark.slow),
    ],
)
def test_a_broken_design_is_found_shrunk_kept_and_replayed(
    saboteur: EmitFunction, kind: FindingKind, tmp_path: Path
) -> None:
    heard: list[int] = []
    number = next(number for number in count() if _shows_a_wrong_bias(number))
    result = fuzz(
        2,
        10,
        tmp_path,
        first=number,
        most_layers=1,
        shrink_attempts=2,
        emit=saboteur,
        progress=lambda now: heard.append(now.result.networks),
    )
    assert not result.passed
    assert result.networks == heard[-1] == 1, "a failure ends the search"
    (failure,) = result.failures
    print(failure)
    assert kind in failure.verdict.kinds and result.failed[kind] == 1
    assert failure.number == number
    assert [path.name for path in tmp_path.iterdir()] == [f"failure-10-{number}"]

    drawn, kept = draw_case(SeededChoices(f"10/{number}"), 1), Case.load(failure.folder)
    assert kept.key != drawn.key
    assert len(kept.network.layers) <= len(drawn.network.layers)
    found = json.loads((failure.folder / "findings.json").read_text())["findings"]
    assert found == [f"{what.value}: {text}" for what, text in failure.verdict.findings]

    assert replay(kept, emit=saboteur) == failure.verdict
    assert replay(kept).passed


def test_whatever_goes_wrong_on_the_way_is_a_finding(tmp_path: Path) -> None:
    def refuses(plan: NetworkPlan, folder: Path) -> Design:
        raise IndexError("no such thing")

    verdict = judge_case(draw_case(SeededChoices("0/0"), 1), tmp_path, refuses)
    assert verdict.findings == ((FindingKind.ERROR, "IndexError: no such thing"),)


def test_several_processes_judge_the_networks_of_these_numbers(tmp_path: Path) -> None:
    result = fuzz(2, 5, tmp_path, first=1, jobs=2, most_layers=1)
    assert result.passed and result.networks == 2
    cases = [draw_case(SeededChoices(f"5/{number}"), 1) for number in (1, 2)]
    assert result.contents == Counter(kind for case in cases for kind in case.contents())
