"""What nextpnr reports, in our words."""

import json
from pathlib import Path
from typing import Any

import pytest

from systolith.build import Hop, read_placement_report

CLOCK = "$glbnet$clk"


PLACES = {"conv1.array.acc_1": [3, 4], "conv1.array.sum_2": [3, 4], "conv1.output.full_3": [9, 1]}


def _segment(kind: str, delay: float, source: str, sink: str) -> dict[str, Any]:
    return {
        "type": kind,
        "delay": delay,
        "from": {"cell": source, "port": "Q", "loc": PLACES.get(source, [0, 0])},
        "to": {"cell": sink, "port": "D", "loc": PLACES.get(sink, [0, 0])},
    }


def _report(tmp_path: Path, **changes: Any) -> Path:
    inside = [
        _segment("clk-to-q", 0.5, "conv1.array.acc_1", "conv1.array.acc_1"),
        _segment("routing", 1.5, "conv1.array.acc_1", "conv1.array.sum_2"),
        _segment("logic", 0.25, "conv1.array.sum_2", "conv1.array.sum_2"),
        _segment("routing", 2.0, "conv1.array.sum_2", "conv1.output.full_3"),
        _segment("setup", 0.125, "conv1.output.full_3", "conv1.output.full_3"),
    ]
    edge = f"posedge {CLOCK}"
    content = {
        "fmax": {CLOCK: {"achieved": 120.5, "constraint": 100.0}},
        "utilization": {"TRELLIS_COMB": {"used": 10, "available": 24288}},
        "critical_paths": [
            {"from": "<async>", "to": edge, "path": [_segment("routing", 9, "in", "x.y")]},
            {"from": edge, "to": edge, "path": inside},
        ],
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content | changes))
    return path


def test_clock_use_and_path_are_read(tmp_path: Path) -> None:
    report = read_placement_report(_report(tmp_path))
    assert (report.fmax_mhz, report.target_mhz, report.timing_met) == (120.5, 100.0, True)
    assert (report.used["TRELLIS_COMB"], report.available["TRELLIS_COMB"]) == (10, 24288)
    assert report.path is not None
    assert report.path.hops == (
        Hop(module="conv1/array", logic_ns=0.75, routing_ns=1.5, cells=2),
        Hop(module="conv1/output", logic_ns=0.125, routing_ns=2.0, cells=1),
    )
    assert report.path.tiles == ((3, 4), (9, 1))
    assert report.path.delay_ns == 4.375
    assert report.path.words() == (
        "4.4 ns: conv1/array (0.8 ns in 2 cells, 1.5 ns on wires) -> "
        "conv1/output (0.1 ns in 1 cells, 2.0 ns on wires)"
    )


def test_the_slowest_of_several_clocks_counts(tmp_path: Path) -> None:
    clocks = {
        "fast": {"achieved": 300.0, "constraint": 250.0},
        "slow": {"achieved": 90.0, "constraint": 100.0},
    }
    report = read_placement_report(_report(tmp_path, fmax=clocks))
    assert (report.fmax_mhz, report.timing_met, report.path) == (90.0, False, None)


def test_a_design_without_clock_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reports no clock$"):
        read_placement_report(_report(tmp_path, fmax={}))
