"""What fuzzing draws: the whole contract, the same for the same seed, and what shrinks."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from systolith.bench import PATTERNS
from systolith.fuzz import (
    CONTENTS,
    Case,
    Choices,
    FindingKind,
    SeededChoices,
    Verdict,
    draw_case,
    shrink_choices,
)
from systolith.network import (
    INPUT,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    Multiply,
    Rounding,
    apply_layer,
    trace,
)

DRAWS = 400
LEAST = 8
MOST_LAYERS = 4


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [draw_case(SeededChoices(f"0/{number}"), MOST_LAYERS) for number in range(DRAWS)]


def test_everything_in_the_contract_is_drawn(cases: list[Case]) -> None:
    drawn = Counter(kind for case in cases for kind in case.contents())
    assert set(drawn) == set(CONTENTS)
    assert min(drawn.values()) >= LEAST, drawn


def test_every_type_and_rounding_is_drawn(cases: list[Case]) -> None:
    layers = [layer for case in cases for layer in case.network.layers]
    found = Counter(feature for layer in layers for feature in _numbers(layer))
    wanted = ["signed", "unsigned", "zero point", "wrap", "saturate", "clamp"]
    wanted += [rounding.value for rounding in Rounding]
    assert all(found[feature] >= LEAST for feature in wanted), found
    weights = [layer.weight_bits for layer in layers if isinstance(layer, Conv2d | Linear)]
    assert set(weights) >= set(range(1, 9)) and max(weights) > 8


def _numbers(layer: Layer) -> list[str]:
    requantize, output = getattr(layer, "requantize", None), getattr(layer, "output", None)
    if requantize is None or output is None:
        return []
    return [
        "signed" if output.signed else "unsigned",
        *(["zero point"] if output.zero_point else []),
        *(["clamp"] if requantize.clamp else []),
        requantize.rounding.value,
        requantize.overflow.value,
    ]


def test_ties_are_drawn(cases: list[Case]) -> None:
    """There are layers whose values would be others if ties went up."""
    found = 0
    for case in cases:
        values = {INPUT: case.images, **trace(case.network, case.images)}
        for layer in case.network.layers:
            if isinstance(layer, Conv2d | Linear | AvgPool2d | Add | Multiply):
                up = replace(layer, requantize=replace(layer.requantize, rounding=Rounding.HALF_UP))
                if layer.requantize.rounding is Rounding.HALF_EVEN:
                    read = [values[name] for name in layer.inputs]
                    other = apply_layer(up, read, case.network.inputs_of(layer))
                    found += not np.array_equal(other, values[layer.name])
    assert found >= LEAST


def test_every_pattern_of_stalls_is_drawn(cases: list[Case]) -> None:
    names = {stalls.name for stalls in PATTERNS} - {"none"}
    assert {case.stalls for case in cases} == names


def test_networks_have_at_most_so_many_layers(cases: list[Case]) -> None:
    sizes = [sum(not isinstance(layer, Flatten) for layer in case.network.layers) for case in cases]
    assert set(sizes) == set(range(1, MOST_LAYERS + 1))


def test_every_case_can_be_planned_as_it_was_drawn(cases: list[Case]) -> None:
    for case in cases:
        plan = case.plan()
        assert {engine.name: engine.array for engine in plan.convolutions} == case.arrays
        assert plan.reloadable == case.reloadable


def test_equal_seeds_draw_equal_cases(cases: list[Case]) -> None:
    again = [draw_case(SeededChoices(f"0/{number}"), MOST_LAYERS) for number in range(DRAWS)]
    assert [case.key for case in again] == [case.key for case in cases]
    assert len({case.key for case in cases}) == DRAWS


def test_a_saved_case_is_the_same_case(cases: list[Case], tmp_path: Path) -> None:
    for case in cases[:25]:
        case.save(tmp_path / case.key)
        assert Case.load(tmp_path / case.key).key == case.key


def test_a_folder_that_holds_no_case_is_refused(cases: list[Case], tmp_path: Path) -> None:
    cases[0].save(tmp_path)
    (tmp_path / "case.json").write_text('{"seed": 1}')
    with pytest.raises(ValueError, match=r"does not hold a case: 'arrays'"):
        Case.load(tmp_path)


def _parts(case: Case) -> tuple[str, ...]:
    return (*case.lookup, *case.distributed_weights, *case.distributed_windows)


def test_all_that_a_case_is_counts_in_its_key(cases: list[Case]) -> None:
    case = next(case for case in cases if case.arrays and not _parts(case))
    others = [
        replace(case, images=case.images ^ 1),
        replace(case, arrays={}),
        replace(case, lookup=tuple(case.arrays)),
        replace(case, distributed_weights=tuple(case.arrays)),
        replace(case, distributed_windows=tuple(case.arrays)),
        replace(case, reloadable=not case.reloadable),
        replace(case, stalls="none"),
        replace(case, seed=case.seed + 1),
    ]
    assert len({case.key, *(other.key for other in others)}) == 1 + len(others)


def _draw(choices: Choices) -> Case:
    return draw_case(choices, MOST_LAYERS)


def test_a_failing_case_shrinks_to_what_makes_it_fail() -> None:
    def judged(case: Case) -> Verdict:
        strided = any("strided" in kind for kind in case.contents())
        return Verdict(findings=((FindingKind.MISMATCH, "strided"),) if strided else ())

    for number in range(DRAWS):
        choices = SeededChoices(f"3/{number}")
        case = draw_case(choices, MOST_LAYERS)
        if not (verdict := judged(case)).passed and len(case.network.layers) >= MOST_LAYERS:
            break
    simplest, found = shrink_choices(_draw, case, verdict, choices.made, judged, attempts=500)
    (layer,) = simplest.network.layers
    assert isinstance(layer, Conv2d)
    assert "strided" in set(simplest.contents()) and not simplest.reloadable
    assert layer.weight.shape[0] == 1 and np.prod(simplest.network.input.shape) <= 4
    assert len(simplest.images) == 1
    assert found.kinds == {FindingKind.MISMATCH}


def test_shrinking_judges_no_more_cases_than_it_may() -> None:
    seen: list[str] = []

    def judged(case: Case) -> Verdict:
        seen.append(case.key)
        return Verdict(findings=((FindingKind.ERROR, "always"),))

    choices = SeededChoices("1/0")
    case = draw_case(choices, MOST_LAYERS)
    simplest, _ = shrink_choices(_draw, case, judged(case), choices.made, judged, attempts=5)
    assert len(seen) == len(set(seen)) <= 1 + 5
    assert len(simplest.network.layers) <= len(case.network.layers)


def test_another_kind_of_finding_is_not_what_is_shrunk() -> None:
    choices = SeededChoices("1/0")
    case = draw_case(choices, MOST_LAYERS)
    first = Verdict(findings=((FindingKind.MISMATCH, "first"),))
    other = Verdict(findings=((FindingKind.CYCLES, "other"),))
    simplest, verdict = shrink_choices(
        _draw, case, first, choices.made, lambda _: other, attempts=9
    )
    assert (simplest.key, verdict) == (case.key, first)
