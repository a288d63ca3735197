"""What the plan says of memories and multipliers, in the Verilog and after synthesis."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from systolith.build import synthesize
from systolith.devices import DEVICES, Budget
from systolith.emit import emit_verilog
from systolith.gateware import Technology
from systolith.plan import (
    ArrayShape,
    MemoryKind,
    MultiplierKind,
    NetworkPlan,
    PoolPlan,
    WeightMemory,
    plan_network,
)
from tests.support.networks import convolution, small_network

BLOCK, DISTRIBUTED = MemoryKind


def _plan(
    weights: MemoryKind,
    window: MemoryKind,
    *,
    tile: tuple[int, int] = (1, 1),
    reloadable: bool = False,
) -> NetworkPlan:
    network = convolution(channels=16, filters=8, size=(8, 8), kept=(2, 8))
    array = ArrayShape(rows=2, columns=2, multipliers=2)
    plan = plan_network(network, arrays={"conv": array}, reloadable=reloadable)
    (engine,) = plan.convolutions
    memory = WeightMemory(weights, *tile)
    engine = replace(engine, weight_memory=memory, window_memory=window)
    return replace(plan, graph=plan.graph.with_stages([engine]))


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
    style = "logic" if weights is DISTRIBUTED else "block"
    assert _styles(fixed, r"weights_\d_\d\.memory") == [style] * 4
    assert _styles(fixed, r"row_\d\.memory") == [window.value] * 2
    loadable = emit_verilog(_plan(weights, window, reloadable=True))
    assert _styles(loadable, r"weights_\d_\d\.memory") == [weights.value] * 4
    assert _styles(loadable, r"row_\d\.memory") == [window.value] * 2


def test_windows_of_pools_are_of_the_kind_that_the_plan_says() -> None:
    plan = plan_network(small_network(), multipliers=12)
    for kind in MemoryKind:
        stages = [
            replace(stage, window_memory=kind) if isinstance(stage, PoolPlan) else stage
            for stage in plan.stages
        ]
        text = emit_verilog(replace(plan, graph=plan.graph.with_stages(stages)))
        assert _styles(text, r"pool2\.reader\.memory") == [kind.value]


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
    # A window in LUTs leaves the time for another memory of weights.
    tile = (2, 1) if window is DISTRIBUTED else (1, 1)
    plan = _plan(weights, window, tile=tile, reloadable=reloadable)
    (tmp_path / "top.v").write_text(emit_verilog(plan, technology=Technology.ECP5))
    netlist = synthesize(["top.v"], "systolith_top", tmp_path, DEVICES["ecp5-25f"])
    module = json.loads(netlist.read_text())["modules"]["systolith_top"]
    cells = Counter(cell["type"] for cell in module["cells"].values())
    assert cells["DP16KD"] == plan.resources.block_rams
    assert cells["MULT18X18D"] == plan.resources.dsps
