"""Pictures and tables of a placed design."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from systolith.build import CellCounts, CriticalPath, Hop, PlacedCell, Site, read_placement
from systolith.plan import plan_network
from systolith.report import draw_floorplan, utilization_rows, utilization_table
from tests.support.networks import small_network

PATH = CriticalPath(
    start="conv1.a",
    end="conv2.b",
    hops=(Hop(module="conv1", logic_ns=1.0, routing_ns=2.5, cells=2),),
    tiles=((1, 1), (1, 6), (8, 6)),
)
DEVICE = CellCounts(luts=1000, flip_flops=1000, dsps=8, block_rams=4)


def _cell(kind: str, place: str | None) -> dict[str, Any]:
    attributes = {} if place is None else {"NEXTPNR_BEL": place}
    return {"type": kind, "attributes": attributes, "connections": {}}


def _placed(folder: Path, engines: int = 3) -> Path:
    cells = {
        f"conv{engine}.cell_{n}": _cell("TRELLIS_COMB", f"X{engine % 9}/Y{n % 7}/SLICEA.K0")
        for engine in range(engines)
        for n in range(40 - engine)
    }
    cells |= {
        "conv1.multiplier": _cell("MULT18X18D", "X4/Y3/MULT18_0"),
        "conv1.memory": _cell("DP16KD", "X6/Y3/EBR0"),
        "clk$tr_io": _cell("TRELLIS_IO", "X9/Y8/PIOA"),
        "$PACKER_VCC": _cell("TRELLIS_COMB", "X2/Y2/SLICEA.K1"),
        "conv1.unplaced": _cell("TRELLIS_FF", None),
    }
    path = folder / "seed1.placed.json"
    module = {"attributes": {"top": "1"}, "ports": {}, "cells": cells}
    path.write_text(json.dumps({"modules": {"top": module}}))
    return path


def test_places_are_read(tmp_path: Path) -> None:
    placement = read_placement(_placed(tmp_path))
    assert placement.size == (10, 9)
    assert PlacedCell(engine="conv1", site=Site.DSP, x=4, y=3) in placement.cells
    assert PlacedCell(engine="conv1", site=Site.BLOCK_RAM, x=6, y=3) in placement.cells
    assert PlacedCell(engine="other", site=Site.LOGIC, x=2, y=2) in placement.cells
    assert len(placement.cells) == 40 + 39 + 38 + 4
    assert placement.counts["conv1"] == CellCounts(luts=39, flip_flops=1, dsps=1, block_rams=1)


def test_a_design_that_is_not_placed_is_refused(tmp_path: Path) -> None:
    path = _placed(tmp_path, 1)
    path.write_text(path.read_text().replace("NEXTPNR_BEL", "NEXTPNR_NOTHING"))
    with pytest.raises(ValueError, match="has no cell that is placed$"):
        read_placement(path)


@pytest.mark.parametrize("engines", [1, 25])
def test_a_picture_has_the_colours_of_engines(engines: int, tmp_path: Path) -> None:
    placement = read_placement(_placed(tmp_path, engines))
    files = [tmp_path / "floorplan.png", tmp_path / "floorplan.svg"]
    draw_floorplan(placement, PATH, DEVICE, "title", files)
    pixels = (matplotlib.image.imread(files[0])[..., :3] * 255).round().astype(int)
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    common = {"#" + "".join(f"{c:02x}" for c in colour) for colour in colours[counts > 40]}
    assert {"#4e79a7", "#8c8c8c"} <= common
    assert ("#86bc25" in common) == (engines == 25)
    words = files[1].read_text()
    assert "critical path, 3.5 ns" in words.replace("<!-- ", "")
    assert ("<!-- 15 others -->" in words) == (engines == 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("floorplan.png", "floorplan.svg", "seed1.placed.json")
    ]


def test_what_was_placed_stands_beside_what_was_planned() -> None:
    plan = plan_network(small_network())
    counts = {
        "conv2": CellCounts(luts=700, flip_flops=300, dsps=3, block_rams=2),
        "other": CellCounts(luts=5),
        "server": CellCounts(luts=900),
    }
    rows = utilization_rows(plan, counts)
    assert [row.name for row in rows] == [
        *(stage.name for stage in plan.stages),
        *("server", "other"),
    ]
    (conv2,) = [row for row in rows if row.name == "conv2"]
    (stage,) = [stage for stage in plan.stages if stage.name == "conv2"]
    assert (conv2.luts, conv2.flip_flops, conv2.dsps, conv2.block_rams) == (700, 300, 3, 2)
    assert conv2.planned_luts == plan.resources_of(stage).luts
    assert rows[-1].planned_luts is None
    text = StringIO()
    Console(file=text, width=100).print(utilization_table(rows))
    assert f"{plan.resources.luts:,}" in text.getvalue()
    assert "1,605" in text.getvalue()
