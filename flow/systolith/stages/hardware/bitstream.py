"""From a plan to a bitstream."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from systolith.build import (
    BuildResult,
    CellCounts,
    build_bitstream,
    check_programs,
    estimate_cells,
    find_tools,
    read_placement,
)
from systolith.config import BuildSection
from systolith.devices import Part, find_board
from systolith.emit import BOARD_TOP, TOP, emit_alone, emit_board, emit_verilog
from systolith.foundation import Progress, ProgressCallback
from systolith.gateware import technology_for
from systolith.plan import NetworkPlan
from systolith.report import draw_floorplan, utilization_rows

__all__ = ["BITSTREAM", "PICTURES", "build_design", "choose_top", "native_versions"]

BITSTREAM = "build"
"""Folder of the build, in the folder of a run."""
PICTURES = ("floorplan.png", "floorplan.svg")


def choose_top(section: BuildSection) -> str:
    """Return the name of the top module."""
    return TOP if section.board is None else BOARD_TOP


def native_versions(section: BuildSection) -> dict[str, str | None]:
    """Return the version of each program on PATH that a build would run."""
    if (part := section.part) is None:
        return {}
    programs = check_programs(part.device, section.tools)
    return {f"{name} on PATH": tool.version for name, tool in programs.items() if tool.native}


def build_design(
    plan: NetworkPlan, section: BuildSection, folder: Path, progress: ProgressCallback
) -> dict[str, Any]:
    """Synthesize, place and route a plan; pack a bitstream if the clock is reached.

    Devices without open place and route tools only get an estimate of the cells.

    Parameters
    ----------
    plan : NetworkPlan
    section : BuildSection
        Names a part or a board.
    folder : Path
        Folder of the run. It gets pictures, and ``build/`` with netlist, logs and bitstream.
    progress : ProgressCallback

    Returns
    -------
    dict
        JSON values: part and cells. If the design is placed, also cells of each engine, clocks,
        frames per second, and the critical path.

    Raises
    ------
    PlanError
        If a board cannot serve the network.
    MissingProgramError, ToolError
    """
    part = section.part
    assert part is not None
    progress(Progress(task="build", done=0, total=section.seeds + 2, text="generating"))
    result: Mapping[str, Any]
    if find_tools(part.device).nextpnr is None:
        verilog = emit_verilog(plan, technology=technology_for(part.device.family))
        cells = estimate_cells(
            verilog,
            TOP,
            part.device,
            folder / BITSTREAM,
            tools=section.tools,
            progress=progress,
        )
        result = {"estimate": True, "used": cells, "bitstream": None}
    else:
        result = {"estimate": False, **_place(plan, part, section, folder, progress)}
    resources = [asdict(use) for use in find_tools(part.device).uses(part.device, result["used"])]
    return {"part": str(part), "board": section.board, **result, "resources": resources}


def _place(
    plan: NetworkPlan, part: Part, section: BuildSection, folder: Path, progress: ProgressCallback
) -> Mapping[str, Any]:
    clock_mhz = section.target_mhz
    if section.board is not None:
        board = find_board(section.board)
        constraints = board.constraints
        verilog = emit_board(plan, board, clock_mhz=clock_mhz, baud=section.baud)
    else:
        verilog, constraints = emit_alone(plan, part)
    placed = build_bitstream(
        verilog,
        choose_top(section),
        part,
        folder / BITSTREAM,
        freq_mhz=clock_mhz,
        seeds=section.seeds,
        jobs=section.jobs,
        placer=section.placer,
        router=section.router,
        limit_s=section.limit_s,
        tools=section.tools,
        constraints=constraints,
        progress=progress,
    )
    steps = section.seeds + 2
    progress(Progress(task="build", done=steps, total=steps, text="drawing"))
    placement = read_placement(placed.placement)
    device = part.device
    draw_floorplan(
        placement,
        placed.best.path,
        CellCounts(
            luts=device.luts,
            flip_flops=device.ffs,
            dsps=device.dsps,
            block_rams=device.block_rams,
        ),
        f"{plan.network.name} on {section.board or part}: {placed.best.fmax_mhz:.1f} MHz",
        [folder / name for name in PICTURES],
    )
    rows = utilization_rows(plan, placement.counts)
    return {
        **_summarize(placed, plan, find_tools(part.device).untimed),
        "engines": [asdict(row) for row in rows],
    }


def _routes(placed: BuildResult) -> dict[str, dict[str, float]]:
    """Return clocks by seed and router."""
    routes: dict[str, dict[str, float]] = {}
    for attempt, report in sorted(placed.routes.items()):
        routes.setdefault(str(attempt.seed), {})[attempt.router] = report.fmax_mhz
    return routes


def _summarize(placed: BuildResult, plan: NetworkPlan, untimed: str | None) -> Mapping[str, Any]:
    """Return clocks, frames per second and cells of a placed design."""
    best = placed.best
    return {
        "clock_mhz": best.target_mhz,
        "timing_met": best.timing_met,
        "fmax_mhz": {str(seed): report.fmax_mhz for seed, report in placed.reports.items()},
        "fmax_mhz_best": best.fmax_mhz,
        "fmax_mhz_median": placed.median_mhz,
        "best_seed": placed.best_seed,
        "placer": placed.placer,
        "best_router": placed.best_attempt.router,
        "routes": _routes(placed),
        "unfinished": [str(attempt) for attempt in placed.unfinished],
        "tools": [
            {"name": program.name, "version": program.version, "native": program.native}
            for program in placed.programs.values()
        ],
        "frames_per_second": best.fmax_mhz * 1e6 / plan.cycles_per_frame,
        "frames_per_second_at_target": best.target_mhz * 1e6 / plan.cycles_per_frame,
        "used": dict(best.used),
        "available": dict(best.available),
        "critical_path": best.path.words() if best.path else None,
        "untimed": untimed,
        "bitstream": placed.bitstream.name if placed.bitstream else None,
    }
