"""Operators that move values take no multiplier; measured costs against planned ones."""

import re
from types import SimpleNamespace

import pytest
from amaranth.back import rtlil

from benchmarks.physical.costs import read_stages
from benchmarks.physical.operators import plan_operator
from benchmarks.physical.samples import MOVING, OPERATORS, Size
from systolith.gateware import Pipeline, Technology

ECP5 = SimpleNamespace(technology=Technology.ECP5)
MULTIPLIER = re.compile(r"cell \\MULT18X18D\b")
SMALL = Size(channels=4, pixels=4, bits=4)


def _multipliers(name: str) -> int:
    plan = plan_operator(name, SMALL)
    return len(MULTIPLIER.findall(rtlil.convert(Pipeline(plan), platform=ECP5)))


@pytest.mark.parametrize("name", MOVING)
def test_operators_that_move_values_take_no_multiplier(name: str) -> None:
    assert _multipliers(name) == 0


def test_multipliers_are_counted() -> None:
    assert _multipliers("Conv2d, dense 3x3") > 0
    assert _multipliers("AvgPool2d 2x2") > 0


def test_synthesis_found_no_multiplier_either() -> None:
    stages = read_stages()
    assert {row["operator"] for row in stages} == OPERATORS.keys()
    assert not [row for row in stages if row["operator"] in MOVING and row["found"]["dsps"]]


def test_planned_multipliers_and_block_rams_are_exact() -> None:
    for row in read_stages():
        for kind in ("dsps", "block_rams"):
            assert row["planned"][kind] == row["found"][kind], (row["operator"], kind)
